"""Every kind of image file becomes RGB, or an error that names it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decoders.errors import UnreadableImage
from decoders.models.images import image_for_browsers, open_image, stored_mode
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
        ("page.jpg", b"<html><body>404</body></html>", "it is a web page, not an image"),
        ("drawing.svg", b'<?xml version="1.0"?><svg xmlns="x"/>', "an SVG drawing"),
        (
            "photo.heic",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "it is a HEIC photograph, which Pillow does not read; convert it to JPEG",
        ),
        ("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (
            "sum.png",
            encoded(Image.new("RGB", (8, 8), RED)).replace(b"IDAT", b"tEXt"),
            "it is a damaged PNG file: broken PNG file",
        ),
        ("strip.png", encoded(Image.new("L", (50_000, 1))), "it has 50,000 x 1 pixels: scaled to a short side"),
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


def sixteen(samples: Any, **options: Any) -> bytes:
    return encoded(Image.fromarray(np.array(samples, dtype=np.uint16)), **options)


def test_the_largest_value_decides_nothing(tmp_path: Path) -> None:
    """A dark image stays dark, whatever its type; a spark darkens none."""
    dark = [[0, 200], [255, 100]]
    assert np.asarray(open_image(sixteen(dark)))[..., 0].tolist() == [[0, 1], [1, 0]]
    pgm = b"P5 2 2 65535\n" + np.array(dark, dtype=">u2").tobytes()
    assert np.asarray(open_image(pgm))[..., 0].tolist() == [[0, 1], [1, 0]]
    wide = Image.fromarray(np.array([[0, 2**31 - 1], [16_843_009, 255]], dtype=np.int32))
    assert np.asarray(open_image(encoded(wide, "TIFF")))[..., 0].tolist() == [[0, 127], [1, 0]]
    for white in (1.0, 255.0, 65535.0):
        samples = np.full((20, 20), 0.5 * white, dtype=np.float32)
        samples[5:] = white
        for spark in (samples[0, 0], 3 * white, np.inf, np.nan):
            samples[0, 0] = spark
            shown = np.asarray(open_image(encoded(Image.fromarray(samples), "TIFF")))[..., 0]
            assert (shown[1, 1], shown[-1, -1]) == (128, 255)


def test_transparency_of_deep_and_shallow_samples_is_laid_over_white() -> None:
    grey = np.asarray(open_image(sixteen([[0, 257], [256, 65535]], transparency=257)))[..., 0]
    assert grey.tolist() == [[0, 255], [1, 255]]
    clear = np.asarray(open_image(png(2, 0, b"\x1b", trns=b"\x00\x02")))[0, :, 0]  # 0, 1, 2, 3 of two bits; 2 is clear
    assert clear.tolist() == [0, 85, 255, 255]
    row = np.array([0x8000, 0x8000, 0x8000, 0, 0, 0], dtype=">u2").tobytes()
    assert np.asarray(open_image(png(16, 2, row, trns=row[:6], width=2)))[0].tolist() == [[255] * 3, [0] * 3]


def png(bits: int, colour: int, row: bytes, *, trns: bytes, width: int = 4) -> bytes:
    """A PNG file of one row."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"tRNS", trns), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_file_and_its_bytes_are_one_picture(tmp_path: Path) -> None:
    """Pillow maps uncompressed TIFF files into memory, and turned them into noise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.tif"
    path.write_bytes(encoded(Image.effect_noise((48, 32), 90), "TIFF", exif=exif))
    assert open_image(path).tobytes() == open_image(path.read_bytes()).tobytes()
    assert (open_image(path).size, stored_mode(path)) == ((32, 48), "L")


@pytest.mark.parametrize("kind", [*FILES, "turned jpeg", "animation", "16 bits"])
def test_raters_see_the_pixels_of_decoders(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE)]
    others = {
        "turned jpeg": encoded(Image.effect_noise((16, 8), 50), "JPEG", exif=exif),
        "animation": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "16 bits": encoded(SIXTEEN),
    }
    content = FILES[kind][0] if kind in FILES else others[kind]
    shown, mime = image_for_browsers(content)
    with Image.open(io.BytesIO(shown)) as image:  # as a browser would: no conversion of ours
        assert image.get_format_mimetype() == mime
        assert getattr(image, "n_frames", 1) == 1
        assert image.convert("RGB").tobytes() == open_image(content).tobytes()
    plain = kind in ("rgb", "grayscale", "bilevel", "grayscale jpeg", "palette", "webp")
    assert (shown == content) == plain


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_shared_image_is_one_picture_for_everybody(shared: Path) -> None:
    broken = set()
    for path in sorted((shared / "inputs" / "images").iterdir()):
        try:
            picture = open_image(path)
        except UnreadableImage:
            broken.add(path.name)
            continue
        content = path.read_bytes()
        assert picture.tobytes() == open_image(content).tobytes(), path.name
        with Image.open(io.BytesIO(image_for_browsers(content)[0])) as shown:
            assert shown.convert("RGB").tobytes() == picture.tobytes(), path.name
        if path.stem.startswith(("gray16be", "gray16le", "gray8-exif6", "float", "uint32", "gray12.")):
            assert 105 < np.asarray(picture).mean() < 107, path.name
    assert broken == {
        "empty.jpg", "half.jpg", "half.png", "html.jpg", "no-eoi.jpg", "pic.heic", "pic.svg", "png-bad-crc-text.png",
        "png-large-text.png",
    }  # fmt: skip
    with pytest.raises(UnreadableImage, match="3,000,000 x 1 pixels"):
        open_image(shared / "inputs" / "strip-3000000x1.png")
