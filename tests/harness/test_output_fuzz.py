"""Damaged and oddly made files of outputs and references end in the right pairs or in one sentence, never in others."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from harness.datasets.load import load_examples
from harness.decode.imported.read import read_for_suite, read_outputs
from harness.errors import SeeTellError
from harness.suites.examples import Example
from harness.suites.spec import Suite
from tests.harness.test_output_formats import (
    ANNOTATIONS,
    AS_PROGRAMS_WRITE_THEM,
    CAPTIONS,
    GIVEN,
    OUTPUTS,
    REFERENCES,
    coco_name,
    lines,
)

ODD = [
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"]",
    b",",
    b"\n",
    b"\r",
    b"\f",
    b"\xe2\x80\xa8",
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b"\\ud83d",
]
EXAMPLES = [Example(coco_name(number), references=texts) for number, texts in REFERENCES.items()]


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Some bytes cut out, put in or written twice."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        stop = min(len(content), start + rng.randint(0, 30))
        middle = rng.choice([b"", rng.choice(ODD), content[start:stop] * 2])
        content = content[:start] + middle + content[stop:]
    return content


def remade(rng: random.Random) -> list[dict[str, Any]]:
    """The same outputs as somebody else may write them: other keys, more keys, another order, fewer images."""
    name = rng.choice(["image_id", "image_name", "file_name", "fname", "filename", "image", "cocoid", "image_path"])
    text = rng.choice(["caption", "prediction", "text", "generated", "output"])
    rows = []
    for number, caption in CAPTIONS.items():
        numbers = [number, str(number), f"{number:012d}", coco_name(number), f"val2014/{coco_name(number)}"]
        rows.append({name: rng.choice(numbers), text: caption})
    rng.shuffle(rows)
    for place, row in enumerate(rows):
        if place % 2 or rng.random() < 0.7:
            row |= {"id": place, "score": -0.5, "imgid": place + 1}
    return rows[: rng.randint(1, len(rows))]


@pytest.mark.parametrize("times", [60, pytest.param(2000, marks=pytest.mark.heavy)])
def test_damaged_files_end_in_a_sentence(tmp_path: Path, times: int) -> None:
    rng, sentences = random.Random(times), []
    for _ in range(times):
        outputs, references = (rng.choice(list(kinds.values())) for kinds in ({**OUTPUTS, **AS_PROGRAMS_WRITE_THEM}, GIVEN))
        which = rng.randrange(2)
        contents = [content.encode() if isinstance(content, str) else content for _, content in (outputs, references)]
        contents[which] = damaged(rng, contents[which])
        paths = [tmp_path / f"{part}-{name}" for part, (name, _) in zip("or", (outputs, references), strict=True)]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        for references_or_examples in (paths[1], EXAMPLES):
            try:
                if isinstance(references_or_examples, Path):
                    read_outputs(paths[0], references_or_examples)
                else:
                    read_for_suite(paths[0], references_or_examples)
            except SeeTellError as error:
                sentences.append(str(error))
    assert [sentence for sentence in sentences if len(sentence.splitlines()) != 1] == []


@pytest.mark.parametrize("times", [100, pytest.param(2000, marks=pytest.mark.heavy)])
def test_files_made_in_other_ways_are_never_joined_otherwise(tmp_path: Path, times: int) -> None:
    rng = random.Random(times)
    for _ in range(times):
        rows, (name, given) = remade(rng), rng.choice(list(GIVEN.values()))
        outputs, references = tmp_path / "theirs.json", tmp_path / name
        outputs.write_text(json.dumps(rows), encoding="utf-8")
        references.write_text(given, encoding="utf-8")
        systems = [read_outputs(outputs, references), read_for_suite(outputs, EXAMPLES)]
        for system in systems:
            answered = [sample for sample in system.samples if not sample.failure]
            assert len(answered) == len(rows)
            assert all(sample.text == sample.example.references[0] for sample in answered), rows


SUITE = """
name = "brought"
[data]
dataset = "%s"
file = "data"
[models]
language_model = "toybox:plain"
[decoders.magic]
[metrics.length]
"""
STORY = ("A dog", "It ran.", "It saw a cat.", "It slept.", "It woke.", "It ran home.")
DATA: dict[str, tuple[str, str]] = {
    "COCO": ("coco", ANNOTATIONS),
    "Karpathy": (
        "karpathy",
        json.dumps({"images": [{"filename": coco_name(n), "split": "test", "sentences": [{"raw": text} for text in texts]}
                               for n, texts in REFERENCES.items()]}),
    ),
    "JSON Lines": (
        "jsonl",
        lines(*({"id": n, "image": coco_name(n), "prompt": "", "references": texts} for n, texts in REFERENCES.items())),
    ),
    "CSV of stories": (
        "rocstories",
        "storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n"
        + "".join(",".join((f"{n}-x", *STORY)) + "\n" for n in CAPTIONS),
    ),
    "stories in lines": ("rocstories", "".join(f"{STORY[0]}\t{' '.join(STORY[1:])}\n" for _ in CAPTIONS)),
}  # fmt: skip
"""Files of data as suites name them, without images: those are looked for when they are read."""


@pytest.mark.parametrize("times", [40, pytest.param(2000, marks=pytest.mark.heavy)])
def test_damaged_data_of_a_suite_ends_in_a_sentence(tmp_path: Path, times: int) -> None:
    rng, sentences = random.Random(times), []
    for index in range(times):
        dataset, content = rng.choice(list(DATA.values()))
        options = {"coco": 'images = "."\n', "karpathy": 'images = "."\nsplit = "test"\n', "jsonl": 'images = "."\n'}
        (tmp_path / "data").write_bytes(damaged(rng, content.encode()) if index >= len(DATA) else content.encode())
        path = tmp_path / "brought.toml"
        path.write_text((SUITE % dataset).replace('file = "data"\n', 'file = "data"\n' + options.get(dataset, "")))
        try:
            suite = Suite.load(str(path))
            examples = load_examples(suite)
            assert examples
            assert len({example.id for example in examples}) == len(examples)
        except SeeTellError as error:
            sentences.append(str(error))
    assert [sentence for sentence in sentences if len(sentence.splitlines()) != 1] == []
