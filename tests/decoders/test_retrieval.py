"""CLIPRe's index and the constant row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from decoders import nearest as nearest_rows
from decoders.base import Generation, Limits, Prompt
from decoders.clipre import ClipRe
from decoders.constant import Constant
from decoders.contrastive import Contrastive
from decoders.errors import NeedMissing
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.nearest import CaptionIndex


def unit(rows: int, width: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_is_the_largest_inner_product() -> None:
    features, queries = unit(3000, 32, 0), unit(200, 32, 1)
    index = CaptionIndex([f"caption {n}" for n in range(3000)], features)
    rows, cosines = index.nearest(queries)
    products = queries.astype(np.float64) @ features.astype(np.float64).T
    assert np.array_equal(rows, products.argmax(axis=1))
    assert np.allclose(cosines, products.max(axis=1), atol=1e-12)
    assert len(index) == 3000


@pytest.mark.parametrize("copies", [2, 15, 16, 17, 300])
def test_among_equal_captions_the_first_wins(copies: int) -> None:
    features, queries = unit(1000, 16, 2), unit(5, 16, 3)
    nearest = (queries @ features.T).argmax(axis=1)
    places = np.random.default_rng(4).permutation(1000)[:copies]
    for query, best in zip(queries, nearest, strict=True):
        repeated = features.copy()
        repeated[places] = features[best]
        first = min(int(best), int(places.min()))
        index = CaptionIndex([str(n) for n in range(1000)], repeated)
        assert index.nearest(query[None])[0].tolist() == [first]


def test_captions_that_differ_by_rounding_are_told_apart() -> None:
    """Five hundred features so near to each other that single precision shuffles them."""
    queries = unit(20, 64, 6)
    for query in queries:
        noise = np.random.default_rng(8).normal(size=(500, 64)) * 2e-8
        features = (query + noise).astype(np.float32)
        products = features.astype(np.float64) @ query.astype(np.float64)
        index = CaptionIndex([str(n) for n in range(500)], features)
        assert index.nearest(query[None])[0].tolist() == [int(products.argmax())]


def test_a_memory_mapped_array_is_fine(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", unit(50, 8, 5))
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert CaptionIndex([str(n) for n in range(50)], features).nearest(unit(50, 8, 5))[0].tolist() == list(range(50))


@pytest.mark.parametrize("rows_a_block", [1, 7, 250, 999, 5000])
def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_block: int) -> None:
    """Off a file and block by block, the same captions and cosines; the first of equals, in whatever block it stands."""
    features, queries = unit(1000, 16, 2), unit(30, 16, 3)
    nearest = (queries.astype(np.float64) @ features.astype(np.float64).T).argmax(axis=1)
    copies = np.random.default_rng(4).permutation(1000)[:200]
    features[copies] = features[nearest[0]]
    captions = [str(n) for n in range(1000)]
    rows, cosines = CaptionIndex(captions, features).nearest(queries)
    assert rows[0] == min(copies.min(), nearest[0])
    np.save(tmp_path / "features.npy", features)
    index = CaptionIndex(captions, np.load(tmp_path / "features.npy", mmap_mode="r"))
    monkeypatch.setattr(nearest_rows, "_BLOCK", rows_a_block * 16 * 4)
    for size in (1, 7, 30):
        for start in range(0, 30, size):
            found = index.nearest(queries[start : start + size])
            assert found[0].tolist() == rows[start : start + size].tolist()
            assert found[1].tolist() == cosines[start : start + size].tolist()
    assert (
        index.first(128).nearest(queries)[0].tolist() == CaptionIndex(captions[:128], features[:128]).nearest(queries)[0].tolist()
    )


def test_no_queries_no_answers() -> None:
    rows, cosines = CaptionIndex(["a"], unit(1, 4, 0)).nearest(np.empty((0, 4), dtype=np.float32))
    assert (rows.shape, rows.dtype, cosines.shape) == ((0,), np.int64, (0,))


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from decoders import nearest
from decoders.nearest import CaptionIndex

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

nearest._memory = lambda: int(sys.argv[2])
queries = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)
captions = ["a"] * 200_000
CaptionIndex(captions[:20000], queries[np.arange(20000) % 64]).nearest(queries)  # what products need is there now
before = peak()
features = np.load(sys.argv[1], mmap_mode="r")
for size in (64, 5):
    rows, _ = CaptionIndex(captions, features).nearest(queries[:size])
print(peak() - before, *rows)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read where Linux keeps it")
def test_an_index_on_disk_that_is_large_for_the_machine_does_not_stay_in_memory(tmp_path: Path) -> None:
    features = unit(200_000, 64, 9)
    np.save(tmp_path / "features.npy", features)
    size = (tmp_path / "features.npy").stat().st_size
    peaks = {}
    for memory in (7 * size, 9 * size):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / "features.npy"), str(memory)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[memory // size], *rows = map(int, said.split())
    queries = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    assert rows == (queries[:5].astype(np.float64) @ features.astype(np.float64).T).argmax(axis=1).tolist()
    assert size > 51e6
    assert peaks[7] < 0.6 * size
    assert peaks[9] > 0.9 * size  # little of the machine's memory: it stays there for the next search


def test_changes_of_ones_own_are_left_alone(tmp_path: Path) -> None:
    """Letting go of a copy-on-write mapping would undo them."""
    np.save(tmp_path / "features.npy", -unit(50, 8, 5))
    features = np.load(tmp_path / "features.npy", mmap_mode="c")
    features[:] = unit(50, 8, 5)
    index = CaptionIndex([str(n) for n in range(50)], features)
    for _ in range(2):
        assert index.nearest(unit(50, 8, 5))[0].tolist() == list(range(50))


def test_features_must_fit_the_captions() -> None:
    for captions, features in ((["a"], unit(2, 4, 0)), ([], unit(0, 4, 0)), (["a", "b"], unit(1, 4, 0)[0])):
        with pytest.raises(ValueError, match="captions"):
            CaptionIndex(captions, features)
    with pytest.raises(ValueError, match="float64"):
        CaptionIndex(["a"], unit(1, 4, 0).astype(np.float64))  # type: ignore[arg-type]


def test_clipre_repeats_the_nearest_caption(clip_folder: Path, image_files: list[Path]) -> None:
    clip = load_image_text(f"local-dir:{clip_folder}")
    queries = clip.image_features(image_files).numpy()
    features = np.concatenate([-queries[:1].repeat(200, axis=0), queries])
    captions = [f"A  <b>caption</b> , number {n} !" for n in range(len(features))]
    models = Models(image_text=clip, caption_index=CaptionIndex(captions, features))
    prompts = [Prompt(path.name, "ignored", path) for path in image_files]
    said = ClipRe(ClipRe.Config(), models, Limits()).decode(prompts, [0] * 12)
    assert [generation.text for generation in said] == captions[200:]  # unedited
    assert all(generation.finish == "retrieved" and generation.tokens == () for generation in said)
    assert all(generation.trace["cosine"] == pytest.approx(1, abs=1e-5) for generation in said)
    published = ClipRe(ClipRe.Config(first128=True), models, Limits()).decode(prompts, [0] * 12)
    assert {generation.text for generation in published} <= set(captions[:128])


def test_clipre_says_what_it_lacks(clip_folder: Path, image_files: list[Path]) -> None:
    clip = load_image_text(f"local-dir:{clip_folder}")
    with pytest.raises(NeedMissing, match="captions"):
        ClipRe(ClipRe.Config(), Models(image_text=clip), Limits()).decode([Prompt("a", "", image_files[0])], [0])
    models = Models(image_text=clip, caption_index=CaptionIndex(["x"], unit(1, 24, 0)))
    with pytest.raises(NeedMissing, match="'a' has no image"):
        ClipRe(ClipRe.Config(), models, Limits()).decode([Prompt("a", "")], [0])


def answer(generation: Generation) -> tuple[str, tuple[int, ...], str]:
    """What is promised of a generation; the last digits of its trace are promised to nobody."""
    return generation.text, generation.tokens, generation.finish


def test_the_constant_row_is_what_contrastive_search_says_blindly(gpt2_folder: Path, image_files: list[Path]) -> None:
    models = Models(load_language_model(f"local:{gpt2_folder}"))
    constant = Constant(Constant.Config(k=5, alpha=0.4), models, Limits(10))
    prompts = [Prompt(path.name, text, path) for path in image_files[:4] for text in ("", "A red")]
    search = Contrastive(Contrastive.Config(k=5, alpha=0.4), models, Limits(10))
    expected = {text: answer(search.decode([Prompt("x", text)], [0])[0]) for text in ("", "A red")}
    for _ in range(2):
        generations = constant.decode(prompts, range(8))
        assert [answer(generation) for generation in generations] == [expected[prompt.text] for prompt in prompts]


def test_the_constant_row_says_what_it_is_told(gpt2_folder: Path) -> None:
    models = Models(load_language_model(f"local:{gpt2_folder}"))
    constant = Constant(Constant.Config(text="A man  on a\nhorse."), models, Limits(10))
    assert [generation.text for generation in constant.decode([Prompt("a", "")] * 3, [0] * 3)] == ["A man on a horse."] * 3
