"""Is a study as its audit chain records it: the chain, every form, the texts and images, decisions, and the counts?"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.analysis import collect
from harness.study.design.protocol import version_of
from harness.study.exchange.export import MANIFEST_FILE
from harness.study.rating.forms import Form, Note
from harness.study.tables import audit
from harness.study.tables.base import canonical, pairs
from harness.study.tables.content import content_hashes
from harness.study.tables.identity import Decision, Exclusion, ExportLog, Origin
from harness.study.tables.schema import (
    Annotator,
    Aspect,
    Audit,
    Block,
    Campaign,
    Document,
    Invite,
    Output,
    Rating,
    Refused,
    SeatKey,
    SkipFlag,
    Slot,
    Submission,
)

_MOST_LISTED = 50


class Head(NamedTuple):
    """An entry of the audit chain, as an export's manifest notes it."""

    entry: int
    hash: str


NO_ENTRY = Head(0, "")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a study found."""

    entries: int
    """Of the audit chain."""
    forms: int
    problems: tuple[str, ...]
    head: Head = NO_ENTRY
    """The newest entry: note it elsewhere, and later changes to everything before it can be shown."""
    compared: Head | None = None
    """The entry of an export that the chain was compared with, if one was given."""
    unsealed: str = ""
    """What the chain does not cover, because an older version made the study; empty if it covers everything."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    @property
    def promise(self) -> str:
        """What the check can say and what it cannot, in sentences."""
        covered = "forms, texts, images, systems, which system wrote which text, the protocol, decisions and the freeze"
        sentences = [f"The audit chain covers {covered}." if not self.unsealed else f"Not covered: {self.unsealed}."]
        if self.compared is None:
            sentences.append(
                "This check finds changes by whoever did not compute the chain again. Whoever can write to the database can do "
                "that; it shows when the chain is compared with the manifest.json of an earlier export."
            )
        else:
            sentences.append(
                f"Entry {self.compared.entry} is the one that the export names: nothing up to it was changed after that export, "
                "provided that the export was kept where nobody could change it. Later entries are not covered by it."
            )
        return " ".join(sentences)


def noted_head(export: Path) -> Head:
    """The newest entry of the audit chain at the time of an export, from its manifest.

    Raises:
        StudyError: there is no manifest, or it names no entry.
    """
    file = export / MANIFEST_FILE if export.is_dir() else export
    try:
        noted = json.loads(file.read_bytes())["audit"]
        return Head(int(noted["entry"]), str(noted["hash"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{file} names no entry of an audit chain ({error!r}); expected the folder that `seetell study export` wrote"
        ) from error


def verify(session: Session, noted: Head | None = None) -> Verified:
    """Check everything.

    Args:
        session: of the study.
        noted: an entry that the chain must contain.
    """
    entries = session.scalars(select(Audit).order_by(Audit.seq)).all()
    campaign = session.scalars(select(Campaign)).one()
    hashes = _hashes(session)
    creation = next((entry for entry in entries if entry.action in ("create", "import")), None)
    unsealed = "" if creation is not None and "content" in creation.payload else "texts, images, systems and who wrote which text"
    problems = [
        *_database(session),
        *audit.broken_links(entries),
        *_forms(entries, hashes),
        *_creation_problems(session, campaign, creation),
        *_documents(session),
        *_actions(session, entries, imported=creation is not None and creation.action == "import"),
        *_freeze(session, campaign, entries),
        *_counts(session, campaign),
    ]
    if noted is not None and (noted.entry, noted.hash) not in {(entry.seq, entry.hash) for entry in entries}:
        problems.append(
            f"the export names entry {noted.entry} with hash {noted.hash[:12]}, which the audit chain does not have: the chain "
            "was computed again, cut off, or is another study's"
        )
    listed = problems[:_MOST_LISTED]
    if len(problems) > len(listed):
        listed.append(f"... and {len(problems) - len(listed)} more")
    return Verified(len(entries), len(hashes), tuple(listed), Head(*audit.head(session)), noted, unsealed)


class _Hashes(NamedTuple):
    """Of one form or note."""

    kept: str
    computed: str
    annotator: str
    output: int | None
    """Row of the text that its slot shows; None for a note."""


def _forms(entries: Sequence[Audit], hashes: dict[str, _Hashes]) -> Iterator[str]:
    sealed = {entry.object: entry for entry in entries if entry.action in ("submit", "skip", "flag")}
    for event, digest in hashes.items():
        entry = sealed.get(event)
        if digest.kept != digest.computed:
            yield f"form {event} was changed: its content does not have its hash"
        elif entry is None or (entry.payload["sha256"], entry.payload.get("annotator", entry.actor)) != (
            digest.kept,
            digest.annotator,
        ):
            yield f"form {event} is not the one that the audit chain speaks of"
        elif digest.output is not None and entry.payload.get("output", digest.output) != digest.output:
            yield f"form {event} rated another text: its slot shows a text that was put there later"
    yield from (f"form {event} is in the audit chain and nowhere else" for event in sealed if event not in hashes)


def _hashes(session: Session) -> dict[str, _Hashes]:
    """Of every form and note: the hash that is kept, the one that its content has, whose it is, and what it rated."""
    aspects = list(session.scalars(select(Aspect.code).order_by(Aspect.position)))
    values: dict[str, dict[str, int]] = {}
    for event, code, value in session.execute(
        select(Rating.event_id, Aspect.code, Rating.value).join(Aspect, Aspect.id == Rating.aspect_id)
    ):
        values.setdefault(event, {})[code] = value
    people = pairs(session.execute(select(Annotator.id, Annotator.public_id)))
    hashes: dict[str, _Hashes] = {}
    for form, slot in session.execute(select(Submission, Slot).join(Slot, Slot.id == Submission.slot_id)):
        given = values.get(form.event_id, {})
        ordered = {code: given[code] for code in aspects if code in given}
        computed = Form.of(form, slot.public_id, ordered).sha256()
        hashes[form.event_id] = _Hashes(form.payload_sha256, computed, people[form.annotator_id], slot.output_id)
    for note, public in session.execute(select(SkipFlag, Slot.public_id).join(Slot, Slot.id == SkipFlag.slot_id)):
        read = Note(note.event_id, public, note.reason, note.note)
        either = {read.sha256(kind) for kind in ("skip", "flag")}  # a skip of what is rated is kept as a flag
        computed = note.payload_sha256 if note.payload_sha256 in either else read.sha256(note.kind)
        hashes[note.event_id] = _Hashes(note.payload_sha256, computed, people[note.annotator_id], None)
    return hashes


def _creation_problems(session: Session, campaign: Campaign, creation: Audit | None) -> Iterator[str]:
    """Is what the ratings are about as it was sealed when the study was made?"""
    if creation is None:
        yield "the audit chain has no entry of the making of the study"
        return
    protocol = hashlib.sha256(canonical(campaign.protocol).encode()).hexdigest()
    if protocol != creation.payload.get("protocol", campaign.protocol_sha256) or protocol != campaign.protocol_sha256:
        yield "the protocol was changed after the study was made"
    if creation.object != campaign.slug:
        yield f"the study was made as {creation.object!r} and is called {campaign.slug!r} now"
    sealed = creation.payload.get("content", {})
    current = content_hashes(session) if sealed else {}
    for part, digest in sealed.items():
        if current.get(part) != digest:
            yield f"the {part} were changed after the study was made"


def _documents(session: Session) -> Iterator[str]:
    for document in session.scalars(select(Document)):
        if document.version.split("-")[0] != version_of(document.text):
            yield f"the {document.kind} of version {document.version} were changed: their text does not have that hash"


def _actions(session: Session, entries: Sequence[Audit], *, imported: bool) -> Iterator[str]:
    """Has every row that an action makes its entry, and every entry its row?

    So a deleted last entry shows, although the chain that is left is whole.
    """
    actions = Counter(entry.action for entry in entries)
    actors = {(entry.action, entry.actor) for entry in entries}
    targets = {(entry.action, entry.object) for entry in entries}
    at_import = Exclusion.decided_by == "import" if imported else Exclusion.id < 0
    rows = {
        "exclude": _rows(session, Exclusion.id, ~at_import),
        "revert-exclusion": _rows(session, Exclusion.id, Exclusion.reverted_at.is_not(None)),
        "invite": _rows(session, Invite.public_id),
        "revoke-invite": _rows(session, Invite.public_id, Invite.revoked_at.is_not(None)),
        "join": _rows(session, SeatKey.key_sha256),
        "refuse": _rows(session, Refused.id),
        "void-block": _rows(session, Block.id, Block.state == "void"),
        "new-guidelines": _rows(session, Document.id, Document.kind == "guidelines") - 1,
        "new-consent": _rows(session, Document.id, Document.kind == "consent") - 1,
        "signal-dismissed": _rows(session, Decision.id, Decision.decision == "dismissed"),
        "signal-excluded": _rows(session, Decision.id, Decision.decision == "excluded"),
    }
    for action, count in rows.items():
        if actions[action] != count:
            yield f"the audit chain has {actions[action]} entries {action!r}, the database {count} rows that one of them makes"
    if actions["export"] < (exports := _rows(session, ExportLog.id)):  # the first layout did not list exports
        yield f"the audit chain has {actions['export']} entries 'export', the database lists {exports}"
    for person in [] if imported else session.scalars(select(Annotator)):
        needed = {"paused": "annotator-paused", "withdrawn": "annotator-withdrawn"}.get(person.status)
        if needed is not None and (needed, person.public_id) not in targets:
            yield f"annotator {person.public_id} is {person.status}, and no entry of the audit chain says so"
        if person.consent_at is not None and ("consent", person.public_id) not in actors:
            yield f"annotator {person.public_id} has a consent that the audit chain does not know"
        began = ("begin", person.public_id) in actors or ("annotator-active", person.public_id) in targets
        if person.status in ("active", "done") and not began:
            yield f"annotator {person.public_id} is {person.status}, and no entry of the audit chain says that they began"


def _rows(session: Session, column: object, *conditions: ColumnElement[bool]) -> int:
    return int(session.scalar(select(func.count(column)).where(*conditions)) or 0)  # type: ignore[arg-type]


def _freeze(session: Session, campaign: Campaign, entries: Sequence[Audit]) -> Iterator[str]:
    """Once frozen, a study stays frozen, and the ratings that count are those of then."""
    entry = next((entry for entry in entries if entry.action == "freeze"), None)
    if entry is None:
        if campaign.status == "frozen":
            yield "the study is frozen, and no entry of the audit chain says so"
        return
    if campaign.status != "frozen":
        yield f"the study was frozen (entry {entry.seq}) and is {campaign.status!r} now"
    voided = any(later.action == "void-block" and later.seq > entry.seq for later in entries)
    sealed = entry.payload.get("with_excluded")
    if sealed is not None and not voided and collect.ratings(session, excluded=True).sha256 != sealed:
        yield "the ratings that count are not those that counted when the study was frozen"


def _counts(session: Session, campaign: Campaign) -> Iterator[str]:
    """No text has more ratings than were planned, and blocks say truly how much of them is done."""
    over = session.execute(
        select(Output.public_id, func.count())
        .join(Slot, Slot.output_id == Output.id)
        .join(Submission, Submission.slot_id == Slot.id)
        .join(Origin, Origin.output_id == Output.id)
        .where(Submission.status == "current", Slot.counted, Slot.repeats_id.is_(None), Origin.kind == "system")
        .group_by(Output.public_id)
        .having(func.count() > campaign.k)
    )
    for public, number in over:
        yield f"text {public} has {number} ratings that count; planned are {campaign.k}"
    rated = (
        select(Slot.block_id, func.count(Submission.event_id).label("forms"))
        .join(Submission, Submission.slot_id == Slot.id)
        .where(Submission.status == "current")
        .group_by(Slot.block_id)
        .subquery()
    )
    skipped = (
        select(Slot.block_id, func.count(SkipFlag.event_id).label("skips"))
        .join(SkipFlag, SkipFlag.slot_id == Slot.id)
        .where(SkipFlag.kind == "skip", SkipFlag.status == "current")
        .group_by(Slot.block_id)
        .subquery()
    )
    through = func.coalesce(rated.c.forms, 0) + func.coalesce(skipped.c.skips, 0)
    wrong = session.execute(
        select(Block.public_id, Block.forms, through)
        .outerjoin(rated, rated.c.block_id == Block.id)
        .outerjoin(skipped, skipped.c.block_id == Block.id)
        .where(Block.state.in_(("leased", "done")), Block.forms != through)
    )
    for public, noted, number in wrong:
        yield f"block {public} says {noted} forms and has {number}"


def _database(session: Session) -> list[str]:
    """What SQLite itself finds wrong with its file."""
    if session.get_bind().dialect.name != "sqlite":
        return []
    messages = [row[0] for row in session.execute(text("PRAGMA integrity_check(10)"))]
    broken = [f"SQLite: {line}" for line in messages if line != "ok"]
    loose = session.execute(text("PRAGMA foreign_key_check")).all()
    return broken + [f"SQLite: a row of {row[0]} refers to nothing in {row[2]}" for row in loose[:10]]
