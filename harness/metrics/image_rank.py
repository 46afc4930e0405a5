"""Image-text rank: whether a text tells its image from all others, by how early it retrieves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from decoders.models.images import ImageLike
from harness.errors import MetricUnavailable
from harness.metrics.base import BLOCK, MeanOverTexts, Metric, MetricConfig, Output
from harness.metrics.clip import image_features
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field

_BLOCK = 512
"""Images that are encoded, and texts that are ranked, at once: 5,000 images never meet 5,000 texts in one matrix."""
_TIE = 1e-6
"""Cosines closer than this are equal: float32 rounds them differently from batch to batch."""


class ImageRankConfig(MetricConfig):
    """What is said before the text."""

    prefix: str = ""
    """Such as CLIPScore's `A photo depicts `."""


class ImageRank(MeanOverTexts, Metric):
    """How often a text's own image is the likeliest of all the suite's images (R@1), among five (R@5), and MRR.

    A text that fits many images equally well ranks low, which CLIPScore does not see. Images that tie with the own one go
    before it, so saying nothing in particular earns nothing. Values depend on how many images there are and how alike they
    are, so compare them on the same images only.
    """

    Config = ImageRankConfig
    config: ImageRankConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.CLIP, Need.IMAGE})
    _pool = 0

    @property
    def outputs(self) -> tuple[Output, ...]:
        """R@1, R@5, and the mean of 1 / rank."""
        return (
            Output("image-r@1", higher_is_better=True),
            Output("image-r@5", higher_is_better=True),
            Output("image-mrr", higher_is_better=True),
        )

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Rank is 1, rank is 5 or better, 1 / rank, 1: `[n, 4]`; NaN for a failed sample or an unreadable image.

        The images of all samples, failed ones included, are what a text chooses from; examples may share one.

        Raises:
            NeedMissing: the suite names no image-text model.
            MetricUnavailable: fewer than two different images can be read.
        """
        model = self.models.clip
        pictures = list(dict.fromkeys(s.example.image for s in samples if s.example.image is not None))
        place: dict[ImageLike | None, int] = {}
        seen: list[NDArray[np.float32]] = []
        for start in range(0, len(pictures), BLOCK):
            block = pictures[start : start + BLOCK]
            for picture, features in zip(block, image_features(model, block), strict=True):
                if features is not None:
                    place[picture] = len(seen)
                    seen.append(features.cpu().numpy())
        if len(seen) < 2:
            raise MetricUnavailable(
                f"image-rank asks which of the images a text is about, and {len(seen)} can be read; expected two or more"
            )
        self._pool = len(seen)
        pool = np.stack(seen)
        rows = np.full((len(samples), 4), np.nan)
        scored = [i for i, s in enumerate(samples) if s.failure is None and s.example.image in place]
        for start in range(0, len(scored), _BLOCK):
            part = scored[start : start + _BLOCK]
            text_features = model.text_features([self.config.prefix + samples[i].text for i in part]).cpu().numpy()
            cosine = text_features @ pool.T
            own = cosine[np.arange(len(part)), [place[samples[i].example.image] for i in part]]
            rank = (cosine >= own[:, None] - _TIE).sum(axis=1)
            rows[part] = np.column_stack([rank <= 1, rank <= 5, 1 / rank, np.ones(len(part))])
        return rows

    def signature(self) -> Signature:
        """Model, precision, prefix, and how many images there were to choose from."""
        model = self.models.clip
        fields = {"pool": self._pool, "prefix": self.config.prefix, "clip": model_field(model.name, model.digest)}
        return Signature.of("image-rank", {**fields, "dt": model.dtype, "ties": "against"})
