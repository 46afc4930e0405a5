"""From the database to arrays: the ratings that count, with what each text was."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from harness.study.analysis.ratings import RatingTable
from harness.study.tables.identity import Exclusion, Origin, System
from harness.study.tables.scale import Scale
from harness.study.tables.schema import Annotator, Aspect, Block, Campaign, Item, Output, Rating, Slot, Submission

REFERENCE = "reference"
"""Stands where a system's name would, of a person's text."""

GIVEN_SCORES = "given_scores"
"""Of an imported system's configuration: scores that came in the file of its ratings, sealed with the system."""


def ratings(session: Session, *, excluded: bool = False, surplus: bool = False) -> RatingTable:
    """Current ratings, one row a value.

    Args:
        session: of the study.
        excluded: also those that somebody decided not to count.
        surplus: also those that came late, or after the study was frozen.
    """
    before = aliased(Slot)
    earlier = aliased(Output)
    wanted = ("current", "surplus") if surplus else ("current",)
    query = (
        select(
            System.name, Item.source_id, Annotator.public_id, Aspect.code, Rating.value, Origin.kind, Slot.position,
            case((is_untimed(), None), else_=Submission.active_ms),
            func.coalesce(Submission.sent_at, Submission.received_at), earlier.public_id,
            Submission.revision, Output.public_id, Slot.public_id,
        )
        .select_from(Rating)
        .join(Submission, Submission.event_id == Rating.event_id)
        .join(Aspect, Aspect.id == Rating.aspect_id)
        .join(Annotator, Annotator.id == Submission.annotator_id)
        .join(Slot, Slot.id == Submission.slot_id)
        .join(Output, Output.id == Slot.output_id)
        .join(Item, Item.id == Output.item_id)
        .join(Origin, Origin.output_id == Output.id)
        .outerjoin(System, System.id == Origin.system_id)
        .outerjoin(before, before.id == Slot.repeats_id)
        .outerjoin(earlier, earlier.id == before.output_id)
        .where(Submission.status.in_(wanted))
        .order_by(Submission.event_id, Aspect.position)
    )  # fmt: skip
    if not excluded:
        query = query.where(~is_excluded())
    return _table(session.execute(query).all(), scale_of(session))


def scale_of(session: Session) -> Scale:
    """The scale of the study's ratings."""
    return Scale.of_protocol(session.scalars(select(Campaign.protocol)).one())


def is_excluded() -> ColumnElement[bool]:
    """Of a submission: whether a decision that stands says that it, or its annotator, does not count."""
    return exists().where(
        Exclusion.reverted_at.is_(None),
        or_(
            Exclusion.event_id == Submission.event_id,
            and_(Exclusion.annotator_id.is_not(None), Exclusion.annotator_id == Submission.annotator_id),
        ),
    )


def is_untimed() -> ColumnElement[bool]:
    """Of a submission: whether nothing is known of its times, as of ratings that were imported without them."""
    nothing = [column == 0 for column in (Submission.active_ms, Submission.hidden_ms, Submission.changes)]
    never = [column.is_(None) for column in (Submission.shown_at, Submission.first_at, Submission.sent_at)]
    return and_(*nothing, *never)


def words(session: Session) -> dict[str, int]:
    """How long each text is, by the `output` of `ratings`."""
    counts = {public: len(text.split()) for public, text in session.execute(select(Output.public_id, Output.text))}
    repeats = select(Slot.public_id, Output.text).join(Output, Output.id == Slot.output_id)
    again = session.execute(repeats.where(Slot.repeats_id.is_not(None)))
    return counts | {public: len(text.split()) for public, text in again}


def runs(session: Session) -> dict[str, str]:
    """Each system's run in the store, as `suite/label-identity8`; empty for a system that has none."""
    suite = session.scalars(select(Campaign.suite)).one()
    rows = session.execute(select(System.name, System.identity).order_by(System.name))
    return {name: f"{suite}/{name}-{identity[:8]}" if identity else "" for name, identity in rows}


def given_scores(session: Session) -> dict[str, dict[str, dict[str, float]]]:
    """Scores that were imported with the ratings, by system, metric and item; `-NAME` of a metric of which lower is better."""
    rows = session.execute(select(System.name, System.config).order_by(System.name))
    return {name: config[GIVEN_SCORES] for name, config in rows if GIVEN_SCORES in config}


def planned_blocks(session: Session) -> dict[str, int]:
    """How many blocks are in each state."""
    counts = dict.fromkeys(("open", "leased", "done", "void"), 0)
    for state, number in session.execute(select(Block.state, func.count()).group_by(Block.state)):
        counts[state] = number
    return counts


def _table(rows: Any, scale: Scale) -> RatingTable:
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * 13
    system, item, annotator, aspect, value, kind, position, active, at, earlier, revision, output, slot = columns
    repeat = [output is not None for output in earlier]
    return RatingTable(
        system=np.array([name or REFERENCE for name in system], dtype=np.str_),
        item=np.array(item, dtype=np.str_),
        annotator=np.array(annotator, dtype=np.str_),
        aspect=np.array(aspect, dtype=np.str_),
        value=scale.values(np.array(value, dtype=np.int64)),
        kind=np.array(["repeat" if again else origin for again, origin in zip(repeat, kind, strict=True)], dtype=np.str_),
        position=np.array(position, dtype=np.int64),
        seconds=np.array(active, dtype=np.float64) / 1000,  # None becomes NaN
        at=np.array([time.timestamp() if hasattr(time, "timestamp") else time / 1000 for time in at], dtype=np.float64),
        repeat_of=np.array([output or "" for output in earlier], dtype=np.str_),
        revision=np.array(revision, dtype=np.int64),
        output=np.array(
            [place if again else text for again, place, text in zip(repeat, slot, output, strict=True)], dtype=np.str_
        ),
        scale=scale,
    )
