"""Which rows of a table can be told apart: letters after Piepho (2004), "An algorithm for a letter-based representation of
all-pairwise comparisons". Two systems that share a letter are not significantly different."""  # noqa: D205, D209

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.corrections import Correction, correct
from harness.paired import PERMUTATIONS, SIGNIFICANCE, Clusters, Finalise, align, permutation_test


def significance_groups(
    systems: Mapping[str, Clusters],
    finalise: Finalise,
    output: int,
    *,
    higher_is_better: bool = True,
    correction: Correction = "holm",
    significance: float = SIGNIFICANCE,
    draws: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, str]:
    """Letters for one column of a table, from paired permutation tests of all pairs on the examples they share.

    Args:
        systems: by name; their signatures must be equal, which the caller has checked.
        finalise: of the metric.
        output: which of the metric's outputs the column shows.
        higher_is_better: which end is `a`.
        correction: over all pairs of the column.
        significance: level after the correction.
        draws: permutations.
        seed: of the permutations.

    Returns:
        Letters by system, such as `{"magic": "a", "greedy": "bc"}`; empty for a system without a value, and for all of them if
        fewer than two have one.
    """
    names = [name for name, clusters in systems.items() if len(clusters.ids)]
    letters = dict.fromkeys(systems, "")
    if len(names) < 2:
        return letters
    rows = align([systems[name] for name in names]).rows
    values = finalise(rows.sum(axis=1))[:, output]
    ranked = sorted(np.flatnonzero(~np.isnan(values)), key=lambda i: -values[i] if higher_is_better else values[i])
    if len(ranked) < 2 or rows.shape[1] == 0:
        return letters
    pairs = list(combinations(range(len(ranked)), 2))
    p = permutation_test(rows[ranked], finalise, pairs, draws=draws, seed=seed)[:, output]
    different = np.zeros((len(ranked), len(ranked)), bool)
    for (a, b), adjusted in zip(pairs, correct(p, correction), strict=True):
        different[a, b] = different[b, a] = adjusted <= significance
    for place, text in zip(ranked, letter_display(different), strict=True):
        letters[names[place]] = text
    return letters


def letter_display(different: NDArray[np.bool_]) -> list[str]:
    """The compact letter display of a symmetric matrix of significant differences, `[n, n]`, best system first.

    Two systems share a letter exactly if they are not different; `a` is the best one's.
    """
    count = len(different)
    columns = [frozenset(range(count))]
    for a, b in zip(*np.nonzero(np.triu(different, 1)), strict=True):
        split: list[frozenset[int]] = []
        for column in columns:
            split += [column - {int(a)}, column - {int(b)}] if {int(a), int(b)} <= column else [column]
        columns = _without_parts_of_others(split)
    columns.sort(key=sorted)
    return ["".join(_letter(index) for index, column in enumerate(columns) if row in column) for row in range(count)]


def _without_parts_of_others(columns: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    distinct = list(dict.fromkeys(columns))
    return [column for column in distinct if not any(column < other for other in distinct)]


def _letter(index: int) -> str:
    """a, b, ..., z, then (27), (28), ... in brackets, since `aa` would read as a twice."""
    return chr(ord("a") + index) if index < 26 else f"({index + 1})"
