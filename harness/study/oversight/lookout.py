"""Overview for the organisers: progress, annotators, invitations, and the items on which ratings disagree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from harness.study.analysis import collect
from harness.study.rating import work
from harness.study.rating.views import Role
from harness.study.tables.base import pairs
from harness.study.tables.identity import Decision, Exclusion, Origin, Signal, System
from harness.study.tables.schema import (
    Annotator,
    Aspect,
    Block,
    Campaign,
    Invite,
    Item,
    Media,
    Output,
    Refused,
    SkipFlag,
    Slot,
    Submission,
)


@dataclass(frozen=True, slots=True)
class Overview:
    """A study at a glance."""

    name: str
    title: str
    task: str
    suite: str
    status: str
    created_at: datetime
    systems: tuple[str, ...]
    """Names, in name order; which text is whose is not told here."""
    aspects: tuple[str, ...]
    items: int
    ratings_per_item: int
    planned_annotators: int
    seed: int
    blocks: Mapping[str, int]
    """How many are open, leased, done, void."""
    forms_done: int
    forms_planned: int
    """Forms of blocks that are not void; controls included."""
    annotators: Mapping[str, int]
    """How many of each status."""
    surplus: int
    refused: int
    skips: int
    flags: int
    exclusions: int
    """Those that stand."""
    open_signals: int
    forms_last_hour: int
    seconds_left: float
    """Of work in all, at the pace so far."""


@dataclass(frozen=True, slots=True)
class AnnotatorRow:
    """One annotator, for those who run the study."""

    annotator: str
    pseudonym: str
    role: str
    status: str
    lane: int
    forms: int
    skips: int
    flags: int
    median_seconds: float
    """NaN before the first form."""
    joined_at: datetime
    last_at: datetime | None
    excluded: bool
    open_signals: int


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item and how far apart its raters are."""

    item: str
    media: str | None
    prompt: str
    ratings: int
    """Forms that count."""
    planned: int
    disagreement: float
    """Mean, over its texts and aspects, of the ratings' standard deviation; NaN under two ratings a text."""
    flags: int
    texts: tuple[str, ...]
    """In the order of their public ids, so that it tells nothing."""


@dataclass(frozen=True, slots=True)
class InviteRow:
    """One invitation; its token is not kept."""

    id: str
    role: Role
    uses: int
    max_uses: int
    created_at: datetime
    expires_at: datetime
    revoked: bool
    annotator: str | None
    """Pseudonym of the annotator whom it brings back; None for newcomers."""
    note: str


def overview(session: Session, now: datetime) -> Overview:
    """The study at a glance."""
    campaign = session.scalars(select(Campaign)).one()
    planned = _count(session, select(func.count(Slot.id)).join(Block, Block.id == Slot.block_id).where(Block.state != "void"))
    done = _count(session, select(func.sum(Block.forms)).where(Block.state != "void"))
    submitted = select(func.count()).select_from(Submission)
    noted = select(func.count()).select_from(SkipFlag).where(SkipFlag.status == "current")
    people = session.execute(select(Annotator.status, func.count()).group_by(Annotator.status))
    return Overview(
        name=campaign.slug,
        title=campaign.title,
        task=campaign.task,
        suite=campaign.suite,
        status=campaign.status,
        created_at=campaign.created_at,
        systems=tuple(session.scalars(select(System.name).order_by(System.name))),
        aspects=tuple(session.scalars(select(Aspect.code).order_by(Aspect.position))),
        items=_count(session, select(func.count()).select_from(Item)),
        ratings_per_item=campaign.k,
        planned_annotators=campaign.lanes,
        seed=campaign.seed,
        blocks=collect.planned_blocks(session),
        forms_done=done,
        forms_planned=planned,
        annotators=pairs(people),
        surplus=_count(session, submitted.where(Submission.status == "surplus")),
        refused=_count(session, select(func.count()).select_from(Refused)),
        skips=_count(session, noted.where(SkipFlag.kind == "skip")),
        flags=_count(session, noted.where(SkipFlag.kind == "flag")),
        exclusions=_count(session, select(func.count()).select_from(Exclusion).where(Exclusion.reverted_at.is_(None))),
        open_signals=sum(_open_signals(session).values()),
        forms_last_hour=_count(session, submitted.where(Submission.received_at > now - timedelta(hours=1))),
        seconds_left=max(0, planned - done) * work.pace(session, None),
    )


def annotators(session: Session) -> tuple[AnnotatorRow, ...]:
    """Everybody who joined, in that order."""
    forms: dict[int, int] = pairs(
        session.execute(
            select(Submission.annotator_id, func.count())
            .where(Submission.status != "superseded")
            .group_by(Submission.annotator_id)
        )
    )
    times: dict[int, list[int]] = {}
    for annotator_id, active in session.execute(
        select(Submission.annotator_id, Submission.active_ms).where(Submission.revision == 0, ~collect.is_untimed())
    ):
        times.setdefault(annotator_id, []).append(active)
    notes = {
        (annotator_id, kind): number
        for annotator_id, kind, number in session.execute(
            select(SkipFlag.annotator_id, SkipFlag.kind, func.count())
            .where(SkipFlag.status == "current")
            .group_by(SkipFlag.annotator_id, SkipFlag.kind)
        )
    }
    excluded = set(session.scalars(select(Exclusion.annotator_id).where(Exclusion.reverted_at.is_(None))))
    signals = _open_signals(session)
    return tuple(
        AnnotatorRow(
            annotator.public_id,
            annotator.pseudonym,
            annotator.role,
            annotator.status,
            annotator.lane,
            forms.get(annotator.id, 0),
            notes.get((annotator.id, "skip"), 0),
            notes.get((annotator.id, "flag"), 0),
            statistics.median(times[annotator.id]) / 1000 if times.get(annotator.id) else math.nan,
            annotator.joined_at,
            annotator.last_at,
            annotator.id in excluded,
            signals.get(annotator.id, 0),
        )
        for annotator in session.scalars(select(Annotator).order_by(Annotator.id))
    )


def items(session: Session, limit: int) -> tuple[ItemRow, ...]:
    """Items, those with most disagreement first."""
    campaign = session.scalars(select(Campaign)).one()
    systems = _count(session, select(func.count()).select_from(System))
    spread, forms = _spread(session)
    flagged = session.execute(
        select(Output.item_id, func.count())
        .join(Slot, Slot.output_id == Output.id)
        .join(SkipFlag, SkipFlag.slot_id == Slot.id)
        .group_by(Output.item_id)
    )
    flags = pairs(flagged)
    rows = [
        ItemRow(
            item.source_id,
            media,
            item.prompt,
            len(forms.get(item.source_id, ())),
            systems * campaign.k,
            statistics.fmean(spread[item.source_id]) if item.source_id in spread else math.nan,
            flags.get(item.id, 0),
            (),
        )
        for item, media in session.execute(select(Item, Media.public_id).outerjoin(Media, Media.id == Item.media_id))
    ]
    rows.sort(key=lambda row: (-row.flags, 1.0 if math.isnan(row.disagreement) else -row.disagreement, row.item))
    return _with_texts(session, rows[:limit])


def invites(session: Session) -> tuple[InviteRow, ...]:
    """All invitations, the latest first."""
    rows = session.execute(
        select(Invite, Annotator.pseudonym)
        .outerjoin(Annotator, Annotator.id == Invite.annotator_id)
        .order_by(Invite.created_at.desc(), Invite.public_id)
    )
    return tuple(
        InviteRow(
            row.public_id,
            row.role,  # type: ignore[arg-type]  # the database's CHECK holds it to these
            row.uses,
            row.max_uses,
            row.created_at,
            row.expires_at,
            row.revoked_at is not None,
            name,
            row.note,
        )
        for row, name in rows
    )


def _spread(session: Session) -> tuple[dict[str, list[float]], dict[str, set[tuple[str, str]]]]:
    """By item: standard deviations of each text and aspect, and the forms (text, annotator) behind them."""
    table = collect.ratings(session).where(kind="system")
    values: dict[tuple[str, str, str], list[int]] = {}
    forms: dict[str, set[tuple[str, str]]] = {}
    columns = (table.item, table.output, table.aspect, table.annotator, table.value)
    for item, output, aspect, annotator, value in zip(*(column.tolist() for column in columns), strict=True):
        values.setdefault((item, output, aspect), []).append(value)
        forms.setdefault(item, set()).add((output, annotator))
    spread: dict[str, list[float]] = {}
    for (item, _, _), given in values.items():
        if len(given) > 1:
            spread.setdefault(item, []).append(statistics.stdev(given))
    return spread, forms


def _with_texts(session: Session, rows: list[ItemRow]) -> tuple[ItemRow, ...]:
    texts: dict[str, list[str]] = {}
    for source, text in session.execute(
        select(Item.source_id, Output.text)
        .join(Output, Output.item_id == Item.id)
        .join(Origin, Origin.output_id == Output.id)
        .where(Origin.kind == "system", Item.source_id.in_([row.item for row in rows]))
        .order_by(Output.public_id)
    ):
        texts.setdefault(source, []).append(text)
    return tuple(replace(row, texts=tuple(texts.get(row.item, ()))) for row in rows)


def _open_signals(session: Session) -> dict[int, int]:
    newest = select(func.max(Signal.id)).group_by(Signal.annotator_id, Signal.rule)
    rows = session.execute(
        select(Signal.annotator_id, func.count())
        .outerjoin(Decision, Decision.signal_id == Signal.id)
        .where(Signal.id.in_(newest), Decision.id.is_(None))
        .group_by(Signal.annotator_id)
    )
    return pairs(rows)


def _count(session: Session, query: object) -> int:
    return int(session.scalar(query) or 0)  # type: ignore[call-overload]
