"""A writer of one run that is killed at every line of the store's code, one child process a line.

    python -m tests.harness.killed_store FOLDER EVERY

It prints a JSON list: for each death the line, how many answers had been promised to be on disk, and what was found afterwards.
Forking needs a process without threads, which a process of pytest is not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow.parquet  # noqa: F401 - before forking, which makes the children quick

from harness.store.runs import Record, Results, RunFolder
from harness.suites.examples import Failure
from tests.harness.test_spec import spec

CODE = frozenset({"runs.py", "answers.py", "durable.py"})
BATCHES = [
    [Record("b", 0, "a red boat", (5, 0), "eos"), Record("a", 0, "line\nbreak", (7,), "length")],
    [Record("c", 0, failure=Failure("UnreadableImage", "c.jpg: no image"))],
]
KEYS = [record.key for batch in BATCHES for record in batch]
ROUNDS = 3
"""The first few times that a line is reached, it is a place to die at."""


def write(folder: RunFolder, promise: int) -> None:
    """What `harness.decode.run.decode` does of a run: whatever is missing, batch by batch, then the end of it."""
    with folder.lock():
        folder.open(spec(), len(KEYS), {"name": "s"}, {"python": "3"})
        known = {record.key for record in folder.records()}
        if not folder.complete:
            with folder.part() as part:
                for batch in BATCHES:
                    missing = [record for record in batch if record.key not in known]
                    part.append(missing)
                    os.write(promise, b"." * len(missing))
        folder.finish(KEYS)


class Places:
    """Counts the lines of the store that are run, and ends the process at one of them."""

    def __init__(self, deadly: int | None = None) -> None:
        self.deadly = deadly
        self.seen: Counter[tuple[str, int]] = Counter()
        self.lines: list[str] = []

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        file = Path(frame.f_code.co_filename)
        if file.name not in CODE or file.parent.name != "store":
            return None
        place = file.name, frame.f_lineno
        if event == "line":
            self.seen[place] += 1
            if self.seen[place] <= ROUNDS:
                if len(self.lines) == self.deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.lines.append(f"{file.name}:{frame.f_lineno}")
        return self.trace


def play(folder: RunFolder, deadly: int | None) -> tuple[int, int, list[str]]:
    """Write in a child; its exit status, the answers it was promised, and the lines it went through if it lived."""
    reading, promise = os.pipe()
    listing, lines = os.pipe()
    child = os.fork()
    if not child:
        places = Places(deadly)
        sys.settrace(places.trace)
        write(folder, promise)
        sys.settrace(None)
        os.write(lines, "\n".join(places.lines).encode())
        os._exit(0)
    os.close(promise)
    os.close(lines)
    with os.fdopen(reading, "rb") as promised, os.fdopen(listing, "rb") as listed:
        kept, said = len(promised.read()), listed.read().decode().split("\n")
    return os.waitpid(child, 0)[1], kept, said


def found(folder: RunFolder) -> dict[str, Any]:
    """What the next process sees, before and after it has gone on."""
    before = len(folder.records())
    reading, promise = os.pipe()
    write(folder, promise)
    os.close(promise)
    with os.fdopen(reading, "rb") as file:
        decoded = len(file.read())
    description = folder.describe()
    return {
        "before": before,
        "decoded": decoded,
        "samples": (folder.path / "samples.parquet").read_bytes().hex(),
        "state": [description["state"], "finished" in description],
        "left": sorted(file.name for file in folder.path.rglob("*") if file.suffix == ".tmp" or "parts" in file.parts),
    }


def main(root: Path, every: int) -> None:
    """Die at every `every`-th place there is."""
    status, promised, places = play(Results(root / "whole").run(spec()), None)
    assert (status, promised) == (0, len(KEYS))
    deaths = []
    for deadly in range(0, len(places), every):
        folder = Results(root / "killed").run(spec())
        status, promised, _ = play(folder, deadly)
        deaths.append({"line": places[deadly], "status": status, "promised": promised, **found(folder)})
        shutil.rmtree(root / "killed")
    whole = (Results(root / "whole").run(spec()).path / "samples.parquet").read_bytes()
    json.dump({"whole": whole.hex(), "deaths": deaths}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
