"""Reading annotation files: JSON and plain text, with errors that name the file and what was expected in it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import DataError

_LINE_BREAK = re.compile("\r\n|\r|\n")


def read_json(path: Path, expected: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        expected: what should be in it, for messages.

    Raises:
        DataError: missing, not UTF-8, or refused by `parse_json`.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(missing_file(path, expected)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}; expected {expected}. Fetch it again") from error


class RepeatedKey(ValueError):
    """A JSON object has a key twice."""


def parse_json(content: str, *, finite: bool = True) -> Any:
    """A JSON text (RFC 8259), stricter than Python's own reader: what would be lost or would be no JSON again is refused.

    Args:
        content: the text.
        finite: whether NaN and Infinity are refused too; programs write them into fields that are not read here.

    Raises:
        RepeatedKey: a key twice in one object.
        ValueError: not JSON; if `finite`, NaN, Infinity or a number too large to be one.
        RecursionError: nested beyond reason.
    """
    number = _finite if finite else None
    return json.loads(content, object_pairs_hook=_each_key_once, parse_constant=number, parse_float=number)


def json_lines(content: str, path: Path, parse: Callable[[str], Any] = parse_json) -> list[tuple[int, dict[str, Any]]]:
    """Line numbers (from 1) and objects of JSON Lines; blank lines are skipped.

    Args:
        content: the text of the file.
        path: its name, for messages.
        parse: reads one line.

    Raises:
        DataError: a line is not JSON, or not an object.
    """
    objects = []
    # Not splitlines(): it also cuts at form feeds, U+2028 and others, which JSON allows inside a string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = parse(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise DataError(
                f'line {number} of {path} is {type(fields).__name__}; expected an object such as {{"image": "a.jpg"}}'
            )
        objects.append((number, fields))
    return objects


class TableError(Exception):
    """A table that is not CSV (or TSV); names the line where the record starts."""


def table_rows(
    content: str, delimiter: str = ",", *, padded: bool = False
) -> tuple[list[str], Iterator[tuple[int, dict[str | None, Any]]]]:
    """The header of a CSV text, and its records with the line (from 1) that each starts at: quoted cells may hold line breaks.

    Args:
        content: the text.
        delimiter: between two cells.
        padded: spaces that follow a delimiter are no part of the cell.

    Raises:
        TableError: while reading, for quotes that do not match.
    """
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True, delimiter=delimiter, skipinitialspace=padded)
    try:
        header = list(reader.fieldnames or ())
    except csv.Error as error:
        raise TableError(f"line 1: {error}") from error

    def records() -> Iterator[tuple[int, dict[str | None, Any]]]:
        end = reader.line_num
        try:
            for row in reader:
                end = reader.line_num
                cells = [cell for value in row.values() for cell in (value if isinstance(value, list) else [value])]
                breaks = sum(len(_LINE_BREAK.findall(cell)) for cell in cells if cell)
                yield end - breaks, row
        except csv.Error as error:
            lines = _LINE_BREAK.split(content)
            start = next((number for number in range(end, len(lines)) if lines[number].strip()), end)
            raise TableError(f"line {start + 1}: {error}") from error

    return header, records()


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"an object has the key {twice!r} twice, so one of its values would be lost")
    return fields


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:30]} is no number of JSON")
    return value


def read_text(path: Path, expected: str) -> str:
    """The content of a text file in UTF-8, without a byte order mark.

    Raises:
        DataError: missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(missing_file(path, expected)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}; expected {expected}") from error


def missing_file(path: Path, expected: str) -> str:
    """The sentence about a file that is not there."""
    return (
        f"there is no {path}; expected {expected}. Put it there, or change the path in the suite: `seetell data check SUITE` "
        "says how to get the data"
    )


def texts(value: Any, where: str) -> tuple[str, ...]:
    """References as a tuple of texts, or a `DataError` that names the place."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where}: references are {str(value)[:60]!r}; expected a list of texts")
    return tuple(value)
