"""Keys and values of a batch of texts, to which a shift can be added and differentiated: what ZeroCap optimises.

A `Context` (`decoders.models.context`) only grows. Here the keys and values of everything but the last token stay as they are,
and the last token is run again and again on top of them, each time with another shift added. So a gradient step costs one token
a text, forwards and backwards, however long the text is: the shift is added to the cached numbers themselves, so no gradient
passes through what computed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from decoders.models.language_model import LanguageModel

LOWEST_LOGIT = -1e4
"""In place of minus infinity, so that `0 * log 0` is 0 and so is its gradient; its probability is 0 in float32."""


class ShiftedCache:
    """Texts of one length inside a language model, their last token not yet read.

    Attributes:
        past: how many tokens of each text are cached.
    """

    @torch.no_grad()
    def __init__(self, lm: LanguageModel, contexts: Sequence[Sequence[int]]) -> None:
        """Read all but the last token of each text.

        Args:
            lm: a language model.
            contexts: token ids, at least one each, all of one length.
        """
        self._lm = lm
        ids = torch.tensor(contexts, device=lm.device)
        self.past = ids.shape[1] - 1
        self._last = ids[:, -1]
        self._grown: list[Tensor] | None = None
        cache = self._cache([])
        if self.past:
            positions = torch.arange(self.past, device=lm.device).expand(len(ids), -1)
            lm.forward(ids[:, :-1], positions, torch.ones_like(positions, dtype=torch.bool), cache)
        self._states = _states(cache) if self.past else []

    def __len__(self) -> int:
        return len(self._last)

    def logits(self, zero: Sequence[Tensor] = ()) -> Tensor:
        """Next-token logits without a shift, `[batch, vocabulary]` float32; call it before `advance`.

        Args:
            zero: as `no_shift` gives it, to differentiate the logits in it; the first gradient step needs no pass of its own.
        """
        cache = self._cache(self._shifted(zero) if zero else self._states)
        logits = self._run(cache)
        # The pass has appended the last token's own keys and values. `advance` takes them over, without the shift: the next token
        # starts from the language model's own context again (section 3.2 of the paper).
        self._grown = [state.detach() for state in _states(cache)]
        return logits

    def no_shift(self) -> list[Tensor]:
        """A shift of zero, to differentiate in: float32, `[batch, heads, past, d]`, for the keys and the values of each layer."""
        return [torch.zeros_like(state, dtype=torch.float32, requires_grad=True) for state in self._states]

    def shifted_logits(self, shift: Sequence[Tensor]) -> Tensor:
        """Next-token logits with `shift` added to the keys and values of the past, differentiable in the shift.

        Args:
            shift: shaped as `no_shift` gives it.

        Returns:
            `[batch, vocabulary]` float32.
        """
        return self._run(self._cache(self._shifted(shift)))

    @torch.no_grad()
    def advance(self, rows: Tensor, tokens: Tensor) -> None:
        """Continue some texts, any of them any number of times, each with one token appended. The shift is forgotten.

        Args:
            rows: `[new batch]` int64, which text each of the new ones continues.
            tokens: `[new batch]` int64.
        """
        if self._grown is None:
            raise RuntimeError("ask for the logits before advancing: that reads the last token")
        self._states = [state[rows] for state in self._grown]
        self._grown, self._last, self.past = None, tokens, self.past + 1

    def _shifted(self, shift: Sequence[Tensor]) -> list[Tensor]:
        return [(state + change).to(state.dtype) for state, change in zip(self._states, shift, strict=True)]

    def _cache(self, states: Sequence[Tensor]) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache(config=self._lm.model.config)
        for layer in range(len(states) // 2):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
        return cache

    def _run(self, cache: Any) -> Tensor:
        rows = len(self._last)
        positions = torch.full((rows, 1), self.past, device=self._last.device)
        mask = torch.ones(rows, self.past + 1, dtype=torch.bool, device=self._last.device)
        _, logits = self._lm.forward(self._last[:, None], positions, mask, cache)
        return logits[:, 0].clamp(min=LOWEST_LOGIT)


def _states(cache: Any) -> list[Tensor]:
    return [state for layer in cache.layers for state in (layer.keys, layer.values)]
