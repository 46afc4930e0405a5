"""Where results live, and how they get there without ever being half there.

    <root>/runs/<suite>/<label>-<identity8>/
        run.json            spec, identity, suite, environment, state
        parts/*.jsonl       while decoding: one line a text, flushed to disk after every batch
        samples.parquet     once every example has its answer; the parts are gone then
        rows/*.parquet      a metric's rows, one a sample
        scores.json         values, intervals, signatures

This is the only module that builds such paths. Files appear whole (written beside, flushed, renamed) or, for parts, grow
line by line: a process killed at any moment loses at most the line it was writing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.errors import RunIncomplete, RunLocked, StoreError
from harness.examples import Failure
from harness.places import cache_folder as cache_folder  # who looks for it looks here
from harness.settings import settings_of
from harness.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

if sys.platform != "win32":
    import fcntl

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
        """The inverse of `to_line`; ValueError, KeyError or TypeError for anything else."""
        fields = json.loads(line)
        if "failure" in fields:
            failure = Failure(fields["failure"]["kind"], fields["failure"]["message"])
            return cls(fields["id"], fields["draw"], failure=failure)
        return cls(fields["id"], fields["draw"], fields["text"], tuple(fields["tokens"]), fields["finish"])


class Results:
    """A folder of results."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, spec: RunSpec) -> RunFolder:
        """The folder of one run, whether or not it exists yet."""
        return RunFolder(self.root / "runs" / spec.suite / f"{spec.label}-{spec.identity()[:8]}")

    def runs(self, suite: str | None = None) -> list[RunFolder]:
        """Every run there is, of one suite or of all, in name order."""
        pattern = f"{suite or '*'}/*/run.json"
        return [RunFolder(file.parent) for file in sorted((self.root / "runs").glob(pattern))]

    def baseline(self, suite: str) -> Path:
        """Where the accepted baseline of a suite is kept."""
        return self.root / "baselines" / f"{suite}.json"

    def published(self) -> list[Path]:
        """The files of published numbers, by name."""
        return sorted((self.root / "published").glob("*.json"))

    def speed(self, suite: str) -> Path:
        """Where the decoding speeds of a suite are kept."""
        return self.root / "speed" / f"{suite}.json"

    @property
    def sweeps(self) -> Results:
        """Runs that tried settings on a dev split, where no table looks for a suite's runs."""
        return Results(self.root / "sweeps")

    def sweep_picture(self, suite: str, label: str, output: str) -> Path:
        """Where the picture of a sweep is put: one for a decoder and a number."""
        return self.root / "sweeps" / suite / f"{label}-{output.replace(':', '-')}.svg"

    @property
    def site(self) -> Path:
        """Where the leaderboard's site is written unless somebody names another folder."""
        return self.root / "site"


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # run.json

    def describe(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            StoreError: it is missing or no JSON.
        """
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.path / 'run.json'} cannot be read ({error}); run the suite again to rewrite it"
            ) from error
        return content

    def open(self, spec: RunSpec, answers: int, suite: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write run.json for a run that starts or goes on; `answers` is how many it needs.

        Raises:
            StoreError: the folder holds a run of another identity whose first eight digits agree.
        """
        identity = spec.identity()
        created = _now()
        if (self.path / "run.json").exists():
            before = self.describe()
            if before["identity"] != identity:
                raise StoreError(f"{self.path} holds run {before['identity']}, not {identity}; move it away")
            created = before["created"]
            if settings_of(suite.get("settings", ()), spec.label) and not settings_of(
                before["suite"].get("settings", ()), spec.label
            ):  # what the suite itself leads to is its own run, even where somebody gets there with --set as well
                suite = before["suite"]
            environment = before["environment"] if self.complete else environment
        content = {
            "identity": identity,
            "spec": spec.model_dump(mode="json"),
            "suite": dict(suite),
            "environment": dict(environment),
            "answers": answers,
            "created": created,
            "state": "complete" if self.complete else "running",
        }
        write_json(self.path / "run.json", content)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the system lets go of it when the process ends, however it ends.

        Raises:
            RunLocked: another live process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+b") as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise RunLocked(f"another process is writing {self.path}; wait for it, or stop it") from error
            yield

    # answers

    @property
    def complete(self) -> bool:
        """Whether every example has its answer (or its typed failure)."""
        return (self.path / "samples.parquet").exists()

    def records(self) -> list[Record]:
        """Everything answered so far, complete or not, each key once, sorted by example id and draw.

        Raises:
            StoreError: a line other than the last of a part is damaged, or the parquet file is.
        """
        if self.complete:
            return _read_samples(self.path / "samples.parquet")
        found: dict[Key, Record] = {}
        for part in sorted((self.path / "parts").glob("*.jsonl")):
            for record in _read_part(part):
                found.setdefault(record.key, record)
        return [found[key] for key in sorted(found)]

    @contextlib.contextmanager
    def part(self) -> Iterator[Part]:
        """A new part file to append to. Old ones are never written again, so a torn line stays the last of its file."""
        folder = self.path / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(part.stem) for part in folder.glob("*.jsonl") if part.stem.isdigit()), default=0)
        with (folder / f"{number:06d}.jsonl").open("xb") as file:
            sync_folder(folder)
            yield Part(file)

    def finish(self, keys: Iterable[Key]) -> None:
        """Turn the parts into samples.parquet, sorted, with the same bytes however the run came about.

        Args:
            keys: everything that must be there.

        Raises:
            RunIncomplete: something is missing.
        """
        if not self.complete:
            records = self.records()
            missing = set(keys) - {record.key for record in records}
            if missing:
                example, draw = min(missing)
                raise RunIncomplete(
                    f"{self.path} lacks {len(missing)} answers (first: example {example!r}, draw {draw}); run it again to go on"
                )
            _write_samples(self.path / "samples.parquet", records)
        for part in (self.path / "parts").glob("*.jsonl"):
            part.unlink()
        with contextlib.suppress(OSError):
            (self.path / "parts").rmdir()
        content = self.describe()
        if content["state"] != "complete":
            write_json(self.path / "run.json", {**content, "state": "complete", "finished": _now()})

    # scores

    def scores(self) -> dict[str, Any] | None:
        """What scores.json says, or None before the run is scored."""
        try:
            content: dict[str, Any] = json.loads((self.path / "scores.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(
                f"{self.path / 'scores.json'} is no JSON ({error}); delete it and run `seetell score`"
            ) from error
        return content

    def write_scores(self, content: Mapping[str, Any], rows: Mapping[str, NDArray[np.float64]]) -> None:
        """Store scores and, under their names, the rows behind them."""
        for name, values in rows.items():
            _write_rows(self.path / "rows" / f"{name}.parquet", values)
        write_json(self.path / "scores.json", dict(content))
        for file in (self.path / "rows").glob("*.parquet"):
            if file.stem not in rows:
                file.unlink()

    def rows(self, name: str) -> NDArray[np.float64]:
        """The rows stored under a name, `[n, k]`, in the order of `records`."""
        import numpy as np
        import pyarrow.parquet as pq

        table = pq.read_table(self.path / "rows" / f"{name}.parquet")
        columns = [column.to_numpy(zero_copy_only=False) for column in table.columns]
        return np.stack(columns, axis=1).astype(np.float64)


class Part:
    """An open part file."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def append(self, records: Sequence[Record]) -> None:
        """Append answers; on return they survive a power cut."""
        self._file.write(b"".join(record.to_line() for record in records))
        self._file.flush()
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it is put in place once all is written, and otherwise what was there is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Put a JSON file in place, readable and with NaN refused."""
    write_bytes(
        path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
    )


def sync_folder(folder: Path) -> None:
    """A rename or a new file is durable only once its folder is."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_part(part: Path) -> list[Record]:
    """The records of a part. Bytes after the last newline are a line that was being written: they do not count."""
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


def _write_samples(path: Path, records: Sequence[Record]) -> None:
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
    _write_table(path, pa.table(arrays, schema=schema))


def _read_samples(path: Path) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it and run the suite again") from error
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


def _write_rows(path: Path, rows: NDArray[np.float64]) -> None:
    import pyarrow as pa

    _write_table(path, pa.table({f"s{index}": rows[:, index] for index in range(rows.shape[1])}))


def _write_table(path: Path, table: Any) -> None:
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
