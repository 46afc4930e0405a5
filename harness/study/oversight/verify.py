"""Is a study what it says it is: the chain whole, every form as it came, every count as planned?"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from harness.study.rating.forms import Form, Note
from harness.study.tables import audit
from harness.study.tables.base import pairs
from harness.study.tables.identity import Origin
from harness.study.tables.schema import (
    Annotator,
    Aspect,
    Audit,
    Block,
    Campaign,
    Output,
    Rating,
    SkipFlag,
    Slot,
    Submission,
)

_MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a study found."""

    entries: int
    """Of the audit chain."""
    forms: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def verify(session: Session) -> Verified:
    """Check everything."""
    entries = session.scalars(select(Audit).order_by(Audit.seq)).all()
    problems = [*_database(session), *audit.broken_links(entries)]
    sealed = {
        entry.object: (entry.payload["sha256"], entry.payload.get("annotator", entry.actor))
        for entry in entries
        if entry.action in ("submit", "skip", "flag")
    }
    hashes = _hashes(session)
    for event, (kept, computed, who) in hashes.items():
        if kept != computed:
            problems.append(f"form {event} was changed: its content does not have its hash")
        elif sealed.get(event) != (kept, who):
            problems.append(f"form {event} is not the one that the audit chain speaks of")
    problems += [f"form {event} is in the audit chain and nowhere else" for event in sealed if event not in hashes]
    problems += _counts(session)
    listed = problems[:_MOST_TOLD]
    if len(problems) > len(listed):
        listed.append(f"... and {len(problems) - len(listed)} more")
    return Verified(len(entries), len(hashes), tuple(listed))


def _hashes(session: Session) -> dict[str, tuple[str, str, str]]:
    """Of every form and note: the hash that is kept, the one that its content has, and whose it is."""
    aspects = list(session.scalars(select(Aspect.code).order_by(Aspect.position)))
    values: dict[str, dict[str, int]] = {}
    for event, code, value in session.execute(
        select(Rating.event_id, Aspect.code, Rating.value).join(Aspect, Aspect.id == Rating.aspect_id)
    ):
        values.setdefault(event, {})[code] = value
    people = pairs(session.execute(select(Annotator.id, Annotator.public_id)))
    hashes: dict[str, tuple[str, str, str]] = {}
    for form, slot in session.execute(select(Submission, Slot.public_id).join(Slot, Slot.id == Submission.slot_id)):
        given = values.get(form.event_id, {})
        ordered = {code: given[code] for code in aspects if code in given}
        hashes[form.event_id] = form.payload_sha256, Form.of(form, slot, ordered).sha256(), people[form.annotator_id]
    for note, slot in session.execute(select(SkipFlag, Slot.public_id).join(Slot, Slot.id == SkipFlag.slot_id)):
        read = Note(note.event_id, slot, note.reason, note.note)
        either = {read.sha256(kind) for kind in ("skip", "flag")}  # a skip of what is rated is kept as a flag
        hashes[note.event_id] = (
            note.payload_sha256,
            note.payload_sha256 if note.payload_sha256 in either else read.sha256(note.kind),
            people[note.annotator_id],
        )
    return hashes


def _counts(session: Session) -> list[str]:
    """No text has more ratings than were planned, and blocks say truly how much of them is done."""
    campaign = session.scalars(select(Campaign)).one()
    problems = []
    over = session.execute(
        select(Output.public_id, func.count())
        .join(Slot, Slot.output_id == Output.id)
        .join(Submission, Submission.slot_id == Slot.id)
        .join(Origin, Origin.output_id == Output.id)
        .where(Submission.status == "current", Slot.counted, Slot.repeats_id.is_(None), Origin.kind == "system")
        .group_by(Output.public_id)
        .having(func.count() > campaign.k)
    )
    problems += [f"text {public} has {number} ratings that count; planned are {campaign.k}" for public, number in over]
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
    wrong = session.execute(
        select(Block.public_id, Block.forms, func.coalesce(rated.c.forms, 0) + func.coalesce(skipped.c.skips, 0))
        .outerjoin(rated, rated.c.block_id == Block.id)
        .outerjoin(skipped, skipped.c.block_id == Block.id)
        .where(
            Block.state.in_(("leased", "done")),
            Block.forms != func.coalesce(rated.c.forms, 0) + func.coalesce(skipped.c.skips, 0),
        )
    )
    problems += [f"block {public} says {says} forms and has {has}" for public, says, has in wrong]
    return problems


def _database(session: Session) -> list[str]:
    """What SQLite itself finds wrong with its file."""
    if session.get_bind().dialect.name != "sqlite":
        return []
    messages = [row[0] for row in session.execute(text("PRAGMA integrity_check(10)"))]
    broken = [f"SQLite: {line}" for line in messages if line != "ok"]
    loose = session.execute(text("PRAGMA foreign_key_check")).all()
    return broken + [f"SQLite: a row of {row[0]} refers to nothing in {row[2]}" for row in loose[:10]]
