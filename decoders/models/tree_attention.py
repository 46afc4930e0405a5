"""Candidates of many texts in one forward pass of a transformers model: the adapter between its modules and a `TreeContext`.

All candidates of all texts are one packed row of tokens, `[1, tokens]`, so a text with one candidate costs one token whatever
its neighbours have. What is not packed is attention: each candidate sees the cached keys and values of its own text, and itself.
transformers asks a registered function for attention and a `Cache` for keys and values; both are given here, for the time of one
call. A model that asks neither, or wants more of attention than this (windows, biases, caps), comes out wrong or raises, and
`LanguageModel.sees_trees` finds that out before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

NAME = "seetell_tree"
"""What the attention function is registered as."""
_UNKNOWN = ("softcap", "sliding_window", "position_bias", "s_aux")
"""What some models ask of attention and this one does not do."""


@dataclass(slots=True)
class Tree:
    """One packed pass: which text each token belongs to, what it may see, and the states that come out of it."""

    rows: Tensor
    """`[tokens]` int64: the text of each token, in ascending order."""
    places: Tensor
    """`[tokens]` int64: which candidate of its text it is."""
    shape: tuple[int, int]
    """Texts, and the most candidates that any of them has."""
    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    """`[texts, heads, slots, head]` a layer: what is cached."""
    shut: Tensor
    """`[texts, 1, 1, slots]` float: minus infinity where a slot is not the text's, else 0."""
    sources: Tensor
    """`[texts * most candidates]` int64: the token at each place of a rectangle; where there is none, any."""
    new_keys: list[Tensor] = field(default_factory=list)
    new_values: list[Tensor] = field(default_factory=list)
    """`[heads, tokens, head]` a layer: what the pass computed for its own tokens."""

    @property
    def is_full(self) -> bool:
        """Whether every text has as many candidates as any."""
        return len(self.rows) == self.shape[0] * self.shape[1]

    def spread(self, packed: Tensor) -> Tensor:
        """`[heads, tokens, head]` as `[texts, heads, candidates, head]`; where there is no candidate stands another's state."""
        heads, _, width = packed.shape
        states = packed.transpose(0, 1)
        if not self.is_full:
            states = states[self.sources]
        return states.reshape(*self.shape, heads, width).transpose(1, 2)

    def gather(self, padded: Tensor) -> Tensor:
        """`[texts, candidates, heads, head]` as `[tokens, heads, head]`."""
        return padded.flatten(0, 1) if self.is_full else padded[self.rows, self.places]


_tree: ContextVar[Tree | None] = ContextVar("seetell_tree", default=None)


@contextmanager
def attending(model: Any, tree: Tree) -> Iterator[Any]:
    """Let the model's attention follow `tree`; the value is the cache to give it."""
    config = model.config.get_text_config(decoder=True)
    notes = _noting_cache()(config=config)
    notes.tree = tree
    usual = config._attn_implementation
    token = _tree.set(tree)
    config._attn_implementation = NAME
    try:
        yield notes
    finally:
        config._attn_implementation = usual
        _tree.reset(token)


def any_mask(like: Tensor) -> Tensor:
    """A mask in the shape that transformers passes on unread."""
    return torch.zeros(1, 1, 1, 1, dtype=like.dtype, device=like.device)


@cache
def _noting_cache() -> Any:
    """A transformers cache that keeps nothing: it notes a layer's new states in its `tree` and gives them back."""
    from transformers import AttentionInterface, DynamicCache

    class NotingCache(DynamicCache):  # type: ignore[misc]
        tree: Tree

        def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            self.tree.new_keys.append(key_states[0])
            self.tree.new_values.append(value_states[0])
            return key_states, value_states

    AttentionInterface.register(NAME, _attend)
    return NotingCache


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **wanted: Any,
) -> tuple[Tensor, None]:
    """Attention of packed candidates, `[1, heads, tokens, head]` to `[1, tokens, heads, head]`.

    Raises:
        ValueError: the model wants something of attention that is not done here.
    """
    unknown = [name for name in _UNKNOWN if wanted.get(name) is not None]
    tree = _tree.get()
    if unknown or tree is None:
        raise ValueError(f"attention over a tree of candidates knows no {', '.join(unknown) or 'tree'}")
    layer = len(tree.new_keys) - 1
    past_keys, past_values = tree.keys[layer], tree.values[layer]
    # [texts, heads, 1, candidates, head]
    own_keys, own_values = (tree.spread(states[0])[:, :, None] for states in (key, value))
    texts, heads, _, candidates, width = own_keys.shape
    groups = query.shape[1] // heads  # query heads that share a head of keys and values
    q = tree.spread(query[0]).view(texts, heads, groups, candidates, width)
    scale = width**-0.5 if scaling is None else scaling
    # A candidate sees its text's cache, which all candidates of the text share (one product a text), and of the new tokens itself
    # alone (one dot product a candidate). One softmax runs over both.
    slots = past_keys.shape[2]
    seen = (q.flatten(2, 3) @ past_keys.transpose(2, 3)).view(texts, heads, groups, candidates, slots)
    scores = torch.cat([seen * scale + tree.shut[:, :, None], (q * own_keys).sum(-1, keepdim=True) * scale], dim=-1)
    weights = torch.softmax(scores.float(), dim=-1).to(query.dtype)
    mixed = (weights[..., :slots].flatten(2, 3) @ past_values).view_as(q) + weights[..., slots:] * own_values
    return tree.gather(mixed.permute(0, 3, 1, 2, 4).flatten(2, 3))[None].contiguous(), None
