"""Opening images: whatever Pillow can read becomes RGB; anything else is a typed error that names the file and the reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from decoders.errors import UnreadableImage

_BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, struct.error, zlib.error,
           Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip
"""What Pillow's readers raise for files that are damaged, too large or no images at all."""


MAX_PIXELS = 100_000_000
"""An image with more (10,000 x 10,000) is refused before it is decoded: it would take a gigabyte, and a small file can claim
any size."""


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (Exif 2.3, tag 0x0112)."""


def open_image(source: ImageLike) -> Image.Image:
    """Read an image completely and convert it to RGB, upright.

    Grayscale (8 and 16 bit), palette, CMYK and floating-point images are converted; transparency is laid over white.

    Args:
        source: a file, the bytes of one, or where to read them.

    Raises:
        UnreadableImage: missing, truncated, not an image, or so large that it may be a decompression bomb.
    """
    file = source if isinstance(source, Path) else io.BytesIO(source if isinstance(source, bytes) else source.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on damaged metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_check_size` is stricter
            with Image.open(file) as image:
                _check_size(image.size)
                image.load()
                return _to_rgb(_upright(image))
    except _BROKEN as error:
        name = f"an image of {len(source)} bytes" if isinstance(source, bytes) else str(source)
        raise UnreadableImage(
            f"{name} cannot be read ({_reason(error)}); expected a complete JPEG, PNG, WebP or other file that Pillow opens"
        ) from error


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise Image.DecompressionBombError(
            f"it has {size[0]:,} x {size[1]:,} pixels and {MAX_PIXELS:,} are the most: it could be a decompression bomb; make it "
            "smaller"
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image"
    return str(error) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:  # damaged metadata beside good pixels: show the pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale a deep grayscale image to 0..255; Pillow's own conversion would clip it, turning most of it white."""
    levels = np.nan_to_num(np.asarray(image, dtype=np.float64))
    highest = float(levels.max(initial=0.0))
    if image.mode.startswith("I;16") or highest > 255:
        levels = levels / 257  # 65535 -> 255
    elif image.mode == "F" and highest <= 1:
        levels = levels * 255
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


class StoredImage(Protocol):
    """An image that lies inside something larger (an archive, a table) and is read only when it is needed.

    Its values are hashable and can be pickled, two are equal only if they lead to the same bytes, and `str()` of one names it
    in messages.
    """

    @property
    def name(self) -> str:
        """The image's file name, as its owner calls it."""
        ...

    def __hash__(self) -> int: ...

    def read(self) -> bytes:
        """The bytes of the image file.

        Raises:
            UnreadableImage: it is not there, or what holds it is damaged.
        """
        ...


ImageLike: TypeAlias = Path | bytes | StoredImage
"""An image file, its bytes, or where to read them."""
