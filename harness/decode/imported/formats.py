"""The files that systems' outputs and references come in: MAGIC's JSON, COCO results, Karpathy's JSON, JSON Lines, CSV.

Which one a file is, is guessed from its content; what comes out are its records, each with its place for messages.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.datasets.reading import json_lines
from harness.errors import DataError

COCO_RESULTS = "COCO results"
STORIES = "stories"

Rows = list[tuple[str, dict[str, Any]]]


def read_records(path: Path) -> tuple[str, Rows]:
    """The format in words, and each record with its place in words.

    Raises:
        DataError: the file is unreadable or of no known format.
    """
    text = read_text(path)
    bare = path.name.removesuffix(".gz")
    if bare.endswith(".csv"):
        return "CSV", _csv_rows(path, text)
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise DataError(f"{path} nests too deeply; expected records of texts") from error
    except ValueError as error:
        if not bare.endswith(".jsonl") and not text.lstrip().startswith("{"):
            raise DataError(f"{path} is neither JSON, JSON Lines nor CSV: {error}") from error
        return "JSON Lines", _lines(path, text)
    if bare.endswith(".jsonl"):
        return "JSON Lines", _lines(path, text)
    if isinstance(content, dict) and isinstance(content.get("evaluation_result"), list):
        return STORIES, numbered("story", content["evaluation_result"], path)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return "Karpathy-style JSON", numbered("image", content["images"], path)
    if isinstance(content, list):
        rows = numbered("record", content, path)
        coco = all(set(row) <= {"image_id", "caption", "id"} for _, row in rows)
        return (COCO_RESULTS if coco else "captions as MAGIC publishes them (JSON array)"), rows
    raise DataError(
        f"{path} is JSON of no known format; expected an array of records, or an object with evaluation_result or images"
    )


def read_text(path: Path) -> str:
    """The text of a file, plain or gzipped.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz" or content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}; expected UTF-8 text, plain or gzipped") from error


def numbered(noun: str, records: Sequence[Any], path: Path) -> Rows:
    """Records with their places, such as `image 3`.

    Raises:
        DataError: one of them is no object.
    """
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"{noun} {index} of {path} is {type(record).__name__}; expected an object")
    return [(f"{noun} {index}", record) for index, record in enumerate(records)]


def _lines(path: Path, text: str) -> Rows:
    return [(f"line {number}", record) for number, record in json_lines(text, path, json.loads)]


def _csv_rows(path: Path, text: str) -> Rows:
    """Rows of a CSV file; the columns `reference`, `reference_1`, ... are gathered, or `references` is a JSON list."""
    rows: Rows = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = reader.fieldnames or ()
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            raise DataError(f"{path} has several columns named {', '.join(repeated)}; expected names of their own")
        for number, row in enumerate(reader, start=2):
            if None in row or None in row.values():
                raise DataError(
                    f"row {number} of {path} has {'more' if None in row else 'fewer'} cells than the header"
                )
            record: dict[str, Any] = dict(row)
            single = [record[key] for key in row if key.startswith("reference") and key != "references" and record[key]]
            if single:
                record["references"] = single
            elif isinstance(record.get("references"), str):
                record["references"] = _json_list(record["references"], f"row {number} of {path}")
            rows.append((f"row {number}", record))
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}") from error
    return rows


def _json_list(cell: str, place: str) -> list[str]:
    try:
        value = json.loads(cell)
    except ValueError as error:
        raise DataError(
            f"{place}: references are {cell[:60]!r}; expected a JSON list, or columns reference_1, reference_2, ..."
        ) from error
    return value if isinstance(value, list) else [str(value)]
