"""How outputs find their references: by the image's name or number, not by a running number, and never by position."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from harness.decode.imported.formats import Rows, read_records
from harness.errors import DataError
from harness.store.text import one_line
from harness.suites.examples import Example

NAME_KEYS = ("image_name", "image_id", "image", "filename", "file_name", "fname", "image_path", "img", "img_id", "cocoid")
"""Keys that name the image of a record. They decide wherever they stand, the first that is there as the example's id."""
NUMBER_KEYS = ("id", "imgid")
"""Keys that may be an example's id, and may be no more than the number of a record; used where no image is named."""
FILE_KEYS = ("image_name", "filename", "file_name", "fname", "image_path", "img", "image")
FOLDER_KEYS = ("filepath", "file_path")
REFERENCE_KEYS = ("references", "captions", "refs", "gts")
SINGLE_REFERENCE_KEYS = ("reference", "ground_truth", "gt")
"""Keys of one reference, or of a list of them, beside an output."""
FLAT_KEYS = ("caption", "reference", "text", "sentence", "raw", "comment")
"""Keys of the text in a file that has one reference a record."""
_NUMBER = re.compile(r"(?:\w*_)?0*(\d+)")
"""A file name without its ending that is a number, with zeros or the name of a split before it."""


def number_in(name: str) -> str:
    """COCO's number in an image's name: 42 in `42`, `000000000042.jpg` and `COCO_val2014_000000000042.jpg`; else empty."""
    match = _NUMBER.fullmatch(PurePosixPath(name).stem)
    return match[1] if match else ""


def key_names(rows: Rows, path: Path, id_field: str) -> tuple[str, ...]:
    """The keys of a file's records that name what they are about: those of images, else those of numbers.

    Args:
        rows: all records.
        path: their file, for messages.
        id_field: the user's choice; empty for none.
    """
    if id_field:
        if not any(id_field in row for _, row in rows):
            raise DataError(f"--id {id_field}: no record of {path} has it; they have {names_of(rows[0][1])}")
        return (id_field,)
    present = [key for key in (*NAME_KEYS, *NUMBER_KEYS) if any(_is_key(row.get(key)) for _, row in rows)]
    named = tuple(key for key in present if key in NAME_KEYS)
    return named or tuple(present[:1]) or (*NAME_KEYS, *NUMBER_KEYS)


def keys_in(row: Mapping[str, Any], names: Sequence[str], place: str) -> dict[str, str]:
    """The keys of one record with their values, the deciding one first.

    Raises:
        DataError: it has none of them, or the first is neither a text nor a whole number.
    """
    keys: dict[str, str] = {}
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if _is_key(value):
            keys[name] = str(int(value)) if isinstance(value, float) else str(value)
        elif not keys:
            raise DataError(f"{place}: {name} is {str(value)[:60]!r}; expected a text or a whole number")
    if not keys:
        raise DataError(f"{place} has no id, only {names_of(row)}; expected one of the keys {', '.join(names)}")
    return keys


def _is_key(value: Any) -> bool:
    whole = isinstance(value, float) and value.is_integer()
    return (isinstance(value, str | int) and not isinstance(value, bool) and value != "") or whole


def names_of(row: Mapping[str, Any]) -> str:
    """The keys of a record, for messages."""
    return one_line(", ".join(map(str, row)))[:120] or "nothing"


def image_names(row: Mapping[str, Any]) -> list[str]:
    """Names under which a record's image may be found, the fullest first; none that leads out of its folder."""
    named = [row[key] for key in FILE_KEYS if isinstance(row.get(key), str)]
    folder = next((row[key] for key in FOLDER_KEYS if isinstance(row.get(key), str)), "")
    numbers = [str(row[key]) for key in ("image_id", "cocoid") if row.get(key) is not None]
    return [inside(name) for name in (*(f"{folder}/{name}" for name in named if folder), *named, *numbers)]


def inside(name: str) -> str:
    """A relative name with forward slashes; of a path that starts elsewhere or goes up, the file's own name."""
    path = PureWindowsPath(name.replace("\0", ""))
    if path.drive or path.root or ".." in path.parts:
        return "" if path.name == ".." else path.name
    return str(PurePosixPath(path.as_posix())) if path.parts else ""


@dataclass(slots=True)
class References:
    """What can be joined: examples by id, and the other names that records may have for them."""

    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """References by example id."""
    image_names: dict[str, Sequence[str]] = field(default_factory=dict)
    """Names of an example's image, by its id."""
    _names: list[dict[str, str]] = field(default_factory=lambda: [{}, {}, {}, {}])
    """Example ids by names of their images: as given, without the folder, without the ending, by number. Empty where two examples
    share one."""
    _ids: dict[str, str] = field(default_factory=dict)
    """Example ids by `id`, where records are named by their images."""

    def add(self, example_id: str, names: Iterable[str], number: str, record_id: str = "") -> None:
        """Let an example be found by the names and the number of its image, and by the `id` of its record."""
        for name in names:
            given, file, stem, digits = _forms(name)
            # `1.jpg` with the COCO number 101 is not the image 1: its name counts within its file only.
            stem = stem if digits in ("", number) else ""
            for table, form in zip(self._names, (given, file, stem, number), strict=True):
                if form and table.setdefault(form, example_id) != example_id:
                    table[form] = ""
        if record_id and self._ids.setdefault(record_id, example_id) != example_id:
            self._ids[record_id] = ""

    def find(self, key: str, value: str) -> set[str]:
        """The ids of the examples that a key's value may name: by its own id, else by the first form of its name that is known.

        A running number joins nothing but an id: it is no part of a file's name.
        """
        tables = [self._ids] if key in NUMBER_KEYS else self._names
        forms = (value,) if key in NUMBER_KEYS else _forms(value)
        by_name = next((name for table, form in zip(tables, forms, strict=True) if (name := table.get(form))), None)
        return {example_id for example_id in (value if value in self.texts else None, by_name) if example_id is not None}

    def match(self, keys: Mapping[str, str], place: str) -> str | None:
        """The id of the example that a record is about; None if there is none.

        Raises:
            DataError: its keys name two different examples.
        """
        joined = [(key, example_id) for key, value in keys.items() for example_id in sorted(self.find(key, value))]
        if len({example_id for _, example_id in joined}) > 1:
            described = dict.fromkeys(f"{key} {keys[key]!r} is the example {example_id!r}" for key, example_id in joined)
            raise DataError(
                f"{place}: {' and '.join(described)}, so it may be about either; correct the file, or name the field that joins "
                "with --id"
            )
        return joined[0][1] if joined else None


def _forms(name: str) -> tuple[str, str, str, str]:
    """A name as it is, without its folder, without its ending, and its number; empty where it has none."""
    file = PurePosixPath(name.replace("\\", "/")).name
    return name, file, PurePosixPath(file).stem, number_in(file)


def references_of_examples(examples: Sequence[Example]) -> References:
    """The examples of a suite, by their ids and by the names of their images."""
    references = References({example.id: example.references for example in examples})
    for example in examples:
        image = example.image
        name = "" if image is None or isinstance(image, bytes) else image.name
        references.image_names[example.id] = [name] if name else []
        references.add(example.id, references.image_names[example.id] or [example.id], number_in(name or example.id))
    return references


def read_references(path: Path) -> References:
    """A file of references: COCO annotations, or any format that holds references, or one reference a record.

    Raises:
        DataError: unreadable, of no known format, or with two different lists of references for one example.
    """
    _, rows = read_records(path)
    if not rows:
        raise DataError(f"{path} holds no references")
    names = key_names(rows, path, "")
    flat_key = _flat_key(rows, path)
    references = References()
    flat: dict[str, list[str]] = {}
    for place, row in rows:
        keys = keys_in(row, names, f"{place} of {path}")
        example_id = next(iter(keys.values()))
        texts = references_in(row, f"{place} of {path}")
        if not texts and flat_key and row.get(flat_key) is not None:
            value = row[flat_key]
            flat.setdefault(example_id, []).extend(
                _texts(value if isinstance(value, list) else [value], f"{place} of {path}: {flat_key}")
            )
        elif references.texts.setdefault(example_id, texts) != texts:
            raise DataError(f"{place} of {path} gives {example_id!r} other references than before; keep one record each")
        references.image_names.setdefault(example_id, image_names(row))
        # COCO's number is in the record, or else in the file's name: Karpathy's `imgid` and positions are none.
        number = next((keys[key] for key in ("cocoid", "image_id") if keys.get(key, "").isdigit()), "")
        record_id = str(row["id"]) if _is_key(row.get("id")) and texts else ""  # of a caption, it names no example
        references.add(example_id, keys.values(), number or number_in(example_id), record_id)
    for example_id, captions in flat.items():
        references.texts[example_id] = (*references.texts.get(example_id, ()), *captions)
    return references


def _flat_key(rows: Rows, path: Path) -> str:
    """The key of the one reference in each record; empty where records have lists of references."""
    bare = [row for _, row in rows if not any(row.get(key) is not None for key in (*REFERENCE_KEYS, "sentences"))]
    present = [key for key in FLAT_KEYS if any(row.get(key) is not None for row in bare)]
    if len(present) > 1:
        raise DataError(
            f"{path} has several keys that may be the reference: {', '.join(present)}; keep one of them, or call it references"
        )
    return present[0] if present else ""


def references_in(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The references of a record; none if it has none.

    Raises:
        DataError: they are no list, or one of them is no text.
    """
    for key in REFERENCE_KEYS:
        if row.get(key) is not None:
            return _texts(row[key], f"{place}: {key}")
    sentences = row.get("sentences")
    if isinstance(sentences, list):
        raw = [sentence["raw"] for sentence in sentences if isinstance(sentence, dict) and "raw" in sentence]
        return _texts(raw, f"{place}: raw")
    for key in SINGLE_REFERENCE_KEYS:
        if row.get(key) is not None:
            return _texts(row[key] if isinstance(row[key], list) else [row[key]], f"{place}: {key}")
    return ()


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"{place} is {str(value)[:60]!r}; expected a list of texts")
    for text in value:
        if not isinstance(text, str):
            raise DataError(f"{place} holds {str(text)[:60]!r}, which is {type(text).__name__}; expected texts only")
    return tuple(value)
