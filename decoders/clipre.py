"""CLIPRe: answer an image with the caption of some other image that is nearest to it (Su et al. 2022, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import images_of

PUBLISHED_INDEX = 128
"""Captions in the index behind the published results, whose builder encoded its first batch over and over."""


class ClipReConfig(DecoderConfig):
    """Settings of CLIPRe."""

    first128: bool = Field(default=False)
    """Choose among the first 128 captions only, which is what the published results did by mistake."""


class ClipRe(Decoder):
    """Retrieves the caption whose text feature has the highest cosine to the image's feature, and repeats it unedited."""

    Config: ClassVar[type[DecoderConfig]] = ClipReConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.CLIP, Need.IMAGE, Need.INDEX})
    config: ClipReConfig

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; the prompts' words are not looked at, `trace` holds the cosine."""
        if not prompts:
            return []
        index = self.models.index
        if self.config.first128:
            index = index.first(PUBLISHED_INDEX)
        queries = self.models.clip.image_features(images_of(prompts)).cpu().numpy()
        rows, cosines = index.nearest(queries)
        return [
            Generation(text=index.captions[row], tokens=(), finish="retrieved", trace={"cosine": float(cosine)})
            for row, cosine in zip(rows, cosines, strict=True)
        ]
