"""Features of candidate texts that share a beginning, each token of which a causal text tower needs to see once.

A `PrefixScorer` keeps the keys and values of the beginnings it has met. What is new is planned in `decoders.models.text_tree` and
goes through the tower packed, without padding: every token sees the part of its node's path that is its own, and the few tokens
before it of its own text. In the last layer only end tokens have a query and an MLP, since the feature is the activation there
(Radford et al. 2021, section 2.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from decoders.models.packed import PackedAttention, is_plain
from decoders.models.text_tree import Ids, TextTree, plan

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
        self._store: list[tuple[Tensor, Tensor]] = []
        """Keys and values of each layer, `[paths, heads, slots, head]`."""

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
        shape = (len(tree.paths), heads, tree.paths.shape[1], self._tower.positional_embedding.shape[1] // heads)
        where: dict[str, Any] = {"dtype": self._dtype, "device": self._device}
        store = [(torch.zeros(shape, **where), torch.zeros(shape, **where)) for _ in self._layers]
        budget = _TOKENS if self._device.type == "cpu" else _TOKENS_ON_GPU
        features = torch.cat([self._run(tree, first, last, store) for first, last in _chunks(tree, budget)])
        self._paths, self._store = tree.paths, store
        return features[_tensor(tree.texts, self._device)]

    def _run(self, tree: TextTree, first: int, last: int, store: list[tuple[Tensor, Tensor]]) -> Tensor:
        """One pass over the nodes from `first` to before `last`, `[texts, d]`; it fills their part of `store`."""
        part = _Pass.of(tree, first, last, self._device)
        tower = self._tower
        x = tower.token_embedding(part.ids).to(self._dtype) + tower.positional_embedding[part.positions]
        for number, layer in enumerate(self._layers):
            keys, values = (states[first:last] for states in store[number])
            if self._store and part.stored:
                for new, old in zip((keys, values), self._store[number], strict=True):
                    new[:, :, : part.stored] = old[part.sources, :, : part.stored]
            x = layer(x, part, keys, values, last=number + 1 == len(self._layers))
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

    def __call__(self, x: Tensor, part: _Pass, keys: Tensor, values: Tensor, *, last: bool) -> Tensor:
        """Tokens through the block, `[tokens, width]` to `[tokens, width]`; in the last block, to the end tokens alone.

        Args:
            x: the new tokens.
            part: which of them belong to a path.
            keys: `[nodes, heads, slots, head]`, the stored part of the nodes' paths; the new part is filled in.
            values: the same.
            last: whether only end tokens are read from here on.
        """
        block = self._block
        q, k, v = self._qkv(block.ln_1(x)).view(len(x), 3, self.heads, -1).unbind(1)
        for states, new in ((keys, k), (values, v)):
            states[part.path_nodes, :, part.path_slots] = new[part.path_tokens]
        asking = part.ends if last else part.all
        if last:
            x, q = x[asking.tokens], q[asking.tokens]
        x = x + block.ls_1(block.attn.out_proj(_attend(q, k, v, keys, values, asking).flatten(1)))
        return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]


def _attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, asking: _Queries) -> Tensor:
    """Attention of queries, `[queries, heads, head]`, to their node's path and to what precedes them in their own text.

    Args:
        q: of the tokens that ask.
        k: `[tokens, heads, head]`, of all tokens.
        v: the same.
        keys: `[nodes, heads, slots, head]`, of the paths.
        values: the same.
        asking: who sees whom.
    """
    # Two parts of one softmax. On the path, queries of a node share keys: one batched product, padded to the node with most
    # queries. Behind the path a token sees at most TAIL tokens of its own text, which are just before it in the packed row:
    # one step back at a time costs a multiplication a token, and no padding.
    q = q * q.shape[-1] ** -0.5
    slots = keys.shape[2]
    on_path = asking.gather(asking.spread(q) @ keys.transpose(2, 3))  # [queries, heads, slots]
    scores = [on_path.masked_fill_(asking.hidden, -torch.inf)]
    for before, too_far in asking.steps_back:
        scores.append((q * k[before]).sum(dim=-1, keepdim=True).masked_fill_(too_far, -torch.inf))
    weights = torch.cat(scores, dim=-1).float().softmax(dim=-1).to(q.dtype)
    mixed = asking.gather(asking.spread(weights[..., :slots]) @ values)
    for step, (before, _) in enumerate(asking.steps_back, start=slots):
        mixed = torch.addcmul(mixed, weights[..., step, None], v[before])
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
    hidden: Tensor
    """`[queries, 1, slots]` bool: the places of its path that a query does not see."""
    steps_back: tuple[tuple[Tensor, Tensor], ...]
    """For 0, 1, 2, ... steps back in its own text: the token there, `[queries]` int64, and where that is too far,
    `[queries, 1, 1]` bool."""

    @classmethod
    def of(cls, tokens: Ids, node: Ids, sees: Ids, back: Ids, *, count: int, slots: int, device: torch.device) -> _Queries:
        """Queries of the tokens `tokens`; `node`, `sees` and `back` are theirs, of `count` nodes with `slots` slots."""
        first = np.searchsorted(node, np.arange(count + 1))
        steps = [
            (_tensor(np.maximum(tokens - step, 0), device), _tensor(back <= step, device)[:, None, None])
            for step in range(int(back.max()))
        ]
        return cls(
            tokens=_tensor(tokens, device),
            nodes=_tensor(node, device),
            places=_tensor(np.arange(len(node)) - first[node], device),
            shape=(count, int(np.diff(first).max())),
            hidden=_tensor(np.arange(slots) >= sees[:, None], device)[:, None],
            steps_back=tuple(steps),
        )

    def spread(self, packed: Tensor) -> Tensor:
        """`[queries, heads, n]` as `[nodes, heads, most queries, n]`, zeros where a node has fewer."""
        if len(packed) == self.shape[0] * self.shape[1]:
            return packed.view(*self.shape, *packed.shape[1:]).transpose(1, 2)
        padded = packed.new_zeros(*self.shape, *packed.shape[1:])
        padded[self.nodes, self.places] = packed
        return padded.transpose(1, 2)

    def gather(self, padded: Tensor) -> Tensor:
        """The reverse of `spread`."""
        padded = padded.transpose(1, 2)
        if len(self.nodes) == self.shape[0] * self.shape[1]:
            return padded.flatten(0, 1)
        return padded[self.nodes, self.places]


@dataclass(frozen=True, slots=True)
class _Pass:
    """The new tokens of some nodes on the tower's device."""

    ids: Tensor
    positions: Tensor
    """`[tokens]` int64."""
    sources: Tensor
    """`[nodes]` int64: the row of the store with the node's beginning."""
    stored: int
    """Slots of the store that any node reads."""
    path_tokens: Tensor
    path_nodes: Tensor
    path_slots: Tensor
    """`[new path tokens]` int64: their places among the tokens, their nodes and their places in these nodes' paths."""
    all: _Queries
    ends: _Queries

    @classmethod
    def of(cls, tree: TextTree, first: int, last: int, device: torch.device) -> _Pass:
        """The tokens of the nodes from `first` to before `last`."""
        span = slice(tree.first[first], tree.first[last])
        positions, sees, back = tree.positions[span], tree.sees[span], tree.back[span]
        node = np.repeat(np.arange(last - first), np.diff(tree.first[first : last + 1]))
        on_path = np.flatnonzero(back == 0)
        ends = tree.ends[(tree.ends >= span.start) & (tree.ends < span.stop)] - span.start

        def queries(tokens: Ids) -> _Queries:
            return _Queries.of(
                tokens, node[tokens], sees[tokens], back[tokens],
                count=last - first, slots=tree.paths.shape[1], device=device,
            )  # fmt: skip

        return cls(
            ids=_tensor(tree.ids[span], device),
            positions=_tensor(positions, device),
            sources=_tensor(tree.sources[first:last], device),
            stored=int(tree.known[first:last].max()),
            path_tokens=_tensor(on_path, device),
            path_nodes=_tensor(node[on_path], device),
            path_slots=_tensor(positions[on_path], device),
            all=queries(np.arange(len(node))),
            ends=queries(ends),
        )


def _chunks(tree: TextTree, budget: int) -> Iterator[tuple[int, int]]:
    """Runs of nodes whose tokens stay within the budget, at least one node each."""
    start = 0
    for stop in range(1, len(tree.first)):
        full = stop + 1 == len(tree.first) or tree.first[stop + 1] - tree.first[start] > budget
        if full:
            yield start, stop
            start = stop


def _tensor(values: Any, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
