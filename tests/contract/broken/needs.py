"""Decoders that use what they did not ask for, or go on without what they need."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from decoders import Generation, Need, NeedMissing, Prompt, Step, UnreadableImage
from decoders.loop import images_of
from tests.contract.broken.keepers import Keeper, Looker, breaks


@breaks("missing-needs")
class AsksNobody(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        self.models.language_model.encode("")  # type: ignore[union-attr]
        return super().decode(prompts, seeds)


@breaks("missing-needs")
class DoesWithoutQuietly(Looker):
    def select(self, step: Step) -> Tensor:
        return Keeper.select(self, step) if self.models.image_text is None else super().select(step)


@breaks("missing-needs")
class BlindToBlindness(Looker):
    def select(self, step: Step) -> Tensor:
        blind = any(prompt.image is None for prompt in step.prompts)
        return Keeper.select(self, step) if blind else super().select(step)


@breaks("missing-needs")
class NamesNoPrompt(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        if any(prompt.image is None for prompt in prompts):
            raise NeedMissing("there are images missing")
        return super().decode(prompts, seeds)


@breaks("unreadable-image")
class SwallowsBrokenImages(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except UnreadableImage:
            return [Generation("", (), "retrieved") for _ in prompts]


@breaks("unreadable-image")
class OpensImagesItself(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        for image in images_of(prompts):
            if not isinstance(image, bytes):
                image.read_bytes()
        return super().decode(prompts, seeds)


@breaks("undeclared-needs")
class LooksInSecret(Looker):
    needs = frozenset({Need.LM})


@breaks("undeclared-needs")
class LooksIfThereIsSomethingToSee(Looker):
    needs = frozenset({Need.LM, Need.IMAGE})

    def select(self, step: Step) -> Tensor:
        return Keeper.select(self, step) if self.models.image_text is None else super().select(step)


@breaks("undeclared-needs")
class LooksAndDeniesIt(Keeper):
    def select(self, step: Step) -> Tensor:
        with suppress(Exception):
            self.models.clip.text_features(["a"])
        return super().select(step)


@breaks("undeclared-needs")
class WeighsTheImage(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        heavy = [len(p.image) % 2 if isinstance(p.image, bytes) else 0 for p in step.prompts]
        return ids.gather(1, torch.tensor(heavy)[:, None])[:, 0]
