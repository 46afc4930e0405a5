"""Decoders that keep the contract, for those that break it to derive from, and the list of the latter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from decoders import Decoder, Generation, Need, Prompt, Step, StepDecoder

BROKEN: list[tuple[str, type[Decoder], dict[str, Any]]] = []
"""Rule, decoder and the settings that it is tried with."""


def breaks(rule: str, **config: Any) -> Callable[[type[Decoder]], type[Decoder]]:
    """Note that a decoder breaks a rule."""

    def note(kind: type[Decoder]) -> type[Decoder]:
        BROKEN.append((rule, kind, config))
        return kind

    return note


class Keeper(StepDecoder):
    """Keeps the contract: greedy search. The broken ones below differ from it in one thing each."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})

    def select(self, step: Step) -> Tensor:
        return step.logits.argmax(dim=-1)

    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        return generations

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        return self.altered(super().decode(prompts, seeds), prompts)


class Looker(Keeper):
    """Keeps the contract: of the two likeliest tokens, the one that fits the image better."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM, Need.CLIP, Need.IMAGE})

    def select(self, step: Step) -> Tensor:
        two = step.candidates(2).ids
        best = step.image_text_logits(step.texts(two, 60)).argmax(dim=-1)
        return torch.where(step.log_probs.max(dim=-1).values > -0.1, two[:, 0], two.gather(1, best[:, None])[:, 0])


class Drawer(Keeper):
    """Keeps the contract: draws from the whole distribution."""

    seeded = True

    def select(self, step: Step) -> Tensor:
        return (step.log_probs + step.gumbel).argmax(dim=-1)
