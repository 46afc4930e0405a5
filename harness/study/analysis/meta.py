"""Which metric should I believe? Automatic metrics held against the ratings of people.

Segment level: for each item, do the metric and the people order the systems' texts alike (Kendall's tau-b, averaged over
items, as "group by item" in the WMT metrics tasks)? System level: for how many pairs of systems does the metric name the
same winner (Kocmi et al. 2021, "To Ship or Not to Ship")? Metrics are told apart by exchanging their scores item by item
(PERM-INPUTS of Deutsch, Dror and Roth 2021, "A Statistical Analysis of Summarization Evaluation Metrics Using Resampling
Methods"). Annotators are taken as given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from harness.compare.corrections import holm
from harness.compare.differences import gives_back, load_metric, signature_changes
from harness.compare.groups import enough_permutations, letter_display
from harness.compare.paired import SIGNIFICANCE, Clusters, Finalise, permutation_test
from harness.compare.scored import ScoredRun
from harness.errors import DataError, SeeTellError
from harness.metrics.intervals import draw_counts
from harness.study.analysis.panel import Estimate, Panel

Floats = NDArray[np.float64]

META_DRAWS = 2000
_LETTER = re.compile(r"[a-z]|\(\d+\)")
LEAST_SCORED = 0.5
"""A metric that scores a smaller share of the items is left out, lest the others be judged on the few that remain."""


@dataclass(frozen=True, slots=True)
class MetricScores:
    """One output of a metric on the texts of a study."""

    name: str
    """As on the leaderboard."""
    higher_is_better: bool
    rows: Floats
    """`[systems, items, k]`; NaN where a text is unscored."""
    finalise: Finalise
    """Sums of rows `[..., k]` to the output, `[...]`."""

    @property
    def segments(self) -> Floats:
        """The score of each text by itself, higher is better, `[systems, items]`; NaN where it has none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.asarray(self.finalise(self.rows), np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        return values if self.higher_is_better else -values


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """How well one metric agrees with people on one aspect."""

    metric: str
    segment: Estimate
    """Kendall's tau-b within items, averaged; interval over items; `n` items."""
    pooled: Estimate
    """Kendall's tau-b over all texts at once: also rewards knowing which images are easy."""
    system: Estimate
    """Share of pairs of systems in which metric and people name the same winner; interval over items; `n` pairs."""
    segment_letters: str = ""
    """Metrics that share one cannot be told apart at the segment level."""
    system_letters: str = ""


@dataclass(frozen=True, slots=True)
class MetaEvaluation:
    """All metrics on one aspect."""

    aspect: str
    items: int
    """Items used: rated for every system, scored by every metric, and not given the same mean everywhere."""
    verdicts: tuple[MetricVerdict, ...]
    """Best at the segment level first."""
    left_out: Mapping[str, str]
    """Metrics that could not be held against people, with the reason."""
    verdict: str
    """The answer in words."""


def metric_scores(
    runs: Mapping[str, ScoredRun], items: Sequence[str]
) -> tuple[tuple[MetricScores, ...], dict[str, str]]:
    """Every metric that all systems of a study were scored with.

    Args:
        runs: scored run of each system, in the order of the panel's systems.
        items: example ids, in the order of the panel's items.

    Returns:
        The scores, and why other metrics are missing.
    """
    found: list[MetricScores] = []
    left_out: dict[str, str] = {}
    for label in dict.fromkeys(label for run in runs.values() for label in run.metrics):
        lacking = [name for name, run in runs.items() if label not in run.metrics]
        if lacking:
            left_out[label] = f"{lacking[0]} is not scored with it"
            continue
        first = next(iter(runs.values()))
        scores = first.metrics[label].scores
        try:
            metric = load_metric(first.suite, label)
        except SeeTellError as error:
            left_out[label] = str(error)
            continue
        reason = _unusable(runs, label, metric.resampling, metric.no_interval)
        if not reason and not all(gives_back(run.metrics[label], metric) for run in runs.values()):
            reason = "the stored rows do not give the stored value; run `seetell score --fresh`"
        if reason:
            left_out |= {score.output: reason for score in scores}
            continue
        rows = np.stack([_rows_of(run, label, items) for run in runs.values()])
        for place, score in enumerate(scores):
            if score.higher_is_better is None:
                left_out[score.output] = "neither direction is better in itself"
            else:
                found.append(
                    MetricScores(score.output, score.higher_is_better, rows, _one_output(metric.finalise, place))
                )
    return tuple(found), left_out


def _unusable(runs: Mapping[str, ScoredRun], label: str, resampling: str, no_interval: str) -> str:
    scores = [score for run in runs.values() for score in run.metrics[label].scores]
    unavailable = [score.unavailable for score in scores if score.unavailable]
    if unavailable:
        return unavailable[0]
    if resampling != "bootstrap":
        return no_interval or "its rows mean nothing by themselves"
    if any(run.metrics[label].rows is None for run in runs.values()):
        return "it has no rows an example; run `seetell score`"
    first: dict[str, str] = {}
    for score in scores:
        changes = signature_changes(first.setdefault(score.output, score.signature), score.signature)
        if changes:
            return f"the systems were scored in different ways: {', '.join(changes)}"
    return ""


def _rows_of(run: ScoredRun, label: str, items: Sequence[str]) -> Floats:
    """Rows of the items, `[items, k]`; mean over draws, NaN where the run has no scored answer."""
    rows = run.metrics[label].rows
    if rows is None:
        raise DataError(f"{run.name} has no rows of {label}; run `seetell score`")
    clusters = Clusters.of(run.example_ids, rows)
    place = {str(example): index for index, example in enumerate(clusters.ids.tolist())}
    found = np.full((len(items), rows.shape[1]), np.nan)
    for index, item in enumerate(items):
        if item in place:
            found[index] = clusters.sums[place[item]] / clusters.counts[place[item]]
    return found


def _one_output(finalise: Finalise, place: int) -> Finalise:
    return lambda sums: np.asarray(finalise(sums)[..., place])


def meta_evaluate(
    aspect: str,
    panel: Panel,
    metrics: Sequence[MetricScores],
    left_out: Mapping[str, str] | None = None,
    *,
    draws: int = META_DRAWS,
    permutations: int | None = None,
    seed: int = 0,
) -> MetaEvaluation:
    """Hold metrics against one aspect's ratings.

    Args:
        aspect: its name.
        panel: the ratings; metrics' rows are on its systems and items.
        metrics: from `metric_scores`.
        left_out: metrics that were not usable, passed on.
        draws: bootstrap replicates of the intervals.
        permutations: exchanges of the tests; as many as leave room for the correction by default.
        seed: of both.
    """
    missing = dict(left_out or {})
    human = panel.item_means
    rated = ~np.isnan(human).any(axis=0)
    pairs = list(combinations(range(len(panel.systems)), 2))
    usable = []
    for metric in metrics:
        scored = ~np.isnan(metric.segments).any(axis=0) & rated
        if scored.sum() < max(1, LEAST_SCORED * rated.sum()):
            missing[metric.name] = (
                f"it scores every system's text on {int(scored.sum())} of {int(rated.sum())} items only"
            )
        else:
            usable.append(metric)
    keep = rated.copy()
    for metric in usable:
        keep &= ~np.isnan(metric.segments).any(axis=0)
    signs = _signs(human, pairs)
    keep &= (signs != 0).any(axis=0)
    n = int(keep.sum())
    if not pairs or not usable or n < 2:
        reason = (
            "there is one system only"
            if not pairs
            else "no metric can be used"
            if not usable
            else f"{n} items can be used"
        )
        return MetaEvaluation(aspect, n, (), missing, f"Nothing can be said about metrics: {reason}.")
    usable = [replace(metric, rows=metric.rows[:, keep]) for metric in usable]
    human, signs = human[:, keep], signs[:, keep]
    taus = np.stack([item_taus(signs, _signs(metric.segments, pairs)) for metric in usable])
    winners = np.sign(_gaps(human.mean(axis=1), pairs))
    weights = np.concatenate(list(draw_counts(n, draws, seed))).astype(np.float64)
    verdicts = [
        MetricVerdict(
            metric.name,
            Estimate.within(float(tau.mean()), weights @ tau / n, n),
            _pooled(human, metric),
            _system_level(human, metric, pairs, winners, weights),
        )
        for metric, tau in zip(usable, taus, strict=True)
    ]
    permutations = permutations or enough_permutations(len(usable))
    segment, system = _letters(usable, taus, winners, pairs, verdicts, permutations, seed)
    lettered = [
        replace(each, segment_letters=one, system_letters=other)
        for each, one, other in zip(verdicts, segment, system, strict=True)
    ]
    lettered.sort(key=lambda each: (-(each.segment.value or 0.0), each.metric))
    return MetaEvaluation(aspect, n, tuple(lettered), missing, _in_words(aspect, lettered))


def item_taus(one: Floats, other: Floats) -> Floats:
    """Kendall's tau-b of each item from the signs of all pairs, `[pairs, items]` twice, to `[items]`.

    Where the second orders nothing (all equal) tau-b is 0 / 0; it counts as 0, since it told the texts apart no better than
    a coin. The first must order something on every item.
    """
    agreed = (one * other).sum(axis=0)
    untied = np.sqrt((one != 0).sum(axis=0) * (other != 0).sum(axis=0))
    return np.asarray(np.where(untied > 0, agreed / np.where(untied > 0, untied, 1.0), 0.0))


def _signs(values: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """Which of two systems is higher, `[systems, items]` to `[pairs, items]`; differences of rounding are none."""
    apart = np.stack([values[b] - values[a] for a, b in pairs]) if pairs else np.zeros((0, values.shape[1]))
    apart = np.nan_to_num(apart)
    scale = np.nanmax(np.abs(values), initial=0.0)
    return np.where(np.abs(apart) <= 1e-12 * scale, 0.0, np.sign(apart))


def _gaps(values: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """`[..., systems]` to `[..., pairs]`, second minus first."""
    first, second = np.array(pairs).T
    return np.asarray(values[..., second] - values[..., first])


def _pooled(human: Floats, metric: MetricScores) -> Estimate:
    value = float(kendalltau(human.ravel(), metric.segments.ravel()).statistic)
    if math.isnan(value):
        return Estimate.undefined("the metric gives every text the same score", human.size)
    return Estimate(value, n=human.size)


def _system_level(
    human: Floats, metric: MetricScores, pairs: Sequence[tuple[int, int]], winners: Floats, weights: Floats
) -> Estimate:
    """Pairwise accuracy; replicates draw items anew for people and metric together."""
    sign = 1.0 if metric.higher_is_better else -1.0
    systems, items, k = metric.rows.shape
    flat = metric.rows.transpose(1, 0, 2).reshape(items, -1)
    drawn = sign * metric.finalise((weights @ flat).reshape(-1, systems, k))
    people = np.sign(_gaps(weights @ human.T, pairs))
    value = (np.sign(_gaps(sign * metric.finalise(metric.rows.sum(axis=1)), pairs)) == winners).mean()
    replicates = (np.sign(_gaps(drawn, pairs)) == people).mean(axis=-1)
    return Estimate.within(float(value), replicates, len(pairs))


def _letters(
    metrics: Sequence[MetricScores],
    taus: Floats,
    winners: Floats,
    pairs: Sequence[tuple[int, int]],
    verdicts: Sequence[MetricVerdict],
    permutations: int,
    seed: int,
) -> tuple[list[str], list[str]]:
    """Significance groups of the metrics, at the segment and at the system level; Holm over all pairs of metrics.

    What is exchanged at the system level are standardised scores of texts, since two metrics have no common scale.
    """
    if len(metrics) < 2:
        return [""] * len(metrics), [""] * len(metrics)
    against = list(combinations(range(len(metrics)), 2))
    items = taus.shape[1]
    segment = permutation_test(taus[:, :, None], lambda sums: sums / items, against, draws=permutations, seed=seed)[
        :, 0
    ]
    standard = np.stack([_standardised(metric.segments).T for metric in metrics])

    def accuracy(sums: Floats) -> Floats:
        return np.asarray((np.sign(_gaps(sums, pairs)) == winners).mean(axis=-1, keepdims=True))

    system = permutation_test(standard, accuracy, against, draws=permutations, seed=seed)[:, 0]
    values = ([each.segment.value or 0.0 for each in verdicts], [each.system.value or 0.0 for each in verdicts])
    found = [_display(np.array(merit), holm(p), against) for merit, p in zip(values, (segment, system), strict=True)]
    return found[0], found[1]


def _standardised(values: Floats) -> Floats:
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def _display(merit: Floats, p: Floats, against: Sequence[tuple[int, int]]) -> list[str]:
    order = np.argsort(-merit, kind="stable")
    different = np.zeros((len(merit), len(merit)), bool)
    for (a, b), adjusted in zip(against, p.tolist(), strict=True):
        different[a, b] = different[b, a] = adjusted <= SIGNIFICANCE
    shown = letter_display(different[np.ix_(order, order)])
    letters = [""] * len(merit)
    for place, text in zip(order.tolist(), shown, strict=True):
        letters[place] = text
    return letters


def _in_words(aspect: str, ranked: Sequence[MetricVerdict]) -> str:
    best = ranked[0]
    if best.segment.low is None or best.segment.low <= 0:
        return f"None: no metric is shown to order texts by {aspect} better than chance."
    own = set(_LETTER.findall(best.segment_letters))
    equals = [each.metric for each in ranked[1:] if own.intersection(_LETTER.findall(each.segment_letters))]
    agrees = f"agrees best with people on {aspect} (tau-b {best.segment.value:.3f})"
    if not equals:
        rest = ", and significantly better than every other metric" if len(ranked) > 1 else "; there is no other metric"
        return f"Believe {best.metric}: it {agrees}{rest}."
    several = "all of them" if len(equals) == len(ranked) - 1 and len(equals) > 1 else ", ".join(equals)
    return f"{best.metric} {agrees}, but it cannot be told apart from {several} on these ratings."
