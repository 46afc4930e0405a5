"""Signals about annotators, and the organisers' decisions: signed, with a reason, reversible. No rule decides by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.analysis import collect
from harness.study.tables import audit
from harness.study.tables.identity import Decision, Exclusion, Signal
from harness.study.tables.schema import Annotator, Campaign, Submission

if TYPE_CHECKING:
    from harness.study.oversight.quality import Signal as Finding

RULES = 1
"""Version of the rules in `harness.study.oversight.quality`, kept with every signal."""
_WORSE = 1.25
"""A signal that was dismissed comes back when it lies this many times as far beyond its threshold."""


@dataclass(frozen=True, slots=True)
class SignalRow:
    """Something about an annotator that a person should look at."""

    id: int
    annotator: str
    pseudonym: str
    rule: str
    value: float
    threshold: float
    n: int
    """Forms, controls or repeats behind it."""
    says: str
    """One sentence."""
    evidence: dict[str, Any]
    at: datetime
    decision: str
    """Empty while nobody has looked; else `dismissed` or `excluded`."""
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class ExclusionRow:
    """A decision that ratings do not count."""

    id: int
    target: str
    """`annotator:PUBLIC-ID` or `submission:EVENT-ID`."""
    rule: str
    reason: str
    by: str
    at: datetime
    reverted_at: datetime | None
    reverted_by: str


def compute(session: Session) -> tuple[Finding, ...]:
    """All signals as they are now that are not in the queue, or became clearly worse since they were dismissed."""
    from harness.study.oversight.quality import signals

    table = collect.ratings(session, excluded=True)
    return _news(session, signals(table, collect.words(session))) if len(table) else ()


def keep(session: Session, signals: Sequence[Finding], now: datetime) -> None:
    """Queue what is still new."""
    people = {public: number for number, public in session.execute(select(Annotator.id, Annotator.public_id))}
    session.execute(select(Campaign.id).with_for_update())  # two reviewers queue nothing twice
    session.add_all(
        Signal(
            annotator_id=people[signal.annotator],
            rule=signal.rule,
            version=RULES,
            value=signal.value,
            threshold=signal.threshold,
            evidence={"n": signal.n, "says": signal.says, "evidence": dict(signal.evidence)},
            computed_at=now,
        )
        for signal in _news(session, signals)
    )
    session.flush()


def _news(session: Session, signals: Sequence[Finding]) -> tuple[Finding, ...]:
    latest = _latest(session)
    new = []
    for signal in signals:
        known = latest.get((signal.annotator, signal.rule))
        if known is not None:
            queued, decided = known
            beyond, before = abs(signal.value - signal.threshold), abs(queued.value - queued.threshold)
            if queued.value == signal.value or (decided and beyond <= _WORSE * before):
                continue
        new.append(signal)
    return tuple(new)


def queue(session: Session, *, decided: bool) -> tuple[SignalRow, ...]:
    """The latest signal of each rule and annotator that nobody has looked at; with `decided`, the others too."""
    newest = select(func.max(Signal.id)).group_by(Signal.annotator_id, Signal.rule)
    rows = session.execute(
        select(Signal, Annotator.public_id, Annotator.pseudonym, Decision)
        .join(Annotator, Annotator.id == Signal.annotator_id)
        .outerjoin(Decision, Decision.signal_id == Signal.id)
        .where(Signal.id.in_(newest))
        .order_by(Signal.id)
    )
    return tuple(
        SignalRow(
            signal.id,
            public,
            name,
            signal.rule,
            signal.value,
            signal.threshold,
            signal.evidence["n"],
            signal.evidence["says"],
            signal.evidence["evidence"],
            signal.computed_at,
            decision.decision if decision else "",
            decision.reason if decision else "",
            decision.decided_by if decision else "",
        )
        for signal, public, name, decision in rows
        if decided or decision is None
    )


def decide(session: Session, signal: int, decision: str, now: datetime, *, by: str, reason: str) -> None:
    """Sign what was made of a signal.

    Raises:
        StudyError: no such signal, already decided, or unsigned.
    """
    check_signed(by, reason)
    row = session.get(Signal, signal)
    if row is None:
        raise StudyError(f"there is no signal {signal}; `seetell study review` lists them")
    if session.scalar(select(Decision.id).where(Decision.signal_id == signal)) is not None:
        raise StudyError(f"signal {signal} is decided already")
    session.add(Decision(signal_id=signal, decision=decision, reason=reason, decided_by=by, at=now))
    session.flush()
    audit.record(session, now, by, f"signal-{decision}", str(signal), {"reason": reason, "rule": row.rule})


def exclude(session: Session, target: str, rule: str, reason: str, by: str, now: datetime) -> int:
    """Decide that ratings do not count.

    Raises:
        StudyError: no such target, excluded already, or unsigned.
    """
    check_signed(by, reason)
    kind, _, public = target.partition(":")
    annotator_id, event_id = None, None
    if kind == "annotator":
        known = (Annotator.public_id == public) | (Annotator.pseudonym_key == public.casefold())
        annotator_id = session.scalar(select(Annotator.id).where(known).with_for_update())
    elif kind == "submission":
        event_id = session.scalar(select(Submission.event_id).where(Submission.event_id == public).with_for_update())
    if annotator_id is None and event_id is None:
        raise StudyError(f"there is nothing to exclude at {target!r}; expected annotator:NAME or submission:EVENT-ID")
    standing = select(Exclusion.id).where(
        Exclusion.reverted_at.is_(None),
        Exclusion.annotator_id == annotator_id if annotator_id is not None else Exclusion.event_id == event_id,
    )
    if session.scalar(standing) is not None:
        raise StudyError(f"{target} is excluded already")
    row = Exclusion(annotator_id=annotator_id, event_id=event_id, rule=rule, reason=reason, decided_by=by, at=now)
    session.add(row)
    session.flush()
    audit.record(session, now, by, "exclude", target, {"rule": rule, "reason": reason, "id": row.id})
    return row.id


def revert(session: Session, exclusion: int, by: str, now: datetime) -> None:
    """Take an exclusion back.

    Raises:
        StudyError: no such exclusion, reverted already, or unsigned.
    """
    check_signed(by, "-")
    row = session.get(Exclusion, exclusion, with_for_update=True)
    if row is None:
        raise StudyError(f"there is no exclusion {exclusion}")
    if row.reverted_at is not None:
        raise StudyError(f"exclusion {exclusion} was reverted already, on {row.reverted_at:%Y-%m-%d} by {row.reverted_by}")
    row.reverted_at, row.reverted_by = now, by
    session.flush()
    audit.record(session, now, by, "revert-exclusion", str(exclusion), {})


def exclusions(session: Session) -> tuple[ExclusionRow, ...]:
    """Every decision, the latest last."""
    rows = session.execute(
        select(Exclusion, Annotator.public_id).outerjoin(Annotator, Annotator.id == Exclusion.annotator_id).order_by(Exclusion.id)
    )
    return tuple(
        ExclusionRow(
            row.id,
            f"annotator:{public}" if public else f"submission:{row.event_id}",
            row.rule,
            row.reason,
            row.decided_by,
            row.at,
            row.reverted_at,
            row.reverted_by or "",
        )
        for row, public in rows
    )


def check_signed(by: str, reason: str) -> None:
    """Refuse decisions that nobody signs or explains."""
    if not by.strip() or not reason.strip():
        raise StudyError("a decision about ratings needs a name and a reason; neither may be empty")


def _latest(session: Session) -> dict[tuple[str, str], tuple[Signal, bool]]:
    newest = select(func.max(Signal.id)).group_by(Signal.annotator_id, Signal.rule)
    rows: Sequence[Any] = session.execute(
        select(Signal, Annotator.public_id, Decision.id)
        .join(Annotator, Annotator.id == Signal.annotator_id)
        .outerjoin(Decision, Decision.signal_id == Signal.id)
        .where(Signal.id.in_(newest))
    ).all()
    return {(public, signal.rule): (signal, decision is not None) for signal, public, decision in rows}
