"""The two-way bootstrap: items and annotators are both a sample, so both are drawn again.

Ratings of one item hang together, and so do ratings by one person; an interval that treats them as independent is several
times too narrow. Here a replicate draws items and, independently, annotators, and a rating counts as often as its item times
as often as its annotator was drawn (Owen 2007, "The pigeonhole bootstrap"). It errs a little on the wide side.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.metrics.intervals import draw_counts

Floats = NDArray[np.float64]

DRAWS = 10_000
FEW_ANNOTATORS = 8
"""With fewer, drawing annotators again says too little about other annotators: coverage falls below 90 %."""
_NUMBERS_AT_ONCE = 2**22
_KEPT = 2**24
"""Counts of drawn items that are kept for the next aspect, two bytes each."""
_SPARSE_BELOW = 0.08
"""Share of cells that hold a rating below which a sparse product is faster than BLAS."""


def two_way_means(values: Floats, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Replicates of means over items of means over annotators.

    Every layer sees the same draws, so differences of replicates are replicates of differences.

    Args:
        values: `[layers, items, annotators]`, NaN where there is no rating; a layer is a system's ratings of an aspect, or
            anything else that is one number a rating.
        draws: replicates.
        seed: the same values and seed give the same replicates.

    Returns:
        `[draws, layers]`; NaN where a replicate drew no rating of the layer.
    """
    layers, items, annotators = values.shape
    if not values.size:
        return np.full((draws, layers), np.nan)
    rated = ~np.isnan(values)
    # 1 / ratings of the item: every item weighs the same, however many of its ratings are left after exclusions.
    weights = rated / np.maximum(rated.sum(axis=2, keepdims=True), 1)
    kinds, kind_of = _distinct(weights)
    stacked = np.concatenate([np.where(rated, values, 0.0) * weights, kinds])
    of_items, of_annotators = np.random.SeedSequence(seed).generate_state(2).tolist()
    drawn_annotators = np.concatenate(list(draw_counts(annotators, draws, of_annotators))).astype(np.float64)
    sums = np.empty((draws, len(stacked)))
    flat = np.ascontiguousarray(stacked.transpose(1, 0, 2).reshape(items, -1))
    thin = sparse.csr_array(flat.T) if rated.mean() < _SPARSE_BELOW else None
    step = max(1, _NUMBERS_AT_ONCE // flat.shape[1])
    start = 0
    for drawn in _drawn_items(items, draws, of_items):
        for first in range(0, len(drawn), step):
            counts = drawn[first : first + step].astype(np.float64)
            by_item = counts @ flat if thin is None else (thin @ counts.T).T
            stop = start + len(counts)
            by_annotator = by_item.reshape(len(counts), len(stacked), annotators)
            sums[start:stop] = (by_annotator @ drawn_annotators[start:stop, :, None])[:, :, 0]
            start = stop
    totals = sums[:, layers:][:, kind_of]
    return np.where(totals > 0, sums[:, :layers] / np.where(totals > 0, totals, 1.0), np.nan)


def _drawn_items(items: int, draws: int, seed: int) -> Iterable[NDArray[np.integer[Any]]]:
    return _kept_items(items, draws, seed) if items * draws <= _KEPT else draw_counts(items, draws, seed)


@lru_cache(maxsize=2)
def _kept_items(items: int, draws: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """Kept, because all aspects and pairs of a study draw the same items."""
    return tuple(counts.astype(np.uint16) for counts in draw_counts(items, draws, seed))


def _distinct(weights: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Layers whose cells are rated alike share their denominators, which in most studies are all the same."""
    place: dict[bytes, int] = {}
    kinds: list[Floats] = []
    kind_of = []
    for layer in weights:
        key = layer.tobytes()
        if key not in place:
            place[key] = len(kinds)
            kinds.append(layer)
        kind_of.append(place[key])
    return np.stack(kinds), np.array(kind_of, np.intp)
