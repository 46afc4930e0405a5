"""Every kind of image file becomes RGB, or an error that names it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decoders.errors import UnreadableImage
from decoders.models.images import open_image
from decoders.models.load import load_image_text

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 255, 0, 255, 0, 0])  # 0 is green, 1 is red
    image.paste(0, (0, 0, 4, 8))
    return encoded(image, transparency=0) if transparent else encoded(image)


def half_clear(mode: str, colour: Any, clear: Any) -> bytes:
    image = Image.new(mode, (8, 8), colour)
    image.paste(clear, (0, 0, 4, 8))
    return encoded(image)


SIXTEEN = Image.fromarray(np.array([[0, 32768], [65535, 257]], dtype=np.uint16))

# content, what the left and the right half must show
FILES: dict[str, tuple[bytes, tuple[int, int, int], tuple[int, int, int]]] = {
    "rgb": (encoded(Image.new("RGB", (8, 8), RED)), RED, RED),
    "grayscale": (encoded(Image.new("L", (8, 8), 200)), (200, 200, 200), (200, 200, 200)),
    "bilevel": (encoded(Image.new("1", (8, 8), 1)), WHITE, WHITE),
    "grayscale jpeg": (encoded(Image.new("L", (8, 8), 200), "JPEG"), (200, 200, 200), (200, 200, 200)),
    "cmyk jpeg": (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), RED, RED),
    "palette": (palette(False), (0, 255, 0), RED),
    "palette with transparency": (palette(True), WHITE, RED),
    "alpha": (half_clear("RGBA", (*RED, 255), (0, 0, 0, 0)), WHITE, RED),
    "half alpha": (half_clear("RGBA", (*RED, 255), (0, 0, 0, 128)), (127, 127, 127), RED),
    "grayscale with alpha": (half_clear("LA", (0, 255), (0, 0)), WHITE, (0, 0, 0)),
    "rgb with a transparent colour": (encoded(Image.new("RGB", (8, 8), RED), transparency=RED), WHITE, WHITE),
    "gif": (encoded(Image.new("P", (8, 8), 0), "GIF", transparency=0), WHITE, WHITE),
    "webp": (encoded(Image.new("RGB", (8, 8), RED), "WEBP", lossless=True), RED, RED),
    "float tiff": (encoded(Image.new("F", (8, 8), 0.5), "TIFF"), (128, 128, 128), (128, 128, 128)),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_mode_becomes_rgb(kind: str, tmp_path: Path) -> None:
    content, left, right = FILES[kind]
    path = tmp_path / "image"
    path.write_bytes(content)
    for source in (content, path):
        image = open_image(source)
        assert image.mode == "RGB"
        assert image.size == (8, 8)
        pixels = np.asarray(image).astype(int)
        assert np.abs(pixels[4, 0] - left).max() <= 2
        assert np.abs(pixels[4, 7] - right).max() <= 2


def test_sixteen_bits_keep_their_range() -> None:
    pixels = np.asarray(open_image(encoded(SIXTEEN)))[..., 0]
    assert pixels.tolist() == [[0, 128], [255, 1]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_shown_upright(orientation: int) -> None:
    """The stored pixels of each EXIF orientation are such that turning them gives one and the same picture."""
    upright = Image.new("RGB", (16, 8), WHITE)
    upright.paste(RED, (0, 0, 4, 4))
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # undone by EXIF's own turn; Transpose values
    stored = upright
    for turn in turns.get(orientation, []):
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(encoded(stored, exif=exif))
    assert image.size == (16, 8)
    assert image.getpixel((0, 0)) == RED
    assert image.getpixel((15, 0)) == WHITE
    assert image.getpixel((0, 7)) == WHITE


def test_damaged_metadata_spares_the_pixels() -> None:
    content = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    assert open_image(content).size == (8, 8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.jpg", None, "no such file"),
        ("empty.jpg", b"", "not an image"),
        ("notes.txt", b"A red boat on the sea.\n", "not an image"),
        ("page.jpg", b"<html><body>404</body></html>", "not an image"),
        ("torn.jpg", encoded(Image.effect_noise((64, 64), 50), "JPEG")[:-900], "truncated"),
        ("torn.png", encoded(Image.effect_noise((64, 64), 50))[:-900], ""),
        ("head.png", encoded(Image.new("RGB", (64, 64)))[:30], ""),
        ("bomb.png", encoded(Image.new("1", (20000, 20000))), "decompression bomb"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=f"an image of {len(content)} bytes"):
            open_image(content)
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="cannot be read"):
        open_image(tmp_path)


def test_features_of_every_mode(clip_folder: Path, tmp_path: Path) -> None:
    model = load_image_text(f"local-dir:{clip_folder}")
    features = model.image_features([content for content, _, _ in FILES.values()])
    assert features.shape == (len(FILES), 24)
    assert features.isfinite().all()
    assert features.norm(dim=1).sub(1).abs().max() < 1e-5
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        model.image_features([FILES["rgb"][0], tmp_path / "gone.png"])
    assert model.image_features([]).shape[0] == 0
