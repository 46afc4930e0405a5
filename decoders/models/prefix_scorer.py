"""Features of candidate texts that share a beginning, each token of which a causal text tower needs to see once.

A `PrefixScorer` keeps the keys and values of the beginnings it has met. What is new is planned in `decoders.models.text_tree` and
goes through the tower packed, without padding: every token sees the part of its node's path that is its own, and the few tokens
before it of its own text. In the last layer only end tokens have a query and an MLP, since the feature is the activation there
(Radford et al. 2021, section 2.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from decoders.models.packed import PackedAttention, is_plain
from decoders.models.text_tree import Ids, TextTree, plan
from decoders.transfer import upload

_TOKENS = 1536
"""Tokens that go through the tower together on a CPU: few enough that a layer's activations stay in its cache."""
_TOKENS_ON_GPU = 1 << 16
"""The same on other devices, which small passes would leave idle."""


class PrefixScorer:
    """Text features of a causal open_clip tower, incrementally.

    It holds the state of one decoding run; make a new one for each. The tower must be causal and pool at the end token.

    Args:
        tower: open_clip's `TextTransformer`, or a `CLIP` that has its parts.
    """

    def __init__(self, tower: Any) -> None:
        self._tower = tower
        self._layers = [_Layer(block) for block in tower.transformer.resblocks]
        self._dtype: torch.dtype = tower.positional_embedding.dtype
        self._device: torch.device = tower.positional_embedding.device
        self._paths = np.empty((0, 0), np.int64)
        self._store: Tensor | None = None
        """Keys and values of each layer, `[layers, 2, paths, heads, slots, head]`."""

    @staticmethod
    def can(tower: Any) -> bool:
        """Whether the tower is built of blocks whose parts are known here."""
        from open_clip.transformer import ResidualAttentionBlock

        blocks = getattr(getattr(tower, "transformer", None), "resblocks", [])
        return bool(blocks) and all(
            type(block) is ResidualAttentionBlock
            and not hasattr(block, "ln_1_kv")
            and (type(block.attn) is PackedAttention or is_plain(block.attn))
            for block in blocks
        )

    @torch.no_grad()
    def features(self, ids: Tensor, ends: Tensor, rows: int) -> Tensor:
        """Features of the texts of some rows.

        Args:
            ids: `[rows * k, context]` int64, the candidates of one row after those of another.
            ends: `[rows * k]` int64, where each text's end token is.
            rows: how many rows there are.

        Returns:
            `[rows * k, d]` float32 of unit length.
        """
        # Texts are packed by what they share. The k candidates of a row are one path (their common beginning) and k tails of a
        # token or two; the path's beginning was mostly computed at the step before and is read from the store. So a step costs
        # about k tail tokens a row instead of k whole texts of 77 tokens.
        tree = plan(ids.cpu().numpy(), ends.cpu().numpy(), rows, self._paths)
        heads = self._layers[0].heads
        width = self._tower.positional_embedding.shape[1] // heads
        shape = (len(self._layers), 2, len(tree.paths), heads, tree.paths.shape[1], width)
        store = torch.zeros(shape, dtype=self._dtype, device=self._device)
        budget = _TOKENS if self._device.type == "cpu" else _TOKENS_ON_GPU
        plans = [_Plan.of(tree, first, last) for first, last in _chunks(tree, budget)]
        texts, *tensors = upload([tree.texts, *(array for planned in plans for array in planned.arrays)], self._device)
        parts = []
        for planned in plans:
            parts.append(self._run(planned, _Pass.of(planned, tensors[: len(planned.arrays)]), store))
            tensors = tensors[len(planned.arrays) :]
        self._paths, self._store = tree.paths, store
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[texts]

    def _run(self, planned: _Plan, part: _Pass, store: Tensor) -> Tensor:
        """One pass over some nodes, `[texts, d]`; it fills their part of `store`."""
        tower, first, last = self._tower, planned.first, planned.last
        x = tower.token_embedding(part.ids).to(self._dtype) + tower.positional_embedding[part.positions]
        states = store[:, :, first:last]
        if self._store is not None and planned.stored:
            states[..., : planned.stored, :] = self._store[:, :, part.sources, :, : planned.stored]
        for number, layer in enumerate(self._layers):
            x = layer(x, part, states[number], last=number + 1 == len(self._layers))
        return project(tower, x)


def project(tower: Any, x: Tensor) -> Tensor:
    """Features, `[n, d]` float32 of unit length, of the activations that a text tower pools, `[n, width]`."""
    pooled = tower.ln_final(x)
    projection = tower.text_projection
    if projection is not None:
        pooled = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
    return F.normalize(pooled.float(), dim=-1)


class _Layer:
    """One residual block of the tower, on packed tokens."""

    def __init__(self, block: Any) -> None:
        self._block = block
        self.heads: int = block.attn.num_heads

    def _qkv(self, x: Tensor) -> Tensor:
        attention = self._block.attn
        if type(attention) is PackedAttention:
            return attention.qkv(x)  # type: ignore[no-any-return]
        return F.linear(x, attention.in_proj_weight, attention.in_proj_bias)

    def __call__(self, x: Tensor, part: _Pass, states: Tensor, *, last: bool) -> Tensor:
        """Tokens through the block, `[tokens, width]` to `[tokens, width]`; in the last block, to the end tokens alone.

        Args:
            x: the new tokens.
            part: which of them belong to a path.
            states: `[2, nodes, heads, slots, head]`, keys and values of the stored part of the nodes' paths; the new part is
                filled in.
            last: whether only end tokens are read from here on.
        """
        block = self._block
        qkv = self._qkv(block.ln_1(x)).view(len(x), 3, self.heads, -1)
        q, kv = qkv[:, 0], qkv[:, 1:]
        # Two indices with a slice between them put their own dimension first.
        states[:, part.path_nodes, :, part.path_slots] = kv[part.path_tokens]
        asking = part.ends if last else part.all
        if last:
            x, q = x[asking.tokens], q[asking.tokens]
        x = x + block.ls_1(block.attn.out_proj(_attend(q, kv, states, asking).flatten(1)))
        return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]


def _attend(q: Tensor, kv: Tensor, states: Tensor, asking: _Queries) -> Tensor:
    """Attention of queries, `[queries, heads, head]`, to their node's path and to what precedes them in their own text.

    Args:
        q: of the tokens that ask.
        kv: `[tokens, 2, heads, head]`, keys and values of all tokens.
        states: `[2, nodes, heads, slots, head]`, those of the paths.
        asking: who sees whom.
    """
    # Two parts of one softmax. On the path, queries of a node share keys: one batched product, padded to the node with most
    # queries. Behind the path a token sees at most TAIL tokens of its own text, which are just before it in the packed row:
    # one step back at a time costs a multiplication a token, and no padding.
    q = q * q.shape[-1] ** -0.5
    keys, values = states
    slots = keys.shape[2]
    on_path = asking.gather(asking.spread(q) @ keys.transpose(2, 3))  # [queries, heads, slots]
    scores = [on_path.masked_fill_(asking.hidden, -torch.inf)]
    before = kv[asking.before]  # [steps, queries, 2, heads, head]
    if len(before):
        behind = (q * before[:, :, 0]).sum(dim=-1).masked_fill_(asking.too_far, -torch.inf)
        scores.append(behind.permute(1, 2, 0))
    weights = torch.cat(scores, dim=-1).float().softmax(dim=-1).to(q.dtype)
    mixed = asking.gather(asking.spread(weights[..., :slots]) @ values)
    for step, its_values in enumerate(before[:, :, 1]):
        mixed = torch.addcmul(mixed, weights[..., slots + step, None], its_values)
    return mixed


@dataclass(frozen=True, slots=True)
class _Queries:
    """Tokens whose attention is wanted, and what they may see."""

    tokens: Tensor
    """`[queries]` int64: their places among all tokens of the pass."""
    nodes: Tensor
    places: Tensor
    """`[queries]` int64: each query's node, and its place among the node's queries."""
    shape: tuple[int, int]
    """Nodes, and the most queries that any of them has."""
    sources: Tensor
    """`[nodes * most queries]` int64: the query at each place of a rectangle; where there is none, any."""
    hidden: Tensor
    """`[queries, 1, slots]` bool: the places of its path that a query does not see."""
    before: Tensor
    """`[steps, queries]` int64: the token 0, 1, 2, ... steps back in its own text."""
    too_far: Tensor
    """`[steps, queries, 1]` bool: where that is before the text's own tokens."""

    @staticmethod
    def arrays(tokens: Ids, node: Ids, sees: Ids, back: Ids, *, count: int, slots: int) -> list[NDArray[Any]]:
        """What `of` takes, for the tokens `tokens`; `node`, `sees` and `back` are theirs, of `count` nodes with `slots` slots."""
        first = np.searchsorted(node, np.arange(count + 1))
        places, most = np.arange(len(node)) - first[node], int(np.diff(first).max())
        sources = np.minimum(first[:-1, None] + np.arange(most), len(node) - 1)
        steps = np.arange(int(back.max()))[:, None]
        return [
            tokens,
            node,
            places,
            sources.ravel(),
            np.arange(slots) >= sees[:, None],
            np.maximum(tokens - steps, 0),
            back <= steps,
        ]

    @classmethod
    def of(cls, tensors: Sequence[Tensor], shape: tuple[int, int]) -> _Queries:
        """From the arrays of `arrays` on the device."""
        tokens, nodes, places, sources, hidden, before, too_far = tensors
        return cls(tokens, nodes, places, shape, sources, hidden[:, None], before, too_far[..., None])

    def spread(self, packed: Tensor) -> Tensor:
        """`[queries, heads, n]` as `[nodes, heads, most queries, n]`; where a node has fewer stands another query."""
        if len(packed) < self.shape[0] * self.shape[1]:
            packed = packed[self.sources]
        return packed.reshape(*self.shape, *packed.shape[1:]).transpose(1, 2)

    def gather(self, padded: Tensor) -> Tensor:
        """The reverse of `spread`."""
        padded = padded.transpose(1, 2)
        if len(self.nodes) == self.shape[0] * self.shape[1]:
            return padded.flatten(0, 1)
        return padded[self.nodes, self.places]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The new tokens of the nodes from `first` to before `last`, as arrays that go to the device together."""

    first: int
    last: int
    stored: int
    """Slots of the store that any node reads."""
    arrays: list[NDArray[Any]]
    """The tensors of a `_Pass`, in its order, and behind them those of its two kinds of queries."""
    of_all: int
    """How many of the arrays come before those of the end tokens."""
    most: tuple[int, int]
    """The most queries of any node: of all tokens, of the end tokens."""

    @classmethod
    def of(cls, tree: TextTree, first: int, last: int) -> _Plan:
        """The tokens of some nodes of a tree."""
        span = slice(tree.first[first], tree.first[last])
        positions, sees, back = tree.positions[span], tree.sees[span], tree.back[span]
        node = np.repeat(np.arange(last - first), np.diff(tree.first[first : last + 1]))
        on_path = np.flatnonzero(back == 0)
        ends = tree.ends[(tree.ends >= span.start) & (tree.ends < span.stop)] - span.start

        def queries(tokens: Ids) -> list[NDArray[Any]]:
            counts = {"count": last - first, "slots": tree.paths.shape[1]}
            return _Queries.arrays(tokens, node[tokens], sees[tokens], back[tokens], **counts)

        paths = [tree.ids[span], positions, tree.sources[first:last], on_path, node[on_path], positions[on_path]]
        every = [*paths, *queries(np.arange(len(node)))]
        most = (int(np.bincount(node).max()), int(np.bincount(node[ends]).max()))
        return cls(first, last, int(tree.known[first:last].max()), [*every, *queries(ends)], len(every), most)


@dataclass(frozen=True, slots=True)
class _Pass:
    """The new tokens of some nodes on the tower's device."""

    ids: Tensor
    positions: Tensor
    """`[tokens]` int64."""
    sources: Tensor
    """`[nodes]` int64: the row of the store with the node's beginning."""
    path_tokens: Tensor
    path_nodes: Tensor
    path_slots: Tensor
    """`[new path tokens]` int64: their places among the tokens, their nodes and their places in these nodes' paths."""
    all: _Queries
    ends: _Queries

    @classmethod
    def of(cls, planned: _Plan, tensors: Sequence[Tensor]) -> _Pass:
        """A plan whose arrays are on the device as `tensors`."""
        nodes, (of_all, of_ends) = planned.last - planned.first, planned.most
        every = _Queries.of(tensors[6 : planned.of_all], (nodes, of_all))
        ends = _Queries.of(tensors[planned.of_all :], (nodes, of_ends))
        ids, positions, sources, path_tokens, path_nodes, path_slots = tensors[:6]
        return cls(ids, positions, sources, path_tokens, path_nodes, path_slots, every, ends)


def _chunks(tree: TextTree, budget: int) -> Iterator[tuple[int, int]]:
    """Runs of nodes whose tokens stay within the budget, at least one node each."""
    start = 0
    for stop in range(1, len(tree.first)):
        full = stop + 1 == len(tree.first) or tree.first[stop + 1] - tree.first[start] > budget
        if full:
            yield start, stop
            start = stop
