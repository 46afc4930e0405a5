"""A batch of texts inside a language model, which only grow: keys and values, final hidden states, the next token's logits.

Decoders see next-token logits, the final hidden states of every position, and `look_ahead`: the hidden states that candidate
tokens would have. Committing to a candidate takes over what the look-ahead computed, so the chosen token costs no second pass.

There are two kinds. `TreeContext` passes the candidates of all texts through the model as they are and copies no cache;
`RowContext` gives each candidate a row of the batch with a copy of its text's cache, which any causal model can do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from decoders.models.tree_attention import Tree, any_mask, attending
from decoders.transfer import upload, upload_ids

if TYPE_CHECKING:
    from decoders.models.language_model import LanguageModel


class Context(ABC):
    """What a batch of texts has been conditioned on so far.

    Attributes:
        logits: `[batch, vocabulary]` float32, for the next token.
        lengths: `[batch]` int64, tokens of each text so far, prompt included.
    """

    logits: Tensor
    lengths: Tensor

    def __init__(self, lm: LanguageModel, lengths: Sequence[int], on_device: Tensor, hidden: Tensor, logits: Tensor) -> None:
        """Start from what a model made of some prompts.

        Args:
            lm: the model.
            lengths: tokens of each prompt.
            on_device: the same on the model's device, `[batch]` int64.
            hidden: `[batch, longest, hidden]` float32.
            logits: `[batch, vocabulary]` float32.
        """
        self._lm = lm
        self.lengths, self.logits = on_device, logits
        self._hidden = hidden
        self._directions = F.normalize(hidden, dim=-1)
        # The host counts along, so that no shape has to be asked of the device.
        self._counts = np.array(lengths)
        self._longest = int(self._counts.max())
        self._ahead: _Ahead | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def hidden(self) -> Tensor:
        """`[batch, slots, hidden]` float32: what the LM head saw at every position so far."""
        return self._hidden[:, : self._longest]

    @property
    def directions(self) -> Tensor:
        """`hidden` at unit length."""
        return self._directions[:, : self._longest]

    @property
    def mask(self) -> Tensor:
        """`[batch, slots]` bool, False where a slot is behind the text's end."""
        return torch.arange(self._longest, device=self.lengths.device) < self.lengths[:, None]

    @torch.no_grad()
    def look_ahead(self, candidates: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Hidden states that candidate next tokens would have. The next call must be `commit`.

        Args:
            candidates: `[batch, k]` int64.
            wanted: `[batch, k]` bool, which of them to compute, at least one a text; None for all.

        Returns:
            `[batch, k, hidden]` float32, zeros where nothing was wanted.
        """
        if self._ahead is not None:
            raise RuntimeError("commit to one of the candidates before looking ahead again")
        wants = _Wanted.of(candidates, wanted)
        self._ahead = self._compute(candidates, wants)
        states = self._ahead.hidden
        if wants.is_all:
            return states.view(*candidates.shape, -1)
        hidden = states.new_zeros(candidates.numel(), states.shape[-1]).index_copy_(0, wants.flat, states)
        return hidden.view(*candidates.shape, -1)

    @torch.no_grad()
    def commit(self, choice: Tensor) -> None:
        """Append the candidate with index `choice`, `[batch]` int64, of the last `look_ahead` to each text."""
        if self._ahead is None:
            raise RuntimeError("look ahead before committing to a candidate")
        ahead, self._ahead = self._ahead, None
        chosen = ahead.numbers[torch.arange(len(choice), device=choice.device), choice]
        self._take(ahead, chosen)
        hidden = ahead.hidden[chosen]
        self.logits = self._lm.head(hidden) if ahead.logits is None else ahead.logits[chosen]
        rows = torch.arange(len(self), device=hidden.device)
        self._hidden = with_room(self._hidden, self._longest + 1, dim=1)
        self._directions = with_room(self._directions, self._longest + 1, dim=1)
        self._hidden[rows, self.lengths] = hidden
        self._directions[rows, self.lengths] = F.normalize(hidden, dim=-1)
        self.lengths = self.lengths + 1
        self._counts += 1
        self._longest += 1

    def advance(self, tokens: Tensor) -> None:
        """Append one token, `[batch]` int64, to each text."""
        self.look_ahead(tokens[:, None])
        self.commit(torch.zeros_like(tokens))

    @torch.no_grad()
    def keep(self, rows: Sequence[int], on_device: Tensor | None = None) -> None:
        """Keep some texts alone, any of them any number of times.

        Args:
            rows: their indices.
            on_device: the same on the device, `[kept]` int64, where they have been uploaded with something else.
        """
        if self._ahead is not None:
            raise RuntimeError("commit to one of the candidates before dropping texts")
        if on_device is None:
            on_device = upload_ids(rows, self.lengths.device)
        self._keep_states(on_device)
        self.lengths, self.logits = self.lengths[on_device], self.logits[on_device]
        self._hidden, self._directions = self._hidden[on_device], self._directions[on_device]
        self._counts = self._counts[np.asarray(rows, dtype=np.int64)]
        self._longest = int(self._counts.max())

    @abstractmethod
    def _compute(self, candidates: Tensor, wanted: _Wanted) -> _Ahead: ...

    @abstractmethod
    def _take(self, ahead: _Ahead, chosen: Tensor) -> None:
        """Cache the states of the candidates with numbers `chosen`, `[batch]`; the lengths are still the old ones."""

    @abstractmethod
    def _keep_states(self, rows: Tensor) -> None: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which candidates a look-ahead computes, one after another."""

    flat: Tensor
    """`[wanted]` int64: their indices among all candidates, `row * k + place`."""
    rows: Tensor
    """`[wanted]` int64: their texts."""
    places: Tensor
    """`[wanted]` int64: the place of each among those of its text that are wanted."""
    numbers: Tensor
    """`[batch, k]` int64: the place of each candidate among all that are wanted."""
    width: int
    """The most that any text has."""
    is_all: bool

    @classmethod
    def of(cls, candidates: Tensor, wanted: Tensor | None) -> _Wanted:
        """Those of `candidates`, `[batch, k]`, where `wanted` of the same shape is True; all if it is None."""
        batch, k = candidates.shape
        count, width = batch * k, k
        if wanted is not None:
            # How many there are, and the most of any row, are shapes of what comes: the host waits for them, once.
            most = wanted.sum(dim=1).amax()
            count, width = divmod(int(wanted.sum() * (k + 1) + most), k + 1)
        if wanted is None or count == batch * k:
            flat = torch.arange(batch * k, device=candidates.device)
            return cls(flat, flat // k, flat % k, flat.view(batch, k), k, is_all=True)
        flat = torch.nonzero_static(wanted.flatten(), size=count)[:, 0]
        rows = flat // k
        places = flat % k
        if width < k:
            places = (wanted.cumsum(dim=1) - 1).flatten()[flat]
        return cls(flat, rows, places, (wanted.flatten().cumsum(0) - 1).view(batch, k), width, is_all=False)


class _Ahead:
    """What a look-ahead computed, until one candidate a text is committed to.

    Attributes:
        numbers: `[batch, k]` int64: the place of each candidate among those computed.
        hidden: `[computed, hidden]` float32.
        logits: `[computed, vocabulary]` float32, or None where the LM head has not run.
        states: what the kind of context needs to take a candidate over.
    """

    def __init__(self, wanted: _Wanted, hidden: Tensor, logits: Tensor | None, states: Any) -> None:
        self.numbers = wanted.numbers
        self.hidden, self.logits, self.states = hidden, logits, states


class TreeContext(Context):
    """Candidates share their text's keys and values; see `decoders.models.tree_attention`.

    Keys and values are in buffers with room to grow, each text's own from slot 0 on, whatever the others' lengths.
    """

    def __init__(
        self, lm: LanguageModel, cache: Any, lengths: Sequence[int], on_device: Tensor, hidden: Tensor, logits: Tensor
    ) -> None:
        super().__init__(lm, lengths, on_device, hidden, logits)
        # Layers whose heads differ cannot be stacked: the `ValueError` tells `sees_trees` that such a model takes rows.
        if len({layer.keys.shape for layer in cache.layers} | {layer.values.shape for layer in cache.layers}) > 1:
            raise ValueError("the layers' keys and values have different shapes")
        self._states = torch.stack([state for layer in cache.layers for state in (layer.keys, layer.values)])
        """Keys and values of the layers in turn, `[2 * layers, texts, heads, slots, head]`: one tensor, so that appending a token
        takes a few operators and not a few a layer."""

    def _compute(self, candidates: Tensor, wanted: _Wanted) -> _Ahead:
        rows = wanted.rows
        states = self._states[:, :, :, : self._longest].unbind(0)
        keys, values = states[::2], states[1::2]
        mask = self.mask
        shut = torch.zeros(mask.shape, dtype=keys[0].dtype, device=rows.device).masked_fill_(~mask, -torch.inf)[:, None, None]
        sources = wanted.flat
        if not wanted.is_all:
            sources = rows.new_zeros(len(candidates) * wanted.width)
            sources[rows * wanted.width + wanted.places] = torch.arange(len(rows), device=rows.device)
        tree = Tree(rows, wanted.places, (len(candidates), wanted.width), keys, values, shut, sources)
        ids = candidates.flatten()[wanted.flat][None]
        # Where every candidate is chosen anyway, or the head is not all there is to the logits, they come with the pass.
        with_logits = candidates.shape[1] == 1 or not self._lm.plain_head
        with attending(self._lm.model, tree) as cache:
            hidden, logits = self._lm.forward(
                ids, self.lengths[rows][None], any_mask(keys[0]), cache, at=None if with_logits else ids[:, :0]
            )
        return _Ahead(wanted, hidden[0], logits[0] if with_logits else None, tree)

    def _take(self, ahead: _Ahead, chosen: Tensor) -> None:
        tree: Tree = ahead.states
        self._states = with_room(self._states, self._longest + 1, dim=3)
        new_states = [state for pair in zip(tree.new_keys, tree.new_values, strict=True) for state in pair]
        if chosen.device.type == "cpu":  # copying all candidates costs time; on a GPU, a launch a layer costs more
            new = torch.stack([state[:, chosen] for state in new_states])
        else:
            new = torch.stack(new_states)[:, :, chosen]
        rows = torch.arange(len(self), device=chosen.device)
        # Two indices with a slice between them put their own dimension first.
        self._states[:, rows, :, self.lengths] = new.permute(2, 0, 1, 3)

    def _keep_states(self, rows: Tensor) -> None:
        self._states = self._states[:, rows]


class RowContext(Context):
    """Every candidate is a row of the batch with a copy of its text's cache."""

    def __init__(
        self, lm: LanguageModel, cache: Any, lengths: Sequence[int], on_device: Tensor, hidden: Tensor, logits: Tensor
    ) -> None:
        super().__init__(lm, lengths, on_device, hidden, logits)
        self._cache = cache
        # Cache slots that hold a token: padding between a prompt and what follows stays where it is.
        self._filled = self.mask

    def _compute(self, candidates: Tensor, wanted: _Wanted) -> _Ahead:
        rows = wanted.rows
        if len(rows) != len(self):
            self._cache.batch_select_indices(rows)
        filled = torch.cat([self._filled, self._filled.new_ones(len(self), 1)], dim=1)
        ids = candidates.flatten()[wanted.flat]
        hidden, logits = self._lm.forward(ids[:, None], self.lengths[rows][:, None], filled[rows], self._cache)
        return _Ahead(wanted, hidden[:, 0], logits[:, 0], filled)

    def _take(self, ahead: _Ahead, chosen: Tensor) -> None:
        if len(ahead.hidden) != len(self):
            self._cache.batch_select_indices(chosen)
        self._filled = ahead.states

    def _keep_states(self, rows: Tensor) -> None:
        self._cache.batch_select_indices(rows)
        self._filled = self._filled[rows]


def with_room(states: Tensor, needed: int, dim: int) -> Tensor:
    """The same states in a buffer with at least `needed` slots along `dim`; it grows by half, so that growing is rare."""
    slots = states.shape[dim]
    if slots >= needed:
        return states
    shape = list(states.shape)
    shape[dim] = needed + needed // 2
    grown = states.new_zeros(shape)
    grown.narrow(dim, 0, slots).copy_(states)
    return grown


def prefill(lm: LanguageModel, prompts: Sequence[Sequence[int]], kind: type[TreeContext] | type[RowContext]) -> Context:
    """Run a model on prompts, token ids of at least one each, padded to the longest.

    Padding goes to the right: real tokens then stand where they stand without it, and no row is all padding.
    """
    counts = [len(prompt) for prompt in prompts]
    longest = max(counts)
    padded = np.array([[*prompt, *[lm.end_id] * (longest - len(prompt))] for prompt in prompts])
    lengths, ids = upload([np.array(counts), padded], lm.device)
    positions = torch.arange(longest, device=lm.device)
    cache = lm.empty_cache()
    hidden, last = lm.forward(ids, positions.expand_as(ids), positions < lengths[:, None], cache, at=lengths[:, None] - 1)
    return kind(lm, cache, counts, lengths, hidden, last[:, 0])
