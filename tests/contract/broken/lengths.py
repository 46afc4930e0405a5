"""Decoders that mistake how long a text may get, or stumble over nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from decoders import DecoderConfig, Generation, Limits, Models, Prompt, PromptTooLong, Step
from tests.contract.broken.keepers import Keeper, breaks

# Lengths


@breaks("length-limits")
class IgnoresLimits(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, Limits(6))


@breaks("length-limits")
class ForgetsMaxLength(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, replace(limits, max_length=None))


@breaks("length-limits")
class ForgetsThePrompt(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        both = [n for n in (limits.max_new_tokens, limits.max_length) if n is not None]
        super().__init__(config, models, Limits(min(both, default=None)))


@breaks("length-limits")
class OneTooFew(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        fewer = None if limits.max_length is None else limits.max_length - 1
        super().__init__(config, models, replace(limits, max_length=fewer))


@breaks("no-room")
class SaysNothingWithoutRoom(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except PromptTooLong:
            return [Generation("", (), "length") for _ in prompts]


@breaks("no-room")
class ComplainsVaguely(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except PromptTooLong:
            raise PromptTooLong("some prompt is too long") from None


# Nothing to go on


@breaks("empty-prompt")
class LooksAtTheFirstLetter(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        assert all(prompt.text[0] for prompt in prompts)
        return super().decode(prompts, seeds)


@breaks("empty-prompt")
class StartsFromTheEnd(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        end = self.models.lm.tokenizer.eos_token
        return super().decode([replace(prompt, text=prompt.text or end) for prompt in prompts], seeds)


@breaks("end-at-once")
class MustSaySomething(Keeper):
    def select(self, step: Step) -> Tensor:
        if step.index == 0:
            step.logits[:, step.lm.end_id] = -torch.inf
        return step.logits.argmax(dim=-1)


@breaks("end-at-once")
class ChokesOnSilence(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        if not any(generation.text for generation in generations):
            raise ZeroDivisionError("no words to divide by")
        return generations
