"""Features of candidate texts that share a beginning, each token of which a causal text tower needs to see once.

A `PrefixScorer` keeps the keys and values of the beginnings it has met. For each row of candidates it picks the beginning
that they share (by ids, so a token that extends the last word shares less), and computes only what is new: the end of that
beginning, and of each candidate the ids after it, end token included. All of it goes through the tower in one pass as a
tree: every token sees the part of the beginning that is its own, and the tokens before it of its own candidate.

In the last layer only end tokens are read, so nothing else has a query or an MLP there (Radford et al. 2021, section 2.4:
the feature is the activation at the end token).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Ids = NDArray[np.int64]


@dataclass(slots=True)
class _Node:
    """A beginning, and the distinct candidates that start with some of it."""

    path: Ids
    """Ids of the beginning."""
    known: int
    """How many of them the store has keys and values for."""
    source: int
    """Row of the store that has them."""
    texts: list[tuple[int, Ids, int]]
    """Number, ids up to the end token, and how many ids it shares with `path`, of each candidate."""


class PrefixScorer:
    """Text features of a causal open_clip tower, incrementally.

    It holds the state of one decoding run; make a new one for each. The tower must be causal and pool at the end token.

    Args:
        tower: open_clip's `TextTransformer`, or a `CLIP` that has its parts.
    """

    def __init__(self, tower: Any) -> None:
        self._tower = tower
        self._blocks = list(tower.transformer.resblocks)
        self._dtype: torch.dtype = tower.transformer.get_cast_dtype()
        self._device: torch.device = tower.positional_embedding.device
        self._paths: list[Ids] = []
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
            and block.attn.in_proj_weight is not None
            and block.attn.bias_k is None
            and not block.attn.add_zero_attn
            and type(block.mlp.c_fc) is torch.nn.Linear
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
        table, stops = ids.cpu().numpy(), ends.cpu().numpy() + 1
        nodes, where, count = self._plan([table[i, :stop] for i, stop in enumerate(stops.tolist())], rows)
        return self._run(nodes, count)[torch.from_numpy(where).to(self._device)]

    def _plan(self, texts: list[Ids], rows: int) -> tuple[list[_Node], Ids, int]:
        """Sort candidates under the beginnings that they share; equal candidates under equal beginnings are one."""
        k = len(texts) // rows
        nodes: dict[bytes, _Node] = {}
        numbers: dict[tuple[bytes, bytes], int] = {}
        where = np.empty(len(texts), np.int64)
        for row in range(rows):
            group = texts[row * k : (row + 1) * k]
            path = shared_beginning(group)
            key = path.tobytes()
            if key not in nodes:
                nodes[key] = _Node(path, *self._find(path), [])
            for place, text in enumerate(group, start=row * k):
                name = key, text.tobytes()
                if name not in numbers:
                    numbers[name] = len(numbers)
                    # The end token is never shared: its activation is what is wanted.
                    nodes[key].texts.append((numbers[name], text, _agreeing(path, text[:-1])))
                where[place] = numbers[name]
        return list(nodes.values()), where, len(numbers)

    def _find(self, path: Ids) -> tuple[int, int]:
        """How much of a beginning is in the store, and in which row."""
        shared = [_agreeing(path, stored) for stored in self._paths]
        best = int(np.argmax(shared)) if shared else 0
        return (shared[best] if shared else 0), best

    def _run(self, nodes: list[_Node], count: int) -> Tensor:
        """One pass through the tower; afterwards the store holds the beginnings of `nodes`."""
        tree = _Tree.of(nodes, self._device, self._dtype)
        tower, last = self._tower, len(self._blocks) - 1
        x = tower.token_embedding(tree.ids).to(self._dtype) + tower.positional_embedding[tree.positions].to(self._dtype)
        store: list[tuple[Tensor, Tensor]] = []
        for number, block in enumerate(self._blocks):
            queries = tree.ends if number == last else None
            x, kept = self._block(block, x, tree, self._store[number] if self._store else None, queries)
            store.append(kept)
        self._paths, self._store = [node.path for node in nodes], store
        pooled = tower.ln_final(x)
        projection = tower.text_projection
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
        features = torch.empty(count, pooled.shape[-1], device=self._device)
        features[tree.numbers] = F.normalize(pooled.float(), dim=-1)
        return features

    @staticmethod
    def _block(
        block: Any, x: Tensor, tree: _Tree, stored: tuple[Tensor, Tensor] | None, queries: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One residual block on the packed tokens `x`, `[tokens, width]`; with `queries`, the output at these alone."""
        attention, heads = block.attn, block.attn.num_heads
        normed = block.ln_1(x)
        q, k, v = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (tree.spread(part, heads) for part in (q, k, v))
        if stored is not None and tree.stored:
            old = [part[tree.sources, :, : tree.stored] for part in stored]
            k, v = torch.cat([old[0], k], dim=2), torch.cat([old[1], v], dim=2)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=tree.mask)
        mixed = seen.transpose(1, 2).flatten(2).flatten(0, 1)[tree.slots]
        if queries is not None:
            x, mixed = x[queries], mixed[queries]
        x = x + block.ls_1(attention.out_proj(mixed))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        slots = tree.path_slots[:, None, :, None].expand(-1, heads, -1, k.shape[-1])
        return x, (k.gather(2, slots), v.gather(2, slots))


@dataclass(frozen=True, slots=True)
class _Tree:
    """New tokens of all nodes, packed, and who sees whom."""

    ids: Tensor
    positions: Tensor
    """`[tokens]` int64: ids, and their places in their texts."""
    slots: Tensor
    """`[tokens]` int64: each token's place in the padded layout `[nodes * width]`."""
    shape: tuple[int, int]
    """Nodes and width of the padded layout."""
    sources: Tensor
    """`[nodes]` int64: row of the store with the node's beginning."""
    stored: int
    """Slots of the store that any node reads."""
    mask: Tensor
    """`[nodes, 1, width, stored + width]`, added to attention scores."""
    ends: Tensor
    """`[texts]` int64: the end tokens among the packed tokens."""
    numbers: Tensor
    """`[texts]` int64: which text each of them ends."""
    path_slots: Tensor
    """`[nodes, longest path]` int64: where each id of the beginning stands among stored and new slots."""

    @classmethod
    def of(cls, nodes: list[_Node], device: torch.device, dtype: torch.dtype) -> _Tree:
        """Lay the nodes' new tokens out: first the new ids of the beginning, then those of one candidate after another."""
        stored = max(node.known for node in nodes)
        sizes = [len(n.path) - n.known + sum(len(text) - shared for _, text, shared in n.texts) for n in nodes]
        width, total = max(sizes), sum(sizes)
        sees = np.zeros((len(nodes), width, stored + width), bool)
        sees[:, :, 0] = True  # padding sees something, or its softmax would be 0 / 0
        path_slots = np.zeros((len(nodes), max(len(node.path) for node in nodes)), np.int64)
        ids, positions, slots = (np.empty(total, np.int64) for _ in range(3))
        ends: list[int] = []
        numbers: list[int] = []
        at = 0
        for row, node in enumerate(nodes):
            first = at

            def add(new: Ids, shared: int, row: int = row, node: _Node = node, first: int = first) -> None:
                """Tokens `new` that follow `shared` ids of the node's beginning."""
                nonlocal at
                start, stop = at - first, at - first + len(new)
                ids[at : at + len(new)] = new
                positions[at : at + len(new)] = np.arange(shared, shared + len(new))
                slots[at : at + len(new)] = row * width + np.arange(start, stop)
                sees[row, start:stop, : stored + start] = False
                sees[row, start:stop, : min(shared, node.known)] = True
                sees[row, start:stop, stored : stored + max(0, shared - node.known)] = True
                sees[row, start:stop, stored + start : stored + stop] = np.tri(len(new), dtype=bool)
                at += len(new)

            add(node.path[node.known :], node.known)
            path_slots[row, : len(node.path)] = np.arange(len(node.path))
            path_slots[row, node.known : len(node.path)] += stored - node.known
            for number, text, shared in node.texts:
                add(text[shared:], shared)
                ends.append(at - 1)
                numbers.append(number)
        mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(~torch.from_numpy(sees), -torch.inf)[:, None]
        sources = np.array([node.source for node in nodes])
        arrays = [torch.from_numpy(array).to(device) for array in (ids, positions, slots, sources, path_slots)]
        at_end, number_of = (torch.tensor(values, device=device) for values in (ends, numbers))
        return cls(
            arrays[0], arrays[1], arrays[2], (len(nodes), width), arrays[3], stored, mask.to(device), at_end, number_of,
            arrays[4],
        )  # fmt: skip

    def spread(self, packed: Tensor, heads: int) -> Tensor:
        """`[tokens, width]` as `[nodes, heads, slots, head]`, zeros between."""
        nodes, width = self.shape
        if len(packed) == nodes * width:
            padded = packed
        else:
            padded = packed.new_zeros(nodes * width, packed.shape[-1])
            padded[self.slots] = packed
        return padded.view(nodes, width, heads, -1).transpose(1, 2)


def shared_beginning(texts: list[Ids]) -> Ids:
    """The beginning of `texts`, end tokens excluded, that at least two of the texts that went along so far agree on.

    It follows the larger branch, so the few that extend the last word do not shorten it for all others.
    """
    width = max(len(text) for text in texts)
    table = np.full((len(texts), width), -1, np.int64)
    for row, text in enumerate(texts):
        table[row, : len(text) - 1] = text[:-1]
    same = ((table == table[0]) & (table >= 0)).all(axis=0)
    at = width if same.all() else int(same.argmin())
    path, live = list(table[0, :at]), table
    while at < width:
        values, counts = np.unique(live[:, at][live[:, at] >= 0], return_counts=True)
        if not len(values) or counts.max() < 2:
            break
        best = values[counts.argmax()]
        path.append(best)
        live = live[live[:, at] == best]
        at += 1
    return np.array(path, np.int64)


def _agreeing(first: Ids, second: Ids) -> int:
    """Length of the longest common prefix."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    return int(differs.argmax()) if differs.any() else length
