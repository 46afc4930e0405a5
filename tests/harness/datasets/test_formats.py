"""Each format gives the examples that are in its files, wherever their images lie, and says what is wrong with a bad file."""

from __future__ import annotations

import csv
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.datasets.base import Dataset
from harness.datasets.coco import Coco, CocoOptions
from harness.datasets.digests import data_digest
from harness.datasets.images import AbsentImage
from harness.datasets.jsonl import Jsonl, JsonlOptions
from harness.datasets.karpathy import Karpathy, KarpathyOptions
from harness.datasets.load import load_examples
from harness.datasets.rocstories import RocStories, RocStoriesOptions
from harness.datasets.webdataset import WebDataset, WebDatasetOptions
from harness.errors import DataError, SuiteError
from harness.suites.examples import Example, read_image
from harness.suites.sections import checked
from harness.suites.spec import DataRef, Suite
from tests.checkpoints import captions_of
from tests.miniature import (
    MODES,
    add_member,
    files_under,
    image_bytes,
    make_flickr30k,
    make_karpathy_coco,
    make_rocstories,
    make_webdataset,
    pack_zip,
    story_of,
    write_image,
    write_json,
)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    make_karpathy_coco(folder)
    return folder


def load(plugin: type[Dataset], folder: Path, **options: Any) -> list[Example]:
    return plugin(checked(plugin.Options, options, "[data]"), folder).examples()


# Karpathy's splits


def test_miniatures_are_what_the_real_sets_are(coco: Path, tmp_path: Path) -> None:
    sizes = {split: len(load(Karpathy, coco, file="dataset_coco.json", split=split))
             for split in ("train", "restval", "val", "test", "all")}  # fmt: skip
    assert sizes == {"train": 40, "restval": 20, "val": 20, "test": 20, "all": 80}
    assert len(load(Karpathy, coco, file="dataset_coco.json", split="train", restval=False)) == 20
    make_flickr30k(tmp_path)
    flickr = load(Karpathy, tmp_path, file="dataset_flickr30k.json", images="flickr30k-images", split="val")
    assert len(flickr) == 20
    examples = load(Karpathy, coco, file="dataset_coco.json", images=".", split="all")
    contents = [read_image(example.image) for example in (*examples, *flickr) if example.image is not None]
    assert len(set(contents)) == 100
    assert {content[:3] for content in contents} == {b"\xff\xd8\xff", b"\x89PN"}
    modes = set()
    for example in examples:
        assert isinstance(example.image, Path)
        with Image.open(example.image) as image:
            modes.add(image.mode)
    assert modes == set(MODES)
    assert [len(example.references) for example in examples[60:63]] == [5, 6, 5]


def test_texts_are_read_without_images(coco: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset_coco.json").write_bytes((coco / "dataset_coco.json").read_bytes())
    options = KarpathyOptions(file=Path("dataset_coco.json"), images=Path("val2014.zip"), split="train")
    assert len(Karpathy(options, tmp_path).captions()) == 200
    assert load(Karpathy, tmp_path, file="dataset_coco.json")[0].image is None


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"filename": 3}, "image 0 of .* has no image_name"),
        ({"filename": "../../etc/passwd", "sentences": []}, "leads out of its folder"),
        ({"filename": "/etc/passwd", "sentences": []}, "leads out of its folder"),
        ({"filename": "a.jpg", "filepath": "../up", "sentences": []}, "leads out of its folder"),
        ({"filename": "a.jpg", "filepath": 5, "sentences": []}, "filepath is 5; expected the name of a folder"),
        ({"filename": "a.jpg", "captions": "one"}, "references are 'one'; expected a list"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, record: dict[str, Any], says: str) -> None:
    (tmp_path / "images").mkdir()
    write_json(tmp_path / "d.json", {"images": [{"split": "test", **record}]})
    with pytest.raises(DataError, match=says):
        load(Karpathy, tmp_path, file="d.json", images="images")


def test_json_that_is_nested_beyond_reason_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text("[" * 200_000)
    for plugin in (Karpathy, Coco):
        with pytest.raises(DataError, match="cannot be read as JSON"):
            load(plugin, tmp_path, file="d.json")
    (tmp_path / "d.jsonl").write_text("[" * 200_000)
    with pytest.raises(DataError, match="line 1 of .* is no JSON"):
        load(Jsonl, tmp_path, file="d.jsonl")


# What a suite expects


def suite_of(folder: Path, **data: Any) -> Suite:
    return Suite.model_validate(
        {"name": "s", "data": data, "text": {"max_length": 9}, "decoders": {"greedy": {}}, "folder": folder}
    )


def test_another_number_of_examples_than_expected_is_refused(coco: Path) -> None:
    known: dict[str, Any] = {"dataset": "karpathy", "file": "dataset_coco.json", "images": "val2014"}
    assert len(load_examples(suite_of(coco, **known, expect=20))) == 20
    with pytest.raises(DataError, match=r"has 20 examples; its suite says `expect = 5000`"):
        load_examples(suite_of(coco, **known, expect=5000))
    with pytest.raises(SuiteError, match="expect = 0"):
        checked(DataRef, {"dataset": "karpathy", "expect": 0}, "[data]")


def test_the_trap_of_4982_images_is_named(tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(number), "references": ["a"]}) for number in range(4982)]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"without the 18 images .*COCO_val2014_000000039068.jpg.*take all 5,000"):
        load_examples(suite_of(tmp_path, dataset="jsonl", file="d.jsonl", expect=5000))


def test_images_of_which_nothing_is_there_stop_a_run_at_once(coco: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset_coco.json").write_bytes((coco / "dataset_coco.json").read_bytes())
    suite = suite_of(tmp_path, dataset="karpathy", file="dataset_coco.json", images="val2014.zip")
    with pytest.raises(DataError, match=r"are not there: .*val2014.zip. Put them there"):
        load_examples(suite)


# COCO's own annotations


def test_coco_annotations_are_the_same_data_as_karpathys_file(coco: Path) -> None:
    year = {"file": "annotations/captions_val2014.json", "images": "val2014"}
    by_karpathy = load(Karpathy, coco, file="dataset_coco.json", images=".")
    by_coco = load(Coco, coco, **year, only="dataset_coco.json", split="test")
    assert data_digest(by_coco) == data_digest(by_karpathy)
    everything = load(Coco, coco, **year)
    assert len(everything) == 60
    assert [each.id for each in everything] == sorted(each.id for each in everything)
    both = [f"annotations/captions_{name}2014.json" for name in ("train", "val")]
    train = load(Coco, coco, file=both, images=["train2014", "val2014"], only="dataset_coco.json", split="train")
    assert data_digest(train) == data_digest(load(Karpathy, coco, file="dataset_coco.json", images=".", split="train"))


def test_coco_takes_lists_of_ids_or_names_in_their_order(coco: Path, tmp_path: Path) -> None:
    file = str(coco / "annotations/captions_val2014.json")
    everything = load(Coco, tmp_path, file=file)
    wanted = [everything[3].id, everything[1].id]
    numbers = [int(Path(name).stem.rpartition("_")[2]) for name in wanted]
    lists: dict[str, str] = {
        "names.txt": "\n".join(wanted) + "\n",
        "ids.txt": f"{numbers[0]}\r\n\r\n{numbers[1]}",
        "ids.json": json.dumps(numbers),
        "names.json": json.dumps(wanted),
        "splits.json": json.dumps({"test": numbers, "val": []}),
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        split = {"split": "test"} if name == "splits.json" else {}
        assert [each.id for each in load(Coco, tmp_path, file=file, only=name, **split)] == wanted
    with pytest.raises(DataError, match=r"has no split 'tset' \(did you mean 'test'\?\)"):
        load(Coco, tmp_path, file=file, only="splits.json", split="tset")
    (tmp_path / "other.txt").write_text("391895\n")
    with pytest.raises(DataError, match="asks for the image '391895', which the annotations do not know"):
        load(Coco, tmp_path, file=file, only="other.txt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "not in COCO's caption format"),
        ({"images": []}, "not in COCO's caption format .*annotations"),
        ({"images": [{"id": 1}], "annotations": []}, "file_name"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}, "id 1 twice .a and b"),
        ({"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}, "of the image 2"),
        ({"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 3}]}, "expected a text"),
    ],
)
def test_annotations_of_another_shape_are_told_so(tmp_path: Path, content: Any, says: str) -> None:
    write_json(tmp_path / "captions.json", content)
    with pytest.raises(DataError, match=says):
        load(Coco, tmp_path, file="captions.json")


# Stories


def test_every_shape_of_rocstories_gives_the_same_stories(tmp_path: Path) -> None:
    make_rocstories(tmp_path)
    tabs = load(RocStories, tmp_path, file="rocstories_test.txt")
    assert [each.id for each in tabs] == [f"{index:06d}" for index in range(20)]
    assert (tabs[3].prompt, tabs[3].references) == (story_of(43)[0], (" ".join(story_of(43)[1]),))
    assert len({each.prompt for each in tabs}) == 12  # titles repeat; the position keeps them apart
    table = load(RocStories, tmp_path, file="ROCStories_winter2017.csv")
    assert data_digest(table) == data_digest(tabs)
    simctg = load(RocStories, tmp_path, file="rocstories_train.txt")
    assert (simctg[5].prompt, simctg[5].references) == (story_of(5)[0], (" ".join(story_of(5)[1]),))
    (tmp_path / "ended.txt").write_text("A Title <|endoftext|> A story, told. <|endoftext|>\n")
    assert load(RocStories, tmp_path, file="ended.txt")[0].references == ("A story, told.",)


def test_the_published_test_file_has_its_known_figures(shared: Path, tmp_path: Path) -> None:
    """The published outputs hold titles and references, so the test file can be written from them."""
    published = gzip.decompress((shared / "published/rocstories/contrastive.json.gz").read_bytes())
    rows = json.loads(published)["evaluation_result"]
    pairs = [(row["prefix_text"].removesuffix(" <|endoftext|>"), row["reference_continuation_text"]) for row in rows]
    (tmp_path / "t.txt").write_text("\n".join("\t".join(pair) for pair in pairs), encoding="utf-8")
    found = load(RocStories, tmp_path, file="t.txt")
    assert len(found) == 1500
    assert len({example.prompt for example in found}) == 1462
    assert [(example.prompt, *example.references) for example in found] == [(t.strip(), s.strip()) for t, s in pairs]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no story"),
        ("A title without a story", "line 1 of .* is 'A title without"),
        ("T\tS\nT\t\n", "line 2"),
        ("T\tS\tS2", "line 1"),
        ("storyid,storytitle,sentence1,sentence2\n1,T,a,b", "lacks sentence3, sentence4, sentence5"),
        ("id,title,text\n1,T,a", "has the columns id, title, text and lacks storytitle"),
        ("storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n1,T,a,b,,d,e", "lacks a title or one of its"),
        ("storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n1,T,a,b", "line 2 of .* lacks"),
    ],
)
def test_stories_of_another_shape_are_told_so(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "stories.txt").write_text(content)
    with pytest.raises(DataError, match=says):
        load(RocStories, tmp_path, file="stories.txt")


def test_a_cell_too_large_for_csv_is_no_crash(tmp_path: Path) -> None:
    row = ["1", "T", "x" * (csv.field_size_limit() + 1), "b", "c", "d", "e"]
    header = "storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5"
    (tmp_path / "stories.csv").write_text(f"{header}\n{','.join(row)}\n")
    with pytest.raises(DataError, match="is no CSV .*field limit"):
        load(RocStories, tmp_path, file="stories.csv")
    (tmp_path / "latin.txt").write_bytes("Café\tA story.".encode("latin-1"))
    with pytest.raises(DataError, match="as UTF-8 text"):
        load(RocStories, tmp_path, file="latin.txt")


# WebDataset


def test_shards_give_images_and_captions_without_unpacking(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / "images" / f"{number:05d}.jpg", number)
    said = [captions_of(number) for number in range(20)]
    pattern = make_webdataset(tmp_path / "shards", files_under(tmp_path / "images"), said)
    assert pattern.name == "shard-{000..002}.tar"
    examples = load(WebDataset, tmp_path, shards="shards/shard-{000..002}.tar")
    assert [each.id for each in examples] == [f"{number:05d}" for number in range(20)]
    assert [list(each.references) for each in examples] == said
    assert [read_image(each.image) for each in examples if each.image] == [image_bytes(number) for number in range(20)]
    assert data_digest(load(WebDataset, tmp_path, shards="shards/*.tar")) == data_digest(examples)
    (tmp_path / "shards" / "shard-001.tar").unlink()
    with pytest.raises(DataError, match=r"shards: there is no .*shard-001.tar; put it there"):
        load(WebDataset, tmp_path, shards="shards/shard-{000..002}.tar")


def shard(path: Path, **members: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            add_member(archive, name.replace("__", "."), content)


def test_captions_in_text_files_and_in_other_keys(tmp_path: Path) -> None:
    shard(
        tmp_path / "a.tar",
        a__jpg=image_bytes(0), a__txt=b"one\ntwo\n", a__cls=b"7",
        b__seg__png=b"no image of the sample", b__PNG=image_bytes(3), b__json=b'{"sentences": [{"raw": " three "}]}',
        c__jpeg=image_bytes(5),
    )  # fmt: skip
    found = load(WebDataset, tmp_path, shards="a.tar")
    assert [(each.id, each.references) for each in found] == [("a", ("one", "two")), ("b", ("three",)), ("c", ())]
    assert [read_image(each.image) for each in found if each.image] == [image_bytes(0), image_bytes(3), image_bytes(5)]
    with pytest.raises(DataError, match="no .json of a.tar has 'blip'; they have sentences: change `captions`"):
        load(WebDataset, tmp_path, shards="a.tar", captions="blip")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a__json": b"{"}, "the .json of 'a' .* is no JSON"),
        ({"a__json": b"3"}, "expected an object with captions"),
        ({"a__json": b'{"captions": 4}'}, "references are '4'"),
        ({"a__txt": b"\xff\xfe"}, "cannot be read .*expected UTF-8"),
        ({"a__cls": b"4"}, "no sample of a.tar has an image or a text"),
    ],
)
def test_samples_that_make_no_sense_are_named(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    shard(tmp_path / "a.tar", **members)
    with pytest.raises(DataError, match=says):
        load(WebDataset, tmp_path, shards="a.tar")


def test_one_sample_without_a_caption_or_with_nan_costs_itself_at_most(tmp_path: Path) -> None:
    shard(
        tmp_path / "a.tar",
        a__jpg=image_bytes(0), a__json=b'{"caption": null, "status": "success"}', a__txt=b"",
        b__jpg=image_bytes(1), b__json=b'{"caption": "two", "similarity": NaN}',
        c__jpg=image_bytes(2), c__json=b'{"caption": NaN}',
        d__cls=b"4",
    )  # fmt: skip
    examples = load(WebDataset, tmp_path, shards="a.tar")
    assert [(example.id, example.references) for example in examples] == [("a", ()), ("b", ("two",)), ("c", ()), ("d", ())]
    assert [isinstance(example.image, AbsentImage) for example in examples] == [False, False, False, True]
    assert load(WebDataset, tmp_path, shards="a.tar", captions="caption") == examples


def test_dots_in_keys_are_refused_with_the_rule(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", **{"22.05__png": image_bytes(0), "22.05__txt": b"one", "22.06__png": image_bytes(1)})
    with pytest.raises(DataError, match=r"a key ends at the first dot of the file name, so 22\.05\.png belongs to '22'"):
        load(WebDataset, tmp_path, shards="a.tar")


def test_a_bad_row_of_a_table_is_named_by_its_line(tmp_path: Path) -> None:
    header = "storyid,storytitle," + ",".join(f"sentence{n}" for n in range(1, 6)) + "\n"
    good = '1,"A title\nof two lines",a.,b.,c.,d.,e.\n\n'
    for bad, says in (("2,T,a.,b.,c.,d.,\n", "line 5 of .* lacks a title or one"), ('2,"T,a.\n\n\n', "is no CSV .line 5: ")):
        (tmp_path / "s.csv").write_text(header + good + bad, encoding="utf-8")
        with pytest.raises(DataError, match=says):
            load(RocStories, tmp_path, file="s.csv")


def test_a_key_in_two_shards_names_both(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shard(tmp_path / f"{name}.tar", x__txt=b"text")
    with pytest.raises(DataError, match=r"the key 'x' is in .*a.tar and in .*b.tar"):
        load(WebDataset, tmp_path, shards=["a.tar", "b.tar"])


# JSON Lines


def test_json_lines_read_images_out_of_archives(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"image": f"photos/{number}.jpg"}) for number in range(3)))
    plain = load(Jsonl, tmp_path, file="d.jsonl")
    pack_zip(tmp_path / "photos")
    packed = load(Jsonl, tmp_path, file="d.jsonl", images="photos.zip")
    assert data_digest(packed) == data_digest(plain)
    assert Jsonl(JsonlOptions(file=Path("d.jsonl")), tmp_path).captions() == []
    (tmp_path / "e.jsonl").write_text(json.dumps({"image": "../d.jsonl"}))
    with pytest.raises(DataError, match=r"line 1 of .*e.jsonl names the image '../d.jsonl', which leads out"):
        load(Jsonl, tmp_path, file="e.jsonl")


def test_missing_files_are_told_with_the_way_to_get_them(tmp_path: Path) -> None:
    for plugin, options in (
        (Karpathy, {"file": "gone.json"}),
        (Coco, {"file": "gone.json"}),
        (RocStories, {"file": "gone.txt"}),
        (Jsonl, {"file": "gone.jsonl"}),
        (WebDataset, {"shards": "gone-{0..1}.tar"}),
    ):
        with pytest.raises(DataError, match="there is no .*gone.*seetell data check"):
            load(plugin, tmp_path, **options)  # type: ignore[type-abstract]


def test_stories_options_are_few(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="unknown key 'images'"):
        checked(RocStoriesOptions, {"file": "a", "images": "b"}, "[data]")
    with pytest.raises(SuiteError, match="'shards' is missing"):
        checked(WebDatasetOptions, {}, "[data]")
    with pytest.raises(SuiteError, match="split = 'tset': Input should be 'train', 'val', 'test', 'restval' or 'all'"):
        checked(KarpathyOptions, {"file": "a", "split": "tset"}, "[data]")
    assert CocoOptions(file=Path("a")).split == ""
