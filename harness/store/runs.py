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
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import (
    RunIncomplete,
    RunLocked,
    StoreError,
)
from harness.store.answers import Key as Key
from harness.store.answers import (
    Part,
    read_part,
    read_samples,
    write_samples,
    write_table,
)
from harness.store.answers import Record as Record
from harness.store.durable import make_folder
from harness.store.durable import replacing as replacing
from harness.store.durable import sync_folder as sync_folder
from harness.store.durable import write_bytes as write_bytes
from harness.store.durable import write_json as write_json
from harness.suites.examples import Example, Sample
from harness.suites.places import cache_folder as cache_folder  # who looks for it looks here
from harness.suites.settings import settings_of
from harness.suites.spec import (
    RunSpec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


if sys.platform != "win32":
    import fcntl


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
            StoreError: it is missing or no description of a run.
        """
        file = self.path / "run.json"
        try:
            content: dict[str, Any] = json.loads(file.read_bytes())
            _ = content["identity"], content["spec"], content["suite"], content["environment"], content["created"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{file} cannot be read ({error!r}); delete it if it is there, and run the suite again, which writes it anew and "
                "keeps the answers"
            ) from error
        return content

    def open(self, spec: RunSpec, answers: int, suite: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write run.json for a run that starts or is resumed; `answers` is how many it needs.

        Raises:
            StoreError: the folder holds a run of another identity whose first eight digits agree.
        """
        identity = spec.identity()
        created = _now()
        finished: dict[str, str] = {}
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
                finished = {"finished": before["finished"]} if "finished" in before else {}
        content = {
            "identity": identity,
            "spec": spec.model_dump(mode="json"),
            "suite": dict(suite),
            "environment": dict(environment),
            "answers": answers,
            "created": created,
            "state": "complete" if self.complete else "running",
            **finished,
        }
        write_json(self.path / "run.json", content)

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
            StoreError: a line other than the last of a part is damaged, or the parquet file is.
        """
        if not self.complete:
            found: dict[Key, Record] = {}
            try:
                for part in sorted((self.path / "parts").glob("*.jsonl")):
                    for record in read_part(part):
                        found.setdefault(record.key, record)
            except FileNotFoundError:
                if not self.complete:
                    raise
            if not self.complete:  # else whoever writes it has finished meanwhile, and parts may have gone unread
                return [found[key] for key in sorted(found)]
        return read_samples(self.path / "samples.parquet")

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
            write_samples(self.path / "samples.parquet", records)
        for part in (self.path / "parts").glob("*.jsonl"):
            part.unlink()
        with contextlib.suppress(OSError):
            (self.path / "parts").rmdir()
        content = self.describe()
        if "finished" not in content:
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
        """Store scores and, under their names, the rows behind them. Of two processes that do, one waits for the other."""
        folder = self.path / "rows"
        with _locked(self.path / ".scores.lock", wait=True):
            for name, values in rows.items():
                _write_rows(folder / f"{name}.parquet", values)
            write_json(self.path / "scores.json", dict(content))
            for file in folder.glob("*.parquet"):
                if file.stem not in rows:
                    file.unlink()

    def rows(self, name: str) -> NDArray[np.float64]:
        """The rows stored under a name, `[n, k]`, in the order of `records`.

        Raises:
            StoreError: their file is missing or damaged.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.path / "rows" / f"{name}.parquet"
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"{file} cannot be read ({error}); delete {self.path / 'scores.json'} and run `seetell score`, which makes both "
                "anew"
            ) from error
        columns = [column.to_numpy(zero_copy_only=False) for column in table.columns]
        return np.stack(columns, axis=1).astype(np.float64)


@contextlib.contextmanager
def _locked(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file.

    Raises:
        BlockingIOError: another process holds it, and it was not to be waited for.
        StoreError: it lies in a place that knows no locks.
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


def _write_rows(path: Path, rows: NDArray[np.float64]) -> None:
    import pyarrow as pa

    write_table(path, pa.table({f"s{index}": rows[:, index] for index in range(rows.shape[1])}))


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
