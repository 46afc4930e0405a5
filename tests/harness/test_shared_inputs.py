"""Odd files that people brought, each with what is right about it: the table in the README of the folder of inputs."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decoders.models.images import image_for_browsers, open_image
from harness.datasets.load import load_examples
from harness.errors import DataError
from harness.suites.examples import read_image
from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here

Values = dict[str, dict[str, float]]
SUITE = """
name = "brought"
[data]
dataset = "%s"
%s
[models]
language_model = "%s"
image_text = "toybox:clip"
[text]
max_new_tokens = 4
[decoders.magic]
[metrics.length]
"""


@pytest.fixture
def inputs(shared: Path) -> Path:
    return shared / "inputs"


def suite(folder: Path, dataset: str, options: str, language_model: str = "toybox:plain") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "brought.toml"
    path.write_text(SUITE % (dataset, options, language_model))
    return path


def scores(
    inputs: Path, folder: Path, names: list[str], references: str, *metrics: str
) -> tuple[int, dict[str, dict[str, float]]]:
    """Exit code, and values by system and number."""
    files = [str(inputs / name) for name in names]
    done = seetell_here(
        "score", *files, "--references", str(inputs / references), "--metrics", ",".join(metrics), "--json", cwd=folder
    )
    found = json.loads(done.stdout)
    return done.returncode, {name: {key: entry["value"] for key, entry in outputs.items()} for name, outputs in found.items()}


def test_results_are_joined_by_the_image_whatever_else_they_hold(inputs: Path, tmp_path: Path) -> None:
    names = ["plain.json", "with_id_score.json", "with_id.jsonl", "with_id.csv"]
    code, values = scores(inputs, tmp_path, names, "idkey_gt.json", "cider", "bleu")
    assert (code, len(values)) == (0, 4)
    for outputs in values.values():
        assert outputs["cider"] == pytest.approx(10.0)
        assert outputs["bleu-4"] == pytest.approx(1.0)


def test_a_form_feed_moves_no_caption(inputs: Path, tmp_path: Path) -> None:
    from harness.decode.imported.read import read_outputs

    samples = read_outputs(inputs / "ff.json", inputs / "ff_gt.json").samples
    assert {sample.example.id: sample.text.strip() for sample in samples} == {"0": "", "1": "a cat on a mat", "2": "two dogs"}
    code, values = scores(inputs, tmp_path, ["ff.json"], "ff_gt.json", "rouge-l")
    assert code == 0
    assert values["ff"]["rouge-l"] == pytest.approx(0.448, abs=5e-4)


def test_one_image_and_an_empty_reference_are_told(inputs: Path, tmp_path: Path) -> None:
    code, values = scores(inputs, tmp_path, ["one.json"], "one_gt.json", "cider", "bleu")
    assert code == 2
    assert values["one"]["cider"] is None
    assert values["one"]["bleu-1"] == pytest.approx(1.0)
    done = seetell_here(
        "score", str(inputs / "onlyemptyref.json"), "--references", str(inputs / "onlyemptyref_gt.json"), "--metrics", "bleu",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "(2 of 3)" in done.stdout


def test_two_files_of_one_name_are_told_apart(inputs: Path, tmp_path: Path) -> None:
    _, values = scores(inputs, tmp_path, ["same_stem/A/results.json", "same_stem/B/results.json"], "same_stem/gt.json", "bleu")
    assert len(values) == 2
    assert all(name.lower().startswith(letter) for name, letter in zip(sorted(values), "ab", strict=True))


def test_where_images_were_looked_for_is_named(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = suite(tmp_path, "karpathy", f'file = "{inputs / "fpwrong.json"}"\nimages = "images"')
    shown = " ".join(seetell_here("data", "check", str(path)).stdout.split())
    assert str(tmp_path / "images" / "train2014" / "COCO_val2014_000000391895.jpg") in shown


def test_raters_see_the_pixels_that_decoders_see(inputs: Path) -> None:
    examples = load_examples(Suite.load(str(inputs / "phone" / "s.toml")))
    assert any(open_image(example.image).size == (48, 32) for example in examples if example.image is not None)
    for example in examples:
        assert example.image is not None
        content, _ = image_for_browsers(read_image(example.image))
        with Image.open(io.BytesIO(content)) as shown:
            ours = np.asarray(open_image(example.image), np.int16)
            assert np.abs(np.asarray(shown.convert("RGB"), np.int16) - ours).max() <= 2, example.id  # once through JPEG


def test_a_strip_of_three_million_pixels_costs_its_own_example(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(inputs / "images" / "exif2.png", tmp_path / "images" / "0.png")
    shutil.copy(inputs / "strip-3000000x1.png", tmp_path / "images" / "1.png")
    (tmp_path / "data.jsonl").write_text('{"image": "0.png", "references": ["a"]}\n{"image": "1.png", "references": ["b"]}\n')
    path = suite(tmp_path, "jsonl", 'file = "data.jsonl"\nimages = "images"')
    checked = json.loads(seetell_here("data", "check", str(path), "--deep", "--json").stdout)
    assert "1.png" in json.dumps(checked["findings"])
    done = seetell_here("run", str(path), "--only", "magic", "--json", cwd=tmp_path)
    assert done.returncode == 2
    [run] = json.loads(done.stdout)["runs"]
    assert (run["decoded"], run["failed"], run["complete"]) == (1, 1, True)


def test_a_model_without_a_tokenizer_is_refused(inputs: Path, tmp_path: Path) -> None:
    options = f'file = "{inputs / "cap.jsonl"}"\nimages = "{inputs / "images"}"'
    path = suite(tmp_path, "jsonl", options, f"local:{inputs / 'modelonly'}")
    for verb in (["data", "check"], ["run"]):
        done = seetell_here(*verb, str(path), cwd=tmp_path)
        assert done.returncode == 1
        said = " ".join((done.stdout + done.stderr).split())
        assert "holds weights and no tokenizer" in said
        assert "save the tokenizer" in said


def test_tables_of_images_and_shards(inputs: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra data")
    assert len(load_examples(Suite.load(str(inputs / "pqm.toml")))) == 2
    whole = load_examples(Suite.load(str(suite(tmp_path, "webdataset", f'shards = "{inputs / "img2ds.tar"}"'))))
    assert (len(whole), [len(example.references) for example in whole]) == (2, [1, 0])
    assert len(load_examples(Suite.load(str(suite(tmp_path, "webdataset", f'shards = "{inputs / "nan.tar"}"'))))) == 1
    for name in ("dot.tar", "input.tar"):
        with pytest.raises(DataError, match="a key ends at the first dot of the file name"):
            load_examples(Suite.load(str(suite(tmp_path, "webdataset", f'shards = "{inputs / name}"'))))
