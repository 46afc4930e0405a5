"""What a run answers, one record a text, and the files that hold records: lines of JSON while decoding, Parquet once complete."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import StoreError
from harness.store.durable import write_bytes
from harness.suites.examples import Failure

Value = TypeVar("Value")

Key = tuple[str, int]
"""Example id and draw: what makes an answer unique within a run."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored answer: a text, or why there is none."""

    example_id: str
    draw: int
    text: str = ""
    tokens: tuple[int, ...] = ()
    finish: str = ""
    failure: Failure | None = None

    @property
    def key(self) -> Key:
        """What it answers."""
        return self.example_id, self.draw

    @property
    def empty(self) -> bool:
        """Whether it is a text without a word."""
        return self.failure is None and not self.text.strip()

    def to_line(self) -> bytes:
        """One line of JSON; what is empty is left out."""
        fields: dict[str, Any] = {"id": self.example_id, "draw": self.draw}
        if self.failure is None:
            fields |= {"text": self.text, "tokens": list(self.tokens), "finish": self.finish}
        else:
            fields["failure"] = {"kind": self.failure.kind, "message": self.failure.message}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """The inverse of `to_line` and of `_part_line`; ValueError, KeyError or TypeError for anything else."""
        try:
            fields = json.loads(line)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if not isinstance(fields, dict) or not fields.keys() <= _FIELDS:
            raise ValueError("expected an object with the fields of an answer")
        if _SUM in fields and line != _with_sum(line[:-_SUM_LENGTH] + b"}\n").rstrip(b"\n"):
            raise ValueError("its checksum does not fit")
        key = _typed(fields, "id", str), _typed(fields, "draw", int)
        if "failure" in fields:
            failure = _typed(fields, "failure", dict)
            return cls(*key, failure=Failure(_typed(failure, "kind", str), _typed(failure, "message", str)))
        tokens = _typed(fields, "tokens", list)
        if not all(isinstance(token, int) for token in tokens):
            raise TypeError("tokens: expected whole numbers")
        return cls(*key, _typed(fields, "text", str), tuple(tokens), _typed(fields, "finish", str))


_SUM = "sum"
_SUM_LENGTH = len(',"sum":"00000000"}')
_FIELDS = {"id", "draw", "text", "tokens", "finish", "failure", _SUM}


def _with_sum(line: bytes) -> bytes:
    """A line of `Record.to_line` with its CRC-32, which any one flipped bit breaks; parts have no other witness."""
    return line[:-2] + f',"{_SUM}":"{zlib.crc32(line):08x}"}}\n'.encode()


def _typed(fields: dict[str, Any], name: str, kind: type[Value]) -> Value:
    value = fields[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name}: expected {kind.__name__}, found {type(value).__name__}")
    return value


class Part:
    """An open part file."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def append(self, records: Sequence[Record]) -> None:
        """Append answers; on return they survive a power cut.

        Raises:
            StoreError: the disk is full, or does not write for another reason.
        """
        rest = b"".join(_with_sum(record.to_line()) for record in records)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(
                f"{self._file.name} cannot be written ({error.strerror}); what was stored before is kept. Make room, and run the "
                "same command again to resume"
            ) from error


def read_part(part: Path) -> list[Record]:
    """The records of a part. Bytes after the last newline are a line that was being written: they do not count.

    Raises:
        StoreError: a line other than the last is damaged.
    """
    *lines, _torn = part.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(Record.from_line(line))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # a file system may pad a torn line with zeros and a newline of the next block
            raise StoreError(
                f"line {number} of {part} is damaged ({error}); delete that file to decode its examples again"
            ) from error
    return records


def write_samples(path: Path, records: Sequence[Record]) -> None:
    """Put a file of records in place; equal records give equal bytes."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("example_id", pa.string()),
            ("draw", pa.int32()),
            ("text", pa.string()),
            ("tokens", pa.list_(pa.int32())),
            ("finish", pa.string()),
            ("failure_kind", pa.string()),
            ("failure_message", pa.string()),
        ]
    )
    columns = [
        [record.example_id for record in records],
        [record.draw for record in records],
        [None if record.failure else record.text for record in records],
        [list(record.tokens) for record in records],
        [record.finish for record in records],
        [record.failure and record.failure.kind for record in records],
        [record.failure and record.failure.message for record in records],
    ]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    write_table(path, pa.table(arrays, schema=schema))


def read_samples(path: Path) -> list[Record]:
    """The inverse of `write_samples`.

    Raises:
        StoreError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
        return [
            Record(
                row["example_id"],
                row["draw"],
                row["text"] or "",
                tuple(row["tokens"]),
                row["finish"],
                Failure(row["failure_kind"], row["failure_message"]) if row["failure_kind"] else None,
            )
            for row in rows
        ]
    except (OSError, pa.ArrowException, UnicodeDecodeError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it and run the suite again") from error


def write_table(path: Path, table: Any) -> None:
    """Put an Arrow table in place as Parquet."""
    import pyarrow.parquet as pq

    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())
