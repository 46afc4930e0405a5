"""Signal 9 at every line of the store's code, a full disk, two writers and a reader: nothing that was promised is lost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import UserDict
from collections.abc import KeysView
from pathlib import Path

import numpy as np
import pytest

from harness.errors import RunLocked, StoreError
from harness.store import runs as store
from harness.store.runs import Record, Results, RunFolder, replacing
from tests.harness.test_spec import spec
from tests.harness.test_store import open_run, records

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.heavy)])
def test_a_writer_can_be_killed_at_any_line(tmp_path: Path, every: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.killed_store", str(tmp_path), str(every)],
        cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert len(told["deaths"]) > 200 // every
    for death in told["deaths"]:
        assert death["status"] == 9, death["line"]
        assert death["before"] >= death["promised"], death["line"]  # what `append` has returned from is there
        assert death["before"] + death["decoded"] == 3, death["line"]  # and is not decoded again
        assert death["samples"] == told["whole"], death["line"]
        assert death["state"] == ["complete", True], death["line"]
        assert death["left"] == [], death["line"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from harness.store.runs import Record, Results, write_json
from tests.harness.test_store import open_run
folder = open_run(Path(sys.argv[1]))
with folder.part() as part:
    part.append([Record("a", 0, "x" * 100, (), "eos")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        part.append([Record("b", number, "y" * 300, (), "eos") for number in range(5)])
    except Exception as error:
        print(type(error).__name__, error)
try:
    write_json(folder.path / "run.json", {"long": "z" * 2000})
except OSError as error:
    print(error.filename, error.strerror)
"""


def test_a_full_disk_loses_only_what_did_not_fit(tmp_path: Path) -> None:
    """A limit on the size of files makes real writes fail half-way, as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("StoreError ")
    assert "000001.jsonl cannot be written (File too large)" in first
    assert "what was stored before is kept" in first
    folder = Results(tmp_path).run(spec())
    assert second == f"{folder.path / 'run.json'} File too large"
    assert folder.describe()["state"] == "running"  # as it was
    assert (folder.path / "parts" / "000001.jsonl").stat().st_size == 1000  # it did stop in the middle of a line
    assert [record.key for record in folder.records()] == [("a", 0), ("b", 0), ("b", 1)]
    with folder.part() as part:
        part.append([Record("b", 2, "y", (), "eos")])
    assert [record.key for record in folder.records()] == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]
    assert not list(folder.path.glob(".*.tmp"))


def test_a_disk_that_is_full_is_named_by_the_file(tmp_path: Path) -> None:
    """A device that is always full stands for the disk; the error of a write does not name a file by itself."""
    with (
        pytest.raises(OSError, match="No space left") as caught,
        replacing(tmp_path / "file"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert caught.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_reader_that_meets_the_end_of_a_run_sees_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding the parts and reading them, the writer finishes and drops them."""
    folder = open_run(tmp_path)
    for start in range(0, len(records()), 5):
        with folder.part() as part:
            part.append(records()[start : start + 5])
    everything = folder.records()
    read = store.read_part
    for meet in ("000001.jsonl", "000003.jsonl"):  # before any is read; between two of them
        written = folder.path / "parts"

        def late(file: Path, meet: str = meet) -> list[Record]:
            if file.name == meet and file.exists():
                monkeypatch.setattr(store, "read_part", read)
                RunFolder(folder.path).finish([record.key for record in records()])
            return read(file)

        kept = {file.name: file.read_bytes() for file in written.iterdir()}
        monkeypatch.setattr(store, "read_part", late)
        assert folder.records() == everything
        assert folder.complete
        (folder.path / "samples.parquet").unlink()
        written.mkdir()
        for name, content in kept.items():
            (written / name).write_bytes(content)


class Slow(UserDict[str, str]):
    """Scores of a writer that, once its rows are there, gives another one the time to write everything."""

    other = threading.Event()

    def keys(self) -> KeysView[str]:
        self.other.wait(1)
        return super().keys()


def test_two_that_score_one_run_leave_the_scores_and_rows_of_one(tmp_path: Path) -> None:
    folder, rows = open_run(tmp_path), np.ones((2, 1))
    content = Slow({"rows": "cider-a"})
    slow = threading.Thread(target=folder.write_scores, args=(content, {"cider-a": rows}))
    slow.start()
    while not (folder.path / "rows" / "cider-a.parquet").exists():
        time.sleep(0.001)
    RunFolder(folder.path).write_scores({"rows": "cider-b"}, {"cider-b": rows})
    content.other.set()
    slow.join()
    scores = folder.scores()
    assert scores is not None
    assert [file.stem for file in (folder.path / "rows").glob("*.parquet")] == [scores["rows"]]


def test_what_a_killed_process_left_half_written_goes_with_the_next_writer(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    left = [folder.path / f".{name}.0123456789abcdef.tmp" for name in ("run.json", "samples.parquet", "scores.json")]
    for file in left:
        file.write_bytes(b"{")
    with folder.lock():
        assert [file.exists() for file in left] == [False, False, True]  # scores are written without this lock


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"identity": "0"}', b"\xff"])
def test_a_damaged_description_is_told_with_what_mends_it(tmp_path: Path, content: bytes) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    before = folder.records()
    (folder.path / "run.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"run\.json cannot be read .*; delete it") as caught:
        folder.open(spec(), len(records()), {"name": "s"}, {"python": "3"})
    assert "keeps the answers" in str(caught.value)
    (folder.path / "run.json").unlink()
    folder.open(spec(), len(records()), {"name": "s"}, {"python": "3"})
    assert folder.records() == before


def test_damaged_or_lost_rows_are_told_with_what_mends_them(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    folder.write_scores({"metrics": {}}, {"cider-1": np.ones((2, 1))})
    file = folder.path / "rows" / "cider-1.parquet"
    file.write_bytes(file.read_bytes()[:-5])
    for _ in range(2):
        with pytest.raises(StoreError, match=r"cider-1\.parquet cannot be read .*; delete .*scores\.json"):
            folder.rows("cider-1")
        file.unlink(missing_ok=True)


def test_a_run_that_is_asked_for_again_keeps_the_time_when_it_ended(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    folder.finish([record.key for record in records()])
    ended = folder.describe()
    assert ended["finished"] >= ended["created"]
    folder.open(spec(), len(records()), {"name": "s"}, {"python": "another"})
    folder.finish([record.key for record in records()])
    assert folder.describe() == ended


def test_a_lock_ends_with_its_process_and_not_before(tmp_path: Path) -> None:
    """A child that holds the run is killed; until then nobody else gets it."""
    folder = open_run(tmp_path)
    holder = "import sys\nfrom pathlib import Path\nfrom harness.store.runs import RunFolder\n" \
        "with RunFolder(Path(sys.argv[1])).lock():\n    print(flush=True)\n    sys.stdin.read()\n"  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(folder.path)],
        cwd=REPOSITORY, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(RunLocked), folder.lock():
        pass
    process.kill()
    process.communicate()
    with folder.lock():
        pass
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # the limit above stayed in its process
