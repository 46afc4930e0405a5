"""Decoders that let something else decide the text, or change what they were lent."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from decoders import DecoderConfig, Generation, Limits, Models, Prompt, Step
from tests.contract.broken.keepers import Drawer, Keeper, breaks
from tests.contract.broken.settings import Loose

# The same again


@breaks("same-twice")
class Counts(Keeper):
    calls = 0

    def select(self, step: Step) -> Tensor:
        self.calls += 1
        return step.candidates(2).ids[:, self.calls // 9 % 2]


@breaks("same-twice")
class InstanceNumber(Keeper):
    made = 0

    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, limits)
        type(self).made += 1
        self.number = self.made

    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, self.number % 2]


# Neighbours


@breaks("batch-size")
class CountsNeighbours(Keeper):
    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, int(len(step.prompts) == 3)]


@breaks("subset")
class CompromisesWithNeighbours(Keeper):
    def select(self, step: Step) -> Tensor:
        return (step.logits + step.logits.mean(dim=0)).argmax(dim=-1)


@breaks("subset")
class SeesPadding(Keeper):
    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, int(step.history.shape[1] > 9)]


@breaks("order")
class FirstComesFirst(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        return torch.cat([ids[:1, 0], ids[1:, 1]])


@breaks("order")
class SortsByLength(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        return sorted(generations, key=lambda generation: len(generation.tokens))


@breaks("duplicates")
class NeverRepeatsItself(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        seen: set[str] = set()
        for place, prompt in enumerate(prompts):
            if prompt.text + str(prompt.image) in seen:
                generations[place] = Generation("as before", (), "retrieved")
            seen.add(prompt.text + str(prompt.image))
        return generations


@breaks("duplicates")
class OneSeedAPrompt(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        first = {prompt.text: seed for prompt, seed in reversed(list(zip(prompts, seeds, strict=True)))}
        return super().decode(prompts, [first[prompt.text] for prompt in prompts])


@breaks("ids")
class ReadsIds(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        return torch.stack([row[len(prompt.id) % 2] for row, prompt in zip(ids, step.prompts, strict=True)])


# Seeds


@breaks("seeds")
class SeededWithoutNoise(Keeper):
    seeded = True


@breaks("seeds")
class SecretlySeeded(Drawer):
    seeded = False


@breaks("seeds")
class HalfASeed(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        for seed in seeds:
            np.random.RandomState(seed)  # takes 32 bits
        return super().decode(prompts, seeds)


@breaks("seeds")
class CutsSeedsOff(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        return super().decode(prompts, [seed % 2**32 for seed in seeds])


@breaks("global-randomness")
class TorchNoise(Drawer):
    def select(self, step: Step) -> Tensor:
        return (step.log_probs - torch.rand(step.logits.shape).log()).argmax(dim=-1)


@breaks("same-twice")
class NumpyNoise(Drawer):
    def select(self, step: Step) -> Tensor:
        return step.candidates(4).ids[:, np.random.randint(4)]  # noqa: NPY002


@breaks("global-randomness")
class SeedsEverything(Drawer):
    """Its texts are repeatable; whoever else draws numbers is not amused."""

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        random.seed(0)
        return super().decode(prompts, seeds)


@breaks("global-randomness")
class GradientsOff(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        torch.set_grad_enabled(False)
        return super().decode(prompts, seeds)


# What it was given


@breaks("inputs")
class PopsPrompts(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        if isinstance(prompts, list):
            prompts.clear()
        return said


@breaks("inputs")
class SortsSeeds(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        if isinstance(seeds, list):
            seeds.sort()
        return super().decode(prompts, seeds)


@breaks("inputs")
class Trains(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        with torch.no_grad():
            self.models.lm.model.transformer.wte.weight[5] += 1e-3
        return said


@breaks("inputs")
class WantsGradients(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        self.models.lm.model.requires_grad_(True)
        return said


@breaks("inputs")
class AddsAToken(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        self.models.lm.tokenizer.add_tokens(["<mine>"])
        return said


@breaks("inputs")
class WritesIntoItsConfig(Keeper):
    Config = Loose

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        self.config.k += 1  # type: ignore[attr-defined]
        return super().decode(prompts, seeds)
