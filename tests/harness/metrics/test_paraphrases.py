"""Narrowing METEOR's paraphrases: nothing that could match is lost, and the scores are those of the whole table."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pytest

from harness.errors import MetricError
from harness.metrics import paraphrases
from harness.metrics.java import find_jar, run_java
from harness.metrics.paraphrases import narrowed, phrase_keys

PAIRS = [
    ("big dog", "large dog"),
    ("big", "large"),
    ("t-shirt", "tee shirt"),
    ("...", "etc ."),
    ("café", "coffee shop"),
    (" ".join(["far"] * 50), "distant"),
    ("never said", "not ever said"),
    ("one two", "one , two"),
]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))


def write_table(folder: Path, pairs: list[tuple[str, str]]) -> Path:
    path = folder / "table.gz"
    lines = "".join(f"0.5\n{first}\n{second}\n" for first, second in pairs)
    path.write_bytes(gzip.compress(lines.encode()))
    return path


def kept(table: bytes) -> list[tuple[str, str]]:
    lines = gzip.decompress(table).decode().split("\n")
    return list(zip(lines[1::3], lines[2::3], strict=False))


def narrow(folder: Path, references: list[str], texts: list[str]) -> list[tuple[str, str]]:
    return kept(narrowed(write_table(folder, PAIRS), references, "x").table(texts))


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("a large dog", "my big dog", ["big dog", "big"]),
        ("my big dog", "a large dog", ["big dog", "big"]),
        ("a big dog and a large dog", "a cat", []),
        ("a cat", "a big dog and a large dog", []),
        ("the dog is large", "the dog is big", ["big"]),
        ("a t - shirt", "a tee-shirt", ["t-shirt"]),
        ("a Tee Shirt", "a T-Shirt", ["t-shirt"]),
        ("one &lt; two", "one, two", ["one two"]),
        ("a distant star", "far", [" ".join(["far"] * 50)]),
        ("and so on, etc.", "a cat", ["..."]),
        ("", "", []),
    ],
)
def test_a_pair_stays_if_each_side_says_one_of_its_phrases(
    tmp_path: Path, reference: str, text: str, expected: list[str]
) -> None:
    assert [first for first, _ in narrow(tmp_path, [reference], [text])] == expected


def test_phrases_end_with_the_text() -> None:
    assert not np.isin(phrase_keys(["big dog"]), phrase_keys(["big", "dog"])).all()
    assert len(phrase_keys(["a b", "b a"])) == 1 + 4
    assert phrase_keys([]).tolist() == [0]


def test_what_is_kept_equals_looking_for_every_phrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the plain way, with records that are cut by the reader's pieces."""
    monkeypatch.setattr(paraphrases, "_CHUNK", 97)
    monkeypatch.setattr(paraphrases, "_READ", 61)
    rng = random.Random(0)

    def say(longest: int) -> str:
        return " ".join(rng.choice("abcdefg") for _ in range(rng.randint(1, longest)))

    pairs = list(dict.fromkeys((say(3), say(4)) for _ in range(400)))
    references, texts = [say(8) for _ in range(3)], [say(8) for _ in range(3)]

    def within(phrase: str, said: list[str]) -> bool:
        return any(f" {phrase} " in f" {text} " for text in said)

    expected = [
        (first, second)
        for first, second in pairs
        if (within(first, references) and within(second, texts))
        or (within(first, texts) and within(second, references))
    ]
    assert kept(narrowed(write_table(tmp_path, pairs), references, "x").table(texts)) == expected
    assert 0 < len(expected) < len(pairs)


def test_it_is_kept_by_content_and_made_again_if_damaged(tmp_path: Path) -> None:
    first = narrow(tmp_path, ["a large dog"], ["big dog"])
    [path] = (tmp_path / "cache").rglob("*.npz")
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole[:-200] + bytes(200), bytes(len(whole))):
        path.write_bytes(damage)
        assert narrow(tmp_path, ["a large dog"], ["big dog"]) == first
        assert path.read_bytes() == whole
    marked = bytearray(whole)
    marked[whole.index(b"large dog")] ^= 1
    path.write_bytes(bytes(marked))
    assert narrow(tmp_path, ["a large dog"], ["big dog"]) == first
    narrowed(write_table(tmp_path, PAIRS[:2]), ["a large dog"], "x")
    narrowed(write_table(tmp_path, PAIRS), ["a large dog"], "y")
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 3


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = narrow(tmp_path, ["a large dog"], ["big dog"])
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "file" / "cache"))
    assert narrow(tmp_path, ["a large dog"], ["big dog"]) == expected


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"0.5\na\n"), None])
def test_a_damaged_table_is_told(tmp_path: Path, content: bytes | None) -> None:
    table = write_table(tmp_path, PAIRS)
    table.write_bytes(table.read_bytes()[:-12] if content is None else content)
    with pytest.raises(MetricError, match="reinstall"):
        narrowed(table, ["a"], "x")


@pytest.mark.java
@pytest.mark.heavy
def test_meteor_counts_the_same_with_the_whole_table(shared: Path) -> None:
    """The jar, on published texts, once with all five million pairs and once with the few that are left."""
    from harness.metrics import ptb
    from harness.outputs import read_outputs

    jar, table = find_jar("meteor/meteor-1.5.jar"), find_jar("meteor/data/paraphrase-en.gz")
    assert jar is not None
    assert table is not None
    outputs = read_outputs(shared / "published" / "flickr30k" / "zerocap.json.gz").samples
    references = [ptb.tokenize(sample.example.references, "ptb") for sample in outputs]
    texts = ptb.tokenize([sample.text for sample in outputs], "ptb")
    asked = "".join(" ||| ".join(["SCORE", *refs, text]) + "\n" for refs, text in zip(references, texts, strict=True))
    few = narrowed(table, [text for refs in references for text in refs], "x").table(texts)
    answers = [
        run_java(
            jar,
            "Meteor",
            ["-", "-", "-stdio", "-l", "en", "-norm", "-a", where],
            asked,
            timeout=600,
            heap="2g",
            files=files,
        )
        for where, files in ((str(table), {}), ("few.gz", {"few.gz": few}))
    ]
    assert answers[0] == answers[1]
    assert len(answers[0].splitlines()) == 1000
