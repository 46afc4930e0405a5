"""Paired comparison of systems that answered the same examples: permutation test, standard error, what could be seen at all.

Everything rests on a metric's rows (`harness.metrics.base`). A permutation exchanges what two systems said to an example,
all draws of it together, and recomputes the score from sums, so corpus-level metrics (BLEU, METEOR) are tested as they are
and not as means of something else. Under the null hypothesis that both systems answer an example alike such exchanges change
nothing (Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses"; Riezler and Maxwell 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from harness.errors import MetricError

Floats = NDArray[np.float64]
Finalise = Callable[[Floats], Floats]
"""`Metric.finalise`: sums `[..., k]` to values `[..., outputs]`, vectorised over leading axes."""

PERMUTATIONS = 10_000
POWER = 0.8
"""Chance of seeing an effect of the size that is called detectable."""
SIGNIFICANCE = 0.05

_CHUNK_BYTES = 32 * 2**20
_TIE = 1e-9
"""Exchanges that give the observed difference again must count as such, although sums in another order differ in the last
digits; relative to the size of the scores."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """One system's rows, added up over the draws of each example; unscored draws are left out."""

    ids: NDArray[np.str_]
    """Examples with at least one scored draw, sorted, `[m]`."""
    sums: Floats
    """`[m, k]`."""
    counts: NDArray[np.int64]
    """Scored draws an example, `[m]`."""
    examples: frozenset[str]
    """All examples, the unscored ones too."""

    @classmethod
    def of(cls, example_ids: Sequence[str], rows: Floats) -> Clusters:
        """Group rows by example.

        Args:
            example_ids: the example of each row, `[n]`, in any order.
            rows: `[n, k]`; a row with a NaN is unscored.

        Raises:
            MetricError: as many ids as rows are needed.
        """
        rows = np.asarray(rows, np.float64)
        if rows.ndim != 2 or len(rows) != len(example_ids):
            raise MetricError(
                f"{len(example_ids)} example ids came with rows of shape {rows.shape}; expected one row an id. The stored "
                "scores do not belong to these samples; score the run again, with --fresh"
            )
        scored = ~np.isnan(rows).any(axis=1)
        ids = np.asarray(example_ids, np.str_)[scored]
        unique, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
        sums = np.zeros((len(unique), rows.shape[1]))
        np.add.at(sums, inverse, rows[scored])
        return cls(unique, sums, counts.astype(np.int64), frozenset(example_ids))


@dataclass(frozen=True, slots=True)
class Aligned:
    """Several systems on the examples that all of them have scored draws for."""

    ids: tuple[str, ...]
    rows: Floats
    """`[systems, m, k]`, one row an example."""
    left_out: int
    """Examples that not every system has a score for."""

    @property
    def n(self) -> int:
        """Examples compared."""
        return len(self.ids)


def align(systems: Sequence[Clusters]) -> Aligned:
    """Put systems side by side.

    Where every example has equally many scored draws in every system, rows are sums and the values are the stored ones. Where
    the numbers of any example differ (one system samples, the other does not; a draw failed), all rows are means over draws,
    so that every example weighs the same and exchanging two systems' rows is fair.
    """
    common = systems[0].ids
    for system in systems[1:]:
        common = np.intersect1d(common, system.ids, assume_unique=True)
    union = frozenset().union(*(system.examples for system in systems))
    places = [np.searchsorted(system.ids, common) for system in systems]
    sums = np.stack([system.sums[place] for system, place in zip(systems, places, strict=True)])
    counts = np.stack([system.counts[place] for system, place in zip(systems, places, strict=True)])
    if (counts != counts[:1]).any():
        sums = sums / counts[:, :, None]
    return Aligned(tuple(str(example_id) for example_id in common), sums, len(union) - len(common))


def permutation_test(
    rows: Floats, finalise: Finalise, pairs: Sequence[tuple[int, int]], *, draws: int = PERMUTATIONS, seed: int = 0
) -> Floats:
    """Two-sided p-values of the differences between systems, from exchanging their rows example by example.

    With B random exchanges, c of which give a difference at least as large, p = (c + 1) / (B + 1) (Phipson and Smyth 2010:
    never zero, never too small). Where all 2^m exchanges are no more than B, all of them are made and p is exact. Every pair
    sees the same exchanges, which makes many systems nearly as cheap as two.

    Args:
        rows: `[systems, m, k]`, finite.
        finalise: sums to values, `[..., k]` to `[..., outputs]`.
        pairs: which systems to compare, as indices.
        draws: B.
        seed: equal seeds give equal p-values, whatever the machine's memory.

    Returns:
        `[pairs, outputs]`; NaN where an output has no value, and everywhere if there are no examples.
    """
    systems, m, k = rows.shape
    totals = rows.sum(axis=1)
    values = finalise(totals)
    observed = np.stack([values[b] - values[a] for a, b in pairs])
    if m == 0:
        return np.full_like(observed, np.nan)
    with np.errstate(invalid="ignore"):
        size = np.nanmax(np.abs(values), axis=0, initial=0.0)
    threshold = np.abs(observed) - _TIE * size
    beside = np.ascontiguousarray(rows.transpose(1, 0, 2).reshape(m, systems * k))
    exact = m < 63 and 2**m <= draws
    exceeding = np.zeros(observed.shape, np.int64)
    for exchanged in _every_exchange(m) if exact else _random_exchanges(m, draws, seed):
        moved = (exchanged @ beside).reshape(len(exchanged), systems, k)
        for index, (a, b) in enumerate(pairs):
            flow = moved[:, b] - moved[:, a]
            difference = finalise(totals[b] - flow) - finalise(totals[a] + flow)
            # An exchange without a value counts against significance: p may be too large, never too small.
            exceeding[index] += (~(np.abs(difference) < threshold[index])).sum(axis=0)
    p = exceeding / 2**m if exact else (exceeding + 1) / (draws + 1)
    return np.where(np.isnan(observed), np.nan, p)


def _chunk(m: int) -> int:
    return max(1, _CHUNK_BYTES // (8 * m))


def _random_exchanges(m: int, draws: int, seed: int) -> Iterator[Floats]:
    """0/1 matrices `[chunk, m]`, `draws` rows in all. Whole 64-bit words a row keep the stream independent of the chunks."""
    generator = np.random.default_rng(seed)
    words = -(-m // 64)
    for start in range(0, draws, _chunk(m)):
        count = min(_chunk(m), draws - start)
        drawn = generator.integers(0, 2**64, (count, words), np.uint64).astype("<u8")
        yield np.unpackbits(drawn.view(np.uint8), axis=1, count=m).astype(np.float64)


def _every_exchange(m: int) -> Iterator[Floats]:
    """All 0/1 vectors of length m, in chunks."""
    places = np.arange(m, dtype=np.uint64)
    for start in range(0, 2**m, _chunk(m)):
        numbers = np.arange(start, min(start + _chunk(m), 2**m), dtype=np.uint64)
        yield ((numbers[:, None] >> places) & np.uint64(1)).astype(np.float64)


def differences(pair: Floats, finalise: Finalise) -> tuple[Floats, Finalise]:
    """Two systems as one whose score is the difference second minus first, for routines that resample one system.

    Args:
        pair: `[2, m, k]`.
        finalise: of the metric.

    Returns:
        rows `[m, 2k]` and the finaliser that goes with them.
    """
    k = pair.shape[2]
    return np.concatenate([pair[0], pair[1]], axis=1), lambda sums: finalise(sums[..., k:]) - finalise(sums[..., :k])


def pseudo_values(rows: Floats, finalise: Finalise) -> Floats:
    """What each example contributes, as the jackknife sees it: `m * value - (m - 1) * value without it`.

    Of a mean over examples these are the examples' own values.

    Args:
        rows: `[m, k]`, finite.
        finalise: sums to values.

    Returns:
        `[m, outputs]`; NaN with fewer than two examples.
    """
    m = len(rows)
    total = rows.sum(axis=0)
    if m < 2:
        return np.full((m, *finalise(total).shape), np.nan)
    return np.asarray(m * finalise(total) - (m - 1) * finalise(total - rows))


def standard_error(rows: Floats, finalise: Finalise) -> Floats:
    """Jackknife standard error over examples (Efron and Tibshirani 1993, eq. 11.5).

    Args:
        rows: `[m, k]`, finite.
        finalise: sums to values.

    Returns:
        `[outputs]`; NaN with fewer than two examples.
    """
    contributions, m = pseudo_values(rows, finalise), len(rows)
    if m < 2:
        return np.full(contributions.shape[1:], np.nan)
    spread = contributions - contributions.mean(axis=0)
    return np.asarray(np.sqrt((spread**2).sum(axis=0) / (m * (m - 1))))


FEW = 10
"""Fewer changed examples than these do not tell how large a change can be; fewer losses than these count as their largest."""


def rare_change_bounds(contributions: Floats, room: float, tail: float) -> tuple[float, float, float]:
    """One-sided bounds of a mean difference that hold where most examples are tied and a few change by much.

    A bootstrap sees only the changes that are in the sample: if none of ten examples lost, it gives an interval of zero
    width, though one in four may lose. Here the share of examples that lose has an exact upper bound, and the share of those that
    gain an exact lower one (Clopper and Pearson 1934); with no change at all this is the rule of three.

    Args:
        contributions: what each example contributes to the difference, `[m]`; exactly 0 where both answers score the same.
        room: the largest change that one example can make, for when too few have changed to tell.
        tail: probability that a bound is wrong.

    Returns:
        The lower and the upper bound, each with that probability, and the size that an unseen change is taken to have; NaN
        without examples.
    """
    if not len(contributions) or not np.isfinite(contributions).all():
        return np.nan, np.nan, np.nan
    below, above = -contributions[contributions < 0], contributions[contributions > 0]
    largest = float(np.abs(contributions).max())
    unseen = largest if len(below) + len(above) >= FEW else max(room, largest)
    m = len(contributions)
    return -_most_lost(below, above, m, unseen, tail), _most_lost(above, below, m, unseen, tail), unseen


def _most_lost(losses: Floats, gains: Floats, m: int, unseen: float, tail: float) -> float:
    """Upper bound of the mean loss of m examples, of which these lost and these gained."""
    lost, gained = len(losses), len(gains)
    tail = tail / 2 if gained else tail  # both bounds have to hold together
    often = float(betaincinv(lost + 1, m - lost, 1 - tail)) if lost < m else 1.0
    seldom = float(betaincinv(gained, m - gained + 1, tail)) if gained else 0.0
    few = lost + gained < FEW or not lost
    loss = unseen if few else float(losses.max() if lost < FEW else losses.mean())
    gain = 0.0 if not gained else float(gains.min() if gained < FEW else gains.mean())
    return often * loss - seldom * gain


def detectable_effect(error: Floats, *, power: float = POWER, significance: float = SIGNIFICANCE) -> Floats:
    """The smallest true difference that a two-sided test at `significance` finds with probability `power`.

    Args:
        error: standard error of the difference, of any shape.
        power: wanted chance.
        significance: of the test, before any correction for several tests.
    """
    detectable: Floats = error * (ndtri(1 - significance / 2) + ndtri(power))
    return detectable
