"""The captions that CLIPRe chooses from, encoded once and kept.

Features depend on the captions and the image-text model alone, so the cache is keyed by the content of both and never
goes stale. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    key = hashlib.sha256("\x1e".join([model.digest, model.dtype, *captions]).encode("utf-8", "replace")).hexdigest()[
        :32
    ]
    file = cache / "caption-index" / f"{key}.npy"
    if file.is_file():
        try:
            features = np.load(file, mmap_mode="r", allow_pickle=False)
        except ValueError:  # half a file from a disk that was full; encode again
            features = None
        if features is not None and features.shape[0] == len(captions):
            return CaptionIndex(captions, features)
    features = model.text_features(captions).float().cpu().numpy()
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    write_bytes(file, buffer.getvalue())
    return CaptionIndex(captions, features)
