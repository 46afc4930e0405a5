"""`seetell score FILE... --images PLACE --image-text MODEL`: imported captions under metrics that look at the images."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decoders.models.load import load_image_text
from harness.compare.runs import on_common_examples
from harness.compare.scored import ScoredRun
from harness.datasets.load import load_examples
from harness.decode.imported.image_lookup import with_images
from harness.decode.imported.read import Outputs, read_outputs
from harness.errors import DataError
from harness.store.runs import Results
from tests.checkpoints import captions_of, write_open_clip
from tests.harness.in_process import seetell_here
from tests.harness.test_outputs import STORIES, write

COUNT = 6


def records(paths: Sequence[Path], key: str = "image_name") -> list[dict[str, Any]]:
    """What a system said to images, as MAGIC publishes it."""
    return [{key: path.name, "captions": captions_of(i), "prediction": captions_of(i, 6)[5]} for i, path in enumerate(paths)]


@pytest.fixture(scope="module")
def pictures(image_files: list[Path]) -> list[Path]:
    """Six drawings."""
    return image_files[:COUNT]


@pytest.fixture(scope="module")
def places(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The drawings in a folder, a zip that was packed further up, and a tar."""
    root = tmp_path_factory.mktemp("places")
    (root / "folder").mkdir()
    with zipfile.ZipFile(root / "a.zip", "w") as zipped, tarfile.open(root / "a.tar", "w") as tarred:
        for path in pictures:
            shutil.copyfile(path, root / "folder" / path.name)
            zipped.write(path, f"val2014/{path.name}")
            tarred.add(path, path.name)
    return {"folder": root / "folder", "zip": root / "a.zip", "tar": root / "a.tar"}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of random weights that likes these captions: with other seeds all cosines are negative, and every score is 0."""
    return write_open_clip(tmp_path_factory.mktemp("models") / "clip", seed=4)


def scored(cwd: Path, *arguments: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    done = seetell_here("score", *map(str, arguments), "--json", cwd=cwd, SEETELL_CACHE=str(cwd / "cache"))
    assert done.returncode == code, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def by_hand(folder: Path, pictures: Sequence[Path]) -> tuple[float, float]:
    """CLIPScore and RefCLIPScore from the model's features (Hessel et al. 2021, sections 3 and 3.1)."""
    model = load_image_text(f"local-dir:{folder}")
    seen = model.image_features(pictures).numpy().astype(np.float64)
    clip, both = [], []
    for i, image in enumerate(seen):
        said, *references = (
            model.text_features([f"A photo depicts {text}" for text in (captions_of(i, 6)[5], *captions_of(i))])
            .numpy()
            .astype(np.float64)
        )
        score, best = 2.5 * max(image @ said, 0), max(0.0, *(said @ each for each in references))
        clip.append(score)
        both.append(2 * score * best / (score + best) if score + best else 0.0)
    return float(np.mean(clip)), float(np.mean(both))


def test_clipscore_of_imported_captions(pictures: list[Path], places: dict[str, Path], clip_folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps(records(pictures)))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "clip").symlink_to(clip_folder)
    asked = ("a.json", "--metrics", "clipscore,refclipscore", "--image-text", "local-dir:models/clip", "--images")
    clip, both = by_hand(clip_folder, pictures)
    assert 0.1 < clip != both > 0.1
    found = [scored(tmp_path, *asked, place)["a"] for place in places.values()]
    for each in found:
        assert each["clipscore"]["value"] == pytest.approx(clip, abs=1e-6)
        assert each["refclipscore"]["value"] == pytest.approx(both, abs=1e-6)
        assert each["clipscore"]["n"] == COUNT
        assert "clip:clip+" in each["clipscore"]["signature"]
    assert found[0] == found[1] == found[2]
    assert len(Results(tmp_path / "results").runs()) == 1, "the same images, however they are packed, are the same data"

    # The run knows its images and its model, so that what comes later can be computed too.
    [folder] = Results(tmp_path / "results").runs()
    run = ScoredRun.load(folder)
    assert [example.id for example in load_examples(run.suite)] == [path.name for path in pictures]
    again, _ = on_common_examples(run, run)
    assert again.metrics["clipscore"].scores[0].value == pytest.approx(clip, abs=1e-6)

    # Another model judges otherwise, and scores of before are not taken for its own; metrics beside it stay.
    scored(tmp_path, "a.json", "--images", places["folder"], "--metrics", "length")
    assert list(ScoredRun.load(folder).metrics) == ["clipscore", "refclipscore", "length"]
    other = write_open_clip(tmp_path / "models" / "other", seed=5)
    judged = scored(
        tmp_path, "a.json", "--metrics", "clipscore", "--image-text", f"local-dir:{other}", "--images", places["folder"]
    )["a"]["clipscore"]
    assert judged["value"] != found[0]["clipscore"]["value"]
    assert "clip:other+" in judged["signature"]
    assert list(ScoredRun.load(folder).metrics) == ["clipscore", "length"], "the other model's RefCLIPScore is not known"
    scored(tmp_path, "a.json", "--images", places["folder"], "--metrics", "length")
    kept = ScoredRun.load(folder)
    assert kept.metrics["clipscore"].scores[0].value == judged["value"]
    assert kept.suite.models.image_text == f"local-dir:{other}"


def test_other_images_are_other_data(pictures: list[Path], places: dict[str, Path], tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps(records(pictures)))
    for place in (None, places["zip"], places["folder"]):
        scored(tmp_path, "a.json", "--metrics", "length", *(("--images", str(place)) if place else ()))
    mine = tmp_path / "mine"
    shutil.copytree(places["folder"], mine)
    shutil.copyfile(pictures[2], mine / pictures[0].name)
    scored(tmp_path, "a.json", "--metrics", "length", "--images", mine)
    assert len({folder.path.parent for folder in Results(tmp_path / "results").runs()}) == 3


def outputs(folder: Path, content: object, references: object = None, name: str = "a.json") -> Outputs:
    path = write(folder, name, content if isinstance(content, str) else json.dumps(content))
    against = write(folder, "references.json", json.dumps(references)) if references is not None else None
    return read_outputs(path, against, need_references=references is not None)


def found_in(places: dict[str, Path], system: Outputs) -> list[str]:
    """The names under which each place holds the images, in the order of ids; the same file in each."""
    names = []
    for place in places.values():
        [found] = with_images([system], [place])
        assert found.images is not None
        names.append([Path(found.images.names[each.id]).name for each in found.examples])
    assert names[0] == names[1] == names[2]
    return names[0]


def test_images_are_found_by_every_name_that_files_have_for_them(
    pictures: list[Path], places: dict[str, Path], tmp_path: Path
) -> None:
    names = [path.name for path in pictures]
    assert found_in(places, outputs(tmp_path, records(pictures))) == names
    # A path of the machine that the outputs were made on; a folder beside the name; an id of its own.
    elsewhere = [{"id": i, "image": f"/data/coco/{name}", "text": "x"} for i, name in enumerate(names)]
    assert found_in(places, outputs(tmp_path, elsewhere)) == names
    karpathy = [{"filename": name, "filepath": "val2014", "caption": "x"} for name in names]
    assert found_in(places, outputs(tmp_path, {"images": karpathy})) == names
    for path in pictures:  # as in WebDataset's folders
        (places["folder"] / f"{path.stem}.txt").write_text("a caption")
    table = "id,text\n" + "".join(f"{path.stem},x\n" for path in pictures)
    assert found_in(places, outputs(tmp_path, table, name="a.csv")) == names


def test_coco_results_lead_to_images_by_number(pictures: list[Path], places: dict[str, Path], tmp_path: Path) -> None:
    names = [path.name for path in pictures]
    results = [{"image_id": i, "caption": "x", "id": 100 + i} for i in range(COUNT)]
    system = outputs(tmp_path, results)
    assert found_in(places, system) == names
    [found] = with_images([system], [places["folder"]])
    assert "6 images were found by their number: 0 is 000000.jpg, 1 is 000001.png" in found.notes[-1]
    # Annotations and Karpathy's file know the names, and then nothing is guessed.
    annotations = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "caption": "y"} for i in range(COUNT)],
    }
    split = [{"filename": name, "cocoid": i, "sentences": [{"raw": "y"}]} for i, name in enumerate(names)]
    for references in (annotations, {"images": split}):
        [found] = with_images([outputs(tmp_path, results, references)], [places["tar"]])
        assert list(found.notes) == []
        assert found.samples[3].example.references == ("y",)
    renamed = tmp_path / "val2014"
    renamed.mkdir()
    for path in pictures:
        shutil.copyfile(path, renamed / f"COCO_val2014_{path.stem:0>12}{path.suffix}")
    [found] = with_images([system], [renamed])
    assert found.images is not None
    assert found.images.names["3"] == "COCO_val2014_000000000003.png"
    shutil.copyfile(pictures[0], renamed / "COCO_train2014_000000000003.jpg")
    with pytest.raises(DataError, match=r"'3' may be COCO_train2014_0+3\.jpg or COCO_val2014_0+3\.png"):
        with_images([system], [renamed])


def test_what_is_missing_is_counted_and_named(pictures: list[Path], places: dict[str, Path], tmp_path: Path) -> None:
    system = outputs(tmp_path, [*records(pictures), {"image_name": "lost.jpg", "prediction": "x"}])
    with pytest.raises(
        DataError, match=r"a: 1 of 7 examples have no image in .*folder: lost\.jpg; .*as lost\.jpg, and there are 6 images, "
    ):
        with_images([system], [places["folder"]])
    half = tmp_path / "half"
    half.mkdir()
    for path in pictures[:3]:
        shutil.copyfile(path, half / path.name)
    rest = tmp_path / "rest.zip"
    with zipfile.ZipFile(rest, "w") as zipped:
        for path in pictures[3:]:
            zipped.write(path, path.name)
    [found] = with_images([outputs(tmp_path, records(pictures))], [half, rest])
    assert len(found.examples) == COUNT
    with pytest.raises(DataError, match="--images .*nowhere: there is no such folder, zip, tar or parquet file"):
        with_images([system], [tmp_path / "nowhere"])
    with pytest.raises(DataError, match="stories as MAGIC publishes them .* name no images"):
        with_images([outputs(tmp_path, STORIES)], [places["folder"]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metrics", "clipscore"), "clipscore looks at the images; name the folder, zip or tar"),
        (("--metrics", "clipscore", "--images", "."), "clipscore needs an image-text model; name one with --image-text"),
        (("--image-text", "toybox:clip"), "clipscore looks at the images"),
        (("--metrics", "length", "--image-text", "toybox:clip"), "metrics that look at images, and length do not"),
        (("--images", "nowhere"), "nowhere: there is no such folder"),
        (("--metrics", "image-rank", "--images", ".", "--image-text", "toybox:clip"), "no file there is called an image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_flags_that_do_not_go_together_are_told_before_anything_is_stored(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    write(tmp_path, "a.json", json.dumps([{"image_name": "1.jpg", "captions": ["x"], "prediction": "y"}]))
    done = seetell_here("score", "a.json", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "results").exists()
