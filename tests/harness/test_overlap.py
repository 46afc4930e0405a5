"""What is tested is not there to be chosen or to learn from: told where both are at hand, and only where it is no chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import index as indexing
from harness.datasets.load import Digests, captions_to_choose_from, load_examples
from harness.datasets.overlap import same_examples
from harness.decode.plan import plan
from harness.errors import DataError
from harness.fetch.check import check_suite
from harness.suites.examples import Example
from harness.suites.spec import Suite
from harness.training.corpus import read_corpus
from tests.checkpoints import captions_of, write_karpathy

KARPATHY = 'dataset = "karpathy"\nfile = "dataset.json"\nimages = "images"\nsplit = "{}"'
SUITE = """
name = "mine"
[data]
{}
[models]
image_text = "toybox:clip"
[captions]
{}
[text]
max_length = 9
[decoders.clipre]
"""


def suite_of(folder: Path, captions: str) -> Suite:
    write_karpathy(folder, 12, splits=("train", "val", "test"))
    (folder / "mine.toml").write_text(SUITE.format(KARPATHY.format("test"), captions))
    return Suite.load(str(folder / "mine.toml"))


def test_an_example_is_the_same_by_its_id_and_a_text() -> None:
    def one(name: str, *texts: str) -> list[Example]:
        return [Example(name, references=texts)]

    assert same_examples(one("a.jpg", "A  Dog.", "x"), one("a.jpg", "a dog.")) == ["a.jpg"]
    assert not same_examples(one("1.jpg", "a dog"), one("1.jpg", "a cat")), "train/1.jpg and test/1.jpg"
    assert not same_examples(one("000001", "a dog"), one("000001", "a dog")), "places in lists, and a chance"
    assert same_examples(one("391895", "a", "b", "c"), one("391895", "C", "b", "a", "a")) == ["391895"]
    assert not same_examples(one("a.jpg", "a dog"), one("b.jpg", "a dog")), "texts may be equal by chance"
    assert same_examples(one("a.jpg"), one("a.jpg", "a dog")) == ["a.jpg"], "nothing but the name is known"
    assert not same_examples(one("000001"), one("000001", "a dog"))


@pytest.mark.parametrize("split", ["test", "all"])
def test_captions_that_hold_what_is_tested_are_refused_before_anything_is_decoded(tmp_path: Path, split: str) -> None:
    suite = suite_of(tmp_path, KARPATHY.format(split))
    examples = load_examples(suite)
    said = r"4 of the 4 examples that suite 'mine' tests are in its \[captions\] too, such as '000002"
    with pytest.raises(DataError, match=said):
        plan(suite, "clipre", examples, digests=Digests(suite, examples))
    assert any(
        finding.level == "problem" and finding.detail.startswith("4 examples in both") for finding in check_suite(suite).findings
    )
    (tmp_path / "b.txt").write_text("Else.\n")
    (tmp_path / "leaky.json").write_text((tmp_path / "dataset.json").read_text().replace('"test"', '"train"'))
    with pytest.raises(DataError, match="4 training examples are test examples too"):
        read_corpus(suite, tmp_path / "leaky.json", tmp_path / "b.txt", "caption")


def test_captions_of_another_split_are_taken_as_they_are(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, KARPATHY.format("train"))
    said = captions_to_choose_from(suite, load_examples(suite))
    assert said == tuple(text for number in (0, 3, 6, 9) for text in captions_of(number))


def test_an_index_is_not_built_of_what_is_tested(tmp_path: Path) -> None:
    suite_of(tmp_path, KARPATHY.format("all"))
    with pytest.raises(DataError, match=r"are in its \[captions\] too"):
        indexing.captions(str(tmp_path / "mine.toml"), out=tmp_path / "index", device="cpu")
    assert not (tmp_path / "index").exists()
