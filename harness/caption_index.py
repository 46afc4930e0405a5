"""Texts that many systems are measured against or chosen from (CLIPRe's captions, references), encoded once and kept.

Features depend on the texts and the image-text model alone, so the cache is keyed by the content of both and never
goes stale. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decoders.clipre import CaptionIndex
from decoders.models.image_text import ImageTextModel
from harness.store import write_bytes


def caption_index(captions: Sequence[str], model: ImageTextModel, cache: Path) -> CaptionIndex:
    """An index over captions, in their order; `first128` of CLIPRe counts on it.

    Args:
        captions: any number of texts; equal ones are encoded once, and the first of them wins.
        model: whose text features are used.
        cache: folder for the features; made if missing.
    """
    return CaptionIndex(captions, text_features(captions, model, cache))


def text_features(texts: Sequence[str], model: ImageTextModel, cache: Path) -> NDArray[np.float32]:
    """Features of texts, `[n, d]` float32 of unit length, read from disk where they were computed before.

    Args:
        texts: any number, in any order; the order is part of the key.
        model: whose text features are wanted.
        cache: folder for the features; made if missing.
    """
    key = hashlib.sha256("\x1e".join([model.digest, model.dtype, *texts]).encode("utf-8", "replace")).hexdigest()[:32]
    file = cache / "caption-index" / f"{key}.npy"
    if file.is_file():
        try:
            kept: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
        except ValueError:  # half a file from a disk that was full; encode again
            kept = np.empty((0, 0), np.float32)
        if len(kept) == len(texts):
            return kept
    features: NDArray[np.float32] = model.text_features(texts).float().cpu().numpy()
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    write_bytes(file, buffer.getvalue())
    return features
