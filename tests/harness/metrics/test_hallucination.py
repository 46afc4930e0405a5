"""CHAIR: words, truth and shares by hand, in COCO's own file format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.errors import MetricError, MetricUnavailable
from harness.metrics.evaluate import due_metrics
from harness.metrics.hallucination import Chair, ChairConfig, read_lexicon
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from harness.suites.spec import Suite
from tests.harness.metrics.bad_texts import BAD

# The categories of COCO 2014 and 2017, by the ids of the annotation files (which skip some numbers).
COCO = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip


def write_instances(path: Path, images: dict[int, list[int]], name: str = "COCO_val2014_{:012d}.jpg") -> Path:
    document: dict[str, Any] = {
        "images": [{"id": number, "file_name": name.format(number)} for number in images],
        "annotations": [
            {"id": 10 * number + place, "image_id": number, "category_id": category, "bbox": [0, 0, 1, 1]}
            for number, categories in images.items()
            for place, category in enumerate(categories)
        ],
        "categories": [{"id": key, "name": value, "supercategory": "thing"} for key, value in COCO.items()],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    return write_instances(tmp_path / "instances.json", {1: [18, 18, 62], 2: [], 336777: [3, 1]})


def sample(number: int, text: str, *references: str) -> Sample:
    return Sample(Example(f"COCO_val2014_{number:012d}.jpg", references=references), text=text)


def scorer(instances: Path | None, **options: object) -> Chair:
    return Chair(ChairConfig.model_validate({"instances": instances, **options}), Models())


def test_the_list_has_cocos_eighty_categories_and_each_names_itself() -> None:
    words = read_lexicon(None, "")
    assert {name for name in words.names.values() if name} == set(COCO.values())
    # Orange is a colour far more often than a fruit.
    assert {name for name in COCO.values() if words.mentions(name) != [name]} == {"orange"}
    assert words.mentions("three oranges") == ["orange"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("A man and two women on a bus near a bus stop.", ["person", "person", "bus"]),
        ("Knives, sheep, 2 buses and TOOTHBRUSHES!", ["knife", "sheep", "bus", "toothbrush"]),
        ("a hot dog beside two dogs", ["hot dog", "dog"]),
        ("teddy bears, not bears", ["teddy bear", "bear"]),
        ("a baby elephant's trunk", ["elephant"]),
        ("the baby's puppies", ["person", "dog"]),
        ("a couple of cats", ["cat"]),
        ("an orange shirt", []),
        ("a glass table", ["dining table"]),
        ("children’s bikes", ["person", "bicycle"]),
        ("a doghouse, a category, carpets", []),
    ],
)
def test_words(text: str, named: list[str]) -> None:
    assert read_lexicon(None, "").mentions(text) == named


def test_shares_by_hand(instances: Path) -> None:
    given = [
        sample(1, "A dog on a chair, a dog beside a cat and a cat."),  # 5 named, 2 not there
        sample(2, "A bench.", "Someone left a bench here."),  # only the reference knows of it
        sample(2, "A bench in front of a bus."),  # here nobody does
        sample(336777, "Nothing that COCO knows."),
    ]
    metric = scorer(instances)
    rows = metric.rows(given)
    # One example is one truth: the references of image 2 are those of its first sample.
    np.testing.assert_array_equal(rows, [[2, 5, 1, 1], [0, 1, 0, 1], [1, 2, 1, 1], [0, 0, 0, 1]])
    np.testing.assert_allclose(metric.finalise(rows.sum(axis=0)), [3 / 8, 2 / 4])
    objects = scorer(instances, count="objects").rows(given)
    np.testing.assert_array_equal(objects[0], [1, 3, 1, 1])


def test_nothing_named_is_no_share(instances: Path) -> None:
    share, captions = scorer(instances).finalise(np.array([0.0, 0.0, 0.0, 3.0]))
    assert np.isnan(share)
    assert captions == 0


@pytest.mark.parametrize("name", ["336777", "COCO_val2014_000000336777", "COCO_train2014_000000336777.jpg", "000000336777.jpg"])
def test_images_are_found_by_name_and_number(instances: Path, name: str) -> None:
    rows = scorer(instances).rows([Sample(Example(name), text="a car and a man and a dog")])
    np.testing.assert_array_equal(rows, [[1, 3, 1, 1]])


def test_unknown_images_and_failures_are_unscored(instances: Path) -> None:
    given = [sample(1, "a dog"), sample(99, "a dog"), Sample(sample(1, "").example, failure=Failure("E", "no"))]
    rows = scorer(instances).rows(given)
    assert np.isnan(rows[1:]).all()
    np.testing.assert_array_equal(rows[0], [0, 1, 0, 1])
    with pytest.raises(MetricError, match="99"):
        scorer(instances).rows([sample(99, "a dog")])


def test_bad_texts(instances: Path) -> None:
    rows = scorer(instances).rows([sample(1, text) for text in BAD.values()])
    assert np.isfinite(rows).all()
    by_name = dict(zip(BAD, rows.tolist(), strict=True))
    assert by_name["long"] == [0, 1700, 0, 1]
    assert by_name["empty"] == by_name["right to left"] == [0, 0, 0, 1]
    assert by_name["nul"][1] == by_name["lines"][1] == 1


def test_words_may_be_given(instances: Path, tmp_path: Path) -> None:
    given = tmp_path / "synonyms.txt"
    given.write_text("dog, hound\nperson, fellow\n")
    metric = scorer(instances, synonyms=given)
    np.testing.assert_array_equal(metric.rows([sample(1, "a hound, a fellow, a cat")]), [[1, 2, 1, 1]])
    before = (metric.variant(), str(metric.signature()))
    assert "own" in str(scorer(instances).signature())
    given.write_text("dog, hound\nperson, fellow\ncat\n")
    after = scorer(instances, synonyms=given)
    np.testing.assert_array_equal(after.rows([sample(1, "a hound, a fellow, a cat")]), [[2, 3, 1, 1]])
    assert all(one != other for one, other in zip(before, (after.variant(), str(after.signature())), strict=True))


def test_says_what_is_missing_or_wrong(instances: Path, tmp_path: Path) -> None:
    with pytest.raises(MetricUnavailable, match="instances_val2014"):
        scorer(None).rows([sample(1, "a dog")])
    with pytest.raises(MetricError, match="nowhere"):
        scorer(tmp_path / "nowhere.json").rows([sample(1, "a dog")])
    assert scorer(tmp_path / "nowhere.json").variant() == "missing"
    for content in ("", "[]", '{"images": []}', '{"images": [], "annotations": [{"image_id": 1}], "categories": []}'):
        broken = tmp_path / "broken.json"
        broken.write_text(content)
        with pytest.raises(MetricError, match="instance annotations"):
            scorer(broken).rows([sample(1, "a dog")])
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")
    with pytest.raises(MetricError, match="no category"):
        scorer(instances, synonyms=empty).rows([sample(1, "a dog")])


def test_paths_start_at_the_suite(tmp_path: Path) -> None:
    suite = Suite.parse(
        b'name="s"\n[data]\ndataset="jsonl"\n[text]\nmax_new_tokens=1\n[decoders.greedy]\n[metrics.chair]\ninstances="a/b.json"',
        "s",
        tmp_path,
    )
    [due] = due_metrics(suite)
    assert isinstance(due.config, ChairConfig)
    assert due.config.instances == tmp_path / "a/b.json"
    assert due.config.synonyms is None


def test_signature(instances: Path) -> None:
    signature = scorer(instances).signature()
    assert Signature.parse(str(signature)) == signature
    assert str(scorer(instances, count="objects").signature()) != str(signature)
