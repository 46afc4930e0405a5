"""Which tokens of candidate texts a causal text tower has to see, and what each of them sees: planned with whole arrays.

The candidates of a row begin alike. Their *path* is the beginning that more than half of them share, by ids. Rows with equal
paths are one *node*; equal candidates of a node are one *text*. New tokens are the end of each path that is not stored yet, and
of each text the ids behind what it shares with its path, end token included. A text that shares too little becomes a node of its
own, so that what follows a path is always short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
TAIL = 4
"""The most tokens that a text may have behind its path."""
NOTHING = -1
"""Fills tables behind the end of a path or a text."""


@dataclass(frozen=True, slots=True)
class TextTree:
    """New tokens, packed: node by node, each its path's new tokens and then one text after another."""

    paths: Ids
    """`[nodes, longest path]`, filled up with `NOTHING`."""
    sources: Ids
    """`[nodes]`: the row of the store that has the node's beginning."""
    known: Ids
    """`[nodes]`: how many ids of the path that row has."""
    first: Ids
    """`[nodes + 1]`: where each node's tokens start among all tokens."""
    ids: Ids
    positions: Ids
    """`[tokens]`: ids, and their places in their texts."""
    sees: Ids
    """`[tokens]`: how many ids of its node's path a token sees; a path's own token sees itself there."""
    back: Ids
    """`[tokens]`: how many tokens before it, itself included, it sees of its own text; 0 for a path's token."""
    ends: Ids
    """`[texts]`: where the end token of each text stands among all tokens, in ascending order."""
    texts: Ids
    """`[candidates]`: the text of each candidate of each row, one row after another."""


def plan(table: Ids, ends: Ids, rows: int, stored: Ids) -> TextTree:
    """Plan one pass.

    Args:
        table: `[rows * k, context]`, ids of the candidates of one row after those of another; what is behind `ends` is ignored.
        ends: `[rows * k]`, the place of each candidate's end token.
        rows: how many rows there are.
        stored: `[stored, slots]`, paths whose keys and values are at hand, filled up with `NOTHING`.
    """
    width = int(ends.max()) + 1
    places = np.arange(width)
    whole = np.where(places <= ends[:, None], table[:, :width], NOTHING)
    bodies = np.where(places < ends[:, None], whole, NOTHING)
    row_paths = shared_beginnings(bodies.reshape(rows, -1, width))
    # A row's number becomes the number of its node: the first row with the same path.
    first_row, node_of_row = _unique(row_paths)
    node = np.repeat(node_of_row, len(table) // rows)
    shared = _agreeing(bodies, row_paths[first_row][node])
    far = ends + 1 - shared > TAIL
    far_first, far_node = _unique(bodies[far])
    paths = np.concatenate([row_paths[first_row], bodies[far][far_first]])
    node[far] = len(first_row) + far_node
    shared[far] = ends[far]
    text_first, text = _unique(np.column_stack([node, whole]))
    order = np.argsort(node[text_first], kind="stable")
    back_to = np.empty_like(order)
    back_to[order] = np.arange(len(order))
    return _laid_out(paths, node[text_first][order], whole[text_first][order], ends[text_first][order],
                     shared[text_first][order], back_to[text], stored)  # fmt: skip


def _laid_out(paths: Ids, node: Ids, whole: Ids, ends: Ids, shared: Ids, texts: Ids, stored: Ids) -> TextTree:
    """The tokens of nodes and of their distinct texts, which come in order of their nodes."""
    used = np.unique(node)  # a path that no candidate follows is not needed
    paths, node = paths[used], np.searchsorted(used, node)
    lengths = (paths != NOTHING).sum(axis=1)
    paths = paths[:, : max(1, int(lengths.max()))]
    sources, known = _find(paths, stored)
    # Segments of tokens: a node's path, then its texts; each takes ids [start, stop) of a row of `whole` or `paths`.
    count = len(paths)
    owner = np.concatenate([np.arange(count), node])
    start = np.concatenate([known, shared])
    size = np.concatenate([lengths, ends + 1]) - start
    is_text = np.arange(len(owner)) >= count
    order = np.argsort(owner, kind="stable")  # paths precede texts in `owner`, so they come first in their node
    owner, start, size, is_text = owner[order], start[order], size[order], is_text[order]
    segment = np.repeat(np.arange(len(size)), size)
    offset = np.arange(len(segment)) - np.repeat(np.cumsum(size) - size, size)
    positions = start[segment] + offset
    table = np.full((len(order), max(paths.shape[1], whole.shape[1])), NOTHING)
    table[~is_text, : paths.shape[1]] = paths
    table[is_text, : whole.shape[1]] = whole
    text_token = is_text[segment]
    return TextTree(
        paths=paths,
        sources=sources,
        known=known,
        first=np.searchsorted(owner[segment], np.arange(count + 1)),
        ids=table[segment, positions],
        positions=positions,
        sees=np.where(text_token, start[segment], positions + 1),
        back=np.where(text_token, offset + 1, 0),
        ends=np.cumsum(size)[is_text] - 1,
        texts=texts,
    )


def shared_beginnings(bodies: Ids) -> Ids:
    """The beginning that more than half of a row's candidates share, `[rows, width]` filled up with `NOTHING`.

    Args:
        bodies: `[rows, k, width]`, ids without end tokens, filled up with `NOTHING`.
    """
    rows, k, width = bodies.shape
    paths = np.full((rows, width), NOTHING)
    live = np.ones((rows, k), bool)
    for place in range(width):
        values = np.where(live, bodies[:, :, place], NOTHING)
        middle = np.sort(values, axis=1)[:, k // 2]  # the value that more than half agree on, if any
        live &= values == middle[:, None]
        longer = (middle != NOTHING) & (2 * live.sum(axis=1) > k)
        live &= longer[:, None]
        if not longer.any():
            break
        paths[longer, place] = middle[longer]
    return paths


def _find(paths: Ids, stored: Ids) -> tuple[Ids, Ids]:
    """The stored path that shares most with each path, and how much."""
    if not len(stored):
        return np.zeros(len(paths), np.int64), np.zeros(len(paths), np.int64)
    shared = np.stack([_agreeing(np.broadcast_to(path, (len(stored), len(path))), stored) for path in paths])
    best = shared.argmax(axis=1)
    return best, shared[np.arange(len(paths)), best]


def _agreeing(first: Ids, second: Ids) -> Ids:
    """Lengths of the longest common beginnings of rows, `[n]`."""
    width = min(first.shape[1], second.shape[1])
    same = (first[:, :width] == second[:, :width]) & (first[:, :width] != NOTHING)
    lengths: Ids = np.where(same.all(axis=1), width, same.argmin(axis=1))
    return lengths


def _unique(rows: Ids) -> tuple[Ids, Ids]:
    """Where each distinct row stands first, and which distinct row each row is."""
    rows = np.ascontiguousarray(rows)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse
