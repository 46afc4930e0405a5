"""Quality signals about annotators: what an organiser should look at before trusting, or excluding, their ratings.

Each rule gives a value, a threshold and the evidence. None of them rejects anybody: fast people may be good, and long runs of
one answer are commoner, and honest, at the ends of the scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, stdtrit

from harness.study.analysis.ratings import RatingTable
from harness.study.tables.scale import FIVE

Floats = NDArray[np.float64]
Rule = Literal["speed", "longstring", "low-variation", "swap", "scramble", "repeat", "drift"]

FASTEST_SECONDS = 2.5
WORDS_A_SECOND = 8.0
"""Nobody reads faster; a form sent sooner was not read."""
FAST_SHARE = 0.2
LONGEST_RUN = 8
"""Forms in a row with the same answer to every aspect."""
REPEAT_ERROR = 0.75
"""Points between two looks at one text, on average, on a scale from 1 to 5; on a longer one as much more."""
CONTROL_P = 0.05
DRIFT_ERRORS = 3.0
ENOUGH_FORMS, ENOUGH_CONTROLS, ENOUGH_REPEATS, ENOUGH_OTHERS = 10, 10, 5, 5
"""Below these a rule says nothing."""
LOW_TAIL = 0.02
"""Variation that fewer than this share of annotators like the others would have is low."""

MUST_FALL: Mapping[str, tuple[str, ...]] = {"swap": ("relevance",), "scramble": ("fluency", "coherence")}
"""What a control tests: a caption of another image must lose relevance, words out of order fluency and coherence."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One rule's finding about one annotator."""

    annotator: str
    rule: Rule
    value: float
    threshold: float
    raised: bool
    """Whether the value is on the wrong side of the threshold: to be looked at, no more."""
    n: int
    """Forms, controls or repeats behind it."""
    evidence: Mapping[str, object]
    """What to look at: counts, and the public ids of the texts."""
    says: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class _Forms:
    """One annotator's forms in the order they were sent."""

    annotator: str
    aspects: tuple[str, ...]
    output: NDArray[np.str_]
    item: NDArray[np.str_]
    kind: NDArray[np.str_]
    repeat_of: NDArray[np.str_]
    seconds: Floats
    """NaN of a form that was changed later: to change one takes less time than to read the text."""
    values: Floats
    """`[forms, aspects]`, NaN where an aspect has no rating."""
    ordered: bool
    """Whether the order of the forms is known: imported ratings often have no times."""

    def columns(self, names: Sequence[str]) -> list[int]:
        return [index for index, aspect in enumerate(self.aspects) if aspect.casefold() in names]


def signals(table: RatingTable, words: Mapping[str, int] | None = None) -> tuple[Signal, ...]:
    """What should be looked at: the measures beyond their thresholds."""
    return tuple(signal for signal in measures(table, words) if signal.raised)


def measures(table: RatingTable, words: Mapping[str, int] | None = None) -> tuple[Signal, ...]:
    """Every rule for every annotator with enough forms for it, beyond its threshold or not.

    Args:
        table: ratings with their controls.
        words: of each text, by its public id, for the speed rule; without, only the fixed limit counts.
    """
    people = [_forms(table.where(annotator=annotator), annotator, table.aspects) for annotator in table.annotators]
    usual = _usual(table)
    variation = {forms.annotator: _variation(forms) for forms in people}
    signals: list[Signal] = []
    for forms in people:
        peers = [value for name, value in variation.items() if name != forms.annotator and value is not None]
        signals += _speed(forms, words or {})
        signals += _longstring(forms)
        signals += _low_variation(forms, variation[forms.annotator], peers)
        signals += _control(forms, "swap")
        signals += _control(forms, "scramble")
        signals += _repeat(forms, REPEAT_ERROR * float(table.scale.high - table.scale.low) / float(FIVE.high - FIVE.low))
        signals += _drift(forms, usual)
    return tuple(signals)


def _forms(table: RatingTable, annotator: str, aspects: tuple[str, ...]) -> _Forms:
    outputs, first, form = np.unique(table.output, return_index=True, return_inverse=True)
    values = np.full((len(outputs), len(aspects)), np.nan)
    values[form, np.searchsorted(np.array(aspects), table.aspect)] = table.value
    order = np.lexsort((outputs, table.at[first]))
    place = first[order]
    return _Forms(
        annotator,
        aspects,
        table.output[place],
        table.item[place],
        table.kind[place],
        table.repeat_of[place],
        np.where(table.revision[place] > 0, np.nan, table.seconds[place]),
        values[order],
        len(np.unique(table.at[first])) > len(first) / 2,
    )


def _speed(forms: _Forms, words: Mapping[str, int]) -> Iterator[Signal]:
    timed = ~np.isnan(forms.seconds)
    n = int(timed.sum())
    if n < ENOUGH_FORMS:
        return
    seconds, outputs = forms.seconds[timed], forms.output[timed]
    limits = np.array([max(FASTEST_SECONDS, words.get(output, 0) / WORDS_A_SECOND) for output in outputs.tolist()])
    fast = seconds < limits
    share = float(fast.mean())
    yield Signal(
        forms.annotator,
        "speed",
        share,
        FAST_SHARE,
        share > FAST_SHARE,
        n,
        {"median_seconds": float(np.median(seconds)), "texts": outputs[fast].tolist()[:20]},
        f"{int(fast.sum())} of {n} forms were sent sooner than the text can be read",
    )


def _longstring(forms: _Forms) -> Iterator[Signal]:
    """Longest run of the same full answer (Johnson 2005; Meade and Craig 2012)."""
    n = len(forms.output)
    if n < ENOUGH_FORMS or forms.values.shape[1] < 1 or not forms.ordered:
        return
    same = (forms.values[1:] == forms.values[:-1]).all(axis=1)
    best, end, run = 1, 0, 1
    for index, equal in enumerate(same.tolist(), start=1):
        run = run + 1 if equal else 1
        if run > best:
            best, end = run, index
    answer = [None if np.isnan(value) else int(value) if value.is_integer() else float(value) for value in forms.values[end]]
    yield Signal(
        forms.annotator,
        "longstring",
        float(best),
        float(LONGEST_RUN),
        best >= LONGEST_RUN,
        n,
        {"answer": dict(zip(forms.aspects, answer, strict=True)), "texts": forms.output[end - best + 1 : end + 1].tolist()},
        f"{best} forms in a row have the same answer to every aspect",
    )


def _variation(forms: _Forms) -> float | None:
    """Standard deviation of somebody's ratings of systems' texts, averaged over aspects."""
    own = forms.values[forms.kind == "system"]
    if len(own) < ENOUGH_FORMS:
        return None
    spread = [float(np.std(column[~np.isnan(column)])) for column in own.T if (~np.isnan(column)).any()]
    return float(np.mean(spread))


def _low_variation(forms: _Forms, value: float | None, peers: Sequence[float]) -> Iterator[Signal]:
    """Intra-individual response variability (Dunn et al. 2018), against the other annotators."""
    if value is None or len(peers) < ENOUGH_OTHERS:
        return
    n = len(peers)  # few others say little about the next one: the limit of a prediction interval, not of a normal curve
    limit = float(np.mean(peers) + stdtrit(n - 1, LOW_TAIL) * np.std(peers, ddof=1) * np.sqrt(1 + 1 / n))
    yield Signal(
        forms.annotator,
        "low-variation",
        value,
        limit,
        value < limit,
        int((forms.kind == "system").sum()),
        {"others_mean": float(np.mean(peers))},
        f"the ratings vary by {value:.2f} points, those of the others by {np.mean(peers):.2f} on average",
    )


def _control(forms: _Forms, kind: Literal["swap", "scramble"]) -> Iterator[Signal]:
    """Do the aspects that the control spoils fall below the annotator's own ratings of untouched texts of that item?

    One-sided sign test. The signal is that falling could not be shown, after enough controls.
    """
    columns = forms.columns(MUST_FALL[kind])
    merit = _mean(forms.values[:, columns])  # of each form, on what the control spoils
    rated = ~np.isnan(merit)
    untouched = rated & (forms.kind == "system")
    controls = np.flatnonzero(rated & (forms.kind == kind))
    if len(controls) < ENOUGH_CONTROLS or not untouched.any():
        return
    fell, rose, missed = 0, 0, []
    for control in controls.tolist():
        peers = untouched & (forms.item == forms.item[control])
        change = float(merit[control] - merit[peers if peers.any() else untouched].mean())
        fell, rose = fell + (change < 0), rose + (change > 0)
        if change >= 0:
            missed.append(str(forms.output[control]))
    p = float(bdtrc(fell - 1, fell + rose, 0.5)) if fell else 1.0
    names = " and ".join(forms.aspects[column] for column in columns)
    yield Signal(
        forms.annotator,
        kind,
        p,
        CONTROL_P,
        p > CONTROL_P,
        len(controls),
        {"fell": fell, "rose": rose, "same": len(controls) - fell - rose, "texts": missed[:20]},
        f"{names} fell on {fell} of {len(controls)} {kind} controls",
    )


def _mean(values: Floats) -> Floats:
    """Mean over the aspects that were rated, `[forms, aspects]` to `[forms]`; NaN where none was."""
    rated = ~np.isnan(values)
    counts = rated.sum(axis=1)
    return np.where(counts > 0, np.where(rated, values, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _repeat(forms: _Forms, most: float) -> Iterator[Signal]:
    place = {output: index for index, output in enumerate(forms.output.tolist())}
    pairs = [
        (place[before], index)
        for index, (kind, before) in enumerate(zip(forms.kind.tolist(), forms.repeat_of.tolist(), strict=True))
        if kind == "repeat" and before in place and (~np.isnan(forms.values[index] - forms.values[place[before]])).any()
    ]
    if len(pairs) < ENOUGH_REPEATS:
        return
    first, second = np.array(pairs).T
    apart = _mean(np.abs(forms.values[second] - forms.values[first]))
    error = float(apart.mean())
    yield Signal(
        forms.annotator,
        "repeat",
        error,
        most,
        error > most,
        len(pairs),
        {"texts": forms.output[second[apart > most]].tolist()[:20]},
        f"a second look at {len(pairs)} texts differs by {error:.2f} points on average",
    )


def _usual(table: RatingTable) -> Mapping[str, tuple[float, int]]:
    """Sum and number of the ratings of each text, over everybody and every aspect."""
    own = table.where(kind="system")
    outputs, place = np.unique(own.output, return_inverse=True)
    sums = np.bincount(place, weights=own.value, minlength=len(outputs))
    counts = np.bincount(place, minlength=len(outputs))
    return {str(output): (float(total), int(n)) for output, total, n in zip(outputs, sums.tolist(), counts.tolist(), strict=True)}


def _drift(forms: _Forms, usual: Mapping[str, tuple[float, int]]) -> Iterator[Signal]:
    """Does severity change from the first to the last third of somebody's work, against what others gave the same texts?"""
    residuals = []
    for output, values in zip(forms.output.tolist(), forms.values, strict=True):
        given = values[~np.isnan(values)]
        total, n = usual.get(output, (0.0, 0))  # nothing for controls
        if n > len(given) > 0:
            residuals.append(float(given.mean() - (total - given.sum()) / (n - len(given))))
    third = len(residuals) // 3
    if third < ENOUGH_FORMS or not forms.ordered:
        return
    early, late = np.array(residuals[:third]), np.array(residuals[-third:])
    error = float(np.sqrt((early.var(ddof=1) + late.var(ddof=1)) / third))
    moved = float(late.mean() - early.mean())
    beyond = abs(moved) / error if error else 0.0
    yield Signal(
        forms.annotator,
        "drift",
        beyond,
        DRIFT_ERRORS,
        beyond > DRIFT_ERRORS,
        len(residuals),
        {"early": float(early.mean()), "late": float(late.mean())},
        f"against the others, the last third of the ratings is {abs(moved):.2f} points "
        f"{'higher' if moved > 0 else 'lower'} than the first",
    )
