"""Inter-annotator agreement beyond chance, from panels of ratings.

The headline is Krippendorff's alpha for ordinal data: it takes any number of annotators, missing ratings and the order of
the scale into account. What is not defined comes back without a value and with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.intervals import draw_counts
from harness.study.analysis.panel import Estimate, Panel
from harness.study.tables.scale import FEW, FIVE, Scale

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]

ALPHA_DRAWS = 1000
_TOGETHER = 2**22
"""Numbers of the coincidence matrices that are made at once."""

ONE_VALUE = "every rating is the same value, so there is no disagreement to compare chance with"
NO_PAIR = "no text was rated by two annotators"


@dataclass(frozen=True, slots=True)
class Kappas:
    """Agreement of each two annotators: quadratically weighted kappa (Cohen 1968) on the texts both rated."""

    annotators: tuple[str, ...]
    values: tuple[tuple[Estimate, ...], ...]
    """`[annotators, annotators]`, symmetric; the diagonal is undefined, `n` counts the texts shared."""

    @property
    def defined(self) -> list[float]:
        """The kappas above the diagonal that have a value."""
        cells = (kappa for index, row in enumerate(self.values) for kappa in row[index + 1 :])
        return [kappa.value for kappa in cells if kappa.value is not None]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How annotators agree with themselves: texts that they were shown a second time."""

    pairs: int
    alpha: Estimate
    """Ordinal alpha, first and second look taken for two annotators."""
    kappa: Estimate
    """Quadratically weighted."""
    error: Estimate
    """Mean absolute difference between the two looks, in points."""
    same: Estimate
    """Share of exactly equal ratings."""


def categories(units: Floats, scale: Scale) -> Floats:
    """The values that are counted, in order, `[values]`: all of a short scale, those that occur of a long one.

    A value that nobody gave has no part in alpha or kappa, so leaving it out changes nothing but the size of the matrices.
    """
    if scale.count <= FEW:
        return np.array([float(scale.value(code)) for code in range(1, scale.count + 1)])
    return np.asarray(np.unique(units[~np.isnan(units)]), np.float64)


def _places(units: Floats, values: Floats) -> NDArray[np.int64]:
    """Which of the values each rating is, of the shape of `units`; -1 where there is no rating."""
    middles = (values[1:] + values[:-1]) / 2  # values in thirds or tenths are not exact in binary
    return np.where(np.isnan(units), -1, np.searchsorted(middles, units))


def _counts(places: NDArray[np.int64], size: int) -> Floats:
    """How often each unit got each of `size` values, `[units, size]`, from the places of its ratings, `[units, annotators]`."""
    rows, columns = np.nonzero(places >= 0)
    counts = np.bincount(rows * size + places[rows, columns], minlength=len(places) * size)
    return counts.reshape(len(places), size).astype(np.float64)


def coincidences(counts: Floats) -> Floats:
    """Each unit's part of the coincidence matrix, `[units, values, values]`; nothing from units with a single rating.

    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", step 2: each ordered pair of a unit's m ratings counts
    1 / (m - 1).
    """
    ratings = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    shares = np.where(ratings > 1, 1.0 / np.maximum(ratings - 1, 1), 0.0)
    return np.asarray(shares[:, None, None] * pairs)


def _summed(counts: Floats, clusters: NDArray[np.int64]) -> Floats:
    """The coincidence matrix of each cluster of units, `[clusters, values, values]`; few of the units' own exist at a time."""
    size = counts.shape[1]
    sums = np.zeros((int(clusters.max(initial=0)) + 1, size * size))
    block = max(1, _TOGETHER // size**2)
    for start in range(0, len(counts), block):
        parts = coincidences(counts[start : start + block]).reshape(-1, size * size)
        np.add.at(sums, clusters[start : start + block], parts)
    return sums.reshape(-1, size, size)


def alphas(matrices: Floats, level: Level, values: Floats) -> Floats:
    """Krippendorff's alpha of coincidence matrices, `[..., values, values]` to `[...]`; NaN where chance leaves no disagreement.

    Ordinal distances are made of the matrix's own margins, so each replicate of a bootstrap has its own.
    """
    margins = matrices.sum(axis=-1)
    total = margins.sum(axis=-1)
    distance = _distances(margins, level, values)
    observed = (matrices * distance).sum(axis=(-1, -2))
    expected = (margins[..., :, None] * margins[..., None, :] * distance).sum(axis=(-1, -2))
    defined = expected > 0
    return np.where(defined, 1 - (total - 1) * observed / np.where(defined, expected, 1.0), np.nan)


def _distances(margins: Floats, level: Level, values: Floats) -> Floats:
    if level == "nominal":
        return np.asarray(1.0 - np.eye(len(values)))
    # Ordinal: the middle of each value's ranks; their difference is the sum between two values less half of both ends.
    middles = margins.cumsum(axis=-1) - margins / 2
    places = values if level == "interval" else middles
    return np.asarray((places[..., :, None] - places[..., None, :]) ** 2)


def krippendorff_alpha(
    units: Floats,
    level: Level = "ordinal",
    *,
    clusters: NDArray[np.int64] | None = None,
    draws: int = 0,
    seed: int = 0,
    scale: Scale = FIVE,
) -> Estimate:
    """Krippendorff's alpha; `n` counts the texts that at least two annotators rated.

    Args:
        units: `[units, annotators]`, on the scale, NaN where there is no rating.
        level: how far apart two values are.
        clusters: for the interval, which units are drawn together, `[units]`, numbers from 0; each on its own by default.
        draws: bootstrap replicates of the interval; 0 for no interval.
        seed: of the replicates.
        scale: of the ratings.
    """
    values = categories(units, scale)
    several = (~np.isnan(units)).sum(axis=1) > 1
    n = int(several.sum())
    if not n:
        return Estimate.undefined(NO_PAIR)
    clusters = np.arange(len(units)) if clusters is None else clusters
    sums = _summed(_counts(_places(units, values), len(values)), clusters)
    value = float(alphas(sums.sum(axis=0), level, values))
    if np.isnan(value):
        return Estimate.undefined(ONE_VALUE, n)
    if not draws:
        return Estimate(value, n=n)
    flat = sums.reshape(len(sums), -1)
    replicates = [
        alphas((drawn @ flat).reshape(-1, *sums.shape[1:]), level, values) for drawn in draw_counts(len(sums), draws, seed)
    ]
    return Estimate.within(value, np.concatenate(replicates), n)


def panel_alpha(panel: Panel, level: Level = "ordinal", *, draws: int = ALPHA_DRAWS, seed: int = 0) -> Estimate:
    """Alpha over all texts of a panel; the interval draws items, all systems' texts on an item together."""
    clusters = np.repeat(np.arange(len(panel.items)), len(panel.systems))
    return krippendorff_alpha(panel.units, level, clusters=clusters, draws=draws, seed=seed, scale=panel.scale)


def leave_one_out(panel: Panel) -> dict[str, Estimate]:
    """Ordinal alpha without each annotator: whose ratings hold it down, whose hold it up."""
    values = categories(panel.units, panel.scale)
    places = _places(panel.units, values)
    counts = _counts(places, len(values))
    together = np.zeros(len(counts), np.int64)
    estimates = {}
    for index, annotator in enumerate(panel.annotators):
        left = counts - _counts(places[:, index : index + 1], len(values))
        n = int((left.sum(axis=1) > 1).sum())
        value = float(alphas(_summed(left, together)[0], "ordinal", values)) if n else np.nan
        reason = NO_PAIR if not n else ONE_VALUE
        estimates[annotator] = Estimate.undefined(reason, n) if np.isnan(value) else Estimate(value, n=n)
    return estimates


def kappa(confusion: Floats, shared: str = "they", values: Floats | None = None) -> Estimate:
    """Quadratically weighted kappa of a confusion matrix `[values, values]` of counts; equally spaced values by default."""
    n = int(confusion.sum())
    if not n:
        return Estimate.undefined(f"{shared} rated no text in common")
    places = np.arange(len(confusion), dtype=np.float64) if values is None else values
    weights = (places[:, None] - places[None, :]) ** 2
    expected = float((weights * np.outer(confusion.sum(axis=1), confusion.sum(axis=0))).sum()) / n
    if expected == 0:
        return Estimate.undefined(f"{shared} gave one and the same value to every text in common", n)
    return Estimate(1 - float((weights * confusion).sum()) / expected, n=n)


def pairwise_kappas(panel: Panel) -> Kappas:
    """Weighted kappa of each two annotators."""
    people = panel.annotators
    values = categories(panel.units, panel.scale)
    places = _places(panel.units, values)
    itself = Estimate.undefined("an annotator with itself; see the repeats")
    rows = [[itself] * len(people) for _ in people]
    for first in range(len(people)):
        confusions = _confusions(places, first, len(values))
        for second in range(first + 1, len(people)):
            rows[first][second] = rows[second][first] = kappa(confusions[second], values=values)
    return Kappas(people, tuple(tuple(row) for row in rows))


def _confusions(places: NDArray[np.int64], first: int, size: int) -> Floats:
    """How often each value of one annotator met each value of each annotator, `[annotators, size, size]`.

    Args:
        places: which of `size` values each rating is, `[units, annotators]`; -1 where there is none.
        first: the annotator whose values come first.
        size: how many values there are.
    """
    people = places.shape[1]
    own = places[places[:, first] >= 0]
    rows, second = np.nonzero(own >= 0)
    cells = (second * size + own[rows, first]) * size + own[rows, second]
    return np.bincount(cells, minlength=people * size * size).reshape(people, size, size).astype(np.float64)


def repeats(first: Sequence[float] | Floats, second: Sequence[float] | Floats, scale: Scale = FIVE) -> Repeats:
    """Agreement of annotators with themselves, from the ratings of the first and the second look, `[pairs]` each."""
    looks = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)], axis=1)
    n = len(looks)
    if not n:
        undefined = Estimate.undefined("no text was shown to an annotator a second time")
        return Repeats(0, undefined, undefined, undefined, undefined)
    values = categories(looks, scale)
    apart = np.abs(looks[:, 0] - looks[:, 1])
    return Repeats(
        n,
        krippendorff_alpha(looks, scale=scale),
        kappa(_confusions(_places(looks, values), 0, len(values))[1], "both looks", values),
        Estimate(float(apart.mean()), n=n),
        Estimate(float((apart == 0).mean()), n=n),
    )


def fleiss_kappa(units: Floats, scale: Scale = FIVE) -> Estimate:
    """Fleiss' kappa (1971), for comparison with the published protocol only: it takes 1 and 5 to be as far apart as 4 and 5.

    It needs equally many ratings a text; texts with another number than most are left out, and `n` counts those taken.
    """
    if np.isnan(units).all():
        return Estimate.undefined(NO_PAIR)
    values = categories(units, scale)
    counts = _counts(_places(units, values), len(values))
    ratings = counts.sum(axis=1).astype(np.int64)
    several = ratings[ratings > 1]
    if not len(several):
        return Estimate.undefined(NO_PAIR)
    k = int(np.bincount(several).argmax())
    taken = counts[ratings == k]
    shares = taken.sum(axis=0) / taken.sum()
    chance = float((shares**2).sum())
    if np.isclose(chance, 1.0, atol=1e-12):
        return Estimate.undefined(ONE_VALUE, len(taken))
    agreed = float((((taken**2).sum(axis=1) - k) / (k * (k - 1))).mean())
    return Estimate((agreed - chance) / (1 - chance), n=len(taken))
