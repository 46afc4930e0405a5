"""Tests between two systems that people rated on the same items: sign test, Wilcoxon's signed ranks, permutation.

All take one difference an item (mean rating of the second system minus that of the first), so that several ratings of one
item are not counted as several pieces of evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr
from scipy.stats import rankdata

from harness.compare.paired import PERMUTATIONS, permutation_test

Floats = NDArray[np.float64]

EXACT_UP_TO = 60
"""Differences up to which the distribution of the rank sum is computed exactly, ties and zeros included."""
_SAME = 1e-9
"""Differences of means of small integers that are equal on paper differ in the last digits; closer than this is equal."""


@dataclass(frozen=True, slots=True)
class SignTest:
    """Exact two-sided sign test (Dixon and Mood 1946), the test of the published protocol."""

    better: int
    """Items on which the second system is better."""
    worse: int
    ties: int
    """Left out by the test."""
    p: float
    """1 where every item is tied: nothing speaks for a difference."""


@dataclass(frozen=True, slots=True)
class WilcoxonTest:
    """Two-sided signed-rank test with Pratt's treatment of zeros."""

    statistic: float
    """The smaller of the two rank sums, as `scipy.stats.wilcoxon` reports it."""
    p: float
    exact: bool
    """Whether p is exact or from the normal approximation."""


def tidy(differences: Floats) -> Floats:
    """Differences of means with rounding errors removed, so that zeros are zeros and ties are ties."""
    rounded = np.round(np.asarray(differences, np.float64) / _SAME) * _SAME
    return np.where(np.abs(rounded) < _SAME / 2, 0.0, rounded)


def sign_test(differences: Floats) -> SignTest:
    """Exact sign test of the differences of `[items]`; p is from the binomial distribution with one half."""
    tidied = tidy(differences)
    better, worse = int((tidied > 0).sum()), int((tidied < 0).sum())
    n = better + worse
    p = min(1.0, 2 * float(bdtr(min(better, worse), n, 0.5))) if n else 1.0
    return SignTest(better, worse, len(tidied) - n, p)


def wilcoxon(differences: Floats) -> WilcoxonTest:
    """Wilcoxon's signed-rank test of `[items]`, two-sided.

    Zeros are ranked with the rest and their ranks then dropped (Pratt 1959): dropping them first would make a system that
    differs on few items look sure. Up to `EXACT_UP_TO` items the null distribution is computed for the ranks at hand, ties
    included; beyond, the normal approximation corrected for ties and zeros (Cureton 1967) is used, without correction for
    continuity.
    """
    tidied = tidy(differences)
    # Ties are found on the tidied grid, not on floating-point neighbours of it.
    ranks = rankdata(np.round(np.abs(tidied) / _SAME))
    signed = tidied != 0
    positive, negative = float(ranks[tidied > 0].sum()), float(ranks[tidied < 0].sum())
    statistic = min(positive, negative)
    if not signed.any():
        return WilcoxonTest(0.0, 1.0, True)
    if len(tidied) <= EXACT_UP_TO:
        return WilcoxonTest(statistic, _exact(ranks[signed], statistic), True)
    return WilcoxonTest(statistic, _normal(ranks, signed, statistic), False)


def _exact(ranks: Floats, statistic: float) -> float:
    """P(rank sum as small as `statistic`, on either side) when every sign is a fair coin."""
    halves = np.round(2 * ranks).astype(np.int64)  # mid-ranks are multiples of one half
    ways = np.zeros(int(halves.sum()) + 1)
    ways[0] = 1.0
    for step in halves:
        ways[step:] += ways[: len(ways) - step].copy()
        ways /= 2
    return min(1.0, 2 * float(ways[: round(2 * statistic) + 1].sum()))


def _normal(ranks: Floats, signed: NDArray[np.bool_], statistic: float) -> float:
    n, zeros = len(ranks), int((~signed).sum())
    expected = (n * (n + 1) - zeros * (zeros + 1)) / 4
    spread = n * (n + 1) * (2 * n + 1) - zeros * (zeros + 1) * (2 * zeros + 1)
    ties = np.unique(ranks[signed], return_counts=True)[1].astype(np.float64)
    variance = (spread - (ties**3 - ties).sum() / 2) / 24
    return min(1.0, 2 * float(ndtr((statistic - expected) / math.sqrt(variance))))


def permutation_p(means: Floats, pairs: Sequence[tuple[int, int]], *, draws: int = PERMUTATIONS, seed: int = 0) -> Floats:
    """Two-sided paired permutation p-values of differences of mean ratings, `[pairs]`.

    Args:
        means: mean rating of each system on each item, `[systems, items]`, finite.
        pairs: which systems to compare.
        draws: exchanges; all 2^items are made where they are no more.
        seed: of the exchanges.
    """
    items = means.shape[1]
    return permutation_test(means[:, :, None], lambda sums: sums / max(1, items), pairs, draws=draws, seed=seed)[:, 0]
