"""One sentence for every image, as a captioner would write that never looks: a floor under every captioning table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Limits, Need, Prompt
from decoders.contrastive import Contrastive, ContrastiveConfig
from decoders.models.loaded import Models


class ConstantConfig(DecoderConfig):
    """Settings of the constant row."""

    text: str = ""
    """The sentence; empty takes what contrastive search writes for the prompt alone."""
    k: int = Field(default=ContrastiveConfig.model_fields["k"].default, ge=1)
    """`k` of that contrastive search."""
    alpha: float = Field(default=ContrastiveConfig.model_fields["alpha"].default, ge=0, le=1)
    """`alpha` of that contrastive search."""


class Constant(Decoder):
    """Answers every image with the same sentence: a given one, or the one of contrastive search, found once a prompt."""

    Config: ClassVar[type[DecoderConfig]] = ConstantConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    config: ConstantConfig

    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, limits)
        self._by_prompt: dict[str, Generation] = {}

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; images are not looked at."""
        config = self.config
        if config.text:
            return [Generation(text=" ".join(config.text.split()), tokens=(), finish="retrieved") for _ in prompts]
        new = {prompt.text: replace(prompt, image=None) for prompt in prompts if prompt.text not in self._by_prompt}
        search = Contrastive(ContrastiveConfig(k=config.k, alpha=config.alpha), self.models, self.limits)
        self._by_prompt |= zip(new, search.decode(list(new.values()), [0] * len(new)), strict=True)
        return [self._by_prompt[prompt.text] for prompt in prompts]
