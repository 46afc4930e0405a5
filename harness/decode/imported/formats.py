"""The file formats of systems' outputs and of references, told apart by content; docs/data.md lists them in one table.

Every format becomes records: objects with keys such as `image_id`, `caption` or `references`, each with its place for messages.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from harness.datasets.reading import RepeatedKey, TableError, json_lines, parse_json, table_rows
from harness.errors import DataError

COCO_RESULTS = "COCO results"
STORIES = "stories"
PLAIN_TEXT = "plain text, one caption a line"
WRAPPERS = ("results", "predictions", "outputs", "samples", "data")
"""Keys under which programs put the list of records, beside what they say about the run."""
ENDINGS = (".gz", ".jsonl", ".json", ".csv", ".tsv", ".txt")
"""Endings that are no part of a system's name."""

Rows = list[tuple[str, dict[str, Any]]]

_REFERENCE_COLUMN = re.compile(r"reference(?!s$).*|(references?|captions?|refs?|sentences?|comments?)[ _-]?\d+")
"""Columns of a table that hold one reference each: `reference`, `reference_1`, `caption_1`, `ref1`."""
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\r?\n", re.IGNORECASE)
"""The line with which Excel names the delimiter."""
_TOKEN_LINE = re.compile(r"(\S+)#\d+\t(.*)")
"""A line of Flickr's token files: `1000268201.jpg#0`, a tab, a caption."""


def read_records(path: Path) -> tuple[str, Rows]:
    """The name of the format, and each record with its place.

    Raises:
        DataError: the file is unreadable or of no known format.
    """
    text = read_text(path)
    bare = path.name.removesuffix(".gz").lower()
    if bare.endswith((".csv", ".tsv")):
        return ("TSV", _table_rows(path, text, "\t")) if bare.endswith(".tsv") else ("CSV", _table_rows(path, text, ","))
    if bare.endswith(".txt"):
        return _text_rows(text)
    try:
        content = parse_json(text, finite=False)
    except RepeatedKey as error:
        raise DataError(f"{path}: {error}; keep one of them") from error
    except RecursionError as error:
        raise DataError(f"{path} nests too deeply; expected records of texts") from error
    except ValueError as error:
        if not bare.endswith(".jsonl") and not text.lstrip().startswith("{"):
            raise DataError(
                f"{path} is neither JSON, JSON Lines nor CSV: {error}. Name plain text .txt, a table .csv or .tsv"
            ) from error
        return "JSON Lines", _lines(path, text)
    if bare.endswith(".jsonl") and not isinstance(content, list):
        return "JSON Lines", _lines(path, text)
    if isinstance(content, list):
        rows = numbered("record", content, path)
        coco = all(row.keys() >= {"image_id", "caption"} and "captions" not in row for _, row in rows)
        return (COCO_RESULTS if coco else "captions as MAGIC publishes them (JSON array)"), rows
    if isinstance(content, dict):
        if isinstance(content.get("evaluation_result"), list):
            return STORIES, numbered("story", content["evaluation_result"], path)
        if isinstance(content.get("annotations"), list):
            return "COCO annotations", _annotations(content, path)
        if isinstance(content.get("images"), list):
            return "Karpathy-style JSON", numbered("image", content["images"], path)
        wrapped = [value for key, value in content.items() if key in WRAPPERS and _is_records(value)]
        if len(wrapped) == 1:
            return "JSON array", numbered("record", wrapped[0], path)
        if content and all(_is_captions(value) for value in content.values()):
            return "captions by id (JSON object)", [
                (f"key {key!r}", {"image_id": key, "caption": _plain(value)}) for key, value in content.items()
            ]
    raise DataError(
        f"{path} is JSON of no known format; expected an array of records, an object of captions by id, or an object with "
        "evaluation_result, images or annotations"
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
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as Excel saves "Unicode text"
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}; expected UTF-8 text, plain or gzipped") from error
    if text.count("\0") * 4 > len(text):
        raise DataError(f"{path} is UTF-16 without a byte order mark, or no text; save it as UTF-8")
    return text


def stem(path: Path) -> str:
    """The file name without the endings of the formats."""
    name = path.name
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


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
    return [(f"line {number}", record) for number, record in json_lines(text, path, partial(parse_json, finite=False))]


def _annotations(content: Mapping[str, Any], path: Path) -> Rows:
    """COCO's annotations, one reference a record, each with the file name that `images` has for its number."""
    images = [image for image in content.get("images", []) if isinstance(image, dict)]
    names = {str(image.get("id")): image["file_name"] for image in images if isinstance(image.get("file_name"), str)}
    rows = numbered("annotation", content["annotations"], path)
    for place, row in rows:
        if "image_id" not in row or not isinstance(row.get("caption"), str):
            raise DataError(f"{place} of {path} lacks image_id or caption; these are not caption annotations")
        if name := names.get(str(row["image_id"])):
            row["file_name"] = name
    return rows


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _is_captions(value: Any) -> bool:
    """A caption, or a list of captions, which may be objects with `caption`."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(_plain_one(entry), str) for entry in value)
    return isinstance(value, str)


def _plain(value: Any) -> Any:
    return [_plain_one(entry) for entry in value] if isinstance(value, list) else value


def _plain_one(entry: Any) -> Any:
    return entry.get("caption") if isinstance(entry, dict) else entry


def _text_rows(text: str) -> tuple[str, Rows]:
    """One caption a line, empty ones too: line 7 of the outputs is about what line 7 of the references is about."""
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    tokens = [_TOKEN_LINE.fullmatch(line) for line in lines if line.strip()]
    if tokens and all(tokens):
        named = [(match[1], match[2]) for match in tokens if match]
        rows = [{"image_name": PurePosixPath(name).name, "caption": caption} for name, caption in named]
        return "Flickr's token file", [(f"line {number}", row) for number, row in enumerate(rows, start=1)]
    return PLAIN_TEXT, [
        (f"line {number}", {"id": f"line {number:06d}", "caption": line}) for number, line in enumerate(lines, start=1)
    ]


def _table_rows(path: Path, text: str, delimiter: str) -> Rows:
    """Rows of a CSV or TSV file; columns of one reference each are gathered, or `references` is a JSON list."""
    rows: Rows = []
    separator = _SEPARATOR_LINE.match(text)
    text, skipped = (text[separator.end() :], 1) if separator else (text, 0)
    head = text.partition("\n")[0]
    if separator or delimiter not in head:
        delimiter = separator[1] if separator else max((delimiter, *_DELIMITERS), key=head.count)
    try:
        header, records = table_rows(text, delimiter, padded=f"{delimiter} " in head)
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            raise DataError(f"{path} has several columns named {', '.join(repeated)}; expected names of their own")
        for number, (line, row) in enumerate(((line + skipped, row) for line, row in records), start=2 + skipped):
            where = f"row {number}" if line == number else f"row {number} (line {line})"
            if None in row or None in row.values():
                raise DataError(f"{where} of {path} has {'more' if None in row else 'fewer'} cells than the header")
            record: dict[str, Any] = {str(key): value for key, value in row.items()}
            single = [record[key] for key in record if _REFERENCE_COLUMN.fullmatch(key) and record[key]]
            if single:
                record["references"] = single
            elif isinstance(record.get("references"), str):
                record["references"] = _json_list(record["references"], f"{where} of {path}")
            rows.append((where, record))
    except TableError as error:
        raise DataError(f"{path} is no {'TSV' if delimiter != ',' else 'CSV'}: {error}") from error
    return rows


def _json_list(cell: str, place: str) -> list[str]:
    try:
        value = json.loads(cell)
    except ValueError as error:
        raise DataError(
            f"{place}: references are {cell[:60]!r}; expected a JSON list, or columns reference_1, reference_2, ..."
        ) from error
    return value if isinstance(value, list) else [str(value)]
