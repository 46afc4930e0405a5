"""A batch of texts inside a language model, which only grow: keys and values, final hidden states, the next token's logits.

Decoders see next-token logits, the final hidden states of every position, and `look_ahead`: the hidden states that candidate
tokens would have. Committing to a candidate takes over what the look-ahead computed, so the chosen token costs no second pass.

There are two kinds. `TreeContext` passes the candidates of all texts through the model as they are and copies no cache;
`RowContext` gives each candidate a row of the batch with a copy of its text's cache, which any causal model can do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from decoders.models.tree_attention import Tree, any_mask, attending

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

    def __init__(self, lm: LanguageModel, lengths: Tensor, hidden: Tensor, logits: Tensor) -> None:
        self._lm = lm
        self.lengths, self.logits = lengths, logits
        self._hidden = hidden
        self._directions = F.normalize(hidden, dim=-1)
        self._longest = int(lengths.max())
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
        if wanted is None:
            wanted = torch.ones_like(candidates, dtype=torch.bool)
        self._ahead = self._compute(candidates, wanted)
        if len(self._ahead.hidden) == wanted.numel():
            return self._ahead.hidden.view(*wanted.shape, -1)
        hidden = self._ahead.hidden.new_zeros(*wanted.shape, self._ahead.hidden.shape[-1])
        hidden[wanted] = self._ahead.hidden
        return hidden

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
        self._longest += 1

    def advance(self, tokens: Tensor) -> None:
        """Append one token, `[batch]` int64, to each text."""
        self.look_ahead(tokens[:, None])
        self.commit(torch.zeros_like(tokens))

    @torch.no_grad()
    def keep(self, rows: Tensor) -> None:
        """Keep the texts at the indices `rows`, `[kept]` int64, alone; any of them any number of times."""
        if self._ahead is not None:
            raise RuntimeError("commit to one of the candidates before dropping texts")
        self._keep_states(rows)
        self.lengths, self.logits = self.lengths[rows], self.logits[rows]
        self._hidden, self._directions = self._hidden[rows], self._directions[rows]
        self._longest = int(self.lengths.max())

    @abstractmethod
    def _compute(self, candidates: Tensor, wanted: Tensor) -> _Ahead: ...

    @abstractmethod
    def _take(self, ahead: _Ahead, chosen: Tensor) -> None:
        """Cache the states of the candidates with numbers `chosen`, `[batch]`; the lengths are still the old ones."""

    @abstractmethod
    def _keep_states(self, rows: Tensor) -> None: ...


class _Ahead:
    """What a look-ahead computed, until one candidate a text is committed to.

    Attributes:
        numbers: `[batch, k]` int64: the place of each candidate among those computed.
        hidden: `[computed, hidden]` float32.
        logits: `[computed, vocabulary]` float32, or None where the LM head has not run.
        states: what the kind of context needs to take a candidate over.
    """

    def __init__(self, wanted: Tensor, hidden: Tensor, logits: Tensor | None, states: Any) -> None:
        self.numbers = (wanted.flatten().cumsum(0) - 1).view_as(wanted)
        self.hidden, self.logits, self.states = hidden, logits, states


class TreeContext(Context):
    """Candidates share their text's keys and values; see `decoders.models.tree_attention`.

    Keys and values are in buffers with room to grow, each text's own from slot 0 on, whatever the others' lengths.
    """

    def __init__(self, lm: LanguageModel, cache: Any, lengths: Tensor, hidden: Tensor, logits: Tensor) -> None:
        super().__init__(lm, lengths, hidden, logits)
        self._keys = [layer.keys for layer in cache.layers]
        self._values = [layer.values for layer in cache.layers]

    def _compute(self, candidates: Tensor, wanted: Tensor) -> _Ahead:
        rows, places = wanted.nonzero(as_tuple=True)
        width = candidates.shape[1] if len(rows) == wanted.numel() else int(wanted.sum(dim=1).max())
        if width < candidates.shape[1]:
            places = (wanted.cumsum(dim=1) - 1)[rows, places]
        keys, values = ([layer[:, :, : self._longest] for layer in states] for states in (self._keys, self._values))
        shut = torch.zeros(self.mask.shape, dtype=keys[0].dtype, device=rows.device)
        shut = shut.masked_fill_(~self.mask, -torch.inf)[:, None, None]
        tree = Tree(rows, places, (len(wanted), width), keys, values, shut)
        ids = candidates[wanted][None]
        # Where every candidate is chosen anyway, or the head is not all there is to the logits, they come with the pass.
        with_logits = wanted.shape[1] == 1 or not self._lm.plain_head
        with attending(self._lm.model, tree) as cache:
            hidden, logits = self._lm.forward(
                ids, self.lengths[rows][None], any_mask(keys[0]), cache, at=None if with_logits else ids[:, :0]
            )
        return _Ahead(wanted, hidden[0], logits[0] if with_logits else None, tree)

    def _take(self, ahead: _Ahead, chosen: Tensor) -> None:
        tree: Tree = ahead.states
        rows = torch.arange(len(self), device=chosen.device)
        for stored, new in ((self._keys, tree.new_keys), (self._values, tree.new_values)):
            for layer, states in enumerate(new):
                stored[layer] = with_room(stored[layer], self._longest + 1, dim=2)
                stored[layer][rows, :, self.lengths] = states[:, chosen].transpose(0, 1)

    def _keep_states(self, rows: Tensor) -> None:
        for states in (self._keys, self._values):
            states[:] = [layer[rows] for layer in states]


class RowContext(Context):
    """Every candidate is a row of the batch with a copy of its text's cache."""

    def __init__(self, lm: LanguageModel, cache: Any, lengths: Tensor, hidden: Tensor, logits: Tensor) -> None:
        super().__init__(lm, lengths, hidden, logits)
        self._cache = cache
        # Cache slots that hold a token: padding between a prompt and what follows stays where it is.
        self._filled = self.mask

    def _compute(self, candidates: Tensor, wanted: Tensor) -> _Ahead:
        rows = wanted.nonzero()[:, 0]
        if len(rows) != len(self):
            self._cache.batch_select_indices(rows)
        filled = torch.cat([self._filled, self._filled.new_ones(len(self), 1)], dim=1)
        hidden, logits = self._lm.forward(candidates[wanted][:, None], self.lengths[rows][:, None], filled[rows], self._cache)
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
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=lm.device)
    longest = int(lengths.max())
    ids = torch.tensor([[*prompt, *[lm.end_id] * (longest - len(prompt))] for prompt in prompts], device=lm.device)
    positions = torch.arange(longest, device=lm.device)
    cache = lm.empty_cache()
    hidden, last = lm.forward(ids, positions.expand_as(ids), positions < lengths[:, None], cache, at=lengths[:, None] - 1)
    return kind(lm, cache, lengths, hidden, last[:, 0])
