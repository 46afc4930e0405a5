"""Pictures to measure with: made in memory, from a seed, each unlike the others."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIDE = 224


def pictures(count: int, *, seed: int = 0) -> list[Image.Image]:
    """Coarse random patterns in colour, smoothed, 224 pixels wide and high."""
    made = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        cells = int(rng.integers(3, 12))
        coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        made.append(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return made


def picture_files(count: int, *, seed: int = 0) -> list[bytes]:
    """The same as the bytes of JPEG files, so that reading them is part of what is measured, as with photographs."""
    files = []
    for picture in pictures(count, seed=seed):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files
