"""CLIPRe, the retrieval baseline of Su et al. 2022, "Language Models Can See", section 4.1: the caption of the training
split whose text features have the highest cosine to the image features.

The released code indexed its first batch of 128 captions over and over; `first128` does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from tests.reference.image_text import ImageText
from tests.reference.language import Margin


def retrieve(
    clip: ImageText, image: object, captions: Sequence[str], *, first128: bool = False, features: Tensor | None = None
) -> tuple[str, float]:
    """The best caption, the earliest of equals, and its lead over the best *other* caption.

    Args:
        clip: the image-text model.
        image: normalised image features, `[d]`.
        captions: the index.
        first128: keep the first 128 captions only.
        features: of all captions, by the same model, `[n, d]`, where they were encoded before.
    """
    features = clip.encode_texts(captions) if features is None else features
    pool = list(captions[:128] if first128 else captions)
    query = np.asarray(image, dtype=np.float64)
    cosine = np.asarray(features[: len(pool)], dtype=np.float64) @ query
    best = int(np.argmax(cosine))
    others = [score for text, score in zip(pool, cosine, strict=True) if text != pool[best]]
    margin = Margin()
    margin.smallest = float(cosine[best] - max(others)) if others else float("inf")
    return pool[best], margin.smallest
