"""Data sets of the `datasets` library: from parquet in a folder, saved to disk, and from a hub at a pinned revision."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.datasets.digests import data_digest
from harness.datasets.huggingface import HuggingFace, HuggingFaceOptions
from harness.errors import DataError
from harness.suites.examples import Example, read_image
from harness.suites.sections import checked
from tests.checkpoints import captions_of
from tests.hub import serve_hub
from tests.miniature import image_bytes, pack_parquet, write_image

datasets = pytest.importorskip("datasets", reason="needs the datasets library (extra `data`)")


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tables go into the test's own folder, and bars nowhere."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def load(folder: Path, **options: Any) -> list[Example]:
    return HuggingFace(checked(HuggingFaceOptions, options, "[data]"), folder).examples()


def parquet_folder(folder: Path, n: int = 9) -> Path:
    """`data/test-00000-of-00001.parquet` with images, names, captions and a column of splits."""
    for number in range(n):
        write_image(folder / "images" / f"{number}.jpg", number)
    (folder / "data").mkdir()
    columns = {
        "caption": [captions_of(number) for number in range(n)],
        "split": ["train", "val", "test"] * (n // 3),
        "filename": [f"{number}.jpg" for number in range(n)],
        "img_id": list(range(n)),
    }
    pack_parquet(folder / "images", folder / "data" / "test-00000-of-00001.parquet", columns=columns)
    return folder / "data"


def test_a_folder_of_parquet_gives_images_captions_and_names(tmp_path: Path) -> None:
    parquet_folder(tmp_path)
    examples = load(tmp_path, name="data", image="image")
    assert [each.id for each in examples] == [f"{number}.jpg" for number in range(9)]
    assert [list(each.references) for each in examples] == [captions_of(number) for number in range(9)]
    assert [read_image(each.image) for each in examples if each.image] == [image_bytes(number) for number in range(9)]
    image = examples[4].image
    assert not isinstance(image, bytes)  # it stays in the table
    assert read_image(pickle.loads(pickle.dumps(image))) == image_bytes(4)  # noqa: S301
    by_file = load(tmp_path, name="data/test-00000-of-00001.parquet", image="image")
    by_names = load(tmp_path, name="data", images="images")
    assert data_digest(examples) == data_digest(by_file) == data_digest(by_names)


def test_rows_are_chosen_by_a_column_as_all_of_flickr30k_needs(tmp_path: Path) -> None:
    parquet_folder(tmp_path)
    found = load(tmp_path, name="data", image="image", rows={"split": "val"}, id="img_id")
    assert [each.id for each in found] == ["1", "4", "7"]
    assert [read_image(each.image) for each in found if each.image] == [image_bytes(number) for number in (1, 4, 7)]
    with pytest.raises(DataError, match="no row whose split is 'tset'; it has 'test', 'train', 'val'"):
        load(tmp_path, name="data", rows={"split": "tset"})
    sliced = load(tmp_path, name="data", image="image", split="test[2:5]")
    assert [read_image(each.image) for each in sliced if each.image] == [image_bytes(number) for number in (2, 3, 4)]


def test_a_data_set_that_was_saved_to_disk_declares_its_images(tmp_path: Path) -> None:
    columns = {
        "picture": [{"bytes": image_bytes(number), "path": None} for number in range(4)],
        "sentences": [[{"raw": f" caption {number} ", "tokens": []}] for number in range(4)],
        "headline": [f"title {number}" for number in range(4)],
    }
    features = datasets.Features(
        {"picture": datasets.Image(), "sentences": [{"raw": datasets.Value("string"), "tokens": [datasets.Value("string")]}],
         "headline": datasets.Value("string")}
    )  # fmt: skip
    data = datasets.Dataset.from_dict(columns, features=features)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": data, "train": data.select([0])}).save_to_disk(str(tmp_path / "several"))
    for name, split, n in (("one", "test", 4), ("several", "test", 4), ("several", "train", 1)):
        found = load(tmp_path, name=name, split=split, prompt="headline")
        assert [(each.id, each.prompt, each.references) for each in found] == [
            (f"{number:06d}", f"title {number}", (f"caption {number}",)) for number in range(n)
        ]
        assert [read_image(each.image) for each in found if each.image] == [image_bytes(number) for number in range(n)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "hf:org/name"}, "hf:org/name names no commit.*write hf:org/name@COMMIT"),
        ({"name": "hf:org/name@main"}, "hf:org/name@main names no commit"),
        ({"name": "gone"}, "there is no .*gone; expected a folder with parquet"),
        ({"name": "data", "split": "validation"}, r"data \(split 'validation'\) cannot be loaded: .*validation"),
        ({"name": "data", "captions": "blip"}, "captions names the column 'blip'; the data set has image, caption"),
        ({"name": "data", "captions": "img_id"}, "row 0 has '0' under 'img_id'; expected a text"),
        ({"name": "data", "image": "filename"}, "the column 'filename' holds string; expected image files"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    parquet_folder(tmp_path)
    with pytest.raises(DataError, match=says):
        load(tmp_path, **options)


def test_a_table_without_captions_lists_its_columns(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"a": [1], "b": ["x"]}).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(DataError, match='has the columns a, b, none of which is called as captions are.*captions = "b"'):
        load(tmp_path, name="d")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "test.parquet").write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(DataError, match=r"broken .* cannot be loaded"):
        load(tmp_path, name="broken")


HUB_SCRIPT = """
import sys
from pathlib import Path
import datasets, huggingface_hub
from harness.datasets.huggingface import HuggingFace, HuggingFaceOptions
from harness.errors import DataError
from harness.datasets.digests import data_digest

def load(commit):
    try:
        options = HuggingFaceOptions(name=f"hf:org/shapes@{commit}", image="image")
        print(data_digest(HuggingFace(options, Path()).examples()))
    except DataError as error:
        print(error)

load("a" * 40)
load("b" * 40)
datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
load("a" * 40)
load("b" * 40)
"""


def test_a_hub_data_set_is_fetched_at_its_commit_and_found_again_offline(tmp_path: Path) -> None:
    """A server that speaks the hub's protocol; the library behind it is the real one."""
    parquet_folder(tmp_path)
    here = load(tmp_path, name="data", image="image", id="filename")
    (tmp_path / "data" / "README.md").write_text("---\nlicense: other\n---\n")
    with serve_hub("org/shapes", "a" * 40, tmp_path / "data") as (address, asked):
        environment = {
            **os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", HUB_SCRIPT], env=environment, capture_output=True, text=True, timeout=300, check=True
        )
    fetched, unknown, offline, other = done.stdout.splitlines()
    assert fetched == offline == data_digest(here)
    assert f"hf:org/shapes@{'b' * 40} (split 'test') cannot be loaded" in unknown
    assert other.startswith(f"the cache holds the commit {'a' * 40} of org/shapes, not {'b' * 40}"), done.stderr
    assert any("resolve" in path and path.endswith(".parquet") for path in asked)
    assert all("a" * 40 in path or "b" * 40 in path for path in asked if "/resolve/" in path)  # never a branch that moves


def test_images_that_nobody_declared_and_prompts_are_found(tmp_path: Path) -> None:
    """A column of {bytes, path} without the library's own metadata, as pandas and pyarrow write it."""
    rows = [{"image": {"bytes": image_bytes(n), "path": None}, "caption": [f"c{n}"], "prompt": f"p{n}"} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-00000-of-00001.parquet")
    examples = load(tmp_path, name=".")
    assert [read_image(example.image) for example in examples if example.image] == [image_bytes(0), image_bytes(1)]
    assert [example.prompt for example in examples] == ["p0", "p1"]
    torn = [{**rows[0], "prompt": None}, rows[1]]
    (tmp_path / "torn").mkdir()
    pq.write_table(pa.Table.from_pylist(torn), tmp_path / "torn" / "test.parquet")
    assert [example.prompt for example in load(tmp_path, name="torn")] == ["", ""]
