"""What an annotator sees of the study: slots, progress, earlier answers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Select, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from harness.study.rating import claims
from harness.study.rating.views import Progress, Rated, SlotView
from harness.study.tables.schema import Annotator, Aspect, Block, Item, Lease, Media, Output, Rating, SkipFlag, Slot, Submission

GUESSED_SECONDS = 30.0
"""A form, before anybody has filled one in."""
_PRIOR = 5
"""Forms that everybody's median is worth, beside an annotator's own."""


def views(session: Session, annotator: Annotator, slots: Sequence[Slot]) -> tuple[SlotView, ...]:
    """Slots still to rate as the screen shows them."""
    counts = progress_counts(session, annotator, len(slots))
    shown = {row.id: row for row in session.execute(_SHOWN, {"slots": [slot.id for slot in slots]})}
    return tuple(
        SlotView(
            slot.public_id,
            shown[slot.id].block,
            counts.done + number,
            counts.done + counts.left,
            shown[slot.id].media,
            shown[slot.id].prompt,
            shown[slot.id].text,
        )
        for number, slot in enumerate(slots, start=1)
    )


def slot_view(session: Session, annotator: Annotator, public: str) -> SlotView | None:
    """A slot that the annotator was given, with what was said; None for any other."""
    given = exists().where(Lease.block_id == Slot.block_id, Lease.annotator_id == annotator.id)
    row = session.execute(_shown(select(Slot.id, Slot.public_id)).where(Slot.public_id == public, given)).first()
    if row is None:
        return None
    latest = session.execute(
        select(Submission.event_id, Submission.revision)
        .where(Submission.slot_id == row.id, Submission.annotator_id == annotator.id)
        .order_by(Submission.revision.desc())
        .limit(1)
    ).first()
    pending = [slot.id for slot in claims.to_rate(session, annotator.id)]
    counts = progress_counts(session, annotator, len(pending))
    number = counts.done + 1 + pending.index(row.id) if row.id in pending else _number(session, annotator.id, row.id)
    values = _values(session, [latest.event_id])[latest.event_id] if latest else None
    revision = latest.revision if latest else -1
    of = counts.done + counts.left
    return SlotView(row.public_id, row.block, number, of, row.media, row.prompt, row.text, values, revision)


def history(session: Session, annotator: Annotator, limit: int) -> tuple[Rated, ...]:
    """What the annotator said, the latest first; each text once, with its latest revision."""
    rows = session.execute(
        _shown(select(Slot.public_id, Submission.event_id, Submission.revision, Submission.received_at))
        .join(Submission, Submission.slot_id == Slot.id)
        .where(Submission.annotator_id == annotator.id, Submission.status != "superseded")
        .order_by(Submission.received_at.desc(), Submission.event_id)
        .limit(limit)
    ).all()
    values = _values(session, [row.event_id for row in rows])
    return tuple(
        Rated(row.public_id, row.media, row.prompt, row.text, values[row.event_id], row.revision, row.received_at) for row in rows
    )


def progress(session: Session, annotator: Annotator) -> Progress:
    """How far the annotator is, and how long the rest will take."""
    pending = claims.to_rate(session, annotator.id)
    counts = progress_counts(session, annotator, len(pending))
    seconds = pace(session, annotator.id)
    return Progress(counts.done, counts.rated, counts.left, seconds, counts.left * seconds)


class Counts(NamedTuple):
    """How far an annotator is, in slots."""

    rated: int
    skipped: int
    left: int
    """Those held, and a fair part of what is open in the own lane."""

    @property
    def done(self) -> int:
        """Rated or skipped."""
        return self.rated + self.skipped


def progress_counts(session: Session, annotator: Annotator, pending: int) -> Counts:
    """What the annotator has done and has still to do, of which `pending` slots are held."""
    row = session.execute(_PROGRESS, {"annotator": annotator.id, "lane": annotator.lane}).one()
    return Counts(row.rated, row.skipped, pending - (-row.waiting // row.people))


def pace(session: Session, annotator: int | None) -> float:
    """Seconds a form takes: the median of the latest first answers, drawn towards everybody's while an annotator has few."""
    latest = select(Submission.active_ms).where(Submission.revision == 0).order_by(Submission.received_at.desc()).limit(51)
    everyone = session.scalars(latest).all()
    common = statistics.median(everyone) / 1000 if everyone else GUESSED_SECONDS
    own = session.scalars(latest.where(Submission.annotator_id == annotator)).all() if annotator is not None else []
    if not own:
        return common
    return (len(own) * statistics.median(own) / 1000 + _PRIOR * common) / (len(own) + _PRIOR)


def _number(session: Session, annotator: int, slot: int) -> int:
    """Which of the annotator's forms a rated slot was, from 1."""
    firsts = (
        select(Submission.slot_id, func.min(Submission.received_at).label("at"))
        .where(Submission.annotator_id == annotator)
        .group_by(Submission.slot_id)
        .subquery()
    )
    at = session.scalar(select(firsts.c.at).where(firsts.c.slot_id == slot))
    if at is None:
        return 0
    return session.scalar(select(func.count()).select_from(firsts).where(firsts.c.at <= at)) or 0


def _values(session: Session, events: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    rows = session.execute(
        select(Rating.event_id, Aspect.code, Rating.value)
        .join(Aspect, Aspect.id == Rating.aspect_id)
        .where(Rating.event_id.in_(events))
        .order_by(Aspect.position)
    )
    values: dict[str, dict[str, int]] = {event: {} for event in events}
    for event, code, value in rows:
        values[event][code] = value
    return values


def _shown(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Add what a screen shows of a slot to a query of slots."""
    return (
        query.add_columns(Block.public_id.label("block"), Media.public_id.label("media"), Item.prompt, Output.text)
        .join(Block, Block.id == Slot.block_id)
        .join(Output, Output.id == Slot.output_id)
        .join(Item, Item.id == Output.item_id)
        .outerjoin(Media, Media.id == Item.media_id)
    )


def _counts() -> Select[*tuple[Any, ...]]:
    me: BindParameter[int] = bindparam("annotator")
    own_block = aliased(Block)
    rated = select(func.count(Submission.slot_id.distinct())).where(Submission.annotator_id == me)
    skipped = select(func.count(SkipFlag.event_id)).where(
        SkipFlag.annotator_id == me, SkipFlag.kind == "skip", SkipFlag.status == "current"
    )
    waiting = (
        select(func.count(Slot.id))
        .join(Block, Block.id == Slot.block_id)
        .where(
            Block.lane == bindparam("lane"),
            Block.state == "open",
            ~exists().where(own_block.unit == Block.unit, own_block.annotator_id == me),
        )
    )
    people = select(func.count(Annotator.id)).where(
        Annotator.lane == bindparam("lane"), or_(Annotator.status.in_(("invited", "training", "active")), Annotator.id == me)
    )
    parts = {"rated": rated, "skipped": skipped, "waiting": waiting, "people": people}
    return select(*(part.scalar_subquery().label(name) for name, part in parts.items()))


# Built once: building a query takes longer than running it.
_SHOWN = _shown(select(Slot.id)).where(Slot.id.in_(bindparam("slots", expanding=True)))
_PROGRESS = _counts()
