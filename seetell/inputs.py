"""What people hand to the functions of this package, as the values that the library works with."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from decoders.errors import UnreadableImage
from harness.errors import DataError, SuiteError, did_you_mean
from harness.suites.spec import Suite

if TYPE_CHECKING:
    from decoders.models.images import ImageLike

Picture: TypeAlias = "str | Path | bytes | Image.Image | NDArray[Any] | ImageLike"
"""An image: a path, the bytes of an image file, a PIL image, or an array of pixels."""

Value = TypeVar("Value")

IMAGE_FORMS = (
    "expected a path, the bytes of an image file, a PIL image, or an array of pixels, [height, width] or "
    "[height, width, 3 or 4], uint8, uint16, or floating point between 0 and 1"
)


def image_of(picture: Picture) -> ImageLike:
    """An image in one of the forms that decoders and metrics take. Pixels are kept as a PNG, which loses nothing of 8 or 16 bits.

    Raises:
        UnreadableImage: it is in no form that is known.
    """
    if isinstance(picture, str):
        return Path(picture)
    if isinstance(picture, np.ndarray):
        picture = _from_array(picture)
    if isinstance(picture, Path | bytes) or (hasattr(picture, "read") and not isinstance(picture, Image.Image)):
        return picture
    if not isinstance(picture, Image.Image):
        raise UnreadableImage(f"an image of type {type(picture).__name__}; {IMAGE_FORMS}")
    content = io.BytesIO()
    # PNG knows neither floating point nor CMYK and the like; TIFF keeps all of them as they are.
    kind = "PNG" if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF"
    picture.save(content, format=kind, exif=picture.getexif())
    return content.getvalue()


def _from_array(pixels: NDArray[Any]) -> Image.Image:
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)) or 0 in pixels.shape:
        raise UnreadableImage(f"an array of shape {pixels.shape}; {IMAGE_FORMS}")
    if np.issubdtype(pixels.dtype, np.floating):
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise UnreadableImage(f"an array of {pixels.dtype} from {pixels.min():.4g} to {pixels.max():.4g}; {IMAGE_FORMS}")
        return Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    if pixels.dtype == np.uint16 and pixels.ndim == 2:
        return Image.fromarray(pixels)
    if pixels.dtype == np.uint16:
        return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
    if pixels.dtype == np.uint8:
        return Image.fromarray(pixels)
    raise UnreadableImage(f"an array of {pixels.dtype}; {IMAGE_FORMS}")


def is_one_image(pictures: object) -> bool:
    """Whether a value is one image and not several."""
    return isinstance(pictures, str | Path | bytes | Image.Image) or (
        isinstance(pictures, np.ndarray) and (pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[2] in (3, 4)))
    )


def by_key(values: Mapping[str, Value] | Sequence[Value], name: str) -> dict[str, Value]:
    """Values by their id: those of a mapping, or the places of a sequence, from "0".

    Raises:
        DataError: it is neither, or one text where several are expected.
    """
    if isinstance(values, Mapping):
        return {str(key): value for key, value in values.items()}
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise DataError(f"{name} of type {type(values).__name__}; expected a list, or a dict by id")
    return {str(place): value for place, value in enumerate(values)}


def suite_of(suite: str | Path | Mapping[str, Any] | Suite, settings: Sequence[str] = ()) -> Suite:
    """A suite, by the name of a packaged one, by its file, or as a dict of the same tables.

    Raises:
        SuiteError: there is no such suite, or something in it is wrong.
    """
    if isinstance(suite, Suite):
        if settings:
            raise SuiteError("settings change a suite when it is read; give them to Suite.load")
        return suite
    if isinstance(suite, str | Path):
        return Suite.load(str(suite), settings)
    if isinstance(suite, Mapping):
        from harness.store.toml import to_toml

        try:
            content = to_toml(_without_paths(suite)).encode()
        except TypeError as error:
            raise SuiteError(f"the suite: {error}; expected text, numbers, booleans, lists and dicts of these") from None
        return Suite.parse(content, "the suite", Path.cwd(), settings)
    raise SuiteError(f"a suite of type {type(suite).__name__}; expected a name, the path of a TOML file, or a dict")


def as_settings(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Settings as `--set` takes them: `{"magic.beta": 1.5}` or `["magic.beta=1.5"]`."""
    if isinstance(settings, str):
        return [settings]
    if isinstance(settings, Mapping):
        from harness.store.toml import toml_value

        return [f"{key}={toml_value(_without_paths(value))}" for key, value in settings.items()]
    return list(settings)


def _without_paths(value: Any) -> Any:
    """The value with its paths as text, which is what TOML has for them."""
    if isinstance(value, Mapping):
        return {key: _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def check_labels(names: Sequence[str] | str, known: Sequence[str], parameter: str) -> list[str]:
    """Labels of decoders, all of which there are.

    Raises:
        SuiteError: one is not known.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise SuiteError(f"{parameter}={name!r}: there is no such decoder in the suite{did_you_mean(name, known)}")
    return wanted
