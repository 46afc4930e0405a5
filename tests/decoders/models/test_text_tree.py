"""The plan of a pass, held to what each token of each text must see, over random candidates and stored beginnings."""

from __future__ import annotations

import numpy as np
import pytest

from decoders.models.text_tree import NOTHING, TAIL, Ids, TextTree, plan

START, END = 1, 9


def table_of(texts: list[list[int]], width: int) -> tuple[Ids, Ids]:
    """Texts between start and end token, as a tokenizer pads them, and their ends."""
    whole = [[START, *text, END] for text in texts]
    return np.array([text + [0] * (width - len(text)) for text in whole]), np.array([len(text) - 1 for text in whole])


def seen_by(tree: TextTree, token: int, stored: Ids) -> list[int]:
    """The ids that a token sees, in order, itself included, as the planned pass would show them to it."""
    node = int(np.searchsorted(tree.first, token, side="right")) - 1
    slots = [NOTHING] * tree.paths.shape[1]
    known = int(tree.known[node])
    slots[:known] = stored[tree.sources[node], :known].tolist() if known else []
    for other in range(tree.first[node], tree.first[node + 1]):
        if tree.back[other] == 0:
            slots[tree.positions[other]] = int(tree.ids[other])
    own = [int(i) for i in tree.ids[token + 1 - tree.back[token] : token + 1]]
    return slots[: tree.sees[token]] + own


@pytest.mark.parametrize("seed", range(40))
def test_every_end_token_sees_its_whole_text(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, k, width = int(rng.integers(1, 5)), int(rng.integers(1, 9)), 24
    stored = np.full((0, 0), NOTHING)
    bases = [rng.integers(2, 5, rng.integers(0, 12)).tolist() for _ in range(rows)]
    for _ in range(3):
        texts = []
        for base in bases:
            for _ in range(k):
                kept = base[: len(base) - int(rng.integers(0, 3))] if rng.random() < 0.3 else base
                texts.append([*kept, *rng.integers(2, 5, rng.integers(0, 7)).tolist()])
        table, ends = table_of(texts, width)
        tree = plan(table, ends, rows, stored)
        for number, text in enumerate(texts):
            end = int(tree.ends[tree.texts[number]])
            assert seen_by(tree, end, stored) == [START, *text, END]
            assert tree.positions[end] == len(text) + 1
        assert tree.back.max() <= TAIL
        for token in range(len(tree.ids)):
            assert seen_by(tree, token, stored)[-1] == tree.ids[token]
            assert len(seen_by(tree, token, stored)) == tree.positions[token] + 1
            assert NOTHING not in seen_by(tree, token, stored)
        stored = tree.paths
        bases = [texts[row * k][:14] for row in range(rows)]


def test_what_is_shared_is_planned_once() -> None:
    """Two rows that say the same, and equal candidates: one node, and only what follows the stored beginning."""
    beginning = [2, 3, 4, 2, 3]
    table, ends = table_of([[*beginning, 2], [*beginning, 3], [*beginning, 3], [*beginning, 4, 4]] * 2, 12)
    first = plan(table, ends, 2, np.full((0, 0), NOTHING))
    assert len(first.paths) == 1
    assert len(first.ends) == 3
    assert len(first.ids) == 1 + len(beginning) + 2 + 2 + 3
    second = plan(table, ends, 2, first.paths)
    assert second.known.tolist() == [1 + len(beginning)]
    assert len(second.ids) == 2 + 2 + 3


def test_a_candidate_that_shares_too_little_stands_alone() -> None:
    table, ends = table_of([[2, 3, 4, 2, 3, 4, 2], [2, 3, 4, 2, 3, 4, 3], [2, 3, 4, 2, 3, 4, 4], [3, 3, 3, 3, 3, 3]], 12)
    tree = plan(table, ends, 1, np.full((0, 0), NOTHING))
    assert sorted((path[path != NOTHING]).tolist() for path in tree.paths) == [[1, 2, 3, 4, 2, 3, 4], [1, 3, 3, 3, 3, 3, 3]]
