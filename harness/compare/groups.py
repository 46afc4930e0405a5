"""Which rows of a table can be told apart: letters after Piepho (2004), "An algorithm for a letter-based representation of
all-pairwise comparisons". Two systems that share a letter are not significantly different."""  # noqa: D205, D209

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.compare.corrections import Correction, correct
from harness.compare.differences import gives_back, load_metric
from harness.compare.paired import PERMUTATIONS, SIGNIFICANCE, Clusters, Finalise, align, permutation_test
from harness.compare.same_examples import made_alike
from harness.compare.scored import ScoredRun
from harness.errors import SeeTellError

Letters = dict[str, str]
"""System to letters, such as `{"magic": "a", "greedy": "bc"}`; empty where nothing was compared."""


def enough_permutations(systems: int, significance: float = SIGNIFICANCE) -> int:
    """Permutations at which so many systems could still be told apart: never fewer than `PERMUTATIONS`.

    The smallest p-value there is, 1 / (B + 1), is multiplied by the count of pairs; five times as many permutations as it
    takes to get it below the level leave room for a test to succeed.
    """
    pairs = systems * (systems - 1) // 2
    return max(PERMUTATIONS, math.ceil(5 * pairs / significance))


def suite_groups(
    runs: Mapping[str, ScoredRun], *, draws: int | None = None, seed: int = 0, correction: Correction = "holm"
) -> dict[str, Letters]:
    """Letters for every column of a suite's table.

    Only runs whose signatures are equal are compared with each other; where a column holds several signatures, each has
    letters of its own. Metrics whose rows cannot be resampled as stored, outputs without a better direction, and rows that do
    not give the stored value any more get none.

    Args:
        runs: by the name of their row, from `on_same_examples` where answers failed; runs on other examples than the rest are
            compared on what all of them share.
        draws: permutations a test; what `enough_permutations` says by default.
        seed: of the permutations.
        correction: over all pairs of a column.

    Returns:
        By output, then by row name.
    """
    draws = draws or enough_permutations(len(runs))
    letters_of: dict[str, Letters] = {}
    for label in dict.fromkeys(label for run in runs.values() for label in run.metrics):
        for names in made_alike(runs, label):
            first = runs[names[0]]
            try:
                metric = load_metric(first.suite, label)
            except SeeTellError:
                continue  # a plug-in that is gone: the values stand, the letters do not
            if metric.resampling != "bootstrap":
                continue  # rows that cannot be exchanged, or only after measuring all pairs of runs together
            systems = {}
            for name in names:
                scored = runs[name].metrics[label]
                if scored.rows is not None and not scored.not_ranked and gives_back(scored, metric):
                    systems[name] = Clusters.of(runs[name].clusters, scored.rows)
            scores = first.metrics[label].scores
            better = [score.higher_is_better for score in scores]
            columns = significance_groups(systems, metric.finalise, better, correction=correction, draws=draws, seed=seed)
            for score, letters in zip(scores, columns, strict=True):
                letters_of.setdefault(score.output, {}).update(letters)
    return letters_of


def significance_groups(
    systems: Mapping[str, Clusters],
    finalise: Finalise,
    higher_is_better: Sequence[bool | None],
    *,
    correction: Correction = "holm",
    significance: float = SIGNIFICANCE,
    draws: int = PERMUTATIONS,
    seed: int = 0,
) -> list[Letters]:
    """Letters for each output of one metric, from paired permutation tests of all pairs on the examples they share.

    Args:
        systems: by name; their signatures must be equal, which the caller has checked.
        finalise: of the metric.
        higher_is_better: for each output, which end is `a`; None for no letters.
        correction: over all pairs of a column.
        significance: level after the correction.
        draws: permutations.
        seed: of the permutations.
    """
    names = [name for name, clusters in systems.items() if len(clusters.ids)]
    columns = [dict.fromkeys(systems, "") for _ in higher_is_better]
    if len(names) < 2:
        return columns
    rows = align([systems[name] for name in names]).rows
    if rows.shape[1] == 0:
        return columns
    values = finalise(rows.sum(axis=1))
    pairs = list(combinations(range(len(names)), 2))
    p = permutation_test(rows, finalise, pairs, draws=draws, seed=seed)
    for output, better in enumerate(higher_is_better):
        if better is None:
            continue
        merit = values[:, output] if better else -values[:, output]
        ranked = [int(place) for place in np.argsort(-merit, kind="stable") if not np.isnan(merit[place])]
        different = np.zeros((len(names), len(names)), bool)
        for (a, b), adjusted in zip(pairs, correct(p[:, output], correction), strict=True):
            different[a, b] = different[b, a] = adjusted <= significance
        if len(ranked) > 1:
            for place, letters in zip(ranked, letter_display(different[np.ix_(ranked, ranked)]), strict=True):
                columns[output][names[place]] = letters
    return columns


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
    return [column for column in distinct if not any(column < larger for larger in distinct)]


def _letter(index: int) -> str:
    """a, b, ..., z, then (27), (28), ... in brackets, since `aa` would read as a twice."""
    return chr(ord("a") + index) if index < 26 else f"({index + 1})"
