"""A user's own JPEGs, captions and local checkpoints: from a suite file to a ranked, scored leaderboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from harness.datasets.jsonl import Jsonl, JsonlOptions
from harness.datasets.karpathy import Karpathy, KarpathyOptions
from harness.errors import DataError
from tests.checkpoints import captions_of, write_jsonl, write_karpathy
from tests.harness.in_process import seetell_here

SUITE = """
name = "mine"
task = "caption"
[data]
{data}
[models]
language_model = "local:{gpt2}"
image_text = "local-dir:{clip}"
[captions]
{captions}
[text]
prompt = "<-start_of_text->"
max_length = 10
[run]
draws = 2
batch_size = 4
[decoders.greedy]
[decoders.top-k]
k = 5
[decoders.contrastive]
k = 4
[decoders.magic]
k = 4
[decoders.clipre]
[metrics.cider]
tokenizer = "python"
[metrics.clipscore]
[metrics.repetition]
[metrics.grounding]
"""

KARPATHY = 'dataset = "karpathy"\nfile = "dataset.json"\nimages = "images"\nsplit = "{}"'
JSONL = 'dataset = "jsonl"\nfile = "dataset.jsonl"'
CAPTIONS = 'dataset = "jsonl"\nfile = "captions.jsonl"'


def write_captions(folder: Path) -> None:
    """What others said, of images that nobody asks about."""
    lines = [json.dumps({"id": str(number), "references": captions_of(number)}) for number in range(9, 18)]
    (folder / "captions.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize("layout", ["list", "original"])
def test_both_karpathy_shapes_give_the_same_examples(tmp_path: Path, layout: str) -> None:
    write_karpathy(tmp_path, 9, layout=layout, splits=("train", "restval", "test"))  # type: ignore[arg-type]
    examples = {
        split: Karpathy(KarpathyOptions(file=Path("dataset.json"), images=Path("images"), split=split), tmp_path).examples()  # type: ignore[arg-type]
        for split in ("train", "test", "all")
    }
    assert [example.id for example in examples["test"]] == ["000002.jpg", "000005.png", "000008.jpg"]
    assert len(examples["train"]) == 6  # restval belongs to it
    assert len(examples["all"]) == 9
    assert examples["all"][1].references == tuple(captions_of(1, 6))
    assert all(isinstance(example.image, Path) and example.image.is_file() for example in examples["all"])


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    write_karpathy(tmp_path, 4, splits=("train", "test"))
    data = Karpathy(KarpathyOptions(file=Path("dataset.json"), images=Path("images"), split="val"), tmp_path)
    with pytest.raises(DataError, match="no image of split 'val'; it has test, train"):
        data.examples()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "as JSON"),
        ("3", "not in a Karpathy format"),
        ('[{"split": "test"}]', "image 0 .* no image_name"),
        ('[{"split": "test", "image_name": "a"}]', "neither"),
    ],
)
def test_a_file_of_another_format_is_told_so(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Karpathy(KarpathyOptions(file=Path("dataset.json"), images=Path("images")), tmp_path).examples()


def test_line_separators_inside_a_caption_do_not_split_a_line(tmp_path: Path) -> None:
    line = json.dumps({"image": "a.jpg", "references": ["one\u2028two\u0085three"]}, ensure_ascii=False)
    (tmp_path / "d.jsonl").write_text("\ufeff" + line + "\n", encoding="utf-8")
    (example,) = Jsonl(JsonlOptions(file=Path("d.jsonl")), tmp_path).examples()
    assert (example.id, example.references) == ("a.jpg", ("one\u2028two\u0085three",))


def test_own_images_and_checkpoints_end_on_the_leaderboard(tmp_path: Path, gpt2_folder: Path, clip_folder: Path) -> None:
    """By a Karpathy file; the next test goes the same way by JSON Lines."""
    write_karpathy(tmp_path, 18, splits=("test", "train"))
    data, captions = KARPATHY.format("test"), KARPATHY.format("train")
    suite = SUITE.format(data=data, captions=captions, gpt2=gpt2_folder, clip=clip_folder)
    (tmp_path / "mine.toml").write_text(suite)
    environment = {"SEETELL_CACHE": str(tmp_path / "cache")}
    done = seetell_here("run", "mine.toml", "--json", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    runs = {entry["decoder"]: entry for entry in json.loads(done.stdout)["runs"]}
    assert set(runs) == {"greedy", "top-k", "contrastive", "magic", "clipre", "constant"}
    assert {label: entry["decoded"] for label, entry in runs.items()} == dict.fromkeys(runs, 9) | {"top-k": 18}

    board = json.loads(seetell_here("leaderboard", "--format", "json", cwd=tmp_path).stdout)
    rows = {row["decoder"]: row for row in board["rows"]}
    assert set(rows) == set(runs)
    for row in rows.values():
        assert row["suite"] == "mine"
        assert row["metrics"]["cider"]["n"] == row["decoded"]
        assert row["metrics"]["clipscore"]["signature"].startswith("clipscore|")
        assert "toybox" in row["metrics"]["grounding-f1"]["unavailable"]
    again = seetell_here("run", "mine.toml", cwd=tmp_path, **environment)
    assert again.stderr.count("already on disk") == 6


def test_images_that_cannot_be_read_are_counted_in_the_table_and_odd_ones_are_decoded(
    tmp_path: Path, gpt2_folder: Path, clip_folder: Path
) -> None:
    write_jsonl(tmp_path, 9)
    write_captions(tmp_path)
    images = sorted((tmp_path / "images").iterdir())
    for path, mode in zip(images, ["L", "P", "CMYK", "1"], strict=False):
        Image.open(path).convert(mode).save(path.with_suffix(".tif"))
        path.with_suffix(".tif").rename(path)
    images[4].unlink()
    images[5].write_bytes(images[5].read_bytes()[:60])
    images[6].write_text("<html>not found</html>")
    text = SUITE.format(data=JSONL, captions=CAPTIONS, gpt2=gpt2_folder, clip=clip_folder)
    (tmp_path / "mine.toml").write_text(text)
    done = seetell_here("run", "mine.toml", "--only", "magic,clipre", cwd=tmp_path, SEETELL_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "mine/magic: 6 of 9 decoded, 3 failed: UnreadableImage" in done.stderr
    board = json.loads(seetell_here("leaderboard", "--format", "json", cwd=tmp_path).stdout)
    for row in board["rows"]:
        assert (row["decoded"], row["failed"], row["complete"]) == (6, 3, True)
        assert (row["metrics"]["cider"]["n"], row["metrics"]["cider"]["unscored"]) == (6, 3)
    page = seetell_here("leaderboard", "--format", "html", cwd=tmp_path).stdout
    assert "3 failed" in page
