"""Indices are built in blocks, gone on with after a kill, and whole only once they say so."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decoders.models.image_text import ImageTextModel
from decoders.testing.fakes import fake_image_text
from harness.datasets.index import build as module
from harness.datasets.index.build import build_index, caption_corpus, image_corpus
from harness.datasets.index.features import FeatureWriter
from harness.datasets.index.inputs import FolderImages, ZipImages
from harness.datasets.index.manifest import check_files, read_manifest
from harness.datasets.index.query import Index
from harness.errors import DataError, Interrupted, ModelMismatch, StoreError
from tests.checkpoints import write_images
from tests.harness.index.made_up_blocks import blocks_of_four

FILES = ("features.f32", "rows.arrow", "manifest.json")


@pytest.fixture
def clip() -> ImageTextModel:
    return fake_image_text()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve images, two of them damaged, one of them twice."""
    write_images(tmp_path / "images", 10)
    first = min((tmp_path / "images").iterdir())
    (tmp_path / "images" / "b").mkdir()
    (tmp_path / "images" / "b" / "copy.png").write_bytes(first.read_bytes())
    (tmp_path / "images" / "cut.jpg").write_bytes(first.read_bytes()[:70])
    (tmp_path / "images" / "page.png").write_text("<html>not found</html>")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_rows_are_the_model_s_features_in_order_of_names(
    clip: ImageTextModel, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IMAGES_A_BLOCK", 5)
    manifest = build_index(image_corpus(FolderImages(images), clip, 3), tmp_path / "out")
    index = Index(tmp_path / "out")
    assert index.names() == sorted(index.names())
    assert manifest.rows == len(index) == 11
    assert manifest.kind == "flat"
    assert [each.name for each in manifest.skipped] == ["cut.jpg", "page.png"]
    assert "not an image" in manifest.skipped[1].reason
    assert manifest.source.items == 13
    expected = clip.image_features([images / name for name in index.names()]).numpy()
    np.testing.assert_allclose(index.features.features, expected, atol=1e-5)
    first, *_ = sorted(path.name for path in images.iterdir() if path.suffix in (".jpg", ".png"))
    [hits] = index.hits(clip.image_features([images / first]).numpy(), 2)
    assert [hit.name for hit in hits] == sorted([first, "b/copy.png"]), "duplicates are rows of their own, the lower first"
    assert hits[0].sha256 == hits[1].sha256


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from harness.datasets.index.build import build_index
from tests.harness.index.made_up_blocks import blocks_of_four
folder, where = Path(sys.argv[1]), sys.argv[2]
corpus, seen = blocks_of_four(30), []
def encode(items, stop):
    seen.append(stop)
    if len(seen) == 4:
        if where == "torn":  # the block's bytes are there, its line only half
            with (folder / "features.f32").open("ab") as file:
                file.write(b"x" * 1000)
            with (folder / "journal.jsonl").open("ab") as file:
                file.write(b'{"stop": 16, "rows"')
        os.kill(os.getpid(), signal.SIGKILL)
    return corpus.encode(items, stop)
build_index(replace(corpus, encode=encode), folder)
"""


@pytest.mark.parametrize("where", ["between", "torn"])
def test_a_build_that_was_killed_goes_on_and_encodes_nothing_twice(tmp_path: Path, where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "out"), where],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(StoreError, match="is unfinished; run the same"):
        Index(tmp_path / "out")
    build_index(blocks_of_four(30), tmp_path / "whole")
    encoded: list[str] = []
    build_index(blocks_of_four(30, encoded), tmp_path / "out")
    assert encoded == [f"row {number}" for number in range(12, 30)], "three blocks of four were on disk"
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    encoded.clear()
    build_index(blocks_of_four(30, encoded), tmp_path / "out")
    assert not encoded, "a whole index is only looked at"
    assert Index(tmp_path / "out").names() == [f"row {number}" for number in range(30)]


def test_a_block_that_was_damaged_on_disk_is_encoded_again(
    clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAPTIONS_A_BLOCK", 4)
    captions = [f"caption {n}" for n in range(12)]
    build_index(caption_corpus("c", captions, clip), tmp_path / "whole")
    _stop_after(2, clip, captions, tmp_path / "out", monkeypatch)
    features = tmp_path / "out" / "features.f32"
    content = bytearray(features.read_bytes())
    content[len(content) * 3 // 4] ^= 1  # in the second block
    features.write_bytes(content)
    encoded: list[str] = []
    build_index(caption_corpus("c", captions, _counted(clip, monkeypatch, encoded)), tmp_path / "out")
    assert encoded == captions[4:]
    assert features.read_bytes() == (tmp_path / "whole" / "features.f32").read_bytes()


def test_another_source_or_model_is_refused_where_one_was_begun(
    clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAPTIONS_A_BLOCK", 4)
    captions = [f"caption {n}" for n in range(12)]
    _stop_after(1, clip, captions, tmp_path / "out", monkeypatch)
    with pytest.raises(StoreError, match="begun with another model"):
        build_index(caption_corpus("c", captions, fake_image_text(seed=1)), tmp_path / "out")
    with pytest.raises(StoreError, match="source has changed"):
        build_index(caption_corpus("c", [*captions[:-1], "new"], clip), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(StoreError, match="not empty and holds no index"):
        build_index(caption_corpus("c", captions, clip), tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir() if path.name != ".lock"] == ["mine.txt"]


def test_a_query_of_another_model_is_refused(clip: ImageTextModel, tmp_path: Path) -> None:
    build_index(caption_corpus("c", ["a", "b"], clip), tmp_path)
    index = Index(tmp_path)
    index.check_model(clip)
    with pytest.raises(ModelMismatch, match="other features"):
        index.check_model(fake_image_text(seed=1))
    clip.dtype = "bfloat16"
    with pytest.raises(ModelMismatch, match="bfloat16"):
        index.check_model(clip)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: text.replace('"rows": 3', '"rows": 4'), "claims 4 rows"),
        (lambda text: text.replace('"layout": 1', '"layout": 2'), "layout = 2: .*another version"),
        (lambda text: text.replace('"rows.arrow"', '"../rows.arrow"'), "without folders"),
        (lambda text: text.replace('"kind": "flat"', '"kind": "pickle"'), "kind"),
    ],
)
def test_a_damaged_manifest_is_refused(clip: ImageTextModel, tmp_path: Path, damage: Any, message: str) -> None:
    build_index(caption_corpus("c", ["a", "b", "c"], clip), tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match=message):
        Index(tmp_path)


def test_files_that_were_cut_or_changed_are_told(clip: ImageTextModel, tmp_path: Path) -> None:
    build_index(caption_corpus("c", ["a", "b", "c"], clip), tmp_path)
    path = tmp_path / "features.f32"
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(StoreError, match=r"features.f32 has \d+ bytes; expected"):
        Index(tmp_path)
    path.write_bytes(b"\0" + content[1:])
    with pytest.raises(StoreError, match="SHA-256"):
        check_files(tmp_path, read_manifest(tmp_path))
    (tmp_path / "rows.arrow").unlink()
    with pytest.raises(StoreError, match="is missing"):
        Index(tmp_path)


FULL = """
import resource, sys
from pathlib import Path
from harness.errors import StoreError
from harness.datasets.index.build import build_index
from tests.harness.index.made_up_blocks import blocks_of_four
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    build_index(blocks_of_four(60), Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [4000, 5800])
def test_a_file_that_cannot_grow_leaves_nothing_that_looks_whole(tmp_path: Path, limit: int) -> None:
    """The system itself refuses to write on, among the features (5,760 bytes) or in the file of the rows."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out"), str(limit)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in done.stdout, done.stderr
    with pytest.raises(StoreError, match="is unfinished"):
        Index(tmp_path / "out")
    encoded: list[str] = []
    build_index(blocks_of_four(60, encoded), tmp_path / "out")
    assert len(encoded) < 60
    build_index(blocks_of_four(60), tmp_path / "whole")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_disk_that_fills_up_under_faiss_keeps_the_older_index(
    clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = caption_corpus("c", [f"caption {n}" for n in range(300)], clip)
    build_index(corpus, tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()

    def full(content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def writer(write: Any, size: int) -> Any:
        return whole(full, size)

    whole = module.kinds.faiss.PyCallbackIOWriter
    monkeypatch.setattr(module.kinds.faiss, "PyCallbackIOWriter", writer)
    with pytest.raises(StoreError, match="No space left"):
        build_index(corpus, tmp_path, kind="ivf")
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert not [path.name for path in tmp_path.iterdir() if "ivf" in path.name]
    assert Index(tmp_path).manifest.kind == "flat"


def test_an_archive_is_read_where_it_lies_and_names_that_stray_are_refused(
    clip: ImageTextModel, images: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted(images.glob("*.*")):
            archive.write(path, path.name)
        archive.writestr("../out.png", (images / "b" / "copy.png").read_bytes())
    manifest = build_index(image_corpus(ZipImages(tmp_path / "images.zip"), clip, 8), tmp_path / "out")
    assert {each.name: each.reason for each in manifest.skipped}["../out.png"] == "its name leads out of the archive"
    folder = build_index(image_corpus(FolderImages(images), clip, 8), tmp_path / "folder")
    assert manifest.rows == folder.rows - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "images", "images.zip", "out"]


def test_images_that_none_can_be_read_of_are_an_error(clip: ImageTextModel, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="nothing to index"):
        build_index(image_corpus(FolderImages(tmp_path / "images"), clip, 8), tmp_path / "out")
    (tmp_path / "images" / "a.jpg").write_text("no")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "images" / "bomb.png")
    with pytest.raises(DataError, match="none of the 2 images .* can be read"):
        build_index(image_corpus(FolderImages(tmp_path / "images"), clip, 8), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def _counted(clip: ImageTextModel, monkeypatch: pytest.MonkeyPatch, encoded: list[str]) -> ImageTextModel:
    whole = clip.text_features

    def text_features(texts: Sequence[str]) -> Any:
        encoded.extend(texts)
        return whole(texts)

    monkeypatch.setattr(clip, "text_features", text_features)
    return clip


def _stop_after(
    blocks: int, clip: ImageTextModel, captions: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Build until so many blocks are on disk."""
    whole = FeatureWriter.append
    left = [blocks]

    def append(self: FeatureWriter, *args: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        whole(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(FeatureWriter, "append", append)
        with pytest.raises(Interrupted, match="Run the same command again"):
            build_index(caption_corpus("c", captions, clip), folder)
    assert json.loads((folder / "plan.json").read_text())["items"] == len(captions)
