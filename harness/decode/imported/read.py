"""Read outputs of other people's systems in their published formats, with the references in the same or another file.

Answers are joined with references by id, never by position, because files with missing images are shorter than others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.datasets.known import first_few
from harness.decode.imported.formats import PLAIN_TEXT, STORIES, Rows, read_records, stem
from harness.decode.imported.joining import (
    References,
    image_names,
    inside,
    key_names,
    keys_in,
    names_of,
    read_references,
    references_in,
    references_of_examples,
)
from harness.errors import DataError
from harness.store.text import one_line
from harness.suites.examples import Example, Failure, Sample

TEXT_KEYS = ("prediction", "caption", "text", "output", "generated", "generated_text", "hypothesis", "response")
_BROKEN = re.compile("[\ud800-\udfff]")
_HALF = "half a surrogate pair, which is no character; repair the encoding where the text comes from"
MOST_DRAWS = 10_000
"""Draws of one example; a larger number is an id in the wrong column."""
NOT_ANSWERED = "NotAnswered"
"""The kind of failure of an example of a suite that a file has no answer to."""


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
    names: Sequence[str] = ()
    """What it may be called in tables, the best name first, after `harness.decode.imported.naming.with_names`."""
    label: str = ""
    """What the user calls it; empty where nothing was said."""

    @property
    def examples(self) -> list[Example]:
        """The examples that were answered, each once."""
        return list({sample.example.id: sample.example for sample in self.samples}.values())


@dataclass(frozen=True, slots=True)
class _Answer:
    """One record of a file of outputs."""

    place: str
    keys: Mapping[str, str]
    draw: int
    text: str
    prompt: str
    references: tuple[str, ...]
    image_names: Sequence[str] = ()

    @property
    def id(self) -> str:
        """The value of the deciding key."""
        return next(iter(self.keys.values()))


def read_outputs(
    path: Path, references: Path | None = None, *, need_references: bool = True, text: str = "", id_field: str = ""
) -> Outputs:
    """Read one file of outputs, plain or gzipped.

    Args:
        path: any of the formats in docs/data.md.
        references: a file of references, if they are not in `path` itself.
        need_references: whether an output without any is a fault.
        text: the field that holds the output; found by its name if empty.
        id_field: the field that joins with the references; that of the image, else `id`, if empty.

    Raises:
        DataError: the file is unreadable, of no known format, answers an example twice, lacks references, has several fields that
            may be the output, or keys that name different examples.
    """
    kind, answers = _answers(path, text, id_field, joined_inside=references is None)
    if kind == STORIES:
        return _stories(path, answers)
    known = read_references(references) if references is not None else References()
    if references is not None and kind == PLAIN_TEXT and all(name.startswith("line ") for name in known.texts):
        _check_lines(path, len(answers), references, len(known.texts))
    samples: dict[tuple[str, int], Sample] = {}
    names: dict[str, tuple[str, ...]] = {}
    answered: dict[tuple[str, int], str] = {}
    for answer in answers:
        match = known.match(answer.keys, answer.place) if references is not None else None
        texts = answer.references if references is None else known.texts[match] if match is not None else ()
        if not texts and need_references:
            where = (
                f"in {references}, whose ids are such as {first_few(list(known.texts)[:2])}"
                if references is not None
                else "with it; name a file that has them with --references"
            )
            raise DataError(f"{answer.place} ({one_line(answer.id)[:80]}) has no references {where}")
        _check_once(answered, (match or answer.id, answer.draw), answer.id, path)
        for reference in texts:
            if _BROKEN.search(reference):
                raise DataError(f"{answer.place} ({one_line(answer.id)[:80]}) has the reference {ascii(reference)[:60]}: {_HALF}")
        given = known.image_names.get(match, ()) if match is not None else ()
        names[answer.id] = tuple(dict.fromkeys(filter(None, (*answer.image_names, *given, inside(answer.id)))))
        samples[answer.id, answer.draw] = _sample(Example(answer.id, answer.prompt, references=texts), answer)
    unanswered = sorted(set(known.texts) - {example_id for example_id, _ in answered})
    notes = _notes(samples.values())
    if unanswered:
        notes.append(f"{len(unanswered)} of {len(known.texts)} references have no answer: {first_few(unanswered)}")
    return Outputs(stem(path), kind, [samples[key] for key in sorted(samples)], tuple(notes), names)


def read_for_suite(path: Path, examples: Sequence[Example], *, text: str = "", id_field: str = "") -> Outputs:
    """Read one file of outputs as answers to a suite's examples; an example without an answer is a failure.

    Args:
        path: any of the formats in docs/data.md.
        examples: of the suite; their references, prompts and images are used, not those of the file.
        text: as for `read_outputs`.
        id_field: as for `read_outputs`.

    Raises:
        DataError: as `read_outputs`; also no answer to any of the examples, or an answer to another prompt.
    """
    kind, answers = _answers(path, text, id_field)
    if kind == STORIES:
        answers = [_story(place, row, index, path) for index, (place, row) in enumerate(answers)]
    known, by_id = references_of_examples(examples), {example.id: example for example in examples}
    samples: dict[tuple[str, int], Sample] = {}
    answered: dict[tuple[str, int], str] = {}
    candidates = []
    for answer in answers:
        match = known.match(answer.keys, answer.place)
        if match is None:
            candidates.append(answer.id)
            continue
        _check_once(answered, (match, answer.draw), answer.id, path)
        _check_prompt(answer, by_id[match])
        samples[match, answer.draw] = _sample(by_id[match], answer)
    if not samples:
        raise DataError(
            f"{path} answers none of the suite's {len(examples)} examples: its ids are such as {first_few(candidates[:2])}, the "
            f"suite's such as {first_few([example.id for example in examples[:2]])}; name the field that joins them with --id"
        )
    notes = _notes(samples.values())
    if candidates:
        notes.append(f"{len(candidates)} outputs are about no example of the suite and are left out: {first_few(candidates)}")
    draws = 1 + max(draw for _, draw in samples)
    missing = [(example.id, draw) for example in examples for draw in range(draws) if (example.id, draw) not in samples]
    for example_id, draw in missing:
        failure = Failure(NOT_ANSWERED, f"{path.name} has no answer to it")
        samples[example_id, draw] = Sample(by_id[example_id], draw, failure=failure)
    if missing:
        ids = list(dict.fromkeys(example_id for example_id, _ in missing))
        notes.append(f"{len(ids)} of {len(examples)} examples have no answer and count as failures: {first_few(ids)}")
    return Outputs(stem(path), kind, [samples[key] for key in sorted(samples)], tuple(notes))


def _answers(path: Path, text: str, id_field: str, *, joined_inside: bool = False) -> tuple[str, Any]:
    """The format and the records as answers; stories stay as records. `joined_inside`: they bring their own references."""
    kind, rows = read_records(path)
    if not rows:
        raise DataError(f"{path} holds no outputs")
    if kind == STORIES:
        return kind, rows
    names = key_names(rows, path, id_field)
    if not id_field and joined_inside and _repeats(rows, names[0]) and not _repeats(rows, "id"):
        names = ("id",)  # several questions about one image
    text_key = _text_key(rows, path, text)
    answers = []
    for place, row in rows:
        where = f"{place} of {path}"
        answers.append(
            _Answer(
                place=where,
                keys=keys_in(row, names, where),
                draw=_draw(row, where),
                text=_text(row, text_key, where),
                prompt=row["prompt"] if isinstance(row.get("prompt"), str) else "",
                references=references_in(row, where),
                image_names=image_names(row),
            )
        )
    return kind, answers


def _repeats(rows: Rows, key: str) -> bool:
    """Whether two records have the same value of a key and the same draw, or one of them has none."""
    values = [(str(row[key]), str(row.get("draw"))) for _, row in rows if row.get(key) is not None]
    return len(set(values)) < len(rows)


def _text_key(rows: Rows, path: Path, chosen: str) -> str:
    """The key of the output in a file's records.

    Raises:
        DataError: there is none, or there are several: one of them may be the reference.
    """
    if chosen:
        if not any(chosen in row for _, row in rows):
            raise DataError(f"--text {chosen}: no record of {path} has it; they have {names_of(rows[0][1])}")
        return chosen
    present = [key for key in TEXT_KEYS if any(row.get(key) is not None for _, row in rows)]
    if len(present) > 1:
        raise DataError(
            f"{path} has several fields that may be the output: {', '.join(present)}. Say which with --text {present[0]}"
        )
    return present[0] if present else ""


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if isinstance(value, list) and len(value) == 1 and key == "caption":  # as pycocoevalcap has it: {id: [caption]}
        value = value[0]
    if value is None:
        raise DataError(f"{place} has no text, only {names_of(row)}; expected {key or 'one of the keys ' + ', '.join(TEXT_KEYS)}")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise DataError(f"{place}: {key} is {str(value)[:60]!r}; expected a text or a whole number")
    return str(value)


def _check_once(answered: dict[tuple[str, int], str], key: tuple[str, int], name: str, path: Path) -> None:
    if key in answered:
        also = "" if answered[key] == name else f" (also as {answered[key]!r})"
        raise DataError(f"{path} answers {name!r} twice{also}; keep one answer each (or tell draws apart by a `draw` field)")
    answered[key] = name


def _check_lines(path: Path, lines: int, references: Path, expected: int) -> None:
    """Refuse two texts of different lengths: one line less, and every caption behind it would have the wrong reference."""
    if lines != expected:
        raise DataError(
            f"{path} has {lines} lines and {references} has {expected}; plain text is joined line by line, so expected as "
            "many. Take a format with ids"
        )


def _check_prompt(answer: _Answer, example: Example) -> None:
    example_prompt, answer_prompt = (
        " ".join(text.replace("<|endoftext|>", " ").split()) for text in (example.prompt, answer.prompt)
    )
    if example_prompt and answer_prompt and example_prompt != answer_prompt:
        raise DataError(
            f"{answer.place} ({one_line(answer.id)[:80]}) continues {answer_prompt[:50]!r}; the suite's {example.id!r} is "
            f"{example_prompt[:50]!r}. Expected outputs of the same examples in the same order"
        )


def _sample(example: Example, answer: _Answer) -> Sample:
    if _BROKEN.search(answer.text):
        return Sample(example, answer.draw, failure=Failure("BrokenText", f"{ascii(answer.text)[:60]}: {_HALF}"))
    return Sample(example, answer.draw, answer.text)


def _notes(samples: Iterable[Sample]) -> list[str]:
    """What a reader should know about the answers themselves."""
    given = list(samples)
    notes = []
    if broken := [sample.example.id for sample in given if sample.failure]:
        notes.append(f"{len(broken)} predictions hold half a surrogate pair and are unscored: {first_few(broken)}")
    if empty := [sample.example.id for sample in given if not sample.failure and not sample.text.strip()]:
        notes.append(f"{len(empty)} empty predictions, scored as they are: {first_few(empty)}")
    return notes


def common_subset(systems: Sequence[Outputs]) -> list[Outputs]:
    """The same systems on the examples that all of them answered."""
    shared = set.intersection(*({sample.example.id for sample in system.samples} for system in systems))
    if not shared:
        ids = "; ".join(
            f"{system.name} has {first_few([sample.example.id for sample in system.samples[:2]])}" for system in systems
        )
        raise DataError(f"the files have no example in common: {ids}; expected ids of the same kind")
    return [replace(system, samples=[sample for sample in system.samples if sample.example.id in shared]) for system in systems]


def differing_sets(systems: Sequence[Outputs]) -> list[str]:
    """One sentence for each system that lacks examples which another has; none when all answered the same."""
    union = set().union(*({sample.example.id for sample in system.samples} for system in systems))
    sentences = []
    for system in systems:
        lacks = sorted(union - {sample.example.id for sample in system.samples})
        if lacks:
            sentences.append(f"{system.name} lacks {len(lacks)} of {len(union)} examples: {first_few(lacks)}")
    return sentences


def _draw(row: Mapping[str, Any], place: str) -> int:
    """The draw number of a record; 0 where it names none."""
    given = row.get("draw")
    if given in (None, ""):
        return 0
    text = str(given)
    if not (text.isascii() and text.isdigit() and int(text[:9]) < MOST_DRAWS and len(text) < 10):
        raise DataError(f"{place}: draw is {text[:60]!r}; expected a whole number from 0 up, below {MOST_DRAWS}")
    return int(text)


def _story(place: str, row: Mapping[str, Any], index: int, path: Path) -> _Answer:
    """A record of MAGIC's stories. Titles repeat, so the position is the id; of several results, "0" is taken."""
    try:
        results = row["generated_result"]
        prompt, reference = str(row["prefix_text"]), str(row["reference_continuation_text"])
        texts = {int(rank): str(result["generated_continuation_text"]) for rank, result in results.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{place} of {path} is no story record: {error!r}") from error
    if 0 not in texts:
        raise DataError(f'{place} of {path} has no result "0"')
    return _Answer(f"{place} of {path}", {"id": f"{index:06d}"}, 0, texts[0], prompt, (reference,))


def _stories(path: Path, rows: Rows) -> Outputs:
    """MAGIC's stories; "0", "1", "2" are ranks of retrieved images, or draws."""
    answers = [_story(place, row, index, path) for index, (place, row) in enumerate(rows)]
    samples = [_sample(Example(answer.id, answer.prompt, references=answer.references), answer) for answer in answers]
    ranks = max(len(row["generated_result"]) for _, row in rows)
    notes = [f"{ranks} stories a title (image ranks); rank 0 is scored"] if ranks > 1 else []
    return Outputs(stem(path), "stories as MAGIC publishes them (JSON object)", samples, tuple(notes))
