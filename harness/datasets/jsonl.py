"""One JSON object a line: the format to bring one's own data in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.datasets.base import Dataset, DatasetOptions
from harness.errors import DataError
from harness.examples import Example

KNOWN_KEYS = ("id", "image", "prompt", "references", "captions", "meta")


class JsonlOptions(DatasetOptions):
    """`[data]` keys of the jsonl format."""

    file: Path
    """The .jsonl file, relative to the suite's folder."""
    images: Path = Path()
    """Folder that `image` names start from, relative to the suite's folder."""


class Jsonl(Dataset):
    """JSON Lines: {"id", "image", "prompt", "references"} a line; all but references or prompt may be left out."""

    Options = JsonlOptions
    options: JsonlOptions

    def examples(self) -> list[Example]:
        """One example a line; without an `id`, the image's name or the line number is the id."""
        path = self.folder / self.options.file
        return [self._example(fields, f"line {number} of {path}", number) for number, fields in read_jsonl(path)]

    def captions(self) -> list[str]:
        """Every reference in order; images are not looked at."""
        return [text for example in self.examples() for text in example.references]

    def _example(self, fields: dict[str, Any], where: str, number: int) -> Example:
        unknown = sorted(set(fields) - set(KNOWN_KEYS))
        if unknown:
            raise DataError(
                f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(KNOWN_KEYS)} (others go into meta)"
            )
        image = fields.get("image")
        if image is not None and not isinstance(image, str):
            raise DataError(f"{where}: image is {image!r}; expected a file name")
        prompt, meta = fields.get("prompt", ""), fields.get("meta", {})
        if not isinstance(prompt, str) or not isinstance(meta, dict):
            raise DataError(f"{where}: prompt must be a text and meta an object")
        return Example(
            id=str(fields.get("id", image if image is not None else number)),
            prompt=prompt,
            image=None if image is None else self.folder / self.options.images / image,
            references=texts(fields.get("references", fields.get("captions", [])), where),
            meta=meta,
        )


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line numbers (from 1) and objects of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: the file is missing, or a line is no JSON object.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}; expected a UTF-8 file with one JSON object a line") from error
    found = []
    # Not splitlines(): it also cuts at U+2028 and friends, which JSON allows inside a string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise DataError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise DataError(
                f'line {number} of {path} is {type(fields).__name__}; expected an object such as {{"image": "a.jpg"}}'
            )
        found.append((number, fields))
    return found


def texts(value: Any, where: str) -> tuple[str, ...]:
    """References as a tuple of texts, or a `DataError` that names the place."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(f"{where}: references are {str(value)[:60]!r}; expected a list of texts")
    return tuple(value)
