"""Greedy decoding and sampling from a truncated distribution: top-k, nucleus and typical.

Draws use the Gumbel-max trick with counter-based noise: `argmax(log p + g)` with standard Gumbel g is a sample from p. The
noise of a row depends on its seed and the step alone, so a text can be drawn again whatever else is in the batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from decoders.base import DecoderConfig, Need, StepDecoder
from decoders.loop import Step


class Greedy(StepDecoder):
    """The likeliest token at every step; among equals, the lowest id."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})

    def select(self, step: Step) -> Tensor:
        """The argmax of the logits, `[batch]`."""
        return step.logits.argmax(dim=-1)


class SamplingConfig(DecoderConfig):
    """What all sampling decoders share."""

    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits before anything else; below 1 is bolder, 1 as published."""


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
        temperature = self.config.temperature
        log_probs = torch.log_softmax(step.logits.double() / temperature, dim=-1)
        return (log_probs + step.gumbel).masked_fill(~self.keep(log_probs), -torch.inf).argmax(dim=-1)


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


class NucleusConfig(SamplingConfig):
    """Settings of nucleus sampling."""

    p: float = Field(default=0.95, gt=0, le=1)
    """Probability mass that the likeliest tokens must exceed together; 0.95 as published."""


class Nucleus(_Sampler):
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


class TypicalConfig(SamplingConfig):
    """Settings of typical sampling."""

    mass: float = Field(default=0.2, gt=0, le=1)
    """Probability mass that the most typical tokens must reach together; 0.2 as published."""


class Typical(_Sampler):
    """Locally typical sampling (Meister et al. 2023, equation 8).

    Tokens are ordered by how far their surprisal is from the entropy, `|-log p - H|`, and kept, the least far first, until
    their mass reaches `mass`; the token that reaches it and those as typical as it stay in.
    """

    Config: ClassVar[type[DecoderConfig]] = TypicalConfig
    config: TypicalConfig

    def keep(self, log_probs: Tensor) -> Tensor:
        """See `_Sampler.keep`."""
        probs = log_probs.exp()
        entropy = torch.special.entr(probs).sum(dim=-1, keepdim=True)
        distance: Tensor = (-log_probs - entropy).abs()
        ordered, order = distance.sort(dim=-1, stable=True)
        reached: Tensor = probs.gather(1, order).cumsum(dim=-1) >= self.config.mass
        # argmax finds the first True; where rounding keeps the sum below the mass, nothing is cut
        last = torch.where(reached.any(dim=-1), reached.int().argmax(dim=-1), log_probs.shape[-1] - 1)
        return distance <= ordered.gather(1, last[:, None])
