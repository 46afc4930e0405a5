"""CLIPScore: how well a text fits its image in the eyes of an image-text model (Hessel et al. 2021, arXiv 2104.08718)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer

from decoders.base import Need
from decoders.models.images import ImageLike, open_as_stored, open_image
from harness.errors import MetricUnavailable, UnreadableImage
from harness.metrics.base import BLOCK, Metric, MetricConfig, Output, mean_over_texts
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from decoders.models.image_text import ImageTextModel

_BATCH = BLOCK
_REMEMBERED = 1024
"""Blocks of images whose features are kept, for the next system of the same suite."""
_FEATURES: WeakKeyDictionary[ImageTextModel, dict[tuple[object, ...], list[Tensor | None]]] = WeakKeyDictionary()


class ClipScoreConfig(MetricConfig):
    """The constants of the definition."""

    w: float = 2.5
    """Scale; 2.5 as published, so that values fill 0 to 1."""
    prefix: str = "A photo depicts "
    """What is said before the text; as published, trailing space included."""
    pixels: Literal["upright-on-white", "as-open_clip"] = "upright-on-white"
    """How an image file becomes pixels: upright, on white, deep samples scaled, as decoders and raters see it; or as the model's
    own preprocessing makes them of the file, as `clipscore.py` does."""

    @model_serializer(mode="wrap")
    def _without_default(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the default of `pixels`, so that scores from before there was a choice stay valid."""
        fields: dict[str, Any] = dump(self)
        return fields if self.pixels != "upright-on-white" else {key: fields[key] for key in fields if key != "pixels"}


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
        as_stored = self.config.pixels == "as-open_clip"
        for start in range(0, len(samples), _BATCH):
            block = samples[start : start + _BATCH]
            pictures = [sample.example.image for sample in block if sample.example.image is not None]
            seen: dict[ImageLike | None, Tensor | None] = dict(
                zip(pictures, image_features(model, pictures, as_stored=as_stored), strict=True)
            )
            scored = [
                (place, features)
                for place, sample in enumerate(block)
                if sample.failure is None and (features := seen.get(sample.example.image)) is not None
            ]
            if not scored:
                continue
            texts = model.text_features([self.config.prefix + block[place].text for place, _ in scored]).cpu().numpy()
            images = np.stack([features.cpu().numpy() for _, features in scored])
            cosine = np.einsum("nd,nd->n", images, texts, dtype=np.float64)
            rows[[start + place for place, _ in scored]] = np.column_stack(
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
        # The default is in docs/metrics.md and in no signature, so that numbers of before stay comparable.
        pixels = {} if self.config.pixels == "upright-on-white" else {"pixels": self.config.pixels}
        return Signature.of("clipscore", fields | pixels)


def image_features(model: ImageTextModel, images: Sequence[ImageLike], *, as_stored: bool = False) -> list[Tensor | None]:
    """One vector an image, None for those that cannot be read; the same bits whatever was encoded before."""
    from decoders.models.image_text import image_key

    known = _FEATURES.setdefault(model, {})
    key = (as_stored, *(image_key(image) for image in images))
    if key not in known:
        if len(known) >= _REMEMBERED:
            known.pop(next(iter(known)))
        known[key] = _encoded(model, images, open_as_stored if as_stored else open_image)
    return known[key]


def _encoded(model: ImageTextModel, images: Sequence[ImageLike], opened: Callable[[ImageLike], Image]) -> list[Tensor | None]:
    """Images that cannot be read are found by halving."""
    try:
        return list(model.image_features(images, opened=opened, remembered=False))
    except UnreadableImage:
        if len(images) == 1:
            return [None]
        half = len(images) // 2
        return _encoded(model, images[:half], opened) + _encoded(model, images[half:], opened)
