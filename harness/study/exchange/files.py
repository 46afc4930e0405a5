"""Rows in CSV, JSON Lines and Parquet, and back without loss.

Spreadsheets run cells that begin like formulas, so in CSV such a cell gets an apostrophe in front. So does a cell that begins
with an apostrophe: taking one away on reading always gives the text back.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import StudyError
from harness.study.exchange.columns import FILE_ROW, OURS, ColumnMap, given_scores, long_records
from harness.study.exchange.rows import Column, Row
from harness.study.tables.base import from_ms, to_ms

FORMATS = ("csv", "jsonl", "parquet")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_APOSTROPHE = "'"
_LONGEST_CELL = 2**24
_WHOLE = re.compile(r"[+-]?\d+")


def neutral(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    return _APOSTROPHE + cell if cell.startswith((*_FORMULA, _APOSTROPHE)) else cell


def as_written(cell: str) -> str:
    """The inverse of `neutral`."""
    return cell.removeprefix(_APOSTROPHE)


def to_bytes(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], format: str) -> bytes:
    """A whole file."""
    return {"csv": _to_csv, "jsonl": _to_jsonl, "parquet": _to_parquet}[format](rows, columns)


def read(path: Path, columns: Sequence[Column], mapping: ColumnMap = OURS) -> list[Row]:
    """The rows of a file; the ending says which format, and a file without one is taken for CSV.

    A CSV file with exactly our columns is one of ours, with apostrophes to take away; any other is taken as it is.

    Args:
        path: the file.
        columns: what rows have.
        mapping: what the file calls its columns, where it is not ours.

    Raises:
        StudyError: not a file of that format, a column that is missing, or a cell of the wrong type.
    """
    records = _records(path, columns)
    if mapping.given:
        records = long_records(records, mapping, str(path))
    missing = [column.name for column in columns if column.needed and (not records or column.name not in records[0])]
    if missing:
        raise StudyError(
            f"{path} has no column {missing[0]!r}; ratings need: {', '.join(c.name for c in columns if c.needed)}. If a column "
            f"has another name, give it with --{missing[0]} COLUMN"
        )
    return [
        _checked(row, columns, f"row {row.get(FILE_ROW, number)} of {path}") | {FILE_ROW: row.get(FILE_ROW, number)}
        for number, row in enumerate(records, start=1)
    ]


def scores(path: Path, mapping: ColumnMap) -> dict[str, dict[str, dict[str, float]]]:
    """The scores that stand beside ratings (`given_scores`); nothing where no column of scores is named."""
    return given_scores(_records(path, ()), mapping, str(path)) if mapping.scores else {}


def _records(path: Path, columns: Sequence[Column]) -> list[dict[str, Any]]:
    kind = path.suffix.lstrip(".").lower() or "csv"
    readers = {"csv": _from_csv, "tsv": _from_tsv, "jsonl": _from_jsonl, "parquet": _from_parquet}
    if kind not in readers:
        raise StudyError(f"{path} has no known file name extension; expected .csv, .tsv, .jsonl or .parquet")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror})") from error
    try:
        records = readers[kind](content, columns)
    except (ValueError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise StudyError(f"{path} is not a valid {kind} file ({error})") from error
    return records


def _checked(row: Mapping[str, Any], columns: Sequence[Column], where: str) -> Row:
    checked: Row = {}
    for column in columns:
        cell = row.get(column.name)
        if cell is None or cell == "":
            if column.needed:
                raise StudyError(f"{where}: {column.name} is empty")
            checked[column.name] = None
            continue
        try:
            checked[column.name] = _typed(cell, column)
        except (ValueError, TypeError, OverflowError) as error:
            raise StudyError(f"{where}: {column.name} is {cell!r}; expected a {column.type}") from error
    return checked


def _typed(cell: Any, column: Column) -> Any:
    if column.type == "text":
        return str(cell)
    if column.type == "number":
        number = float(cell)
        if isinstance(cell, bool) or not math.isfinite(number):
            raise ValueError(cell)
        return int(number) if number.is_integer() else number
    if column.type == "whole number":
        if isinstance(cell, str) and not _WHOLE.fullmatch(cell.strip()):
            cell = float(cell)  # 4.0 is 4, as spreadsheets and data frames write it
        if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
            raise ValueError(cell)
        return int(cell)
    if isinstance(cell, datetime):
        return to_ms(cell)
    if isinstance(cell, int):
        return to_ms(from_ms(cell))  # a time that there is
    when = datetime.fromisoformat(str(cell))
    return to_ms(when if when.tzinfo else when.replace(tzinfo=UTC))


def _shown(cell: Any, column: Column) -> Any:
    """A cell as text files have it: times in ISO 8601."""
    if cell is None or column.type != "time":
        return cell
    return from_ms(cell).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        cells = [_shown(row[column.name], column) for column in columns]
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue().encode("utf-8")


def _from_tsv(content: bytes, columns: Sequence[Column]) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True, delimiter="\t"))


def _from_csv(content: bytes, columns: Sequence[Column]) -> list[dict[str, Any]]:
    # Whole lists of ratings may be in one cell, which is longer than Python's csv takes by default.
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    records = list(reader)
    if list(reader.fieldnames or ()) == [column.name for column in columns]:
        return [{name: as_written(cell) for name, cell in row.items()} for row in records]
    return records


def _to_jsonl(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> bytes:
    lines = (
        json.dumps({column.name: _shown(row[column.name], column) for column in columns}, ensure_ascii=False) for row in rows
    )
    return "".join(line + "\n" for line in lines).encode("utf-8")


def _from_jsonl(content: bytes, columns: Sequence[Column]) -> list[dict[str, Any]]:
    # Not splitlines(): it also cuts at U+2028 and friends, which JSON allows inside a string.
    records = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in records):
        raise ValueError("a line is no object")
    return records


def _to_parquet(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"text": pa.string(), "number": pa.float64(), "whole number": pa.int64(), "time": pa.timestamp("ms", tz="UTC")}
    types = {column.name: kinds[column.type] for column in columns}
    fields = [pa.field(column.name, types[column.name], metadata={"meaning": column.meaning}) for column in columns]
    schema = pa.schema(fields)
    arrays = [pa.array([row[column.name] for row in rows], type=types[column.name]) for column in columns]
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _from_parquet(content: bytes, columns: Sequence[Column]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows
