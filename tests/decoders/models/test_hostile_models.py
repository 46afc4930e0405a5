"""Damaged images and model folders end in the right thing or in one sentence that names the file: never in a traceback."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decoders.errors import SeeTellError, UnreadableImage
from decoders.models import load, names
from decoders.models.images import MAX_PIXELS, image_for_browsers, open_image

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 523\n"
ODD_VALUES = [None, -1, 0, 10**9, 1e308, "", "wrong", [], {}, [1], True, "../../etc/passwd", "\ud800"]


def flipped(rng: random.Random, content: bytes, most: int = 6) -> bytes:
    """A few bytes changed, cut out or put in; at times the end is cut off."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, most)):
        place = rng.randrange(len(changed)) if changed else 0
        action = rng.random()
        if action < 0.5 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif action < 0.7:
            del changed[place : place + rng.randint(1, 40)]
        elif action < 0.9:
            changed[place:place] = rng.randbytes(rng.randint(1, 20))
        else:
            del changed[place:]
    return bytes(changed)


def check_sentence(error: SeeTellError, what: str) -> None:
    assert str(error), what
    assert "\n" not in str(error), what


# Images


def pictures() -> list[bytes]:
    """One image in each format that people have."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    made = []
    for mode, kind, options in (
        ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("P", "PNG", {}), ("L", "PNG", {}), ("1", "PNG", {}), ("RGB", "JPEG", {}),
        ("CMYK", "JPEG", {}), ("L", "JPEG", {}), ("RGB", "WEBP", {}), ("RGB", "GIF", {}), ("RGB", "BMP", {}),
        ("RGB", "TIFF", {}), ("F", "TIFF", {}), ("I;16", "TIFF", {}), ("RGB", "PPM", {}),
    ):  # fmt: skip
        content = io.BytesIO()
        picture = Image.fromarray(rng.integers(0, 65536, (24, 20), dtype=np.uint16)) if mode == "I;16" else colours.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 6
        if kind in ("PNG", "JPEG", "WEBP", "TIFF") and mode != "F":
            options = {**options, "exif": exif}
        picture.save(content, kind, **options)
        made.append(content.getvalue())
    return made


def claim_to_be_huge(rng: random.Random) -> bytes:
    """A PNG of a few bytes whose header says that it has any number of pixels."""
    width, height = (rng.choice([1, 3, 1000, 30_000, 2**31 - 1]) for _ in range(2))
    header = struct.pack(">IIBBBBB", width, height, rng.choice([1, 8, 16]), rng.choice([0, 2, 3, 4, 6]), 0, 0, rng.choice([0, 1]))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rng.randbytes(50))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def look_at(content: bytes) -> None:
    """One image, hostile or not: a picture that is the same for everybody, or one sentence."""
    try:
        picture = open_image(content)
    except UnreadableImage as error:
        check_sentence(error, "image")
        return
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= MAX_PIXELS
    shown, mime = image_for_browsers(content)
    assert mime in ("image/png", "image/jpeg", "image/webp", "image/gif")
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(shown)) as browser:
        assert browser.size == picture.size


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.heavy)])
def test_damaged_images(count: int) -> None:
    rng, whole = random.Random(count), pictures()
    for content in whole:
        assert open_image(content).mode == "RGB"
    for number in range(count):
        look_at(claim_to_be_huge(rng) if number % 10 == 0 else flipped(rng, whole[number % len(whole)]))


# Model folders


def is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:  # damaged before
        return False


def damage(rng: random.Random, folder: Path) -> str:
    """Damage one file of a folder; says which and how."""
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    kind = rng.choice(["bytes", "empty", "missing", "pointer", "cut", "json"])
    content = file.read_bytes()
    if kind == "json" and file.suffix == ".json" and is_json(content):
        fields = json.loads(content)
        key = rng.choice(sorted(fields))
        if rng.random() < 0.3:
            del fields[key]
        else:
            fields[key] = rng.choice(ODD_VALUES)
        file.write_text(json.dumps(fields))
        return f"{file.name}: {key} changed"
    if kind == "missing":
        file.unlink()
    else:
        replaced = {"empty": b"", "pointer": POINTER, "cut": content[: len(content) // 2]}
        file.write_bytes(replaced[kind] if kind in replaced else flipped(rng, content))
    return f"{file.name}: {kind}"


def try_model(name: str, read: Callable[..., object], use: Callable[[object], object], what: str, digest: str) -> None:
    try:
        assert use(read(name)) is not None
        changed = names.model_digest(name)
        assert changed != digest or "README" in what, f"{what}: another model under the same digest"
    except SeeTellError as error:
        check_sentence(error, what)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("count", [12, pytest.param(1000, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("kind", ["language", "image-text"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_model_folders(kind: str, count: int, tmp_path: Path, llama_folder: Path, clip_folder: Path) -> None:
    rng = random.Random(count)
    source, scheme = (llama_folder, "local") if kind == "language" else (clip_folder, "local-dir")
    whole = shutil.copytree(source, tmp_path / "whole")
    digest = names.model_digest(f"{scheme}:{whole}")
    read: Callable[..., object] = load.load_language_model if kind == "language" else load.load_image_text

    def use(model: object) -> object:
        if kind == "language":
            return model.prefill([model.encode("A dog")]).logits  # type: ignore[attr-defined]
        return model.text_features(["A dog"])  # type: ignore[attr-defined]

    for number in range(count):
        folder = shutil.copytree(source, tmp_path / f"model{number}")
        what = "; ".join(damage(rng, folder) for _ in range(rng.choice([1, 1, 1, 2])))
        try_model(f"{scheme}:{folder}", read, use, f"{number}: {what}", digest)
        shutil.rmtree(folder)
