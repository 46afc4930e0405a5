"""`seetell data check`: what is there, what is missing, how to get it; and a run on images that were never unpacked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decoders.models.load import load_image_text
from harness.datasets.index.build import build_index, caption_corpus, image_corpus
from harness.datasets.index.inputs import image_source
from harness.datasets.known import steps_for
from harness.datasets.load import Digests, load_examples
from harness.decode.plan import plan
from harness.fetch.check import Finding, Report, check_suite
from harness.suites.spec import DataRef, Suite
from tests.checkpoints import write_images, write_jsonl
from tests.harness.in_process import seetell_here
from tests.miniature import (
    image_bytes,
    make_flickr30k,
    make_karpathy_coco,
    make_rocstories,
    pack_parquet,
    pack_tar,
    pack_zip,
    write_json,
)

SUITE = """
name = "small-coco"
[data]
dataset = "karpathy"
file = "dataset_coco.json"
images = "{images}"
split = "test"
expect = 20
[models]
language_model = "{lm}"
image_text = "{clip}"
[captions]
dataset = "karpathy"
file = "dataset_coco.json"
split = "train"
expect = 40
[text]
prompt = "<-start_of_text->"
max_length = 8
[decoders.greedy]
[decoders.magic]
k = 4
[metrics.cider]
tokenizer = "python"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small-coco")
    make_karpathy_coco(folder)
    return folder


@pytest.fixture
def coco(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "coco"))


def suite(folder: Path, images: str = "val2014", **changes: Any) -> Suite:
    text = SUITE.format(images=images, lm="toybox:plain", clip="toybox:clip")
    found = Suite.parse(text.encode(), "small-coco", folder)
    options = {**found.data.options, **changes.pop("options", {})}
    return found.model_copy(update={"data": found.data.model_copy(update={"options": options, **changes})})


def problems(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == "problem"]


def said(report: Report, section: str = "") -> str:
    return "\n".join(f"{each.level} {each.detail}" for each in report.findings if each.section.startswith(section))


def test_what_is_whole_is_told_with_its_figures(coco: Path) -> None:
    report = check_suite(suite(coco), deep=True)
    assert report.complete, said(report)
    text = said(report, "[data]")
    assert "20 examples, as expected" in text
    assert "101 references (19 with 5, 1 with 6)" in text
    assert "20 images opened: 4 RGB, 4 L, 4 CMYK, 4 P, 4 1; all are converted to RGB, and none is left out" in text
    assert "are word for word in [captions] too" in said(report, "[data] and")
    assert "language_model: toybox:plain" in said(report, "[models]")


def test_nothing_there_gives_the_steps_for_every_file(tmp_path: Path) -> None:
    report = check_suite(suite(tmp_path, "val2014.zip"))
    assert not report.complete
    data = [finding for finding in problems(report) if finding.section == "[data]"]
    assert len(data) == 2
    steps = {finding.detail.partition(":")[0]: " ".join(finding.steps) for finding in data}
    assert "http://images.cocodataset.org/zips/val2014.zip" in steps["images"]
    assert str(tmp_path / "val2014.zip") in steps["images"]
    assert "caption_datasets.zip" in steps["file"]
    own = check_suite(suite(tmp_path, how="ask Ana\nthen unpack it"))
    assert problems(own)[0].steps == ("ask Ana", "then unpack it", f"put it at {tmp_path / 'dataset_coco.json'}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dataset_flickr30k.json", "caption_datasets.zip"),
        ("train2014.zip", "zips/train2014.zip"),
        ("captions_val2014.json", "annotations_trainval2014.zip"),
        ("flickr30k-images", "form"),
        ("Flickr30k.zip", "form"),
        ("rocstories_test.txt", "yxuansu/MAGIC"),
        ("ROCStories_winter2017.csv", "form"),
        ("mine.json", "or change `file` in the suite"),
    ],
)
def test_every_published_file_has_its_steps(tmp_path: Path, name: str, says: str) -> None:
    steps = steps_for(tmp_path / name, "file")
    assert says in " ".join(steps)
    assert str(tmp_path / name) in steps[-1] + " ".join(steps)


def test_images_that_are_missing_broken_or_equal_are_named(coco: Path) -> None:
    images = sorted((coco / "val2014").iterdir())[40:]  # the test split's
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:200])
    images[2].write_text("<html>not found</html>")
    images[3].write_bytes(images[4].read_bytes())
    shallow = check_suite(suite(coco))
    looked_at = str(coco / "val2014" / "val2014" / images[0].name)  # Karpathy's file names the folder too
    assert [finding.detail for finding in problems(shallow)] == [f"1 of 20 images are missing: {looked_at}"]
    assert problems(shallow)[0].items == (looked_at,)
    assert "19 images found, none opened (--deep opens them all)" in said(shallow)
    seen: list[tuple[int, int]] = []
    deep = check_suite(suite(coco), deep=True, progress=lambda what, done, total: seen.append((done, total)))
    assert seen[-1] == (19, 19)
    _, broken = problems(deep)
    assert broken.detail.startswith("2 images cannot be read: ")
    assert images[1].name in broken.detail
    assert images[2].name in broken.detail
    assert [images[n].name in broken.items[n - 1] for n in (1, 2)] == [True, True]
    assert f"1 image with the same content as another: {images[3].name} = {images[4].name}" in said(deep)


def test_equal_images_and_ids_of_the_two_splits_are_problems(coco: Path) -> None:
    test, train = sorted((coco / "val2014").iterdir())[40], sorted((coco / "train2014").iterdir())[0]
    train.write_bytes(test.read_bytes())
    both = suite(coco, ".")
    assert both.captions is not None
    captions = both.captions.model_copy(update={"options": {**both.captions.options, "images": "."}})
    report = check_suite(both.model_copy(update={"captions": captions}), deep=True)
    assert [finding.detail for finding in problems(report)] == [
        f"1 image with the same content in both: {test.name} = {train.name}"
    ]
    same = check_suite(suite(coco, ".", options={"split": "train"}, expect=40))
    [shared] = problems(same)
    assert shared.detail.startswith("40 examples in both: COCO_train2014_000000001000.jpg, ")


def test_ids_that_repeat_are_all_told(coco: Path) -> None:
    document = json.loads((coco / "dataset_coco.json").read_text())
    test = [each for each in document["images"] if each["split"] == "test"]
    document["images"] += test[:7]
    write_json(coco / "dataset_coco.json", document)
    report = check_suite(suite(coco))
    details = " ".join(finding.detail for finding in problems(report))
    assert "27 examples; the suite expects 20" in details
    assert f"7 ids more than once: {test[0]['filename']}, " in details
    assert details.endswith("...")


@pytest.mark.parametrize("pack", [pack_zip, pack_tar, pack_parquet])
def test_packed_images_are_checked_as_they_lie(coco: Path, pack: Callable[[Path], Path]) -> None:
    packed = pack(coco / "val2014")
    shutil.rmtree(coco / "val2014")
    report = check_suite(suite(coco, packed.name), deep=True)
    assert report.complete, said(report)
    assert "20 images opened" in said(report)


def test_images_beside_captions_may_stay_away(coco: Path) -> None:
    given = suite(coco)
    assert given.captions is not None
    captions = given.captions.model_copy(update={"options": {**given.captions.options, "images": "train2014.zip"}})
    report = check_suite(given.model_copy(update={"captions": captions}))
    assert report.complete
    assert "only texts are read here, so it may stay away" in said(report, "[captions]")


def test_models_that_are_not_there_are_problems_with_a_way_out(coco: Path) -> None:
    names = {"language_model": "hf:nobody/nothing@abc123", "image_text": "local-dir:nowhere"}
    given = suite(coco)
    report = check_suite(given.model_copy(update={"models": given.models.model_copy(update=names)}))
    steps = [finding.steps for finding in problems(report)]
    assert steps == [
        ("seetell prefetch small-coco",),
        (
            "save a model there (docs/models.md says what its folder holds), or name one of the hub, such as "
            "open_clip:ViT-B-32-quickgelu@openai, under [models]",
        ),
    ]


TITLES = """
extends = "toybox-stories"
name = "titles"
[data]
size = 3
[images]
index = "found"
"""


def test_the_index_of_a_story_suite_is_looked_at(tmp_path: Path, clip_folder: Path) -> None:
    (tmp_path / "titles.toml").write_text(TITLES)
    suite = Suite.load(str(tmp_path / "titles.toml"))
    [gone] = problems(check_suite(suite))
    assert (gone.section, gone.detail.startswith(f"there is no index in {tmp_path / 'found'}")) == ("[images]", True)
    assert gone.steps[-1] == f"seetell index images FOLDER --out {tmp_path / 'found'} --model toybox:clip"
    write_images(tmp_path / "pictures", 4)
    build_index(image_corpus(image_source(tmp_path / "pictures"), load_image_text("toybox:clip"), 4), tmp_path / "found")
    report = check_suite(suite)
    assert report.complete, said(report)
    assert f"ok index: {tmp_path / 'found'}, 4 images, made with toybox:clip" in said(report, "[images]")
    other = Suite.load(str(tmp_path / "titles.toml"), [f"models.image_text=local-dir:{clip_folder}"])
    [wrong] = problems(check_suite(other))
    assert "and would be refused" in wrong.detail
    assert wrong.steps[-1].endswith(f"--model local-dir:{clip_folder}")
    captions = {"dataset": "index", "options": {"folder": "found"}}
    retrieval = suite.model_copy(update={"captions": DataRef.model_validate(captions)})
    assert problems(check_suite(retrieval))[0].detail.endswith("is an index of images; expected one of captions")


def test_images_for_titles_out_of_a_data_set_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "titles.toml").write_text(TITLES.replace('index = "found"', 'dataset = "jsonl"\nfile = "pool.jsonl"'))
    suite = Suite.load(str(tmp_path / "titles.toml"))
    assert f"there is no {tmp_path / 'pool.jsonl'}" in problems(check_suite(suite))[0].detail
    write_jsonl(tmp_path, 4).rename(tmp_path / "pool.jsonl")
    assert check_suite(suite).complete
    next((tmp_path / "images").iterdir()).unlink()
    assert [finding.section for finding in problems(check_suite(suite))] == ["[images]"]


def test_a_caption_index_is_no_problem(tmp_path: Path) -> None:
    corpus = caption_corpus("said", ["A red boat.", "Two dogs."], load_image_text("toybox:clip"))
    build_index(corpus, tmp_path / "said")
    given = {"captions.dataset": "index", "captions.folder": str(tmp_path / "said"), "data.size": "2"}
    report = check_suite(Suite.load("toybox-plain", [f"{key}={value}" for key, value in given.items()]))
    assert report.complete, said(report)
    assert "2 captions, made with toybox:clip" in said(report, "[captions]")


def test_options_that_do_not_fit_are_problems_and_the_rest_is_still_looked_at(coco: Path) -> None:
    report = check_suite(suite(coco, options={"split": "tset"}))
    [wrong] = problems(report)
    assert "split = 'tset'" in wrong.detail
    assert "40 examples, as expected" in said(report, "[captions]")


def test_examples_that_the_suite_leaves_out_are_not_counted(coco: Path) -> None:
    document = json.loads((coco / "dataset_coco.json").read_text())
    names = [each["filename"] for each in document["images"] if each["split"] == "test"]
    for name in names[:2]:
        (coco / "val2014" / name).unlink()
    report = check_suite(suite(coco, exclude=tuple(names[:2])))
    assert report.complete, said(report)
    assert "20 examples, as expected\nok 18 of them count, after `exclude` and `first`" in said(report, "[data]")
    [wrong] = problems(check_suite(suite(coco, exclude=("nobody.jpg",))))
    assert "'nobody.jpg'" in wrong.detail


def test_flickr30k_and_stories(tmp_path: Path) -> None:
    make_flickr30k(tmp_path)
    make_rocstories(tmp_path)
    pack_zip(tmp_path / "flickr30k-images")
    base = {"text": {"max_length": 9}, "decoders": {"greedy": {}}, "folder": tmp_path}
    flickr = {"dataset": "karpathy", "file": "dataset_flickr30k.json", "images": "flickr30k-images.zip", "expect": 20}
    stories = {"dataset": "rocstories", "file": "rocstories_test.txt", "expect": 20}
    assert check_suite(Suite.model_validate({"name": "f", "data": flickr, **base}), deep=True).complete
    report = check_suite(Suite.model_validate({"name": "r", "task": "story", "data": stories, **base}))
    assert report.complete
    assert "12 distinct titles (8 repeat, so stories go by position)" in said(report)


def test_the_command_says_it_all_and_its_exit_code_says_whether(coco: Path) -> None:
    text = SUITE.format(images="val2014.zip", lm="toybox:plain", clip="toybox:clip")
    (coco / "small.toml").write_text(text)
    wrong = seetell_here("data", "check", "small.toml", "--set", "captions.expect=41", cwd=coco)
    assert wrong.returncode == 1, wrong.stderr
    assert "PROBLEM [data] images: there is no" in wrong.stdout
    assert "1. download the images of MS-COCO val2014" in wrong.stdout
    assert "40 examples; the suite expects 41" in wrong.stdout
    assert "2 things have to be put right; `seetell prefetch small.toml --set 'captions.expect=41'`" in wrong.stderr
    pack_zip(coco / "val2014")
    right = seetell_here("data", "check", "small.toml", "--deep", "--json", cwd=coco)
    assert right.returncode == 0, right.stdout + right.stderr
    document = json.loads(right.stdout)
    assert (document["suite"], document["complete"]) == ("small-coco", True)
    assert {"section": "[data]", "level": "ok", "detail": "20 examples, as expected", "steps": []} in document["findings"]


def test_a_run_on_a_zip_is_the_run_on_the_folder(coco: Path, gpt2_folder: Path, clip_folder: Path) -> None:
    """Same identity, so nothing is decoded twice; and the zip alone is enough."""
    archive = pack_zip(coco / "val2014")
    identities = set()
    for images in ("val2014", archive.name):
        text = SUITE.format(images=images, lm=f"local:{gpt2_folder}", clip=f"local-dir:{clip_folder}")
        parsed = Suite.parse(text.encode(), "small-coco", coco)
        examples = load_examples(parsed)
        identities.add(plan(parsed, "magic", examples, digests=Digests(parsed, examples)).spec.identity())
    assert len(identities) == 1
    shutil.rmtree(coco / "val2014")
    archive_content = archive.read_bytes()
    place = archive_content.index(image_bytes(60)) + 100
    archive.write_bytes(archive_content[:place] + b"\0" * 20 + archive_content[place + 20 :])
    (coco / "small.toml").write_text(text)
    done = seetell_here("run", "small.toml", "--only", "magic", cwd=coco, SEETELL_CACHE=str(coco / "cache"))
    assert done.returncode == 2, done.stderr
    assert "19 of 20 decoded, 1 failed: UnreadableImage: val2014/COCO_val2014_000000001420.jpg in " in done.stderr
    assert "Bad CRC-32" in done.stderr


def test_decoders_that_look_at_images_need_some(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"id": "a", "references": ["one"]}), encoding="utf-8")
    toml = {
        "name": "blind",
        "data": {"dataset": "jsonl", "file": "d.jsonl"},
        "models": {"language_model": "toybox:plain", "image_text": "toybox:clip"},
        "text": {"max_length": 8},
        "decoders": {"greedy": {}, "magic": {}},
        "folder": tmp_path,
    }
    (problem,) = problems(check_suite(Suite.model_validate(toml)))
    assert problem.detail == "no example has an image, and magic looks at images"
    assert check_suite(Suite.model_validate({**toml, "decoders": {"greedy": {}}})).complete
