"""Sample several texts and keep the one that fits the image best: what sampling and an image-text model give without steering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import images_of
from decoders.repetition import RepetitionConfig
from decoders.sampling import Nucleus, NucleusConfig, SamplingConfig, TopK, TopKConfig, Typical, TypicalConfig
from decoders.transfer import download


class SampleRerankConfig(RepetitionConfig):
    """Settings of sampling and re-ranking."""

    n: int = Field(default=8, ge=1, le=1000)
    """Texts that are drawn for each prompt."""
    sampler: Literal["nucleus", "top-k", "typical"] = "nucleus"
    """What they are drawn with."""
    p: float = Field(default=0.95, gt=0, le=1)
    """Mass of the nucleus; see `NucleusConfig`. Matters to `nucleus` alone."""
    k: int = Field(default=40, ge=1)
    """See `TopKConfig`. Matters to `top-k` alone."""
    mass: float = Field(default=0.2, gt=0, le=1)
    """See `TypicalConfig`. Matters to `typical` alone."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits before they are truncated."""


class SampleRerank(Decoder):
    """Draws n texts blindly and keeps the one whose features have the highest cosine with the image's; first among equals.

    The first of the n is the text that the sampler alone would draw with the same seed.
    """

    Config: ClassVar[type[DecoderConfig]] = SampleRerankConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM, Need.CLIP, Need.IMAGE})
    seeded: ClassVar[bool] = True
    config: SampleRerankConfig

    @torch.no_grad()
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; `trace` holds the winner's cosine and which of the n it was.

        Raises:
            NeedMissing: a prompt without an image.
        """
        if not prompts:
            return []
        n = self.config.n
        images = self.models.clip.image_features(images_of(prompts))
        all_seeds = [draw_seed for seed in seeds for draw_seed in draw_seeds(seed, n)]
        drawn = self._sampler().decode([prompt for prompt in prompts for _ in range(n)], all_seeds)
        texts = self.models.clip.text_features([generation.text for generation in drawn])
        cosines = torch.einsum("bd,bnd->bn", images, texts.view(len(prompts), n, -1))
        generations = []
        best_draws, highest_cosines = download([cosines.argmax(dim=1), cosines.amax(dim=1)])
        for row, (best, highest) in enumerate(zip(best_draws.tolist(), highest_cosines.tolist(), strict=True)):
            winner = drawn[row * n + best]
            trace = {**winner.trace, "cosine": highest, "draw": float(best)}
            generations.append(Generation(winner.text, winner.tokens, winner.finish, trace))
        return generations

    def _sampler(self) -> Decoder:
        config, models, limits = self.config, self.models, self.limits
        shared = config.model_dump(include=set(SamplingConfig.model_fields))
        if config.sampler == "nucleus":
            return Nucleus(NucleusConfig(p=config.p, **shared), models, limits)
        if config.sampler == "top-k":
            return TopK(TopKConfig(k=config.k, **shared), models, limits)
        return Typical(TypicalConfig(mass=config.mass, **shared), models, limits)


def draw_seeds(seed: int, n: int) -> list[int]:
    """Seeds of `n` draws: the prompt's own, then words of a Philox stream that no token's noise comes from.

    Args:
        seed: 64 bits.
        n: how many.
    """
    words = np.random.Philox(key=seed, counter=[0, 0, 1, 0]).random_raw(n)
    return [seed, *(int(word) for word in words[1:])]
