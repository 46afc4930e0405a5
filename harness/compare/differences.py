"""What one metric says about two runs on the same examples: the difference, how sure it is, and what could be seen at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.compare.paired import (
    PERMUTATIONS,
    Aligned,
    Clusters,
    Finalise,
    Floats,
    align,
    detectable_effect,
    differences,
    permutation_test,
    pseudo_values,
    rare_change_bounds,
    standard_error,
)
from harness.compare.scored import ScoredMetric, ScoredRun, command
from harness.decode.imported.keep import IMPORTED
from harness.errors import SeeTellError, SuiteError
from harness.metrics.base import Metric
from harness.metrics.evaluate import due_metrics
from harness.metrics.intervals import CONFIDENCE, interval
from harness.metrics.score import Score
from harness.suites.provenance import Signature
from harness.suites.spec import Suite

_ROUNDING = 1e-9
"""A contribution as small as this, relative to the scores, is a tie that sums in another order have blurred."""
COUNT_FIELDS = frozenset({"n"})
"""Signature fields that may differ between two runs: examples are paired and counted here."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of a metric in two runs. Values are plain fractions; NaN where there is none."""

    metric: str
    """The metric's label in the suite."""
    output: str
    higher_is_better: bool | None = None
    percent: bool = True
    first: float = math.nan
    second: float = math.nan
    difference: float = math.nan
    """Second minus first."""
    low: float = math.nan
    high: float = math.nan
    """Interval of the difference: bootstrap over examples, both runs resampled together."""
    error: float = math.nan
    """Jackknife standard error of the difference."""
    rare_low: float = math.nan
    rare_high: float = math.nan
    """One-sided bounds of the difference that hold for changes too rare to be in the sample."""
    scale: float = math.nan
    """The size that a change which is not in the sample is taken to have."""
    p: float = math.nan
    """Two-sided, paired permutation."""
    p_adjusted: float = math.nan
    """Corrected over the table."""
    detectable: float = math.nan
    """Smallest true difference seen with 80 % power at these examples, at 5 %, two-sided."""
    n: int = 0
    """Examples compared."""
    left_out: int = 0
    """Examples without a score in one of the runs."""
    lost: int = 0
    """Answers of the second run that were lost and count as the worst value; a gate counts them."""
    signature: str = ""
    reason: str = ""
    """Why it was not compared, or not tested; empty where it was."""

    @property
    def compared(self) -> bool:
        """Whether there is a difference at all."""
        return math.isfinite(self.difference)


def measure(
    first: ScoredRun, second: ScoredRun, *, level: float = CONFIDENCE, permutations: int = PERMUTATIONS, seed: int = 0
) -> list[Difference]:
    """Every number that either run has, in the order of the second run's suite; p-values are not corrected yet.

    Args:
        first: the baseline.
        second: the candidate, on the same examples.
        level: of the interval.
        permutations: exchanges a test; 0 for no test.
        seed: of the bootstrap and the exchanges.
    """
    differences: list[Difference] = []
    for label in dict.fromkeys([*second.metrics, *first.metrics]):
        before, after = first.metrics.get(label), second.metrics.get(label)
        if before is None or after is None:
            known = after or before
            lacking = first if before is None else second
            ask = "add --metrics to" if lacking.spec.decoder == IMPORTED else f"add [metrics.{label}] to its suite and run"
            reason = f"{lacking.name} has no such score; {ask} `{command('score', lacking.spec, lacking.suite)}`"
            differences += [replace(_blank(label, score), reason=reason) for score in known.scores] if known else []
            continue
        pair = (first.clusters, before), (second.clusters, after)
        again = command("score", second.spec, second.suite)
        differences += _measure_metric(label, second.suite, pair, again, level, permutations, seed)
    return differences


def signature_changes(first: str, second: str) -> list[str]:
    """The fields in which two signatures differ, such as `tok ptb-3.4.1 against python`; none if they may be compared."""
    try:
        left, right = Signature.parse(first), Signature.parse(second)
    except ValueError:
        return [] if first == second else [f"signature {first!r} against {second!r}"]
    before, after = dict(left.fields), dict(right.fields)
    keys = [key for key in dict.fromkeys([*before, *after]) if key not in COUNT_FIELDS]
    metric = [] if left.metric == right.metric else [f"metric {left.metric} against {right.metric}"]
    return metric + [
        f"{key} {before.get(key, 'absent')} against {after.get(key, 'absent')}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def load_metric(suite: Suite, label: str) -> Metric:
    """A metric of a suite without its models: enough to finalise rows.

    Raises:
        SuiteError: the suite does not name it.
        RegistryError: its plug-in does not load.
    """
    if label not in suite.metrics:
        raise SuiteError(f"the suite {suite.name!r} kept with the run does not name the metric {label!r}; run the suite again")
    [due] = due_metrics(suite.model_copy(update={"metrics": {label: suite.metrics[label]}}))
    return due.blank()


Side = tuple[Sequence[str], ScoredMetric]
"""One run's side: the example of each row, and the metric's scores and rows."""


def _measure_metric(
    label: str, suite: Suite, pair: tuple[Side, Side], again: str, level: float, permutations: int, seed: int
) -> list[Difference]:
    (first_ids, before), (second_ids, after) = pair
    blanks = [_blank(label, score) for score in after.scores]
    if before.rows is None or after.rows is None:
        reasons = [score.unavailable for side in (before, after) for score in side.scores if score.unavailable]
        return [replace(blank, reason=next(iter(reasons), "it has no rows")) for blank in blanks]
    try:
        metric = load_metric(suite, label)
    except SeeTellError as error:
        return [replace(blank, reason=str(error)) for blank in blanks]
    if metric.resampling == "paired-only" and not (before.joint and after.joint):
        changes = signature_changes(before.scores[0].signature, after.scores[0].signature)
        reason = (
            f"made differently: {', '.join(changes)}"
            if changes
            else (
                "its rows mean something only among the texts they were made from, and these two were not measured together; "
                "`seetell compare` does that, a baseline keeps no texts to do it with"
            )
        )
        return [replace(blank, reason=reason) for blank in blanks]
    if before.rows.shape[1] != after.rows.shape[1]:
        return [replace(blank, reason="the rows are of different kinds: score both with one version") for blank in blanks]
    was = {score.output: score for score in before.scores}
    objections = [
        _objection(was.get(score.output), score, metric, pair, place, again) for place, score in enumerate(after.scores)
    ]
    if all(objections):  # rows that a metric which changed cannot even read are among these
        return [replace(blank, reason=reason) for blank, reason in zip(blanks, objections, strict=True)]
    aligned = align([Clusters.of(first_ids, before.rows), Clusters.of(second_ids, after.rows)])
    open_places = [place for place, objection in enumerate(objections) if not objection]
    measured = iter(_tested(metric, aligned, {place: blanks[place] for place in open_places}, level, permutations, seed))
    return [replace(blank, reason=reason) if reason else next(measured) for blank, reason in zip(blanks, objections, strict=True)]


def _blank(label: str, score: Score) -> Difference:
    return Difference(label, score.output, score.higher_is_better, score.percent, signature=score.signature)


def _objection(before: Score | None, after: Score, metric: Metric, pair: tuple[Side, Side], place: int, again: str) -> str:
    """Why two values of an output must not be subtracted; empty if they may."""
    if before is None:
        return "only one of the runs has it"
    if unavailable := before.unavailable or after.unavailable:
        return unavailable
    if changes := signature_changes(before.signature, after.signature):
        return f"made differently: {', '.join(changes)}"
    for score, (_, scored) in zip((before, after), pair, strict=True):
        if not _same_value(score, scored, metric, place):
            reason = "the stored rows do not give the stored value (another version, or other options)"
            return f"{reason}; `{again} --fresh` scores again"
    return ""


def gives_back(scored: ScoredMetric, metric: Metric) -> bool:
    """Whether today's finaliser turns the stored rows into every stored value: the guard against a metric that changed."""
    return all(_same_value(score, scored, metric, place) for place, score in enumerate(scored.scores))


def _same_value(score: Score, scored: ScoredMetric, metric: Metric, place: int) -> bool:
    rows = scored.rows
    if rows is None or math.isnan(score.value):
        return True
    usable = rows[~np.isnan(rows).any(axis=1)]
    try:
        values = metric.finalise(usable.sum(axis=0))
    except (IndexError, ValueError):  # rows of another width than the finaliser takes
        return False
    return place < len(values) and math.isclose(values[place], score.value, rel_tol=1e-9, abs_tol=1e-12)


def _tested(
    metric: Metric, aligned: Aligned, blanks: Mapping[int, Difference], level: float, permutations: int, seed: int
) -> list[Difference]:
    """The numbers of `blanks`, which are by their place among the metric's outputs."""
    if not aligned.n:
        reason = "no example has a score in both runs"
        return [replace(blank, left_out=aligned.left_out, reason=reason) for blank in blanks.values()]
    totals = metric.finalise(aligned.rows.sum(axis=1))
    rows, difference = differences(aligned.rows, metric.finalise)
    nothing = np.full(totals.shape[1], np.nan)
    columns = dict.fromkeys(("p", "low", "high", "error", "rare_low", "rare_high", "scale"), nothing)
    reason = metric.no_interval or ("not tested: its rows cannot be resampled" if metric.resampling == "none" else "")
    if metric.resampling != "none" and permutations:
        columns["p"] = permutation_test(aligned.rows, metric.finalise, [(0, 1)], draws=permutations, seed=seed)[0]
    if metric.resampling == "bootstrap":
        ends = interval(rows, range(aligned.n), difference, seed=seed, level=level)
        columns |= {"low": ends.low, "high": ends.high, "error": standard_error(rows, difference)}
        if aligned.n > 1:
            percent = next(iter(blanks.values())).percent
            columns |= _rare(aligned, metric.finalise, pseudo_values(rows, difference), percent, (1 - level) / 2)
    measured = []
    for place, blank in blanks.items():
        numbers: dict[str, Any] = {name: float(values[place]) for name, values in columns.items()}
        measured.append(
            replace(
                blank,
                first=float(totals[0, place]),
                second=float(totals[1, place]),
                difference=float(totals[1, place] - totals[0, place]),
                detectable=float(detectable_effect(np.asarray(numbers["error"]))),
                **numbers,
                n=aligned.n,
                left_out=aligned.left_out,
                reason=reason,
            )
        )
    return measured


def _rare(aligned: Aligned, finalise: Finalise, contributions: Floats, percent: bool, tail: float) -> dict[str, Floats]:
    """`rare_low`, `rare_high` and `scale` of every output."""
    own = finalise(aligned.rows)  # every example alone, `[2, m, outputs]`
    same = (aligned.rows[0] == aligned.rows[1]).all(axis=1)
    columns = {name: np.full(contributions.shape[1], np.nan) for name in ("rare_low", "rare_high", "scale")}
    for place in range(contributions.shape[1]):
        values = own[..., place][np.isfinite(own[..., place])]
        room = max(float(np.abs(values).max(initial=0.0)), float(np.ptp(values)) if len(values) else 0.0)
        changes = contributions[:, place]
        changes[same | (np.abs(changes) <= _ROUNDING * (1 + room))] = 0.0
        bounds = rare_change_bounds(changes, max(room, 1.0 if percent else 0.0), tail)
        for name, value in zip(columns, bounds, strict=True):
            columns[name][place] = value
    return columns
