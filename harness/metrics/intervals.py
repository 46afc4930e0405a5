"""How sure a score is: bootstrap intervals over examples, for any metric, from its rows alone.

A score is `finalise(sum of rows)`, so a bootstrap replicate is the finaliser of re-weighted sums and a thousand of them are
one matrix product. Several draws of one example are one cluster: they are drawn together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Finalise = Callable[[Floats], Floats]

CONFIDENCE = 0.95
"""Coverage of every interval, here and where runs are compared."""
DRAWS = 1000
_CHUNK_BYTES = 16 * 2**20
_KEPT = 10_000_000
"""Numbers of a resampling that are kept for the next metric; no count among so few clusters exceeds 16 bits."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap interval of each output; NaN where there is none."""

    low: Floats
    high: Floats
    methods: tuple[str, ...]
    """`bca`; `percentile` where BCa is not defined (every replicate on one side, no variation between examples); `none`."""


def interval(
    rows: Floats,
    clusters: Iterable[Hashable],
    finalise: Finalise,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = CONFIDENCE,
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987, "Better Bootstrap Confidence Intervals").

    Args:
        rows: `[n, k]`; rows with a NaN are unscored and left out.
        clusters: what each row belongs to, `[n]`; clusters are resampled, not rows.
        finalise: sums `[..., k]` to values `[..., outputs]`.
        draws: bootstrap replicates.
        seed: of the resampling; the same seed and the same clusters in any order give the same interval.
        level: coverage.
    """
    sums = cluster_sums(rows, list(clusters))
    value = finalise(sums.sum(axis=0))
    if len(sums) < 2:
        nothing = np.full(value.shape, np.nan)
        return Interval(nothing, nothing.copy(), ("none",) * len(value))
    replicates = finalise(_resample(sums, draws, seed))
    jackknife = finalise(sums.sum(axis=0) - sums)
    tails = ((1 - level) / 2, (1 + level) / 2)
    ends = [_interval_of(value[i], replicates[:, i], jackknife[:, i], tails) for i in range(len(value))]
    low, high, methods = zip(*ends, strict=True)
    return Interval(np.array(low), np.array(high), tuple(methods))


def cluster_sums(rows: Floats, clusters: Sequence[Hashable]) -> Floats:
    """Scored rows added up by cluster, `[m, k]`, clusters in sorted order so that nothing depends on the order of rows."""
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or len(rows) != len(clusters):
        raise ValueError(f"rows of shape {rows.shape} came with {len(clusters)} clusters; expected one cluster a row")
    scored = np.asarray(~np.isnan(rows).any(axis=1))
    names = [str(cluster) for cluster, is_scored in zip(clusters, scored.tolist(), strict=True) if is_scored]
    if not names:
        return np.zeros((0, rows.shape[1]))
    unique, inverse = np.unique(np.array(names), return_inverse=True)
    sums = np.zeros((len(unique), rows.shape[1]))
    np.add.at(sums, inverse, rows[scored])
    return sums


def _resample(sums: Floats, draws: int, seed: int) -> Floats:
    """Sums of resampled clusters, `[draws, k]`: how often each cluster was drawn, times its sums."""
    m = len(sums)
    drawn = _drawn(m, draws, seed) if draws * m <= _KEPT else draw_counts(m, draws, seed)
    return np.concatenate([counts.astype(np.float64) @ sums for counts in drawn])


@lru_cache(maxsize=4)
def _drawn(m: int, draws: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """Kept, because all metrics of all runs on the same examples are resampled alike."""
    return tuple(counts.astype(np.uint16) for counts in draw_counts(m, draws, seed))


def draw_counts(m: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of m clusters comes up in m draws with replacement, in pieces of some replicates each, `[piece, m]`.

    Drawing and counting is five times as fast as `Generator.multinomial`, which draws a binomial number a cluster.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    chunk = max(1, _CHUNK_BYTES // (8 * m))
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn = rng.integers(0, m, (rows, m)) + m * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * m).reshape(rows, m)


def _interval_of(value: float, replicates: Floats, jackknife: Floats, tails: tuple[float, float]) -> tuple[float, float, str]:
    """Interval of one output."""
    replicates = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or not len(replicates):
        return np.nan, np.nan, "none"
    # Sums in another order differ in the last digits: replicates that equal the value must count as ties all the same.
    tied = np.abs(replicates - value) <= 1e-12 * abs(value)
    below = (np.sum((replicates < value) & ~tied) + np.sum(tied) / 2) / len(replicates)
    # Equal examples leave differences of rounding only, which have no acceleration.
    varies = bool(np.isfinite(jackknife).all()) and np.ptp(jackknife) > 1e-12 * abs(value)
    if not 0 < below < 1 or not varies:
        low, high = np.quantile(replicates, tails)
        return float(low), float(high), "percentile"
    deviation = (jackknife.mean() - jackknife) / np.ptp(jackknife)  # its scale cancels, and squares of it could underflow
    spread = np.sum(deviation**2)
    acceleration = np.sum(deviation**3) / (6 * spread**1.5)
    shift = ndtri(below)
    z = shift + ndtri(np.array(tails))
    low, high = np.quantile(replicates, ndtr(shift + z / (1 - acceleration * z)))
    return float(low), float(high), "bca"
