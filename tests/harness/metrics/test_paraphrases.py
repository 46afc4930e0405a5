"""Narrowing METEOR's paraphrases: nothing that could match is lost, and the scores are those of the whole table."""

from __future__ import annotations

import dataclasses
import gzip
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.errors import MetricError
from harness.metrics.coco import paraphrases
from harness.metrics.coco.java import find_jar, run_java
from harness.metrics.coco.paraphrases import narrowed, phrase_keys

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
        if (within(first, references) and within(second, texts)) or (within(first, texts) and within(second, references))
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


# Named, because gzip writes the time of day: two processes must collect the same names.
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b""), id="empty table"),
        pytest.param(gzip.compress(b"0.5\na\n"), id="cut table"),
        pytest.param(None, id="cut gzip"),
    ],
)
def test_a_damaged_table_is_told(tmp_path: Path, content: bytes | None) -> None:
    table = write_table(tmp_path, PAIRS)
    table.write_bytes(table.read_bytes()[:-12] if content is None else content)
    with pytest.raises(MetricError, match="reinstall"):
        narrowed(table, ["a"], "x")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Left by an earlier reference set."""
    narrow(tmp_path, ["a cat"], ["a cat"])
    [path] = (tmp_path / "cache").rglob("*.index")
    return path


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tables that are unpacked from here on."""
    found: list[Path] = []
    real = paraphrases._inflated

    def noted(table: Path) -> Iterator[bytes]:
        found.append(table)
        return real(table)

    monkeypatch.setattr(paraphrases, "_inflated", noted)
    return found


def plain_table(pairs: list[tuple[str, str]], references: list[str]) -> list[tuple[str, str]]:
    """Those of which a phrase stands in a reference, or may, each phrase looked for by itself."""
    stretches: set[str] = set()
    for text in references:
        words = re.findall("[a-z0-9]+", text.lower())
        stretches |= {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}

    def may(phrase: str) -> bool:
        letters = "".join(re.findall("[a-z0-9]", phrase))
        return not letters or len(phrase.encode()) + 1 >= 2 * paraphrases.LONGEST or letters in stretches

    return [pair for pair in pairs if may(pair[0]) or may(pair[1])]


def test_an_index_gives_what_the_table_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: list[Path]) -> None:
    """Tricky phrases among many, over several blocks, against looking for each phrase in the references."""
    monkeypatch.setattr(paraphrases, "_BLOCK", 500)
    monkeypatch.setattr(paraphrases, "_CHUNK", 97)
    monkeypatch.setattr(paraphrases, "_READ", 61)
    rng = random.Random(1)

    def say(longest: int) -> str:
        return " ".join(rng.choice(["ab", "c", "d-e", "'f", "!", "é", "9.5", "g"]) for _ in range(rng.randint(1, longest)))

    pairs = list(dict.fromkeys([*PAIRS, *((say(2), say(4)) for _ in range(300))]))
    table = write_table(tmp_path, pairs)
    for number in range(4):
        references = [say(6) for _ in range(number)]
        found = narrowed(table, references, str(number))
        lines = found.lines.tobytes().decode().split("\n")
        assert list(zip(lines[1::3], lines[2::3], strict=False)) == plain_table(pairs, references)
        assert found.start[-1] == len(found.lines)
        assert len(found.start) == len(found.first) + 1
    assert len(unpacked) == 1
    [index] = (tmp_path / "cache").rglob("*.index")
    assert len(list(paraphrases._indexed(index))) > 5


def same(first: paraphrases.Paraphrases, second: paraphrases.Paraphrases) -> bool:
    names = [each.name for each in dataclasses.fields(first)]
    return all(
        getattr(first, name).dtype == getattr(second, name).dtype and np.array_equal(getattr(first, name), getattr(second, name))
        for name in names
    )


def test_from_the_index_and_from_the_table_all_is_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Path, unpacked: list[Path]
) -> None:
    from_index = narrowed(write_table(tmp_path, PAIRS), ["a large dog"], "y")
    assert not unpacked
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "file" / "cache"))
    assert same(narrowed(write_table(tmp_path, PAIRS), ["a large dog"], "y"), from_index)
    assert len(unpacked) == 1
    assert index.exists()


def test_a_torn_or_old_index_is_made_again(tmp_path: Path, index: Path, unpacked: list[Path]) -> None:
    whole = index.read_bytes()
    old = whole.replace(b"paraphrases 2.1", b"paraphrases 1.9")
    end = paraphrases._HEAD.size
    flipped = bytearray(whole)
    flipped[whole.index(b"large dog")] ^= 1
    damaged = [b"", whole[:5], old, whole[:-end], whole[: -end - 40], whole[:-1], whole + b"x", bytes(flipped)]
    damaged.append(whole[: len(paraphrases._MAGIC)] + b"\xff" * (len(whole) - len(paraphrases._MAGIC)))
    assert old != whole
    for number, content in enumerate(damaged):
        index.write_bytes(content)
        found = narrowed(write_table(tmp_path, PAIRS), ["a large dog"], f"after {number}")
        assert [pair[0] for pair in kept(found.table(["my big dog"]))] == ["big dog", "big"]
        assert len(unpacked) == number + 1
        assert index.read_bytes() == whole
    assert not list(index.parent.glob(".*"))


def test_another_table_has_another_index(tmp_path: Path, index: Path) -> None:
    assert kept(narrowed(write_table(tmp_path, PAIRS[:1]), ["big"], "z").table(["large"])) == []
    assert len(list(index.parent.glob("*.index"))) == 2


def test_a_damaged_table_leaves_no_index(tmp_path: Path) -> None:
    table = write_table(tmp_path, PAIRS)
    table.write_bytes(table.read_bytes()[:-12])
    with pytest.raises(MetricError, match="reinstall"):
        narrowed(table, ["a"], "x")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: list[Path]) -> None:
    """The second block of an index does not go in; the blocks go on from there."""
    monkeypatch.setattr(paraphrases, "_BLOCK", 50)
    monkeypatch.setattr(paraphrases, "_CHUNK", 40)
    expected = narrowed(write_table(tmp_path, PAIRS), ["a large dog"], "x")
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "full"))
    real = paraphrases._checksum
    calls: list[int] = []

    def full(content: list[bytes]) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(content)

    monkeypatch.setattr(paraphrases, "_checksum", full)
    assert same(narrowed(write_table(tmp_path, PAIRS), ["a large dog"], "x"), expected)
    assert (len(calls), len(unpacked)) == (2, 2)
    assert not list((tmp_path / "full").rglob("*.index"))
    assert not list((tmp_path / "full").rglob("*.tmp"))


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path: Path, index: Path) -> None:
    old, live = (index.with_name(f".{index.name}.{number}.tmp") for number in (1, 2))
    for path in (old, live):
        path.write_bytes(b"half")
    hours_ago = time.time() - 3 * 3600
    os.utime(old, (hours_ago, hours_ago))
    index.unlink()
    narrowed(write_table(tmp_path, PAIRS), ["big"], "new")
    assert (old.exists(), live.exists()) == (False, True)


def test_processes_at_once_each_find_all(tmp_path: Path) -> None:
    rng = random.Random(2)
    pairs = [(f"big {rng.random()}", f"large {n}") for n in range(20000)]
    table = write_table(tmp_path, [*pairs, ("big dog", "large dog")])
    code = (
        "import sys; from pathlib import Path; from harness.metrics.coco.paraphrases import narrowed;"
        "found = narrowed(Path(sys.argv[1]), ['a large dog'], sys.argv[2]); print(found.lines.tobytes().decode(), end='')"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(table), str(number)], stdout=subprocess.PIPE) for number in range(3)
    ]
    assert [process.communicate()[0] for process in processes] == [b"0.5\nbig dog\nlarge dog\n"] * 3
    [index] = (tmp_path / "cache").rglob("*.index")
    assert sum(len(block.first) for block in paraphrases._indexed(index)) == 20001
    assert not list(index.parent.glob(".*"))


@pytest.mark.java
@pytest.mark.heavy
def test_the_index_of_the_whole_table_gives_what_the_table_gives(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: list[Path]
) -> None:
    """On the references of published files, as METEOR is given them."""
    from harness.decode.imported.read import read_outputs
    from harness.metrics.coco import ptb

    table = find_jar("meteor/data/paraphrase-en.gz")
    assert table is not None
    outputs = read_outputs(shared / "published" / "flickr30k" / "zerocap.json.gz").samples
    references = ptb.tokenize([text for sample in outputs for text in sample.example.references], "ptb")
    texts = ptb.tokenize([sample.text for sample in outputs], "ptb")
    narrowed(table, ["a heron waits"], "others")
    from_index = narrowed(table, references, "x")
    assert len(unpacked) == 1
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "file" / "cache"))
    from_table = narrowed(table, references, "x")
    assert len(unpacked) == 2
    assert same(from_index, from_table)
    assert from_index.table(texts) == from_table.table(texts)
    assert len(from_index.first) > 100_000


@pytest.mark.java
@pytest.mark.heavy
def test_meteor_counts_the_same_with_the_whole_table(shared: Path) -> None:
    """The jar, on published texts, once with all five million pairs and once with the few that are left."""
    from harness.decode.imported.read import read_outputs
    from harness.metrics.coco import ptb

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
            jar, "Meteor", ["-", "-", "-stdio", "-l", "en", "-norm", "-a", where], asked, timeout=600, heap="2g", files=files
        )
        for where, files in ((str(table), {}), ("few.gz", {"few.gz": few}))
    ]
    assert answers[0] == answers[1]
    assert len(answers[0].splitlines()) == 1000
