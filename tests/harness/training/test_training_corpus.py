"""Which texts a model learns from and is chosen by, and that neither are what is tested on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.datasets.toybox import DEFAULT_SIZES, Toybox, ToyboxOptions
from harness.errors import DataError, SuiteError
from harness.suites.spec import Suite
from harness.training.corpus import read_corpus
from tests.checkpoints import captions_of, write_jsonl, write_karpathy
from tests.miniature import make_rocstories, story_of

SPLITS = ("train", "restval", "val", "test")


def suite_of(folder: Path, data: str, captions: str = "") -> Suite:
    text = f'name = "mine"\n[data]\n{data}\n{captions}\n[text]\nmax_length = 10\n[decoders.greedy]\n'
    return Suite.parse(text.encode(), "mine.toml", folder)


KARPATHY = 'dataset = "karpathy"\nfile = "dataset.json"\nimages = "images"\nsplit = "{}"'


def test_a_suites_language_model_learns_from_train_with_restval_and_is_chosen_by_val(tmp_path: Path) -> None:
    write_karpathy(tmp_path, 12, splits=SPLITS)
    corpus = read_corpus(suite_of(tmp_path, KARPATHY.format("test")), None, None, "caption")
    said = [captions_of(number, 6 if number == 1 else 5) for number in range(12)]
    assert [text for _, text in corpus.train] == [text for n in range(12) if n % 4 < 2 for text in said[n]]
    assert [text for _, text in corpus.val] == [text for n in range(12) if n % 4 == 2 for text in said[n]]


def test_the_captions_section_names_the_language_models_own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULT_SIZES, "lm", 3)
    monkeypatch.setitem(DEFAULT_SIZES, "dev", 2)
    corpus = read_corpus(Suite.load("toybox-ornate-to-plain"), None, None, "caption")
    for part, split, size in ((corpus.train, "lm", 3), (corpus.val, "dev", 2)):
        own = Toybox(ToyboxOptions(domain="ornate", split=split, size=size), Path())  # type: ignore[arg-type]
        assert [text for _, text in part] == own.captions()
    stories = read_corpus(Suite.load("toybox-stories"), None, None, "story")
    one = Toybox(ToyboxOptions(domain="stories", split="lm", size=1), Path()).examples()[0]
    assert stories.train[0] == (one.prompt, one.references[0])


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A red boat.\n\n  Two dogs.  \n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"references": ["A cat.", "A bowl."]}) + "\n")
    corpus = read_corpus(None, tmp_path / "a.txt", tmp_path / "b.jsonl", "caption")
    assert corpus.train == (("", "A red boat."), ("", "Two dogs."))
    assert corpus.val == (("", "A cat."), ("", "A bowl."))
    (tmp_path / "s.tsv").write_text("Boat\tA boat came. It left.\n")
    (tmp_path / "t.jsonl").write_text(json.dumps({"prompt": "Dog", "references": ["A dog came."]}) + "\n")
    corpus = read_corpus(None, tmp_path / "s.tsv", tmp_path / "t.jsonl", "story")
    assert corpus.train == (("Boat", "A boat came. It left."),)
    assert corpus.val == (("Dog", "A dog came."),)
    write_karpathy(tmp_path, 8, splits=("train", "val"))
    corpus = read_corpus(None, tmp_path / "dataset.json", tmp_path / "dataset.json", "caption")
    assert corpus.val[0] == ("", captions_of(1)[0])


def test_validation_data_that_are_the_test_data_are_refused(tmp_path: Path) -> None:
    """By image, by an image's copy under another name, by all captions of an image, by most texts, by a long text."""
    write_karpathy(tmp_path, 12, splits=SPLITS)
    (tmp_path / "train.txt").write_text("Something else entirely.\n")
    suite = suite_of(tmp_path, KARPATHY.format("test"))

    def refused(val: Path, why: str) -> None:
        with pytest.raises(DataError, match=why):
            read_corpus(suite, tmp_path / "train.txt", val, "caption")

    def write(name: str, *records: dict[str, object]) -> Path:
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return tmp_path / name

    test_image = "images/000003.png"
    refused(write("path.jsonl", {"image": test_image, "references": ["New."]}), "validation images are test images.*000003")
    shutil.copy(tmp_path / test_image, tmp_path / "copy.png")
    refused(write("copy.jsonl", {"image": "copy.png", "references": ["New."]}), "validation images are test images.*copy.png")
    other = [{"references": [f"Caption number {number}."]} for number in range(20)]
    shouted = [text.upper() for text in reversed(captions_of(3))]
    refused(write("all.jsonl", {"references": shouted}, *other), "1 validation examples have exactly the texts of test examples")
    refused(write("most.jsonl", *({"references": [text]} for text in captions_of(3)[:2])), "2 of 2 different validation texts")


def test_a_long_text_of_the_test_data_is_refused_and_a_short_one_counted(tmp_path: Path) -> None:
    story = "One day a dog went to the sea and saw a red boat there, and then it came back home and slept well."
    for name, texts in {"test": [story, "A dog."], "val": ["A dog.", "B.", "C."], "bad": [story, "B.", "C."]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"references": [text]}) + "\n" for text in texts))
    (tmp_path / "train.txt").write_text("Something else entirely.\n")
    suite = suite_of(tmp_path, 'dataset = "jsonl"\nfile = "test.jsonl"')
    corpus = read_corpus(suite, tmp_path / "train.txt", tmp_path / "val.jsonl", "caption")
    assert corpus.notes == ("1 of 3 different validation texts are test texts too",)
    with pytest.raises(DataError, match="1 long validation texts are test texts too, such as 'One day"):
        read_corpus(suite, tmp_path / "train.txt", tmp_path / "bad.jsonl", "caption")
    pasted = [[story, "A house."], ["B."], ["C."]]  # one of several captions of an image
    (tmp_path / "pasted.jsonl").write_text("".join(json.dumps({"references": texts}) + "\n" for texts in pasted))
    corpus = read_corpus(suite, tmp_path / "train.txt", tmp_path / "pasted.jsonl", "caption")
    assert corpus.notes == ("1 of 4 different validation texts are test texts too",)


def test_training_texts_that_are_test_or_validation_texts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A boat.\nA dog.\n")
    (tmp_path / "b.txt").write_text("Else.\n")
    with pytest.raises(DataError, match="validation texts are training texts"):
        read_corpus(None, tmp_path / "a.txt", tmp_path / "a.txt", "caption")
    suite = suite_of(tmp_path, 'dataset = "jsonl"\nfile = "t.jsonl"')
    (tmp_path / "t.jsonl").write_text(json.dumps({"references": ["a  BOAT.", "A dog."]}) + "\n")
    with pytest.raises(DataError, match="training texts are test texts"):
        read_corpus(suite, tmp_path / "a.txt", tmp_path / "b.txt", "caption")


def test_what_cannot_be_read_is_said_with_the_remedy(tmp_path: Path) -> None:
    write_jsonl(tmp_path, 3)
    (tmp_path / "a.txt").write_text("no tab here\n")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "a.csv").write_text("x\n")
    some = tmp_path / "a.txt"

    def complaint(kind: type[Exception], suite: Suite | None, train: Path | None, val: Path | None, why: str) -> None:
        with pytest.raises(kind, match=why):
            read_corpus(suite, train, val, "caption")

    complaint(SuiteError, None, some, None, "--train FILE and --val FILE")
    complaint(DataError, None, tmp_path / "none.txt", some, "is not there")
    complaint(DataError, None, tmp_path / "a.csv", some, "ending '.csv'")
    complaint(DataError, None, tmp_path / "bad.txt", some, "UTF-8")
    complaint(DataError, None, tmp_path / "empty.txt", some, "no train texts in")
    complaint(SuiteError, suite_of(tmp_path, 'dataset = "jsonl"\nfile = "dataset.jsonl"'), None, None, "no train split.*--train")
    with pytest.raises(DataError, match="line 1 of .*no tab"):
        read_corpus(None, some, some, "story")


def test_stories_learn_from_the_files_beside_the_test_file(tmp_path: Path) -> None:
    make_rocstories(tmp_path)
    data = 'dataset = "rocstories"\nfile = "{}"'
    suite = suite_of(tmp_path, data.format("rocstories_test.txt"))
    corpus = read_corpus(suite, None, None, "story")
    assert corpus.train == tuple((title, " ".join(story)) for title, story in map(story_of, range(20)))
    assert corpus.val[0] == (story_of(20)[0], " ".join(story_of(20)[1]))
    (tmp_path / "rocstories_dev.txt").unlink()
    with pytest.raises(DataError, match="rocstories_dev.txt"):
        read_corpus(suite, None, None, "story")
    with pytest.raises(SuiteError, match="has no train split; give the texts with --train FILE"):
        read_corpus(suite_of(tmp_path, data.format("ROCStories_winter2017.csv")), None, None, "story")
