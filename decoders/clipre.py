"""CLIPRe: say of an image the caption, written about some other image, that lies nearest to it (Su et al. 2022, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import images_of
from decoders.nearest import FeatureRows

PUBLISHED_INDEX = 128
"""Captions in the index behind the published results, whose builder encoded its first batch over and over."""


class CaptionIndex(FeatureRows):
    """Captions and their text features, searched exhaustively by inner product; see `FeatureRows` for memory.

    Attributes:
        captions: the texts.
    """

    def __init__(self, captions: Sequence[str], features: NDArray[np.float32]) -> None:
        """Take features as an index.

        Args:
            captions: n texts.
            features: `[n, d]` float32 of unit length, row by row those of the captions; may be memory-mapped
                (`np.load(..., mmap_mode="r")`).

        Raises:
            ValueError: no captions, or features that do not belong to them.
        """
        if len(captions) == 0 or features.ndim != 2 or len(features) != len(captions):
            raise ValueError(
                f"{len(captions)} captions with features of shape {features.shape}; expected one row a caption"
            )
        super().__init__(features)
        self.captions = tuple(captions)

    def first(self, n: int) -> CaptionIndex:
        """An index over the first `n` captions alone."""
        return CaptionIndex(self.captions[:n], self._features[:n])

    def nearest(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best caption of each query; the lowest row among captions whose features are equal.

        Args:
            queries: `[m, d]` float32 of unit length.

        Returns:
            Row numbers, `[m]` int64, and cosines, `[m]` float64.
        """
        rows, cosines = self.search(queries, 1)
        return rows[:, 0], cosines[:, 0]


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
