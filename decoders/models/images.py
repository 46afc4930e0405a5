"""Opening images: whatever Pillow can read becomes RGB; anything else is a typed error that names the file and the reason."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from decoders.errors import UnreadableImage

_BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, struct.error, zlib.error,
           Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip
"""What Pillow's readers raise for files that are damaged, too large or no images at all."""


MAX_PIXELS = 100_000_000
"""An image with more (10,000 x 10,000) is refused before it is decoded: it would take a gigabyte, and a small file can claim
any size."""

LARGEST_SHORT_SIDE = 448
"""The largest short side that models scale images to. An image that would have more than `MAX_PIXELS` then is
refused too: one of 3,000,000 x 1 pixels is 8 kB as a file and 1,300 GB scaled."""


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

_BROWSER_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_PHOTOMETRIC = 262
"""TIFF's tag of what the smallest sample means: 0 for white."""


def open_image(source: ImageLike) -> Image.Image:
    """Read an image completely and convert it to RGB, upright: the one picture for decoders, metrics, tables and raters.

    The first frame counts. EXIF's orientation is applied. Transparency is laid over white. Samples of more than 8 bits are
    scaled by the range of their type (16 bits by 1/257, 32 bits by 1/16843009); for floating point see `_float_scale`.

    Args:
        source: a file, the bytes of one, or where to read them.

    Raises:
        UnreadableImage: missing, truncated, not an image, or so large or so long that it may be a decompression bomb.
    """
    return _opened(source)[0]


def stored_mode(source: ImageLike) -> str:
    """The colours that an image is stored in, as Pillow calls them; all of its pixels are decoded. Raises: as `open_image`."""
    return _opened(source)[1]


def image_for_browsers(content: bytes) -> tuple[bytes, str]:
    """An image file that browsers show with the pixels of `open_image`, and its MIME type.

    A file that browsers show just so is kept as it is: 8-bit, opaque, not turned, one frame, without a colour profile. Any other
    becomes a PNG of the same pixels.

    Raises:
        UnreadableImage: as `open_image`.
    """
    image, _ = _opened(content)
    with _quiet(), Image.open(io.BytesIO(content)) as stored:
        kept = (
            stored.format in _BROWSER_TYPES
            and stored.mode in ("RGB", "L", "P", "1")
            and not stored.has_transparency_data
            and not {"icc_profile", "gamma"} & stored.info.keys()
            and getattr(stored, "n_frames", 1) == 1
            and _orientation(stored) in (None, 1)
            and _png_bits(content) != 16
        )
        if kept:
            return content, _BROWSER_TYPES[str(stored.format)]
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


def open_as_stored(source: ImageLike) -> Image.Image:
    """An image just as Pillow opens it: neither turned, nor converted, nor laid over white. Raises: as `open_image`."""
    content = _content(source)
    with _named_errors(source, content), _quiet(), Image.open(io.BytesIO(content)) as image:
        _check_size(image.size)
        image.load()
        return image.copy()


def _opened(source: ImageLike) -> tuple[Image.Image, str]:
    # Always the bytes: Pillow maps files into memory, and then turns some of them (8-bit TIFF with EXIF 6) into noise.
    content = _content(source)
    with _named_errors(source, content), _quiet(), Image.open(io.BytesIO(content)) as image:
        _check_size(image.size)
        mode = image.mode
        image.load()
        turn = _TURNS.get(_orientation(image) or 1)
        picture = _to_rgb(image, _png_bits(content))
        return (picture if turn is None else picture.transpose(turn)), mode


def _content(source: ImageLike) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, Path):
        return source.read()
    with _named_errors(source, b""):
        return source.read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on damaged metadata
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_check_size` is stricter
        yield


@contextlib.contextmanager
def _named_errors(source: ImageLike, content: bytes) -> Iterator[None]:
    """Turn what Pillow raises into one error that names the file and the reason."""
    try:
        yield
    except _BROKEN as error:
        name = f"an image of {len(source)} bytes" if isinstance(source, bytes) else str(source)
        raise UnreadableImage(
            f"{name} cannot be read ({_reason(error, content)}); expected a complete JPEG, PNG, WebP or other file "
            "that Pillow opens"
        ) from error


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(
            f"it has {width:,} x {height:,} pixels and {MAX_PIXELS:,} are the most: it could be a decompression bomb; make it "
            "smaller"
        )
    if max(size) * LARGEST_SHORT_SIDE**2 > MAX_PIXELS * min(size):
        raise Image.DecompressionBombError(
            f"it has {width:,} x {height:,} pixels: scaled to a short side of {LARGEST_SHORT_SIDE}, as models take it, it would "
            f"have more than {MAX_PIXELS:,}. Cut it, or leave it out"
        )


def _reason(error: BaseException, content: bytes) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if not isinstance(error, UnidentifiedImageError):
        return str(error) or type(error).__name__
    if not content:
        return "it is empty, so it is not an image"
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "it is a HEIC photograph, which Pillow does not read; convert it to JPEG"
    if b"<svg" in start:
        return "it is an SVG drawing, not an image of pixels; render it as PNG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page, not an image: the download went wrong"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git-LFS pointer, not an image; run `git lfs pull`"
    if content.startswith(b"\x89PNG"):
        try:  # Pillow only says that no reader takes the file; its PNG reader knows why
            PngImagePlugin.PngImageFile(io.BytesIO(content))
        except _BROKEN as cause:
            return f"it is a damaged PNG file: {cause}"
    return "it is not an image"


def _orientation(image: Image.Image) -> int | None:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except _BROKEN:  # damaged metadata beside good pixels: show the pixels
        return None
    return value if isinstance(value, int) else None


def _to_rgb(image: Image.Image, png_bits: int) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        _scale_transparent_colour(image, png_bits)
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _scale_transparent_colour(image: Image.Image, bits: int) -> None:
    """Bring a PNG's transparent colour to the 8 bits that Pillow has brought the samples to, but not the colour.

    Of 16 bits Pillow keeps the high byte, so all colours of that high byte count as transparent.
    """
    colour = image.info.get("transparency")
    if bits == 16 and isinstance(colour, tuple):
        image.info["transparency"] = tuple(sample >> 8 for sample in colour)
    elif bits in (2, 4) and image.mode == "L" and isinstance(colour, int):
        image.info["transparency"] = colour * 255 // (2**bits - 1)


def _png_bits(content: bytes) -> int:
    """Bits of a sample in a PNG file, from its header; 0 for other files."""
    return content[24] if content.startswith(b"\x89PNG") and content[12:16] == b"IHDR" and len(content) > 24 else 0


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale a deep grayscale image to 0..255; Pillow's own conversion would clip it, turning most of it white.

    The scale depends on the type of the samples, not on the largest one, so a dark image stays dark. Pillow has 16-bit samples
    as `I;16`, those of PGM as `I` scaled to 16 bits, and 32-bit samples of TIFF as signed `I`.
    """
    if image.mode == "F":
        with np.errstate(invalid="ignore"):  # some of the bit patterns that are no number make the conversion complain
            levels = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=1e9, neginf=0) * _float_scale(np.asarray(image))
    elif image.mode == "I" and image.format == "TIFF":
        levels = np.asarray(image, dtype=np.int64) % 2**32 / 16_843_009  # 2**32 - 1 -> 255
    else:
        levels = np.asarray(image, dtype=np.float64) / 257  # 65535 -> 255
    if image.format == "TIFF" and image.mode != "F" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
        levels = 255 - levels  # white is zero, which Pillow undoes for 8 bits only
    levels = np.clip(np.rint(levels), 0, 255)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and image.mode.startswith("I;16"):
        levels[np.asarray(image) == transparent] = 255
    return Image.fromarray(levels.astype(np.uint8))


def _float_scale(samples: NDArray[np.float32]) -> float:
    """What floating-point samples are multiplied with: their files do not say whether white is 1, 255 or 65535.

    The 99th percentile decides, so that a few sparks, or an infinite one, do not darken the whole image: up to 1 white is 1,
    up to 255 it is 255, above it is 65535.
    """
    finite = samples[np.isfinite(samples)]
    bright = float(np.quantile(finite, 0.99)) if finite.size else 0.0
    return 255.0 if bright <= 1 else 1.0 if bright <= 255 else 1 / 257


class StoredImage(Protocol):
    """An image inside something larger (an archive, a table), read only when it is needed.

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
