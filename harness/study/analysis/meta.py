"""Which metric should I believe? Automatic metrics held against the ratings of people.

Segment level: for each item, do the metric and the people order the systems' texts alike (Kendall's tau-b, averaged over
items, as "group by item" in the WMT metrics tasks)? System level: for how many pairs of systems does the metric name the
same winner (Kocmi et al. 2021, "To Ship or Not to Ship")? At the segment level metrics are compared by exchanging their
taus item by item (PERM-INPUTS of Deutsch, Dror and Roth 2021, "A Statistical Analysis of Summarization Evaluation Metrics Using
Resampling Methods"), at the system level by a paired bootstrap of their accuracies. Annotators are taken as given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

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
NO_RANKS = Estimate.undefined("not computed")
LEAST_SCORED = 0.9
"""A metric that scores a smaller share of the rated items is left out, so that the others are not judged on the rest alone."""


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
    signature: str = ""
    """Of the scores that the leaderboard shows; the rows are theirs."""

    @property
    def segments(self) -> Floats:
        """The score of each text by itself, higher is better, `[systems, items]`; NaN where it has none."""
        scored = np.asarray(~np.isnan(self.rows).any(axis=-1))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.asarray(self.finalise(np.where(scored[..., None], self.rows, 0.0)), np.float64)
        # A finaliser may turn NaN into a number (METEOR's harmonic mean of nothing is 0): an unscored text stays unscored.
        values = np.where(scored & np.isfinite(values), values, np.nan)
        return values if self.higher_is_better else -values


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """How well one metric agrees with people on one aspect."""

    metric: str
    segment: Estimate
    """Kendall's tau-b within items, averaged; interval over items; `n` items on which people rank some texts higher."""
    pooled: Estimate
    """Kendall's tau-b over all rated texts at once: also rewards knowing which images are easy; `n` texts."""
    system: Estimate
    """Share of pairs of systems in which metric and people name the same winner; interval over items; `n` pairs."""
    segment_letters: str = ""
    """Metrics that share one cannot be told apart at the segment level."""
    system_letters: str = ""
    """Metrics that share one cannot be told apart at the system level."""
    signature: str = ""
    """How the leaderboard's column of that name was made."""
    ranks: Estimate = NO_RANKS
    """Spearman's rank correlation over all single ratings at once, each with its text's score; `n` ratings."""


@dataclass(frozen=True, slots=True)
class MetaEvaluation:
    """All metrics on one aspect."""

    aspect: str
    items: int
    """Rated items whose texts every metric scores."""
    verdicts: tuple[MetricVerdict, ...]
    """Best at the segment level first."""
    left_out: Mapping[str, str]
    """Metrics that could not be held against people, with the reason."""
    verdict: str
    """The answer in words."""


def metric_scores(runs: Mapping[str, ScoredRun], items: Sequence[str]) -> tuple[tuple[MetricScores, ...], dict[str, str]]:
    """Every metric that all systems of a study were scored with.

    Args:
        runs: scored run of each system, in the order of the panel's systems.
        items: example ids, in the order of the panel's items.

    Returns:
        The scores, and why other metrics are missing.
    """
    usable: list[MetricScores] = []
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
                usable.append(
                    MetricScores(score.output, score.higher_is_better, rows, _one_output(metric.finalise, place), score.signature)
                )
    return tuple(usable), left_out


def imported_scores(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]], systems: Sequence[str], items: Sequence[str]
) -> tuple[MetricScores, ...]:
    """Scores that came with the ratings; a corpus score is the mean of its texts'.

    Args:
        scores: by system, metric and item; lower ones are better where a metric's name begins with a minus sign.
        systems: in the order of the panel.
        items: in the order of the panel.
    """
    metrics = []
    for name in dict.fromkeys(name for system in systems for name in scores.get(system, {})):
        by_system = [scores.get(system, {}).get(name, {}) for system in systems]
        values = np.array([[by_item.get(item, np.nan) for item in items] for by_item in by_system])
        rows = np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=-1)
        metrics.append(
            MetricScores(name.removeprefix("-"), not name.startswith("-"), rows, _mean_of_rows, "imported with the ratings")
        )
    return tuple(metrics)


def _mean_of_rows(sums: Floats) -> Floats:
    """From sums of scores and of ones, `[..., 2]`, to means, `[...]`."""
    return np.asarray(sums[..., 0] / sums[..., 1])


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
    aligned = np.full((len(items), rows.shape[1]), np.nan)
    for index, item in enumerate(items):
        if item in place:
            aligned[index] = clusters.sums[place[item]] / clusters.counts[place[item]]
    return aligned


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
        permutations: exchanges, and replicates at the system level; as many as leave room for the correction by default.
        seed: of both.
    """
    missing = dict(left_out or {})
    human = panel.item_means
    rated = ~np.isnan(human)
    usable, kept = _covering(metrics, rated, missing)
    n = int(kept.sum())
    if not usable or n < 2:
        reason = "no metric can be used" if not usable else f"{n} items can be used"
        return MetaEvaluation(aspect, n, (), missing, f"Nothing can be said about metrics: {reason}.")
    usable = [replace(metric, rows=metric.rows[:, kept]) for metric in usable]
    human, rated = human[:, kept], rated[:, kept]
    permutations = permutations or enough_permutations(len(usable))
    pairs = list(combinations(range(len(panel.systems)), 2))
    segments, segment_letters = _segment_level(human, rated, usable, pairs, draws=draws, permutations=permutations, seed=seed)
    systems, system_letters = _system_level(human, rated, usable, pairs, draws=permutations, seed=seed)
    columns = zip(usable, segments, systems, segment_letters, system_letters, strict=True)
    verdicts = [
        MetricVerdict(metric.name, segment, tau, system, first, second, metric.signature, rho)
        for metric, segment, system, first, second in columns
        for tau, rho in [_pooled(human, rated, metric, panel.values[:, kept])]
    ]
    verdicts.sort(key=lambda verdict: (-(verdict.segment.value or 0.0), -(verdict.pooled.value or 0.0), verdict.metric))
    return MetaEvaluation(aspect, n, tuple(verdicts), missing, _in_words(aspect, verdicts))


def _covering(
    metrics: Sequence[MetricScores], rated: NDArray[np.bool_], missing: dict[str, str]
) -> tuple[list[MetricScores], NDArray[np.bool_]]:
    """Metrics that score the rated texts, and the items on which all of these do; `missing` gets the others, with the count."""
    kept = np.asarray(rated.any(axis=0))
    total = int(kept.sum())
    usable = []
    for metric in metrics:
        covered = np.asarray((~np.isnan(metric.segments) | ~rated).all(axis=0) & rated.any(axis=0))
        if covered.sum() < max(1, LEAST_SCORED * total):
            missing[metric.name] = f"it scores every rated text of {int(covered.sum())} of {total} items only"
        else:
            usable.append(metric)
            kept = kept & covered
    return usable, kept


def _segment_level(
    human: Floats,
    rated: NDArray[np.bool_],
    metrics: Sequence[MetricScores],
    pairs: Sequence[tuple[int, int]],
    *,
    draws: int,
    permutations: int,
    seed: int,
) -> tuple[list[Estimate], list[str]]:
    """Tau-b within items of each metric, and letters; only items whose texts people rank in some order can be ordered rightly."""
    signs = _signs(human, pairs, rated)
    ordered = (signs != 0).any(axis=0)
    n = int(ordered.sum())
    if n < 2:
        reason = "there is one system only" if not pairs else f"people order the texts of {n} items only"
        return [Estimate.undefined(reason, n)] * len(metrics), [""] * len(metrics)
    taus = np.stack([item_taus(signs, _signs(metric.segments, pairs, rated))[ordered] for metric in metrics])
    weights = np.concatenate(list(draw_counts(n, draws, seed))).astype(np.float64)
    estimates = [Estimate.within(float(tau.mean()), weights @ tau / n, n) for tau in taus]
    against = list(combinations(range(len(metrics)), 2))
    if not against:
        return estimates, [""]
    p = permutation_test(taus[:, :, None], lambda sums: sums / n, against, draws=permutations, seed=seed)[:, 0]
    return estimates, _display(taus.mean(axis=1), holm(p), against)


def item_taus(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b of each item from the signs of all pairs, `[pairs, items]` twice, to `[items]`.

    Where the second orders nothing (all equal) tau-b is 0 / 0; it counts as 0, since it told the texts apart no better than
    a coin. The first must order something on every item.
    """
    agreed = (first * second).sum(axis=0)
    untied = np.sqrt((first != 0).sum(axis=0) * (second != 0).sum(axis=0))
    return np.asarray(np.where(untied > 0, agreed / np.where(untied > 0, untied, 1.0), 0.0))


def _signs(values: Floats, pairs: Sequence[tuple[int, int]], rated: NDArray[np.bool_]) -> Floats:
    """Which of two systems is higher, `[systems, items]` to `[pairs, items]`; 0 where one of them was not rated."""
    if not pairs:
        return np.zeros((0, values.shape[1]))
    signs = _order(np.where(rated, values, 0.0).T, pairs).T
    first, second = np.array(pairs).T
    return np.where(rated[first] & rated[second], signs, 0.0)


def _order(values: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """`[..., systems]` to the signs of second minus first, `[..., pairs]`; differences of rounding are none."""
    first, second = np.array(pairs).T
    apart = values[..., second] - values[..., first]
    scale = np.nanmax(np.abs(values), initial=0.0)
    return np.asarray(np.where(np.abs(apart) <= 1e-12 * scale, 0.0, np.sign(apart)))


def _pooled(human: Floats, rated: NDArray[np.bool_], metric: MetricScores, single: Floats) -> tuple[Estimate, Estimate]:
    """Kendall's tau-b over all rated texts and Spearman's rank correlation over all `single` ratings, ties included."""
    n = int(rated.sum())
    people, scores = human[rated], metric.segments[rated]
    if len(np.unique(people)) < 2 or len(np.unique(scores)) < 2:
        undefined = Estimate.undefined("the metric, or people, give every text the same score", n)
        return undefined, undefined
    given = ~np.isnan(single)
    of_rating = np.broadcast_to(metric.segments[:, :, None], single.shape)[given]
    tau, rho = float(kendalltau(people, scores).statistic), float(spearmanr(single[given], of_rating).statistic)
    return Estimate(tau, n=n), Estimate(rho, n=int(given.sum()))


def _system_level(
    human: Floats,
    rated: NDArray[np.bool_],
    metrics: Sequence[MetricScores],
    pairs: Sequence[tuple[int, int]],
    *,
    draws: int,
    seed: int,
) -> tuple[list[Estimate], list[str]]:
    """Pairwise accuracy of each metric's corpus scores, on all items that every system is rated on, and letters.

    A replicate resamples items for people and metrics together and recomputes every corpus score from the drawn rows. Two
    metrics differ if their accuracies do in enough replicates (paired bootstrap, two-sided, Holm): the letters test the number
    beside them.
    """
    whole = rated.all(axis=0)
    n = int(whole.sum())
    if not pairs or n < 2:
        reason = "there is one system only" if not pairs else f"every system is rated on {n} items only"
        return [Estimate.undefined(reason, len(pairs))] * len(metrics), [""] * len(metrics)
    human = human[:, whole]
    winners = _order(human.mean(axis=1), pairs)
    values, replicates = np.empty(len(metrics)), np.empty((len(metrics), draws))
    flat = [metric.rows[:, whole].transpose(1, 0, 2).reshape(n, -1) for metric in metrics]
    for index, (metric, rows) in enumerate(zip(metrics, flat, strict=True)):
        values[index] = (_order(_corpus(metric, rows.sum(axis=0), len(human)), pairs) == winners).mean()
    start = 0
    for counts in draw_counts(n, draws, seed):
        stop = start + len(counts)
        people = _order(counts @ human.T / n, pairs)
        for index, (metric, rows) in enumerate(zip(metrics, flat, strict=True)):
            drawn = _order(_corpus(metric, counts @ rows, len(human)), pairs)
            replicates[index, start:stop] = (drawn == people).mean(axis=-1)
        start = stop
    estimates = [Estimate.within(float(v), drawn, len(pairs)) for v, drawn in zip(values, replicates, strict=True)]
    against = list(combinations(range(len(metrics)), 2))
    if not against:
        return estimates, [""]
    apart = np.stack([replicates[b] - replicates[a] for a, b in against])
    # Replicates in which both are as good count for both sides: they say nothing for a difference.
    fewer = np.minimum((apart <= 0).sum(axis=1), (apart >= 0).sum(axis=1))
    p = np.minimum(1.0, 2 * (fewer + 1) / (draws + 1))
    return estimates, _display(values, holm(p), against)


def _corpus(metric: MetricScores, sums: Floats, systems: int) -> Floats:
    """Corpus scores from sums of all systems' rows side by side, `[..., systems * k]`, to `[..., systems]`; higher is better."""
    values = metric.finalise(sums.reshape(*sums.shape[:-1], systems, -1))
    return values if metric.higher_is_better else -values


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
    if best.segment.value is None:
        return f"Only the pooled agreement can be told: {best.segment.reason}."
    if best.segment.low is None or best.segment.low <= 0:
        return f"None: no metric is shown to order texts by {aspect} better than chance."
    own = set(_LETTER.findall(best.segment_letters))
    equals = [verdict.metric for verdict in ranked[1:] if own.intersection(_LETTER.findall(verdict.segment_letters))]
    agrees = f"agrees best with people on {aspect} (tau-b {best.segment.value:.3f})"
    if not equals:
        rest = ", and significantly better than every other metric" if len(ranked) > 1 else "; there is no other metric"
        return f"Believe {best.metric}: it {agrees}{rest}."
    several = "all of them" if len(equals) == len(ranked) - 1 and len(equals) > 1 else ", ".join(equals)
    return f"{best.metric} {agrees}, but it cannot be told apart from {several} on these ratings."
