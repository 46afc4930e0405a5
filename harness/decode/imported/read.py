"""Read outputs of other people's systems in their published formats, with the references in the same or another file.

Answers are joined with references by id, never by position, because files with missing images are shorter than others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from harness.datasets.known import first_few
from harness.decode.imported.formats import (
    COCO_RESULTS,
    STORIES,
    Rows,
    numbered,
    read_records,
    read_text,
)
from harness.errors import DataError
from harness.suites.examples import Example, Failure, Sample

ID_KEYS = ("id", "image_name", "image_id", "image", "filename", "file_name", "cocoid", "imgid")
COCO_ID_KEYS = ("image_id", "id")
IMAGE_KEYS = ("image_name", "filename", "file_name", "image")
FOLDER_KEYS = ("filepath", "file_path")
TEXT_KEYS = ("prediction", "caption", "text", "output", "generated")
REFERENCE_KEYS = ("references", "captions", "refs", "gts")
_BROKEN = re.compile("[\ud800-\udfff]")
_HALF = "half a surrogate pair, which is no character; repair the encoding where the text comes from"
MOST_DRAWS = 10_000
"""Draws of one example; a larger number is an id in the wrong column."""


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Where the images of some examples lie."""

    where: tuple[Path, ...]
    """Absolute: folders and archives."""
    names: Mapping[str, str]
    """Example id to its image's name in there."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """One system's answers."""

    name: str
    """The file's name without its endings."""
    format: str
    """What the file was taken for, in words."""
    samples: Sequence[Sample]
    """Sorted by example id and draw."""
    notes: Sequence[str] = field(default_factory=tuple)
    """What a reader should know: empty predictions, ranks left out, references nobody answered."""
    image_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the file, or that of the references, calls the image of each example; by example id."""
    images: FoundImages | None = None
    """Where the examples' images were found, after `harness.decode.imported.image_lookup.with_images`."""

    @property
    def examples(self) -> list[Example]:
        """The examples that were answered, each once."""
        return list({sample.example.id: sample.example for sample in self.samples}.values())


def read_outputs(path: Path, references: Path | None = None, *, need_references: bool = True) -> Outputs:
    """Read one file of outputs, plain or gzipped.

    Args:
        path: MAGIC's captions (JSON array) or stories (JSON object), COCO results, Karpathy-style JSON with predictions,
            JSON Lines or CSV.
        references: where the references are, if not in the file itself: COCO annotations or any of the formats above.
        need_references: whether an output without any is a fault.

    Raises:
        DataError: the file is unreadable, of no known format, answers an example twice, or lacks references.
    """
    kind, rows = read_records(path)
    if not rows:
        raise DataError(f"{path} holds no outputs")
    if kind == STORIES:
        return _stories(path, rows)
    known = _reference_table(references) if references is not None else _References()
    notes: list[str] = []
    samples: dict[tuple[str, int], Sample] = {}
    image_names: dict[str, tuple[str, ...]] = {}
    # In COCO results `id` counts the answers, if it is there; the image is what they are joined by.
    keys = COCO_ID_KEYS if kind == COCO_RESULTS else ID_KEYS
    for place, row in rows:
        example_id = _first(row, keys, f"{place} of {path}", "id")
        text = _first(row, TEXT_KEYS, f"{place} of {path}", "text")
        draw = _draw(row, f"{place} of {path}")
        texts = known.of(example_id) if references is not None else _references(row, f"{place} of {path}")
        if not texts and need_references:
            where = (
                f"in {references}, whose ids are such as {first_few(list(known.texts)[:2])}"
                if references is not None
                else "with it; name a file that has them with --references"
            )
            raise DataError(f"{place} of {path} ({example_id}) has no references {where}")
        if (example_id, draw) in samples:
            raise DataError(
                f"{path} answers {example_id!r} twice; keep one answer each (or tell draws apart by a `draw` field)"
            )
        for reference in texts:
            if _BROKEN.search(reference):
                raise DataError(f"{place} of {path} ({example_id}) has the reference {ascii(reference)[:60]}: {_HALF}")
        failure = Failure("BrokenText", f"{ascii(text)[:60]}: {_HALF}") if _BROKEN.search(text) else None
        example = Example(example_id, references=texts)
        names = (*_image_names(row), *known.image_names.get(example_id, ()), _inside(example_id))
        image_names[example_id] = tuple(dict.fromkeys(name for name in names if name))
        samples[example_id, draw] = Sample(example, draw, "" if failure else text, failure=failure)
    broken = [example_id for (example_id, _), sample in samples.items() if sample.failure]
    if broken:
        notes.append(f"{len(broken)} predictions hold half a surrogate pair and are unscored: {first_few(broken)}")
    empty = [
        example_id for (example_id, _), sample in samples.items() if not sample.failure and not sample.text.strip()
    ]
    if empty:
        notes.append(f"{len(empty)} empty predictions, scored as they are: {first_few(empty)}")
    unanswered = known.unanswered(example_id for example_id, _ in samples)
    if unanswered:
        notes.append(f"{len(unanswered)} of {len(known.texts)} references have no answer: {first_few(unanswered)}")
    return Outputs(stem(path), kind, [samples[key] for key in sorted(samples)], tuple(notes), image_names)


def common_subset(systems: Sequence[Outputs]) -> list[Outputs]:
    """The same systems on the examples that all of them answered."""
    shared = set.intersection(*({sample.example.id for sample in system.samples} for system in systems))
    if not shared:
        ids = "; ".join(
            f"{system.name} has {first_few([sample.example.id for sample in system.samples[:2]])}" for system in systems
        )
        raise DataError(f"the files have no example in common: {ids}; expected ids of the same kind")
    return [
        replace(system, samples=[sample for sample in system.samples if sample.example.id in shared])
        for system in systems
    ]


def differing_sets(systems: Sequence[Outputs]) -> list[str]:
    """One sentence for each system that lacks examples which another has; none when all answered the same."""
    union = set().union(*({sample.example.id for sample in system.samples} for system in systems))
    sentences = []
    for system in systems:
        lacks = sorted(union - {sample.example.id for sample in system.samples})
        if lacks:
            sentences.append(f"{system.name} lacks {len(lacks)} of {len(union)} examples: {first_few(lacks)}")
    return sentences


def stem(path: Path) -> str:
    """The file name without `.json`, `.jsonl`, `.csv` and `.gz`."""
    name = path.name
    for ending in (".gz", ".jsonl", ".json", ".csv"):
        name = name.removesuffix(ending)
    return name


def _first(row: Mapping[str, Any], keys: Iterable[str], place: str, what: str) -> str:
    for key in keys:
        if row.get(key) is not None:
            value = row[key]
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
            raise DataError(f"{place}: {key} is {str(value)[:60]!r}; expected a text or a whole number")
    raise DataError(
        f"{place} has no {what}, only {', '.join(map(str, row))[:120] or 'nothing'}; expected one of the keys {', '.join(keys)}"
    )


def _image_names(row: Mapping[str, Any]) -> list[str]:
    """Names under which a record's image may lie, the fullest first; none that leads out of its folder."""
    named = [row[key] for key in IMAGE_KEYS if isinstance(row.get(key), str)]
    folder = next((row[key] for key in FOLDER_KEYS if isinstance(row.get(key), str)), "")
    numbers = [str(row[key]) for key in ("image_id", "cocoid") if row.get(key) is not None]
    return [_inside(name) for name in (*(f"{folder}/{name}" for name in named if folder), *named, *numbers)]


def _inside(name: str) -> str:
    """A relative name with forward slashes; of a path that starts elsewhere or goes up, the file's own name."""
    path = PureWindowsPath(name.replace("\0", ""))
    if path.drive or path.root or ".." in path.parts:
        return "" if path.name == ".." else path.name
    return str(PurePosixPath(path.as_posix())) if path.parts else ""


def _draw(row: Mapping[str, Any], place: str) -> int:
    """The draw number of a record; 0 where it names none."""
    given = row.get("draw")
    if given in (None, ""):
        return 0
    text = str(given)
    if not (text.isascii() and text.isdigit() and int(text[:9]) < MOST_DRAWS and len(text) < 10):
        raise DataError(f"{place}: draw is {text[:60]!r}; expected a whole number from 0 up, below {MOST_DRAWS}")
    return int(text)


def _references(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The references of a record; none if it has none.

    Raises:
        DataError: they are no list, or one of them is no text.
    """
    for key in REFERENCE_KEYS:
        if row.get(key) is not None:
            return _texts(row[key], f"{place}: {key}")
    sentences = row.get("sentences")
    if isinstance(sentences, list):
        return _texts(
            [sentence["raw"] for sentence in sentences if isinstance(sentence, dict) and "raw" in sentence],
            f"{place}: raw",
        )
    return ()


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"{place} is {str(value)[:60]!r}; expected a list of texts")
    for text in value:
        if not isinstance(text, str):
            raise DataError(f"{place} holds {str(text)[:60]!r}, which is {type(text).__name__}; expected texts only")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class _References:
    """References by id. COCO results may name an image by its number or by its file, so there are other names too."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)
    image_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What images are called, by each name that answers may have for them."""

    def of(self, example_id: str) -> tuple[str, ...]:
        return self.texts.get(self.other_names.get(example_id, example_id), ())

    def unanswered(self, answered: Iterable[str]) -> list[str]:
        return sorted(set(self.texts) - {self.other_names.get(example_id, example_id) for example_id in answered})


def _reference_table(path: Path) -> _References:
    """Read COCO annotations, or any format that holds its own references."""
    numbers: dict[str, str] = {}
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        content = None
    if not (isinstance(content, dict) and isinstance(content.get("annotations"), list)):
        _, rows = read_records(path)
        texts: dict[str, tuple[str, ...]] = {}
        images: dict[str, Sequence[str]] = {}
        for place, row in rows:
            example_id = _first(row, ID_KEYS, f"{place} of {path}", "id")
            given = _references(row, f"{place} of {path}")
            if texts.setdefault(example_id, given) != given:
                raise DataError(
                    f"{place} of {path} gives {example_id!r} other references than before; keep one record each"
                )
            images[example_id] = _image_names(row)
            # COCO results name an image by its number, Karpathy's file by name and number.
            if row.get("cocoid") is not None:
                numbers[str(row["cocoid"])] = example_id
        others = {number: name for number, name in numbers.items() if number not in texts}
        return _References(texts, others, images | {number: images[name] for number, name in others.items()})
    captions: dict[str, list[str]] = {}
    for place, row in numbered("annotation", content["annotations"], path):
        if "image_id" not in row or not isinstance(row.get("caption"), str):
            raise DataError(f"{place} of {path} lacks image_id or caption; these are not caption annotations")
        captions.setdefault(str(row["image_id"]), []).append(row["caption"])
    pictures = [picture for picture in content.get("images", []) if isinstance(picture, dict)]
    names = {str(picture["file_name"]): str(picture.get("id")) for picture in pictures if "file_name" in picture}
    called = {number: [_inside(name)] for name, number in names.items()}
    return _References({key: tuple(texts) for key, texts in captions.items()}, names, called)


def _stories(path: Path, rows: Rows) -> Outputs:
    """MAGIC's stories. Titles repeat, so the position is the id; "0", "1", "2" are ranks of retrieved images, or draws."""
    samples = []
    ranks = 0
    for index, (place, row) in enumerate(rows):
        try:
            results = row["generated_result"]
            prompt, reference = str(row["prefix_text"]), str(row["reference_continuation_text"])
            texts = {int(rank): str(result["generated_continuation_text"]) for rank, result in results.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{place} of {path} is no story record: {error!r}") from error
        ranks = max(ranks, len(texts))
        example = Example(f"{index:06d}", prompt=prompt, references=(reference,))
        if 0 not in texts:
            raise DataError(f'{place} of {path} has no result "0"')
        samples.append(Sample(example, 0, texts[0]))
    notes = [f"{ranks} stories a title (image ranks); rank 0 is scored"] if ranks > 1 else []
    return Outputs(stem(path), "stories as MAGIC publishes them (JSON object)", samples, tuple(notes))
