"""Tables that the annotator's side may read and write. Which system wrote a text is in `harness.study.tables.identity` alone.

Whatever a browser sees has a random `public_id`. Forms are only ever added: an edit is a new revision, and what does not
count any more changes its `status`. Triggers, made by the first migration, refuse the rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from harness.study.tables.base import Base, public_id


class Campaign(Base):
    """The study itself; one row."""

    __tablename__ = "campaign"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    task: Mapped[str]
    suite: Mapped[str]
    status: Mapped[str]
    protocol: Mapped[dict[str, Any]]
    """Everything that was decided before the first rating; it cannot change after it."""
    protocol_sha256: Mapped[str]
    seed: Mapped[int]
    k: Mapped[int]
    lanes: Mapped[int]
    """Annotators that the plan was balanced for."""
    salt: Mapped[str]
    """Hides what is hashed only to be counted, such as addresses."""
    admin_sha256: Mapped[str | None]
    created_at: Mapped[datetime]
    frozen_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("task IN ('caption', 'story')", name="task"),
        CheckConstraint("status IN ('open', 'closed', 'frozen')", name="status"),
        CheckConstraint("k >= 1", name="k"),
    )


class Aspect(Base):
    """One thing that is rated."""

    __tablename__ = "aspect"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    position: Mapped[int] = mapped_column(unique=True)
    label: Mapped[str]
    definition: Mapped[str]


class Media(Base):
    """An image, whole: a study needs no other file."""

    __tablename__ = "media"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    sha256: Mapped[str] = mapped_column(unique=True)
    mime: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class AspectAnchor(Base):
    """What one value of an aspect means."""

    __tablename__ = "aspect_anchor"

    aspect_id: Mapped[int] = mapped_column(ForeignKey("aspect.id"), primary_key=True)
    value: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
    example: Mapped[str]
    media_id: Mapped[int | None] = mapped_column(ForeignKey("media.id"))
    __table_args__ = (CheckConstraint("value BETWEEN 1 AND 5", name="value"),)


class Document(Base):
    """A version of the guidelines or of the consent text; the latest of its kind counts."""

    __tablename__ = "document"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    version: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("kind", "version"), CheckConstraint("kind IN ('guidelines', 'consent')", name="kind"))


class Item(Base):
    """What was to be told: an image, a title, or both."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(unique=True)
    prompt: Mapped[str]
    media_id: Mapped[int | None] = mapped_column(ForeignKey("media.id"))


class Output(Base):
    """A text to rate."""

    __tablename__ = "output"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    text: Mapped[str]


class Annotator(Base):
    """Somebody who rates, under a name of their own choice."""

    __tablename__ = "annotator"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    pseudonym: Mapped[str]
    pseudonym_key: Mapped[str] = mapped_column(unique=True)
    """Case-folded."""
    role: Mapped[str]
    status: Mapped[str]
    language: Mapped[str]
    consent_version: Mapped[str | None]
    consent_at: Mapped[datetime | None]
    lane: Mapped[int]
    joined_at: Mapped[datetime]
    last_at: Mapped[datetime]
    """When work was last asked for or handed in."""
    __table_args__ = (
        CheckConstraint("role IN ('annotator', 'admin')", name="role"),
        CheckConstraint("status IN ('invited', 'training', 'active', 'paused', 'withdrawn', 'done')", name="status"),
    )


class Invite(Base):
    """An invitation; only its token's hash is kept."""

    __tablename__ = "invite"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    role: Mapped[str]
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    """Whom it brings back; newcomers else."""
    max_uses: Mapped[int]
    uses: Mapped[int]
    note: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("uses <= max_uses", name="uses"),
        CheckConstraint("role IN ('annotator', 'admin')", name="role"),
    )


class SeatKey(Base):
    """A browser at which an annotator sits; only the key's hash is kept."""

    __tablename__ = "seat_key"

    key_sha256: Mapped[str] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class JoinTry(Base):
    """A failed attempt to join, for counting; the address is hashed."""

    __tablename__ = "join_try"

    id: Mapped[int] = mapped_column(primary_key=True)
    address_sha256: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (Index(None, "address_sha256", "at"),)


class Practice(Base):
    """A text with known answers."""

    __tablename__ = "practice"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    position: Mapped[int] = mapped_column(unique=True)
    prompt: Mapped[str]
    text: Mapped[str]
    media_id: Mapped[int | None] = mapped_column(ForeignKey("media.id"))
    expected: Mapped[dict[str, Any]]
    """By aspect: `low`, `high`, `why`."""


class PracticeAnswer(Base):
    """One answer to a practice text; the latest counts."""

    __tablename__ = "practice_answer"

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(ForeignKey("practice.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    given: Mapped[dict[str, Any]]
    inside: Mapped[int]
    """How many aspects were in their range."""
    asked: Mapped[int]
    at: Mapped[datetime]


class Block(Base):
    """What one annotator is given at once: slots, one after another."""

    __tablename__ = "block"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    unit: Mapped[int]
    """Nobody is given the same unit twice: an image with all its texts, or a set of stories with one text each."""
    topic: Mapped[int]
    """Units of one topic show the same images; they are kept apart in time."""
    rep: Mapped[int]
    attempt: Mapped[int]
    """0, and one more whenever a block was voided and reopened."""
    lane: Mapped[int]
    seq: Mapped[int]
    order_row: Mapped[int]
    """Of the Williams design."""
    state: Mapped[str]
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    claimed_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    kept_until: Mapped[datetime | None]
    """Until when it stays its owner's after the lease, because something of it is rated."""
    forms: Mapped[int]
    """Slots that are rated or skipped."""
    active_ms: Mapped[int]
    done_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("unit", "rep", "attempt"),
        UniqueConstraint("unit", "annotator_id"),
        Index(None, "state", "lane", "seq"),
        Index(None, "annotator_id", "state"),
        Index(None, "state", "done_at"),
        CheckConstraint("state IN ('open', 'leased', 'done', 'void')", name="state"),
    )


class Slot(Base):
    """One text in its place in a block."""

    __tablename__ = "slot"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=public_id)
    block_id: Mapped[int] = mapped_column(ForeignKey("block.id"))
    position: Mapped[int]
    output_id: Mapped[int] = mapped_column(ForeignKey("output.id"), index=True)
    counted: Mapped[bool]
    """Whether its rating is one of the k that its text is to get; a control's is not."""
    repeat_planned: Mapped[bool]
    """To be given a text that its annotator has rated before, if there is one by then."""
    repeats_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id"))
    __table_args__ = (UniqueConstraint("block_id", "position"), UniqueConstraint("block_id", "output_id"))


class Lease(Base):
    """That a block was given to somebody; nothing here is ever changed, so late forms are known for what they are."""

    __tablename__ = "lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    block_id: Mapped[int] = mapped_column(ForeignKey("block.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    at: Mapped[datetime]
    __table_args__ = (Index(None, "annotator_id", "block_id"),)


class Submission(Base):
    """A form as a browser sent it. Added, never changed, but for its status."""

    __tablename__ = "submission"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    revision: Mapped[int]
    client_revision: Mapped[int]
    """What the browser took it for; another one if two tabs rated the same text."""
    status: Mapped[str]
    shown_at: Mapped[datetime | None]
    first_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    active_ms: Mapped[int]
    hidden_ms: Mapped[int]
    changes: Mapped[int]
    input: Mapped[str]
    client: Mapped[str]
    received_at: Mapped[datetime]
    payload_sha256: Mapped[str]
    __table_args__ = (
        UniqueConstraint("slot_id", "annotator_id", "revision"),
        Index(
            "uq_submission_current",
            "slot_id",
            unique=True,
            sqlite_where=text("status = 'current'"),
            postgresql_where=text("status = 'current'"),
        ),
        Index(None, "annotator_id", "received_at"),
        CheckConstraint("status IN ('current', 'superseded', 'surplus', 'withdrawn')", name="status"),
        CheckConstraint("revision >= 0", name="revision"),
    )


class Rating(Base):
    """One value of a form."""

    __tablename__ = "rating"

    event_id: Mapped[str] = mapped_column(ForeignKey("submission.event_id"), primary_key=True)
    aspect_id: Mapped[int] = mapped_column(ForeignKey("aspect.id"), primary_key=True)
    value: Mapped[int]
    """The number of its step on the study's scale (`harness.study.tables.scale`)."""
    __table_args__ = (CheckConstraint("value BETWEEN 1 AND 1001", name="value"),)


class SkipFlag(Base):
    """A text that somebody could not rate, or rated and pointed at."""

    __tablename__ = "skip_flag"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    kind: Mapped[str]
    reason: Mapped[str]
    note: Mapped[str]
    status: Mapped[str]
    """Of a skip: `current` until the text is rated after all."""
    received_at: Mapped[datetime]
    payload_sha256: Mapped[str]
    __table_args__ = (
        CheckConstraint("kind IN ('skip', 'flag')", name="kind"),
        CheckConstraint("status IN ('current', 'superseded', 'surplus')", name="status"),
        CheckConstraint("reason IN ('image-missing', 'text-unreadable', 'wrong-language', 'offensive', 'other')", name="reason"),
    )


class Refused(Base):
    """What could not be taken as a form, as it came: nothing that was typed is thrown away."""

    __tablename__ = "refused"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    reason: Mapped[str]
    content: Mapped[str]
    content_sha256: Mapped[str] = mapped_column(unique=True)
    at: Mapped[datetime]


class Audit(Base):
    """The chain: each entry carries the hash of the one before, so that no entry can be changed or taken out unseen."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    payload: Mapped[dict[str, Any]]
    prev_hash: Mapped[str]
    hash: Mapped[str]
