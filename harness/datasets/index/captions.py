"""Texts that many systems are measured against or chosen from (CLIPRe's captions, references), encoded once and kept.

Features depend on the texts and the image-text model alone, so the cache is keyed by the content of both and never
goes stale. It may be deleted at any time. The features stay in their file: neither writing nor reading it takes the memory
that all of them would.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decoders.models.image_text import ImageTextModel
from decoders.nearest import CaptionIndex
from harness.datasets.index.query import Index
from harness.errors import StoreError
from harness.store.durable import replacing
from harness.store.sealed import file_sha256

_ENCODED = 8192
"""Captions that are encoded before the next features are written."""


def caption_index(captions: Sequence[str], model: ImageTextModel, cache: Path) -> CaptionIndex:
    """An index over captions, in their order; `first128` of CLIPRe counts on it.

    Args:
        captions: at least one text; equal ones are encoded once, and the first of them wins.
        model: whose text features are used.
        cache: folder for the features; made if missing.
    """
    return CaptionIndex(captions, text_features(captions, model, cache))


def built_index(folder: Path, captions: Sequence[str], model: ImageTextModel) -> CaptionIndex:
    """The captions of an index that `seetell index captions` built, with its features, searched exactly whatever its kind.

    Args:
        folder: of the index.
        captions: what it is expected to hold.
        model: which looks at the images.

    Raises:
        StoreError: no whole index there, or one that holds other captions.
        ModelMismatch: it was made with another model.
    """
    index = Index(folder)
    index.check_model(model)
    if index.names() != list(captions):
        raise StoreError(f"the captions of the index in {folder} have changed since the run was planned; run it again")
    return CaptionIndex(captions, index.features.features)


def text_features(texts: Sequence[str], model: ImageTextModel, cache: Path) -> NDArray[np.float32]:
    """Features of texts, `[n, d]` float32 of unit length, read from disk where they were computed before.

    Args:
        texts: any number, in any order; the order is part of the key.
        model: whose text features are wanted.
        cache: folder for the features; made if missing.
    """
    folder, key = cache / "caption-index", _key(texts, model)
    for file in folder.glob(f"{key}-*.npy"):
        features = _mapped(file, len(texts))
        if features is not None:
            return features
    new = folder / f"{key}.npy"
    _encode(texts, model, new)
    # The name says which content is to be believed: a file that was changed is encoded again.
    file = new.rename(folder / f"{key}-{file_sha256(new)[:32]}.npy")
    mapped: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    return mapped


def _key(texts: Sequence[str], model: ImageTextModel) -> str:
    """A hash of the model and of each text by itself: whatever texts hold, they cannot run into one another."""
    digest = hashlib.sha256()
    for part in (model.digest, model.dtype, *texts):
        content = part.encode("utf-8", "replace")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:32]


def _mapped(file: Path, rows: int) -> NDArray[np.float32] | None:
    """The features in a file, left on disk; None if there is no such file, not all of it, or another than was written."""
    try:
        if not file.stem.endswith(file_sha256(file)[:32]):
            return None
        features: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):  # half a file from a disk that was full; encode again
        return None
    return features if features.shape[:1] == (rows,) else None


def _encode(captions: Sequence[str], model: ImageTextModel, file: Path) -> None:
    """Write the features of captions, in their order, as `np.save` would write the whole of them."""
    repeated = {caption for caption, count in Counter(captions).items() if count > 1}
    known: dict[str, NDArray[np.float32]] = {}
    with replacing(file) as target:
        for start in range(0, len(captions), _ENCODED):
            part = captions[start : start + _ENCODED]
            new = [caption for caption in dict.fromkeys(part) if caption not in known]
            features_of = known | dict(zip(new, model.text_features(new).float().cpu().numpy(), strict=True))
            features = np.stack([features_of[caption] for caption in part])
            known.update((caption, features_of[caption].copy()) for caption in new if caption in repeated)
            if start == 0:
                layout = {"descr": features.dtype.str, "fortran_order": False, "shape": (len(captions), features.shape[1])}
                np.lib.format.write_array_header_1_0(target, layout)
            target.write(features.tobytes())
