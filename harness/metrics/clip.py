"""CLIPScore: how well a text fits its image in the eyes of an image-text model (Hessel et al. 2021, arXiv 2104.08718)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from decoders.models.images import ImageLike
from harness.errors import MetricUnavailable, UnreadableImage
from harness.metrics.base import Metric, MetricConfig, Output, mean_over_texts
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field

if TYPE_CHECKING:
    from torch import Tensor

    from decoders.models.image_text import ImageTextModel

_BATCH = 256


class ClipScoreConfig(MetricConfig):
    """The constants of the definition."""

    w: float = 2.5
    """Scale; 2.5 as published, so that values fill 0 to 1."""
    prefix: str = "A photo depicts "
    """What is said before the text; as published, trailing space included."""


class ClipScore(Metric):
    """CLIPScore, w * max(cos, 0), with the raw cosine under its own name.

    Where the same model chose the text (MAGIC, CLIPRe, ZeroCap), it judges its own work: read it with that in mind.
    """

    Config = ClipScoreConfig
    config: ClipScoreConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.CLIP, Need.IMAGE})
    per_sample: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        """CLIPScore and the cosine behind it."""
        return (Output("clipscore", higher_is_better=True), Output("clip-cosine", higher_is_better=True))

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """W * max(cos, 0), cos, 1: `[n, 3]`; NaN for a failed sample or an image that cannot be read.

        Raises:
            NeedMissing: the suite names no image-text model.
            MetricUnavailable: no example has an image.
        """
        model = self.models.clip
        if all(sample.example.image is None for sample in samples):
            raise MetricUnavailable("CLIPScore compares texts with images, and no example has an image")
        rows = np.full((len(samples), 3), np.nan)
        asked = [
            (i, sample.example.image, self.config.prefix + sample.text)
            for i, sample in enumerate(samples)
            if sample.failure is None and sample.example.image is not None
        ]
        for start in range(0, len(asked), _BATCH):
            numbers, images, texts = zip(*asked[start : start + _BATCH], strict=True)
            found = image_features(model, images)
            readable = [place for place, features in enumerate(found) if features is not None]
            if not readable:
                continue
            seen = np.stack([features.cpu().numpy() for features in found if features is not None])
            said = model.text_features([texts[place] for place in readable]).cpu().numpy()
            cosine = np.einsum("nd,nd->n", seen, said, dtype=np.float64)
            rows[[numbers[place] for place in readable]] = np.column_stack(
                [self.config.w * np.maximum(cosine, 0.0), cosine, np.ones_like(cosine)]
            )
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means over texts."""
        return mean_over_texts(sums)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ends of both scales."""
        return np.array([0.0, -1.0, 1.0])

    def signature(self) -> Signature:
        """Scale, prefix, model and precision."""
        model = self.models.clip
        fields = {
            "w": self.config.w,
            "prefix": self.config.prefix,
            "clip": model_field(model.name, model.digest),
            "dt": model.dtype,
        }
        return Signature.of("clipscore", fields)


def image_features(model: ImageTextModel, images: Sequence[ImageLike]) -> list[Tensor | None]:
    """One vector an image, None for those that cannot be read, which are found by halving."""
    try:
        return list(model.image_features(images))
    except UnreadableImage:
        if len(images) == 1:
            return [None]
        half = len(images) // 2
        return image_features(model, images[:half]) + image_features(model, images[half:])
