"""Giving out work. One SQL statement takes a block, so two annotators never get the same one.

A block is leased. An annotator who has rated nothing of it when the lease ends may lose it to another; one who has begun keeps it
for 72 hours more, after which a new block is opened for the rest. No timer does this: the next claim does.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from harness.study.tables import audit
from harness.study.tables.base import REPEAT_GAP, pick
from harness.study.tables.schema import Annotator, Block, Campaign, Lease, SkipFlag, Slot, Submission

SHORTEST_LEASE = timedelta(minutes=20)
LEASE_OF_MEDIANS = 5
"""A lease is this many times what a block takes, if that is longer."""
IDLE = timedelta(hours=24)
"""Work planned for somebody who has not been here for so long may be done by others."""
KEPT = timedelta(hours=72)
"""How long a block that was begun stays its owner's."""
MOST_SKIPS = 4
"""A text that so many people skipped is not given to another one; the skips say so."""
_MOST_BLOCKS = 4
"""That one person holds at a time: the one being rated and what is fetched ahead."""

# Queries that run for every form are built once: building one takes longer than running it.
_TO_RATE = (
    select(Slot)
    .join(Block, Block.id == Slot.block_id)
    .where(
        Block.annotator_id == bindparam("annotator"),
        Block.state == "leased",
        ~exists().where(Submission.slot_id == Slot.id, Submission.status == "current"),
        ~exists().where(SkipFlag.slot_id == Slot.id, SkipFlag.kind == "skip", SkipFlag.status == "current"),
    )
    .order_by(Block.claimed_at, Block.id, Slot.position)
)
_LATEST_TIMES = select(Block.active_ms).where(Block.state == "done").order_by(Block.done_at.desc()).limit(51)
_ENDS = select(func.min(Block.lease_until)).where(Block.annotator_id == bindparam("annotator"), Block.state == "leased")


def take(session: Session, campaign: Campaign, annotator: Annotator, now: datetime, ahead: int) -> list[Slot]:
    """The annotator's live slots, still to rate, in order; blocks are claimed until there are `ahead` beyond the first.

    The annotator's row must be locked (SQLite: by the transaction itself), so that two tabs do not claim twice.
    """
    annotator.last_at = now
    reopen_overdue(session, annotator, now)
    until = now + lease(session)
    session.execute(
        update(Block).where(Block.annotator_id == annotator.id, Block.state == "leased").values(lease_until=until),
        execution_options={"synchronize_session": False},
    )
    slots = to_rate(session, annotator.id)
    held = len({slot.block_id for slot in slots})
    while len(slots) < 1 + ahead and held < _MOST_BLOCKS:
        block = _claim_one(session, annotator, now, until)
        if block is None:
            break
        _bind_repeats(session, campaign, annotator, block)
        slots = to_rate(session, annotator.id)
        held += 1
    return slots


def holds_enough(session: Session, annotator: Annotator, now: datetime, ahead: int) -> list[Slot]:
    """The live slots, if they are enough and lent for long enough that nothing has to be written; none otherwise."""
    slots = to_rate(session, annotator.id)
    if len(slots) < 1 + ahead:
        return []
    ends = session.scalar(_ENDS, {"annotator": annotator.id})
    return slots if ends is not None and ends > now + SHORTEST_LEASE / 2 else []


def to_rate(session: Session, annotator: int) -> list[Slot]:
    """Slots of live blocks that are neither rated nor skipped, in the order in which they are shown."""
    return list(session.scalars(_TO_RATE, {"annotator": annotator}))


def lease(session: Session) -> timedelta:
    """How long a block is lent: 20 minutes, or five times what one takes if that is longer."""
    times = list(session.scalars(_LATEST_TIMES))
    usual = timedelta(milliseconds=statistics.median(times)) if times else timedelta()
    return max(SHORTEST_LEASE, LEASE_OF_MEDIANS * usual)


def outlook(session: Session, annotator: Annotator, now: datetime) -> str:
    """What may still come to somebody who can be given nothing now.

    Returns:
        `wait`: others hold something that they may lose within a lease. `reserved`: what is left was begun by others, or is
        planned for others who are here. Nothing: no more will come, unless somebody skips a text or leaves.
    """
    soon = and_(Block.forms == 0, ~_reserved(annotator, now))
    left = set(
        session.scalars(
            select(case((soon, "wait"), else_="reserved"))
            .where(Block.state.in_(("open", "leased")), *_new_to(session, annotator))
            .distinct()
        )
    )
    return "wait" if "wait" in left else "reserved" if left else ""


def reopen(session: Session, block: Block, slots: Sequence[Slot]) -> Block | None:
    """A new block for slots of an old one, open to those who have not had the unit; None if there is nothing to give."""
    again = [slot for slot in slots if slot.repeats_id is None]
    if not again:
        return None
    attempts = select(func.max(Block.attempt)).where(Block.unit == block.unit, Block.rep == block.rep)
    fresh = Block(
        unit=block.unit,
        topic=block.topic,
        rep=block.rep,
        attempt=1 + (session.scalar(attempts) or 0),
        lane=block.lane,
        seq=block.seq,
        order_row=block.order_row,
        state="open",
        forms=0,
        active_ms=0,
    )
    session.add(fresh)
    session.flush()
    session.add_all(
        Slot(
            block_id=fresh.id,
            position=position,
            output_id=slot.output_id,
            counted=slot.counted,
            repeat_planned=slot.repeat_planned,
        )
        for position, slot in enumerate(again)
    )
    session.flush()
    return fresh


def skipped_slots(session: Session, slots: Sequence[Slot]) -> set[int]:
    """Which of these slots were skipped, by number."""
    return set(
        session.scalars(
            select(SkipFlag.slot_id).where(
                SkipFlag.slot_id.in_([slot.id for slot in slots]), SkipFlag.kind == "skip", SkipFlag.status == "current"
            )
        )
    )


def void(session: Session, block: Block, now: datetime, *, by: str, reason: str) -> None:
    """Take a block away: what was rated of it is kept as surplus, and a fresh one opens."""
    slots = list(session.scalars(select(Slot).where(Slot.block_id == block.id).order_by(Slot.position)))
    # What was skipped of a block that is done has been reopened already: once more would be one rating too many.
    given = skipped_slots(session, slots) if block.state == "done" else set()
    session.execute(
        update(Submission)
        .where(Submission.slot_id.in_([slot.id for slot in slots]), Submission.status == "current")
        .values(status="surplus"),
        execution_options={"synchronize_session": False},
    )
    block.state = "void"
    session.flush()
    fresh = reopen(session, block, [slot for slot in slots if slot.id not in given])
    audit.record(session, now, by, "void-block", block.public_id, {"reason": reason, "fresh": fresh.public_id if fresh else None})


def reopen_overdue(session: Session, annotator: Annotator, now: datetime) -> None:
    """Void what others began and left for longer than it is kept for them."""
    overdue = (
        select(Block)
        .where(
            Block.state == "leased",
            Block.forms > 0,
            Block.kept_until < now,
            Block.lease_until < now,
            Block.annotator_id != annotator.id,
        )
        .order_by(Block.id)
        .with_for_update(skip_locked=True)
    )
    for block in session.scalars(overdue).all():
        void(session, block, now, by="system", reason="left unfinished for 72 hours")


def _claim_one(session: Session, annotator: Annotator, now: datetime, until: datetime) -> Block | None:
    """Lease the best block: the next one of the annotator's own lane, else one that nobody else is expected to rate."""
    # A lane is the share of the plan of one annotator, balanced over positions and orders. Taking blocks in lane order keeps that
    # balance whatever the speed of the others; only when the own lane is empty does an annotator help in another one.
    last = session.scalar(
        select(Block.topic).where(Block.annotator_id == annotator.id).order_by(Block.claimed_at.desc()).limit(1)
    )
    free = or_(
        Block.state == "open",
        and_(Block.state == "leased", Block.forms == 0, Block.lease_until < now, Block.annotator_id != annotator.id),
    )
    new = _new_to(session, annotator)
    own = select(Block.id).where(free, *new, Block.lane == annotator.lane, Block.topic != (-1 if last is None else last))
    taken = _take(session, own.order_by(Block.seq, Block.id), annotator, now, until)
    if taken is None:
        unreserved = select(Block.id).where(free, *new, ~_reserved(annotator, now))
        taken = _take(session, unreserved.order_by(*_preferences(session, annotator, last)), annotator, now, until)
    if taken is None:
        return None
    session.add(Lease(block_id=taken, annotator_id=annotator.id, at=now))
    session.flush()
    return session.get_one(Block, taken, populate_existing=True)


def _take(session: Session, wanted: Select[int], annotator: Annotator, now: datetime, until: datetime) -> int | None:
    """Lease the first of these blocks that no other transaction holds, in one statement."""
    # Choosing and leasing have to be one statement: between a SELECT and an UPDATE a second annotator could choose the same
    # block. SQLite runs one writer at a time; on PostgreSQL, SKIP LOCKED passes over rows that another claim has locked, so two
    # claims at once take two blocks and neither waits. RETURNING tells which block it was, or nothing if none was free.
    first = wanted.limit(1).with_for_update(skip_locked=True).scalar_subquery()
    return session.execute(
        update(Block)
        .where(Block.id == first)
        .values(state="leased", annotator_id=annotator.id, claimed_at=now, lease_until=until, kept_until=None)
        .returning(Block.id),
        execution_options={"synchronize_session": False},
    ).scalar()


def _new_to(session: Session, annotator: Annotator) -> tuple[ColumnElement[bool], ...]:
    """Condition on a block: the annotator never had its unit, and rated nothing of it after losing it.

    Otherwise one person could give two of the k ratings of a text.
    """
    own_block = aliased(Block)
    had = exists().where(own_block.unit == Block.unit, own_block.annotator_id == annotator.id)
    return ~had, Block.unit.not_in(_units_rated_late(session, annotator))


def _reserved(annotator: Annotator, now: datetime) -> ColumnElement[bool]:
    """Condition on a block: planned for another annotator, who is active and has not had it; blocks opened again are for all."""
    owner, had = aliased(Annotator), aliased(Block)
    planned_for = exists().where(
        owner.lane == Block.lane,
        owner.id != annotator.id,
        owner.status.in_(("invited", "training", "active")),
        owner.last_at > now - IDLE,
        Block.unit.not_in(select(had.unit).where(had.annotator_id == owner.id)),
    )
    return and_(Block.attempt == 0, Block.lane != annotator.lane, planned_for)


def _preferences(session: Session, annotator: Annotator, last: int | None) -> list[ColumnElement[Any]]:
    """Another topic than the last one's; the own lane in its order; then others, the fullest first.

    Other lanes are begun at their end, which their owner would reach last.
    """
    counts = session.execute(
        select(Block.lane, func.count())
        .where(Block.state.in_(("open", "leased")), Block.lane != annotator.lane)
        .group_by(Block.lane)
    ).all()
    rank = {annotator.lane: 0} | {
        lane: place for place, (lane, _) in enumerate(sorted(counts, key=lambda row: (-row[1], row[0])), start=1)
    }
    same_topic = case((Block.topic == (-1 if last is None else last), 1), else_=0)
    by_lane = case(rank, value=Block.lane, else_=len(rank))
    along = case((Block.lane == annotator.lane, Block.seq), else_=-Block.seq)
    return [same_topic, by_lane, along, Block.id.expression]


def _units_rated_late(session: Session, annotator: Annotator) -> list[int]:
    """Units of which this annotator rated something after they had gone to somebody else."""
    return list(
        session.scalars(
            select(Block.unit)
            .join(Slot, Slot.block_id == Block.id)
            .join(Submission, Submission.slot_id == Slot.id)
            .where(Submission.annotator_id == annotator.id, Submission.status == "surplus")
            .distinct()
        )
    )


def _bind_repeats(session: Session, campaign: Campaign, annotator: Annotator, block: Block) -> None:
    """Give slots that are to repeat something a text that this annotator rated long enough ago, if there is one.

    Only when the block is given out for the first time: what a slot has shown to somebody is what it shows.
    """
    planned = session.scalars(select(Slot).where(Slot.block_id == block.id, Slot.repeat_planned)).all()
    if planned and (session.scalar(select(func.count(Lease.id)).where(Lease.block_id == block.id)) or 0) > 1:
        return
    for slot in planned:
        earlier = session.execute(
            select(Slot.id, Slot.output_id, Slot.counted)
            .join(Submission, Submission.slot_id == Slot.id)
            .where(Submission.annotator_id == annotator.id, Submission.status == "current")
            .order_by(Submission.received_at.desc(), Submission.event_id)
            .offset(REPEAT_GAP)
        ).all()
        repeated = set(session.scalars(select(Slot.repeats_id).where(Slot.repeats_id.is_not(None))))
        choices = sorted((row.id, row.output_id) for row in earlier if row.counted and row.id not in repeated)
        if choices:
            slot.repeats_id, slot.output_id = choices[pick(campaign.seed, f"repeat:{slot.id}", len(choices))]
            session.flush()
