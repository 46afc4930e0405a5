"""METEOR: the jar aligns, we add up; both must come to the jar's own scores."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.errors import JavaError, MetricUnavailable
from harness.metrics.coco import meteor
from harness.metrics.coco.java import find_jar, run_java
from harness.metrics.coco.meteor import FIELDS, Meteor
from harness.metrics.coco.ngrams import References
from harness.metrics.score import score_samples
from harness.suites.examples import Example, Failure, Sample

TEXTS = [
    ("a red car parked on the road", ("a red car on the street", "there is a crimson car parked in the street")),
    ("the cat sat", ("the cat sat", "a cat was sitting")),
    ("x y z", ("a b c",)),
    ("a dog is running in parks quickly", ("a dog runs in the park", "the dog ran")),
    ("", ("nothing was said",)),
    ("the end ||| of a ||| line\nand more", ("the end of ||| a line",)),
]


def samples() -> list[Sample]:
    return [Sample(Example(f"ex{i}", references=references), text=text) for i, (text, references) in enumerate(TEXTS)]


def metric() -> Meteor:
    return Meteor(Meteor.Config(tokenizer="ptb"), Models())


@pytest.mark.java
def test_segments_and_corpus_equal_the_jars_own_evaluation() -> None:
    """`EVAL` lets the jar finish from the same counts: a line a segment, then the corpus."""
    found = metric()
    rows = found.rows(samples())
    jar = find_jar("meteor/meteor-1.5.jar")
    assert jar is not None
    raw = rows.copy()
    perfect = (raw[:, 20] == 0) & (raw[:, 21] > 0)
    raw[perfect, 20] = 1.0  # as the jar printed it
    lines = " ||| ".join(["EVAL", *(" ".join(f"{number:.1f}" for number in row) for row in raw)])
    arguments = ["-", "-", "-stdio", "-l", "en", "-norm", "-a", "none.gz"]  # counts are added up without paraphrases
    said = run_java(jar, "Meteor", arguments, lines + "\n", timeout=120, files={"none.gz": gzip.compress(b"")})
    *segments, corpus = [float(line) for line in said.split()]
    assert found.finalise(rows)[:, 0] == pytest.approx(segments, abs=1e-9)
    assert found.finalise(rows.sum(axis=0))[0] == pytest.approx(corpus, abs=1e-9)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    meteor._ALIGNED.clear()


@pytest.fixture
def few_paraphrases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of one pair in the place of METEOR's, which takes seconds to read."""
    table = tmp_path / "paraphrases.gz"
    table.write_bytes(gzip.compress(b"0.5\nroad\nstreet\n"))
    monkeypatch.setattr(meteor, "find_jar", lambda inside: table if inside == meteor._PARAPHRASES else find_jar(inside))


@pytest.mark.java
@pytest.mark.usefixtures("few_paraphrases")
def test_a_separator_inside_a_text_makes_no_second_reference() -> None:
    alone = metric().rows(samples()[:5])
    np.testing.assert_array_equal(metric().rows(samples())[:5], alone)


@pytest.mark.java
@pytest.mark.usefixtures("few_paraphrases")
@pytest.mark.parametrize(("reference", "text"), [("one ||| two", "one two"), ("one two", "one ||| two")])
def test_a_separator_that_a_tokenizer_leaves_divides_nothing(reference: str, text: str) -> None:
    [row] = meteor._align(References([[reference]]), [(0, text)]).values()
    np.testing.assert_array_equal(np.frombuffer(row)[:2], [2, 2])


@pytest.mark.java
@pytest.mark.usefixtures("few_paraphrases")
def test_texts_as_they_are_reach_the_jar_untokenised(tmp_path: Path) -> None:
    """With `tokenizer = "none"` the jar gets the raw texts, as from repositories that hand theirs to it."""
    references, texts = [("A dog, running.", "a Dog runs"), ("Two cats on the street.",)], ["A dog,\nrunning", "two cats; a road"]
    raw = Meteor(Meteor.Config(tokenizer="none"), Models())
    given = [Sample(Example(str(i), references=references[i]), text=text) for i, text in enumerate(texts)]
    jar = find_jar("meteor/meteor-1.5.jar")
    assert jar is not None
    lines = [" ||| ".join(["SCORE", *references[i], text.replace("\n", " ")]) for i, text in enumerate(texts)]
    arguments = ["-", "-", "-stdio", "-l", "en", "-norm", "-a", "few.gz"]
    counts = run_java(
        jar,
        "Meteor",
        arguments,
        "\n".join(lines) + "\n",
        timeout=120,
        files={"few.gz": (tmp_path / "paraphrases.gz").read_bytes()},
    )
    np.testing.assert_array_equal(raw.rows(given), [[float(field) for field in line.split()] for line in counts.splitlines()])
    assert "|tok:none|" in str(raw.signature())
    assert raw.variant() == "none"


@pytest.mark.java
@pytest.mark.usefixtures("few_paraphrases")
def test_texts_of_thousands_of_words_and_failures_are_unscored_and_harm_nobody() -> None:
    long = Sample(Example("long", references=("a b",)), text="word " * 2000)
    failed = Sample(Example("failed", references=("a b",)), failure=Failure("UnreadableImage", "x"))
    rows = metric().rows([*samples(), long, failed])
    assert np.isnan(rows[-2:]).all()
    np.testing.assert_array_equal(rows[:-2], metric().rows(samples()))


def test_without_java_it_says_so_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    sheet = score_samples(samples(), {"meteor": Meteor(Meteor.Config(tokenizer="python"), Models())})
    assert "Java" in sheet.scores[0].unavailable


def test_an_answer_that_is_no_row_of_counts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meteor, "find_jar", lambda name: Path(name))
    monkeypatch.setattr(meteor, "find_java", lambda: None)
    monkeypatch.setattr(meteor, "narrowed", lambda *_: SimpleNamespace(table=lambda texts: b""))
    for answer, message in [("1 2 3\n" * len(TEXTS), "expected 23 numbers"), ("0 " * FIELDS + "\n", "answered 1 lines")]:
        monkeypatch.setattr(meteor, "run_java", lambda *_, answer=answer, **__: answer)
        with pytest.raises(JavaError, match=message):
            Meteor(Meteor.Config(tokenizer="python"), Models()).rows(samples())
    monkeypatch.setattr(meteor, "find_jar", lambda name: None)
    with pytest.raises(MetricUnavailable, match="pip install"):
        Meteor(Meteor.Config(tokenizer="python"), Models()).rows(samples())
