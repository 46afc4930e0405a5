"""The guarded Java process, with shell scripts in Java's place: they can be made to hang, crash and fork at will."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.errors import JavaError, MetricUnavailable
from harness.metrics.coco.java import find_java, java_path, run_java


def stand_in(home: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `java` under a JAVA_HOME with a space in its name."""
    java = home / "my java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(home / "my java"))
    return java


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that its new parent has not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_java_home_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = stand_in(tmp_path, "cat", monkeypatch)
    assert find_java() == java
    assert run_java(Path("x.jar"), "Main", [], "zwölf\n", timeout=300) == "zwölf\n"


def test_none_is_explained_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    assert java_path() is None
    with pytest.raises(MetricUnavailable, match="JAVA_HOME"):
        find_java()


def test_what_it_said_is_shown_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "cat >/dev/null; echo 'Could not reserve enough space' >&2; exit 3", monkeypatch)
    with pytest.raises(JavaError, match=r"code 3.*Could not reserve enough space"):
        run_java(Path("x.jar"), "Main", [], "text", timeout=300)


def test_a_process_that_does_not_read_is_no_broken_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "exit 1", monkeypatch)
    with pytest.raises(JavaError, match="code 1"):
        run_java(Path("x.jar"), "Main", [], "word " * 200_000, timeout=300)


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, r"printf '\377\n'", monkeypatch)
    with pytest.raises(JavaError, match="UTF-8"):
        run_java(Path("x.jar"), "Main", [], "", timeout=300)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see that processes are gone")
def test_a_slow_one_is_stopped_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    stand_in(tmp_path, f"sleep 3600 & echo $$ $! > '{pids}'; wait", monkeypatch)
    with pytest.raises(JavaError, match="did not answer within"):
        run_java(Path("x.jar"), "Main", [], "", timeout=5)
    assert not any(alive(int(pid)) for pid in _settled(pids))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see that processes are gone")
def test_children_go_even_if_it_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    stand_in(tmp_path, f"sleep 3600 >/dev/null 2>&1 & echo $! > '{pids}'; echo fine", monkeypatch)
    assert run_java(Path("x.jar"), "Main", [], "", timeout=300) == "fine\n"
    assert not any(alive(int(pid)) for pid in _settled(pids))


def test_it_works_in_a_folder_of_its_own_that_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "touch left-over; pwd", monkeypatch)
    before = Path.cwd()
    folder = Path(run_java(Path("x.jar"), "Main", [], "", timeout=300).strip())
    assert folder != before
    assert not folder.exists()
    assert not (before / "left-over").exists()


def _settled(pids: Path) -> list[str]:
    """The recorded process ids, after giving the system a moment to clear what was killed."""
    found = pids.read_text().split()
    assert found
    assert str(os.getpid()) not in found
    for _ in range(1200):
        if not any(alive(int(pid)) for pid in found):
            break
        time.sleep(0.1)
    return found
