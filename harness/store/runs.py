"""Where results live, and how they get there without ever being half there.

    <root>/runs/<suite>/<label>-<identity8>/
        run.json            spec, identity, suite, environment, state
        parts/*.jsonl       while decoding: one line a text, flushed to disk after every batch
        samples.parquet     once every example has its answer; the parts are gone then
        rows/*.parquet      a metric's rows, one a sample
        scores.json         values, intervals, signatures

This is the only module that builds such paths. Files appear whole (see `harness.store.durable`) or, for parts, grow line by line
(see `harness.store.answers`): a process killed at any moment loses at most the line it was writing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from harness.errors import RunIncomplete, RunLocked, StoreError
from harness.store.answers import Key as Key
from harness.store.answers import Part, read_part, read_samples, write_samples, write_table
from harness.store.answers import Record as Record
from harness.store.durable import make_folder
from harness.store.durable import replacing as replacing
from harness.store.durable import sync_folder as sync_folder
from harness.store.durable import write_bytes as write_bytes
from harness.store.durable import write_json as write_json
from harness.store.sealed import SEAL, file_sha256, read_document, read_json, seal_of, sealed, without_seal
from harness.suites.examples import Example, Sample
from harness.suites.places import cache_folder as cache_folder  # who looks for it looks here
from harness.suites.sections import checked, complaints
from harness.suites.settings import settings_of
from harness.suites.spec import RunSpec, Suite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


if sys.platform != "win32":
    import fcntl


RUN_FORMAT, SCORES_FORMAT = "seetell-run-1", "seetell-scores-1"
"""Layouts of run.json and scores.json. Files from before there were any have no `format`, and are read as well."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A run that cannot be shown."""

    folder: RunFolder
    reason: StoreError


class Results:
    """A folder of results."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, spec: RunSpec) -> RunFolder:
        """The folder of one run, whether or not it exists yet."""
        return RunFolder(self.root / "runs" / spec.suite / f"{spec.label}-{spec.identity()[:8]}")

    def runs(self, suite: str | None = None) -> list[RunFolder]:
        """Every run there is, of one suite or of all, in name order."""
        files = sorted((self.root / "runs").glob("*/*/run.json"))
        return [RunFolder(file.parent) for file in files if suite in (None, file.parent.parent.name)]

    def described(self, suite: str | None = None) -> tuple[list[tuple[RunFolder, dict[str, Any]]], list[Unreadable]]:
        """Every run with what its run.json says, in name order; and those whose run.json cannot be read, with the reason."""
        described: list[tuple[RunFolder, dict[str, Any]]] = []
        unreadable = []
        for folder in self.runs(suite):
            try:
                folder.suite()
                described.append((folder, folder.describe()))
            except StoreError as error:
                unreadable.append(Unreadable(folder, error))
        return described, unreadable

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
        self._documents: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {}

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def _document(self, name: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What `read` makes of a file of the run. One table asks for it many times; it is read again only after a change."""
        file = self.path / name
        try:
            stat = file.stat()
        except OSError:
            return read(file)  # which has the right words for it
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if name not in self._documents or self._documents[name][0] != stamp:
            self._documents[name] = stamp, read(file)
        return dict(self._documents[name][1])

    # run.json

    def describe(self) -> dict[str, Any]:
        """What run.json says, checked.

        Raises:
            StoreError: it is missing, was changed after it was written, is of another layout, or describes no run.
        """
        return self._document("run.json", _read_run)

    def suite(self) -> Suite:
        """The suite as it was when the run was made.

        Raises:
            StoreError: run.json cannot be read, or its suite is none.
        """
        return checked(Suite, self.describe()["suite"], f"the suite in {self.path / 'run.json'}", error=StoreError)

    def open(
        self,
        spec: RunSpec,
        answers: int,
        suite: Mapping[str, Any],
        environment: Mapping[str, Any],
        code: Mapping[str, Any] | None = None,
    ) -> None:
        """Write run.json for a run that starts or is resumed.

        Args:
            spec: of the run.
            answers: how many it needs.
            suite: where it comes from, as JSON values.
            environment: what it is made with.
            code: where a plug-in's decoder comes from.

        Raises:
            StoreError: the folder holds a run of another identity whose first eight digits agree.
        """
        identity = spec.identity()
        created = _now()
        kept: dict[str, Any] = {}
        legacy = False
        if (self.path / "run.json").exists():
            before = self.describe()
            if before["identity"] != identity:
                raise StoreError(f"{self.path} holds run {before['identity']}, not {identity}; move it away")
            created = before["created"]
            if settings_of(suite.get("settings", ()), spec.label) and not settings_of(
                before["suite"].get("settings", ()), spec.label
            ):  # what the suite itself leads to is its own run, even where somebody gets there with --set as well
                suite = before["suite"]
            if self.complete:
                environment = before["environment"]
                kept = {key: before[key] for key in ("finished", "samples") if key in before}
                legacy = "format" not in before  # a finished run of before there were formats keeps its bytes
        content = {
            "identity": identity,
            "spec": spec.model_dump(mode="json"),
            "suite": dict(suite),
            "environment": dict(environment),
            "answers": answers,
            "created": created,
            "state": "complete" if self.complete else "running",
            **({"code": dict(code)} if code else {}),
            **kept,
        }
        write_json(self.path / "run.json", content if legacy else sealed({"format": RUN_FORMAT, **content}))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the system lets go of it when the process ends, however it ends.

        Raises:
            RunLocked: another live process holds it.
            StoreError: the folder is in a place that knows no locks.
        """
        make_folder(self.path)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_locked(self.path / ".lock"))
            except BlockingIOError as error:
                raise RunLocked(f"another process is writing {self.path}; wait for it, or stop it") from error
            for written in ("run.json", "samples.parquet"):  # by nobody but who holds the lock
                for left in self.path.glob(f".{written}.*.tmp"):  # by one that was killed
                    left.unlink()
            yield

    # answers

    @property
    def complete(self) -> bool:
        """Whether every example has its answer (or its typed failure)."""
        return (self.path / "samples.parquet").exists()

    def records(self) -> list[Record]:
        """Everything answered so far, complete or not, each key once, sorted by example id and draw.

        Raises:
            StoreError: a line other than the last of a part is damaged, or samples.parquet is, was changed after the run ended,
                or lacks answers.
        """
        if not self.complete:
            by_key: dict[Key, Record] = {}
            try:
                for part in sorted((self.path / "parts").glob("*.jsonl")):
                    for record in read_part(part):
                        by_key.setdefault(record.key, record)
            except FileNotFoundError:
                if not self.complete:
                    raise
            if not self.complete:  # else whoever writes it has finished meanwhile, and parts may have gone unread
                return [by_key[key] for key in sorted(by_key)]
        return self._stored_samples()

    def _stored_samples(self) -> list[Record]:
        file = self.path / "samples.parquet"
        remedy = f"delete it and run the suite again (`seetell run {self.path.parent.name}`)"
        records = read_samples(file)
        if (self.path / "run.json").exists():
            content = self.describe()
            if content.get("samples", "") not in ("", file_sha256(file)):
                others = "so run.json and the scores are of other samples"
                raise StoreError(f"{file} was changed or damaged after the run ended, {others}; {remedy}")
            keys = {record.key for record in records}
            if len(keys) != content["answers"] or len(records) != len(keys):
                raise StoreError(f"{file} holds {len(keys)} of {content['answers']} answers; {remedy}")
        return records

    @contextlib.contextmanager
    def part(self) -> Iterator[Part]:
        """A new part file to append to. Old ones are never written again, so a torn line stays the last of its file."""
        folder = self.path / "parts"
        make_folder(folder)
        number = 1 + max((int(part.stem) for part in folder.glob("*.jsonl") if part.stem.isdigit()), default=0)
        with (folder / f"{number:06d}.jsonl").open("xb", buffering=0) as file:
            sync_folder(folder)
            yield Part(file)

    def finish(self, keys: Iterable[Key]) -> None:
        """Turn the parts into samples.parquet, sorted, with the same bytes however the run came about.

        Args:
            keys: everything that must be there; answers to anything else are dropped.

        Raises:
            RunIncomplete: something is missing.
        """
        if not self.complete:
            wanted = set(keys)
            records = [record for record in self.records() if record.key in wanted]
            missing = wanted - {record.key for record in records}
            if missing:
                example, draw = min(missing)
                raise RunIncomplete(
                    f"{self.path} lacks {len(missing)} answers (first: example {example!r}, draw {draw}); run it again to resume"
                )
            write_samples(self.path / "samples.parquet", records)
        for part in (self.path / "parts").glob("*.jsonl"):
            part.unlink()
        with contextlib.suppress(OSError):
            (self.path / "parts").rmdir()
        content = self.describe()
        if "finished" not in content:
            samples = file_sha256(self.path / "samples.parquet")
            ended = {**content, "state": "complete", "finished": _now(), "samples": samples}
            write_json(self.path / "run.json", sealed({"format": RUN_FORMAT, **ended}))

    def set_aside(self) -> None:
        """Move the answers and scores into `replaced/`, numbered, so that the run is decoded again; hold the lock meanwhile."""
        left = [self.path / name for name in ("samples.parquet", "parts", "scores.json", "rows", "run.json")]
        left = [path for path in left if path.exists()]
        if not left:
            return
        folder = self.path / "replaced"
        number = 1 + max((int(old.name) for old in folder.glob("*") if old.name.isdigit()), default=0)
        make_folder(folder / f"{number:03d}")
        for path in left:
            path.rename(folder / f"{number:03d}" / path.name)
        sync_folder(self.path)

    # scores

    def scores(self, *, of_other_samples: bool = False) -> dict[str, Any] | None:
        """What scores.json says, checked, or None before the run is scored.

        Args:
            of_other_samples: accept scores of other answers than those in samples.parquet now.

        Raises:
            StoreError: it was changed after it was written, is of another layout, or is of other samples.
        """
        content = self._read_scores()
        if content is None:
            return None
        file = self.path / "scores.json"
        remedy = f"run `seetell score {self.path.parent.name} --fresh`, which rewrites it"
        broken = [label for label in content.get("metrics", {}) if not _is_sound(content, label)]
        if broken:
            raise StoreError(f"{file} was changed or damaged after it was written, at {', '.join(broken)}; {remedy}")
        samples = self.path / "samples.parquet"
        others = content.get("metrics") and samples.exists() and content.get("samples") != file_sha256(samples)
        if others and not of_other_samples:
            raise StoreError(f"the scores in {self.path} are of other samples; {remedy}")
        return {**content, "metrics": {label: without_seal(entry) for label, entry in content.get("metrics", {}).items()}}

    def sound_scores(self) -> tuple[dict[str, Any], bool]:
        """The entries of scores.json, by metric, that are as they were written and of today's samples; and whether all are."""
        try:
            content = self._read_scores() or {}
        except StoreError:
            return {}, False
        if content.get("samples") != file_sha256(self.path / "samples.parquet"):
            return {}, False
        sound = {label: entry for label, entry in content["metrics"].items() if _is_sound(content, label)}
        return sound, len(sound) == len(content["metrics"])

    def _read_scores(self) -> dict[str, Any] | None:
        try:
            return self._document("scores.json", _read_scores)
        except FileNotFoundError:
            return None

    def write_scores(
        self,
        content: Mapping[str, Any],
        rows: Mapping[str, NDArray[np.float64]],
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Store scores and, under their names, the rows behind them. Of two processes that do, one waits for the other.

        Args:
            content: of scores.json.
            rows: by name, `[n, k]`.
            columns: what the numbers of new rows are, by name; rows that are stored already keep their columns' names.
        """
        folder = self.path / "rows"
        with _locked(self.path / ".scores.lock", wait=True):
            for name, values in rows.items():
                _write_rows(folder / f"{name}.parquet", values, (columns or {}).get(name))
            document = {"format": SCORES_FORMAT, **content}
            for label, entry in content.get("metrics", {}).items():
                named = {"rows_sha256": file_sha256(folder / f"{entry['rows']}.parquet")} if entry["rows"] else {}
                document["metrics"] = {**document["metrics"], label: {**without_seal(entry), **named}}
                document["metrics"][label][SEAL] = _entry_seal(document, label)
            write_json(self.path / "scores.json", document)
            for file in folder.glob("*.parquet"):
                if file.stem not in rows:
                    file.unlink()

    def rows(self, name: str) -> NDArray[np.float64]:
        """The rows stored under a name, `[n, k]`, in the order of `records`.

        Raises:
            StoreError: their file is missing or damaged, or was changed after scores.json was written.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.path / "rows" / f"{name}.parquet"
        remedy = f"delete {self.path / 'scores.json'} and run `seetell score`, which makes both again"
        try:
            table = pq.read_table(file)
            columns = [column.to_numpy(zero_copy_only=False) for column in table.columns]
            values = np.stack(columns, axis=1).astype(np.float64)
            entries = ((self._read_scores() or {}).get("metrics") or {}).values()
            written = {entry["rows"]: entry.get("rows_sha256") for entry in entries}
            if written.get(name) not in (None, file_sha256(file)):
                raise StoreError(f"{file} was changed or damaged after it was written; {remedy}")
        except (OSError, pa.ArrowException, ValueError, TypeError) as error:
            raise StoreError(f"{file} cannot be read ({error}); {remedy}") from error
        return values


def _read_run(file: Path) -> dict[str, Any]:
    remedy = "delete it if it is there, and run the suite again, which rewrites it and keeps the answers"
    try:
        content = read_document(file, remedy)
        document = _RunDocument.model_validate(content)
    except FileNotFoundError as error:
        raise StoreError(f"{file} cannot be read (there is no such file); {remedy}") from error
    except ValidationError as error:
        raise StoreError(f"{file} cannot be read ({complaints(error)}); {remedy}") from error
    if document.spec.identity() != document.identity:
        raise StoreError(f"{file} holds run {document.identity}, which its spec does not give; move it away, or {remedy}")
    return content


def _read_scores(file: Path) -> dict[str, Any]:
    remedy = f"delete it and run `seetell score {file.parent.parent.name}`"
    content = read_json(file, remedy)
    checked(_ScoresDocument, content, str(file), error=StoreError, remedy=remedy)
    return content


class _RunDocument(BaseModel):
    """What run.json must hold; other keys are left alone."""

    format: Literal["seetell-run-1"] | None = None
    identity: str
    spec: RunSpec
    suite: Mapping[str, Any]
    environment: Mapping[str, Any]
    answers: int = Field(ge=0, default=0)
    created: str
    finished: str = ""
    samples: str = ""


class _ScoresEntry(BaseModel):
    key: str
    rows: str | None
    scores: tuple[Mapping[str, Any], ...]
    rows_sha256: str = ""


class _ScoresDocument(BaseModel):
    """What scores.json must hold."""

    format: Literal["seetell-scores-1"] | None = None
    samples: str = ""
    metrics: Mapping[str, _ScoresEntry] = {}


def _entry_seal(content: Mapping[str, Any], label: str) -> str:
    """Over a metric's entry, its label and the samples that it is about."""
    return seal_of({"label": label, "samples": content.get("samples"), "entry": without_seal(content["metrics"][label])})


def _is_sound(content: Mapping[str, Any], label: str) -> bool:
    """Whether an entry of scores.json fits its seal; of before there were seals, it has none."""
    return content["metrics"][label].get(SEAL) in (None, _entry_seal(content, label))


@contextlib.contextmanager
def _locked(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file.

    Raises:
        BlockingIOError: another process holds it, and it was not to be waited for.
        StoreError: it is in a place that knows no locks.
    """
    with file.open("a+b") as handle:
        if sys.platform != "win32":
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError as error:
                raise StoreError(
                    f"{file} cannot be locked ({error.strerror}), so nothing would keep two processes apart; put the results "
                    "on a disk that has locks: see --results"
                ) from error
        yield


def _write_rows(path: Path, rows: NDArray[np.float64], columns: Sequence[str] | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if columns is None:
        columns = [f"s{index}" for index in range(rows.shape[1])]  # as before rows had names
        with contextlib.suppress(OSError, pa.ArrowException):
            stored = pq.read_schema(path).names
            columns = stored if len(stored) == rows.shape[1] else columns
    write_table(path, pa.table({column: rows[:, index] for index, column in enumerate(columns)}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def samples(folder: RunFolder, examples: Sequence[Example]) -> list[Sample]:
    """The stored answers of a run, joined with their examples by id, sorted by id and draw."""
    return as_samples(folder.records(), examples)


def as_samples(records: Iterable[Record], examples: Sequence[Example]) -> list[Sample]:
    """Answers joined with their examples by id, in the order of the answers; those to other examples are left out."""
    by_id = {example.id: example for example in examples}
    return [
        Sample(by_id[record.example_id], record.draw, record.text, record.tokens, record.finish, record.failure)
        for record in records
        if record.example_id in by_id
    ]
