"""The captions of CLIPRe are encoded once, written block by block, and read off the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text
from decoders.nearest import CaptionIndex
from harness.datasets.index import captions as module
from harness.datasets.index.captions import caption_index, text_features
from tests.checkpoints import captions_of

CAPTIONS = [text for number in range(12) for text in captions_of(number)]
CAPTIONS = [*CAPTIONS, *CAPTIONS[:9], "seen once"]


@pytest.fixture
def clip(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}")


def encoded(clip: ImageTextModel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that the model encodes from here on."""
    seen: list[str] = []
    whole = clip.text_features

    def text_features(texts: Sequence[str]) -> Any:
        seen.extend(texts)
        return whole(texts)

    monkeypatch.setattr(clip, "text_features", text_features)
    return seen


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_features_are_those_of_the_model_in_order(
    clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    expected = clip.text_features(CAPTIONS).numpy()
    seen = encoded(clip, monkeypatch)
    monkeypatch.setattr(module, "_ENCODED", block)
    index = caption_index(CAPTIONS, clip, tmp_path)
    assert sorted(seen) == sorted(set(CAPTIONS)), "equal captions are encoded once"
    [file] = tmp_path.rglob("*.npy")
    features = np.load(file)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-6)
    for row, caption in enumerate(CAPTIONS):
        assert np.array_equal(features[row], features[CAPTIONS.index(caption)])
    in_memory = CaptionIndex(CAPTIONS, features)
    for ours, theirs in zip(index.nearest(expected), in_memory.nearest(expected), strict=True):
        assert ours.tolist() == theirs.tolist()
    assert [index.captions[row] for row in index.nearest(expected)[0]] == CAPTIONS


def test_a_second_index_is_read_off_the_file(clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = caption_index(CAPTIONS, clip, tmp_path)
    seen = encoded(clip, monkeypatch)
    second = caption_index(CAPTIONS, clip, tmp_path)
    assert not seen
    queries = np.load(next(tmp_path.rglob("*.npy")))[::-1].copy()
    assert second.nearest(queries)[0].tolist() == first.nearest(queries)[0].tolist()
    for index in (first, second):
        assert isinstance(index._features, np.memmap)
        assert index._mapping is not None
    caption_index(CAPTIONS[::-1], clip, tmp_path)
    assert seen, "other captions, other features"


def test_texts_that_are_cut_elsewhere_have_features_of_their_own(clip: ImageTextModel, tmp_path: Path) -> None:
    for between in ("\x1e", "\x00", ""):
        for texts in (["a ball", f"one{between}a man", "two"], ["a ball", "one", f"a man{between}two"]):
            found = text_features(texts, clip, tmp_path)
            np.testing.assert_allclose(found, clip.text_features(texts).numpy(), atol=1e-6)
    assert len(list(tmp_path.rglob("*.npy"))) == 6


@pytest.mark.parametrize("left", [0, 60, 200, -4])
def test_a_torn_file_is_written_again(clip: ImageTextModel, tmp_path: Path, left: int) -> None:
    caption_index(CAPTIONS, clip, tmp_path)
    [file] = tmp_path.rglob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    caption_index(CAPTIONS, clip, tmp_path)
    assert file.read_bytes() == whole
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_encoder_that_stops_leaves_nothing(clip: ImageTextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = clip.text_features

    def text_features(texts: Sequence[str]) -> Any:
        calls.append(len(texts))
        if len(calls) == 3:
            raise MemoryError
        return whole(texts)

    monkeypatch.setattr(clip, "text_features", text_features)
    monkeypatch.setattr(module, "_ENCODED", 5)
    with pytest.raises(MemoryError):
        caption_index(CAPTIONS, clip, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
