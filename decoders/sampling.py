"""Greedy decoding and sampling from a truncated distribution: top-k, nucleus and typical.

Draws use the Gumbel-max trick with counter-based noise: `argmax(log p + g)` with standard Gumbel g is a sample from p. The
noise of a row depends on its seed and the step alone, so a text can be drawn again whatever else is in the batch.

The same trick makes drawing cheap. A draw from the tokens that are kept is the first kept token in the order of
`log p + g`, so it is enough to ask of that order's first tokens whether they are kept. That takes a sum where keeping all
that may be kept would take a sort of the vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from decoders.base import DecoderConfig, Need
from decoders.loop import Step, StepDecoder
from decoders.repetition import RepetitionConfig, held_back, limits_repetition

_ROUNDING = 4 * torch.finfo(torch.float64).eps
"""How far the sums of probabilities in two orders can be apart, a token of the vocabulary; four times what is possible."""


class GreedyConfig(RepetitionConfig):
    """Settings of greedy decoding."""


class Greedy(StepDecoder):
    """The likeliest token at every step; among equals, the lowest id."""

    Config: ClassVar[type[DecoderConfig]] = GreedyConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    config: GreedyConfig

    def select(self, step: Step) -> Tensor:
        """The argmax of the logits, `[batch]`."""
        return _logits(step, self.config).argmax(dim=-1)


class SamplingConfig(RepetitionConfig):
    """What all sampling decoders share."""

    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits before they are truncated; below 1 is bolder, 1 as published."""


class _Sampler(StepDecoder):
    """Truncate the distribution, then draw."""

    Config: ClassVar[type[DecoderConfig]] = SamplingConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    seeded: ClassVar[bool] = True
    config: SamplingConfig

    @abstractmethod
    def keep(self, log_probs: Tensor) -> Tensor:
        """Which tokens may be drawn: `[batch, vocabulary]` log-probabilities (float64) to bool of the same shape."""

    def select(self, step: Step) -> Tensor:
        """A draw from what is left of the distribution, renormalised, `[batch]`."""
        log_probs = torch.log_softmax(_logits(step, self.config).double() / self.config.temperature, dim=-1)
        if log_probs.device.type == "cpu":
            return self.draw(log_probs, step.noise)
        # A GPU sorts the vocabulary in no time, but would wait long for noise that the host makes of all of it. So the tokens
        # that may be drawn come first, and noise is made of these alone. The host must know their number, and nothing else.
        rows, tokens = self.keep(log_probs).nonzero(as_tuple=True)
        scores = log_probs[rows, tokens] - torch.log(-torch.log(step.noise_of(rows, tokens)))
        return _largest(scores, rows, tokens, len(log_probs), log_probs.shape[1])

    def draw(self, log_probs: Tensor, noise: Tensor) -> Tensor:
        """The kept token with the largest `log p + g` of each row, `[batch]`.

        Args:
            log_probs: `[batch, vocabulary]` float64.
            noise: uniform numbers of the same shape, from which g is made.
        """
        return _best(log_probs, noise, self.keep(log_probs))


class TopKConfig(SamplingConfig):
    """Settings of top-k sampling."""

    k: int = Field(default=40, ge=1)
    """How many of the likeliest tokens may be drawn; 40 as published."""


class TopK(_Sampler):
    """Top-k sampling (Fan et al. 2018, section 5.3): draw among the k likeliest tokens; ties with the k-th stay in."""

    Config: ClassVar[type[DecoderConfig]] = TopKConfig
    config: TopKConfig

    def keep(self, log_probs: Tensor) -> Tensor:
        """See `_Sampler.keep`."""
        k = min(self.config.k, log_probs.shape[-1])
        return log_probs >= torch.topk(log_probs, k, dim=-1).values[:, -1:]


class _MassSampler(_Sampler):
    """Puts the tokens in some order and keeps a beginning of it that holds a given mass."""

    @abstractmethod
    def order(self, log_probs: Tensor, probs: Tensor) -> Tensor:
        """The rank of each token in that order, `[batch, vocabulary]`, the smallest first."""

    @abstractmethod
    def before(self, place: Tensor, token: Tensor) -> Tensor:
        """Which tokens precede one of them: places `[batch, vocabulary]` and ids `[batch, 1]` to bool like the places."""

    @abstractmethod
    def overshoot(self, mass: Tensor) -> Tensor:
        """By how much the mass before a token is too large for it to be kept; at exactly 0, `keep` decides."""

    def draw(self, log_probs: Tensor, noise: Tensor) -> Tensor:
        """See `_Sampler.draw`; exactly what `keep` would give, and where rounding might decide, `keep` does."""
        # The draw is the kept token with the largest `log p + g`. Instead of finding all kept tokens, which takes a sort and a
        # cumulative sum over the vocabulary, take the largest of all tokens and ask whether it is kept: it is, if the mass
        # before it in the sampler's order is small enough, and that mass is one masked sum.
        probs = log_probs.exp()
        place, bound = self.order(log_probs, probs), _bound(probs, noise)
        drawn = torch.empty(len(bound), dtype=torch.int64, device=bound.device)
        rows = torch.arange(len(bound), device=bound.device)
        while len(rows):
            token = _first(log_probs, noise, bound)
            before = self.before(place, token[:, None])
            excess = self.overshoot(torch.where(before, probs, 0).sum(dim=-1))
            # The masked sum adds in another order than the cumulative sum of `keep`, so the two differ by rounding. Where that
            # could decide, which is rare, the row is drawn by the definition.
            close = excess.abs() <= _ROUNDING * probs.shape[-1]
            if bool(close.any()):
                token[close] = _best(log_probs[close], noise[close], self.keep(log_probs[close]))
            drawn[rows] = token
            out = ~close & (excess > 0)
            if not bool(out.any()):
                break
            # A token that is cut drops every token behind it in the order too: their bound becomes 0, and the next best of
            # what is left is tried. Each round either ends a row or shortens its order, and most rows end in the first.
            rows, log_probs, noise = rows[out], log_probs[out], noise[out]
            probs, place, bound = probs[out], place[out], bound[out].masked_fill_(~before[out], 0)
        return drawn


class NucleusConfig(SamplingConfig):
    """Settings of nucleus sampling."""

    p: float = Field(default=0.95, gt=0, le=1)
    """Probability mass that the likeliest tokens must exceed together; 0.95 as published."""


class Nucleus(_MassSampler):
    """Nucleus sampling (Holtzman et al. 2020, section 3.1).

    Draws from the smallest set of likeliest tokens whose mass exceeds p, the token that crosses p included.
    """

    Config: ClassVar[type[DecoderConfig]] = NucleusConfig
    config: NucleusConfig

    def keep(self, log_probs: Tensor) -> Tensor:
        """See `_Sampler.keep`."""
        p = self.config.p
        if p == 1:
            return torch.ones_like(log_probs, dtype=torch.bool)
        ordered, order = log_probs.sort(dim=-1, descending=True, stable=True)
        mass_before = ordered.exp().cumsum(dim=-1).roll(1, dims=-1)
        mass_before[:, 0] = 0
        return torch.zeros_like(order, dtype=torch.bool).scatter(1, order, mass_before <= p)

    def order(self, log_probs: Tensor, probs: Tensor) -> Tensor:
        """See `_MassSampler.order`."""
        return -log_probs

    def before(self, place: Tensor, token: Tensor) -> Tensor:
        """See `_MassSampler.before`; among equals, the lower id."""
        own = place.gather(1, token)
        before = place < own
        equal = place == own
        if int(equal.sum()) > len(place):
            before |= equal & (torch.arange(place.shape[1], device=place.device) < token)
        return before

    def overshoot(self, mass: Tensor) -> Tensor:
        """See `_MassSampler.overshoot`."""
        return mass - self.config.p

    def draw(self, log_probs: Tensor, noise: Tensor) -> Tensor:
        """See `_Sampler.draw`."""
        if self.config.p == 1:
            return _first(log_probs, noise, _bound(log_probs.exp(), noise))
        return super().draw(log_probs, noise)


class TypicalConfig(SamplingConfig):
    """Settings of typical sampling."""

    mass: float = Field(default=0.2, gt=0, le=1)
    """Probability mass that the most typical tokens must reach together; 0.2 as published."""


class Typical(_MassSampler):
    """Locally typical sampling (Meister et al. 2023, equation 8).

    Tokens are ordered by how far their surprisal is from the entropy, `|-log p - H|`, and kept, the least far first, until
    their mass reaches `mass`; the token that reaches it and those as typical as it stay in.
    """

    Config: ClassVar[type[DecoderConfig]] = TypicalConfig
    config: TypicalConfig

    def keep(self, log_probs: Tensor) -> Tensor:
        """See `_Sampler.keep`."""
        probs = log_probs.exp()
        distance = self.order(log_probs, probs)
        ordered, order = distance.sort(dim=-1, stable=True)
        reached: Tensor = probs.gather(1, order).cumsum(dim=-1) >= self.config.mass
        # argmax finds the first True; where rounding keeps the sum below the mass, nothing is cut
        last = torch.where(reached.any(dim=-1), reached.int().argmax(dim=-1), log_probs.shape[-1] - 1)
        return distance <= ordered.gather(1, last[:, None])

    def order(self, log_probs: Tensor, probs: Tensor) -> Tensor:
        """See `_MassSampler.order`."""
        entropy = torch.special.entr(probs).sum(dim=-1, keepdim=True)
        distance: Tensor = (-log_probs - entropy).abs()
        return distance

    def before(self, place: Tensor, token: Tensor) -> Tensor:
        """See `_MassSampler.before`; equals stand side by side."""
        return place < place.gather(1, token)

    def overshoot(self, mass: Tensor) -> Tensor:
        """See `_MassSampler.overshoot`; a mass that is reached cuts off what follows."""
        return mass - self.config.mass


def _logits(step: Step, config: RepetitionConfig) -> Tensor:
    return held_back(config, step.logits, step.context_ids) if limits_repetition(config) else step.logits


def _bound(probs: Tensor, noise: Tensor) -> Tensor:
    """No less than `exp(log p + g)`, which is `p / -log u`, and near it where it is large; no logarithm is taken."""
    return probs / (1 - noise)


def _first(log_probs: Tensor, noise: Tensor, bound: Tensor) -> Tensor:
    """The token with the largest `log p + g` of each row, `[batch]`.

    Args:
        log_probs: `[batch, vocabulary]` float64.
        noise: uniform numbers of the same shape.
        bound: by `_bound`, but 0 for tokens that must not be drawn.
    """
    likely = bound.argmax(dim=-1, keepdim=True)
    reached = log_probs.gather(1, likely).exp() / -noise.gather(1, likely).log()
    # `exp(log p + g)` is `p / -log u`, and `-log u >= 1 - u`, so the bound is never too low. Only tokens whose bound reaches
    # what the likeliest winner certainly has can win: a few, and logarithms are taken of these alone. The margin is far above
    # rounding.
    return _best(log_probs, noise, bound >= reached * (1 - 1e-9))


def _best(log_probs: Tensor, noise: Tensor, among: Tensor) -> Tensor:
    """As `_first`, among the tokens that a mask, `[batch, vocabulary]` bool, leaves; the lowest id among equals."""
    rows, tokens = among.nonzero(as_tuple=True)
    # The logarithms are numpy's, as in `gumbel_noise`; torch's may differ in the last place.
    gumbel = torch.from_numpy(-np.log(-np.log(noise[rows, tokens].cpu().numpy())))
    return _largest(log_probs[rows, tokens] + gumbel.to(noise.device), rows, tokens, *among.shape)


def _largest(scores: Tensor, rows: Tensor, tokens: Tensor, batch: int, vocabulary: int) -> Tensor:
    """The token with the largest score of each row, the lowest id among equals, `[batch]`; scores, rows and tokens are `[n]`."""
    highest = scores.new_full((batch,), -torch.inf).scatter_reduce(0, rows, scores, "amax")
    won = torch.where(scores == highest[rows], tokens, vocabulary)
    return tokens.new_full((batch,), vocabulary).scatter_reduce(0, rows, won, "amin")
