"""Storing what annotators send: exactly once, in order, and without losing anything.

A form may arrive twice (the browser repeats it until it is acknowledged), late (its block has gone to another annotator), or from
two tabs. The same event id with the same content changes nothing; with other content it is stored as refused, and the audit chain
records it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from harness.study.rating import claims
from harness.study.rating.forms import MOST_MS, Form, NoForm, Note, as_text, event_id_of
from harness.study.rating.views import Receipt
from harness.study.tables import audit
from harness.study.tables.base import pairs
from harness.study.tables.schema import Annotator, Aspect, Block, Campaign, Lease, Rating, Refused, SkipFlag, Slot, Submission

_MOST_REFUSED = 2000
"""Of one annotator that are kept: no browser of ours comes near."""

# Built once: building a query takes longer than running it.
_ASPECTS = select(Aspect.code, Aspect.id).order_by(Aspect.position)
_SLOT = (
    select(Slot, Block)
    .join(Block, Block.id == Slot.block_id)
    .where(Slot.public_id == bindparam("slot"))
    .with_for_update(of=Block)
)
_SLOTS = select(Slot).where(Slot.block_id == bindparam("block")).order_by(Slot.position)
_REVISIONS = select(Submission.revision).where(
    Submission.slot_id == bindparam("slot"), Submission.annotator_id == bindparam("annotator")
)
_SKIP = select(SkipFlag).where(
    SkipFlag.slot_id == bindparam("slot"),
    SkipFlag.annotator_id == bindparam("annotator"),
    SkipFlag.kind == "skip",
    SkipFlag.status == "current",
)


def submit(session: Session, campaign: Campaign, annotator: Annotator, form: Any, now: datetime) -> Receipt:
    """Keep a rating."""
    aspects = session.execute(_ASPECTS).all()
    try:
        checked = Form.read(form, [code for code, _ in aspects])
        if known := _seen(session, annotator, checked.event_id, checked.sha256()):
            return known
        slot, block = _slot_of(session, annotator, checked.slot)
    except NoForm as error:
        return _refuse(session, annotator, form, str(error), now)
    why = _surplus(campaign, annotator, block)
    annotator.last_at = now
    skip = _current_skip(session, slot, annotator)
    if not why and skip and block.state == "done":
        why = "given-to-another"  # it was skipped, and somebody else rates it by now
    used = _revisions(session, slot, annotator)
    revision, latest, reason = _place(checked, used)
    status = "superseded"
    if latest:
        status = "withdrawn" if why == "withdrawn" else "surplus" if why else "current"
        if used:
            _supersede(session, slot, annotator, status)
    first = not (why or skip or used)
    if not why and skip is not None:
        skip.status = "superseded"
    session.add(
        Submission(
            **checked.kept(),
            slot_id=slot.id,
            annotator_id=annotator.id,
            revision=revision,
            client_revision=checked.revision,
            status=status,
            received_at=now,
            payload_sha256=checked.sha256(),
        )
    )
    session.flush()
    session.add_all(Rating(event_id=checked.event_id, aspect_id=number, value=checked.values[code]) for code, number in aspects)
    if first:
        _count_form(session, block, checked.active_ms, now)
    session.flush()
    entry = {"sha256": checked.sha256(), "revision": revision, "status": status, "slot": checked.slot}
    entry["output"] = slot.output_id  # which text was shown: a repeat gets its text when it is given out
    audit.record(session, now, annotator.public_id, "submit", checked.event_id, entry)
    return Receipt(checked.event_id, "surplus" if why else "saved", revision, why or reason)


def note(session: Session, campaign: Campaign, annotator: Annotator, form: Any, kind: str, now: datetime) -> Receipt:
    """Keep a skip or a flag. Skipping what is rated already is taken as a flag: the rating stays."""
    try:
        checked = Note.read(form)
        digest = checked.sha256(kind)
        if known := _seen(session, annotator, checked.event_id, digest):
            return known
        slot, block = _slot_of(session, annotator, checked.slot)
    except NoForm as error:
        return _refuse(session, annotator, form, str(error), now)
    why = _surplus(campaign, annotator, block)
    skip = _current_skip(session, slot, annotator)
    flagged = "rated-already" if kind == "skip" and _revisions(session, slot, annotator) else ""
    status = "surplus" if why else "superseded" if skip and kind == "skip" else "current"
    session.add(
        SkipFlag(
            event_id=checked.event_id,
            slot_id=slot.id,
            annotator_id=annotator.id,
            kind="flag" if flagged else kind,
            reason=checked.reason,
            note=checked.note,
            status=status,
            received_at=now,
            payload_sha256=digest,
        )
    )
    session.flush()
    if kind == "skip" and status == "current" and not flagged:
        _count_form(session, block, 0, now)
    audit.record(session, now, annotator.public_id, kind, checked.event_id, {"sha256": digest, "slot": checked.slot})
    return Receipt(checked.event_id, "surplus" if why else "saved", 0, why or flagged)


def _seen(session: Session, annotator: Annotator, event_id: str, digest: str) -> Receipt | None:
    """The answer to an event id that is known already, if it is.

    Raises:
        NoForm: it is known, with other content or from somebody else.
    """
    known = session.get(Submission, event_id) or session.get(SkipFlag, event_id)
    if known is None:
        return None
    if known.payload_sha256 != digest or known.annotator_id != annotator.id:
        raise NoForm("event-id-with-other-content")
    return Receipt(event_id, "duplicate", known.revision if isinstance(known, Submission) else 0)


def _slot_of(session: Session, annotator: Annotator, public: str) -> tuple[Slot, Block]:
    """The slot and its block, locked, if this annotator was ever given it.

    Raises:
        NoForm: there is no such slot, or it was never theirs.
    """
    row = session.execute(_SLOT, {"slot": public}).one_or_none()
    if row is None:
        raise NoForm("unknown-slot")
    slot, block = row.Slot, row.Block
    if block.annotator_id != annotator.id:
        given = select(Lease.id).where(Lease.block_id == block.id, Lease.annotator_id == annotator.id).limit(1)
        if session.scalar(given) is None:
            raise NoForm("not-yours")
    return slot, block


def _surplus(campaign: Campaign, annotator: Annotator, block: Block) -> str:
    """Why a form for this block does not count; empty if it counts."""
    if annotator.status == "withdrawn":
        return "withdrawn"
    if campaign.status == "frozen":
        return "frozen"
    if block.annotator_id != annotator.id or block.state in ("open", "void"):
        return "late"
    return ""


def _revisions(session: Session, slot: Slot, annotator: Annotator) -> set[int]:
    """What this annotator has sent for the slot before."""
    return set(session.scalars(_REVISIONS, {"slot": slot.id, "annotator": annotator.id}))


def _current_skip(session: Session, slot: Slot, annotator: Annotator) -> SkipFlag | None:
    return session.scalars(_SKIP, {"slot": slot.id, "annotator": annotator.id}).first()


def _place(form: Form, used: set[int]) -> tuple[int, bool, str]:
    """Its revision, whether it is the latest, and what to say: forms may overtake each other, two tabs may use one number."""
    if form.revision in used:
        return max(used) + 1, True, "rated-twice"
    return form.revision, not used or form.revision > max(used), ""


def _supersede(session: Session, slot: Slot, annotator: Annotator, status: str) -> None:
    """Forms before the latest one of the same standing do not count any more."""
    session.execute(
        update(Submission)
        .where(Submission.slot_id == slot.id, Submission.annotator_id == annotator.id, Submission.status == status)
        .values(status="superseded"),
        execution_options={"synchronize_session": False},
    )


def _count_form(session: Session, block: Block, active_ms: int, now: datetime) -> None:
    """One more slot of a block is through: the lease is longer, and the last one closes the block."""
    until = now + claims.lease(session)
    slots = session.scalars(_SLOTS, {"block": block.id}).all()
    block.forms += 1
    block.active_ms = min(block.active_ms + active_ms, MOST_MS)  # more does not fit, and no form is lost for that
    block.lease_until, block.kept_until = until, now + claims.KEPT
    if block.forms < len(slots):
        return
    block.state, block.done_at = "done", now
    session.flush()
    if wanted := _still_wanted(session, slots):
        claims.reopen(session, block, wanted)


def _still_wanted(session: Session, slots: Sequence[Slot]) -> list[Slot]:
    """Slots that were skipped and whose ratings are wanted; controls, and what too many people skipped, are let go."""
    skipped = claims.skipped_slots(session, slots)
    missing = [slot for slot in slots if slot.counted and slot.id in skipped]
    if not missing:
        return []
    people = pairs(
        session.execute(
            select(Slot.output_id, func.count(SkipFlag.annotator_id.distinct()))
            .join(SkipFlag, SkipFlag.slot_id == Slot.id)
            .where(
                Slot.output_id.in_([slot.output_id for slot in missing]), SkipFlag.kind == "skip", SkipFlag.status == "current"
            )
            .group_by(Slot.output_id)
        )
    )
    return [slot for slot in missing if people[slot.output_id] < claims.MOST_SKIPS]


def _refuse(session: Session, annotator: Annotator, form: Any, reason: str, now: datetime) -> Receipt:
    """Keep something that is no form, once, and say so."""
    content = as_text(form)
    digest = hashlib.sha256(f"{annotator.id}\x1f{reason}\x1f{content}".encode()).hexdigest()
    event_id = event_id_of(form)
    if session.scalar(select(Refused.id).where(Refused.content_sha256 == digest)) is None:
        kept = session.scalar(select(func.count()).select_from(Refused).where(Refused.annotator_id == annotator.id))
        if (kept or 0) < _MOST_REFUSED:
            session.add(Refused(annotator_id=annotator.id, reason=reason, content=content, content_sha256=digest, at=now))
            session.flush()
            audit.record(session, now, annotator.public_id, "refuse", event_id, {"reason": reason, "sha256": digest})
    return Receipt(event_id, "refused", 0, reason)
