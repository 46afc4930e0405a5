"""Run a Java class as a guarded process: found or explained, timed, fed through stdin, and gone when the call returns."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from harness.errors import JavaError, MetricUnavailable

INSTALL = "install one (`apt-get install default-jre-headless`, or `conda install openjdk`) or set JAVA_HOME"
_STDERR_TAIL = 800


def java_path() -> Path | None:
    """The `java` of JAVA_HOME, else of PATH; None if there is none. Starts nothing."""
    home = os.environ.get("JAVA_HOME")
    found = (shutil.which("java", path=str(Path(home) / "bin")) if home else None) or shutil.which("java")
    return Path(found) if found else None


def find_java() -> Path:
    """As `java_path`.

    Raises:
        MetricUnavailable: no Java on this machine.
    """
    path = java_path()
    if path is None:
        raise MetricUnavailable(f"a Java runtime is needed, and there is no `java` in JAVA_HOME or on PATH; {INSTALL}")
    return path


def find_jar(inside: str) -> Path | None:
    """A jar that ships inside the installed pycocoevalcap, such as `meteor/meteor-1.5.jar`, without importing it."""
    spec = util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        jar = Path(folder) / inside
        if jar.is_file():
            return jar.resolve()
    return None


def run_java(jar: Path, main: str, arguments: Sequence[str], text: str, *, timeout: float, heap: str = "512m") -> str:
    """Run a class with `text` on stdin and return its stdout, both UTF-8 whatever the locale.

    The process works in a temporary folder of its own and leads its own process group, which is killed on any way out.

    Args:
        jar: class path, absolute.
        main: the class.
        arguments: its arguments.
        text: stdin.
        timeout: seconds.
        heap: as for -Xmx.

    Raises:
        MetricUnavailable: no Java.
        JavaError: it did not start, did not end in time, ended with a code other than 0, or wrote something not UTF-8.
    """
    java = find_java()
    with tempfile.TemporaryDirectory(prefix="seetell-java-") as folder:
        command = [
            str(java),
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dfile.encoding=UTF-8",
            "-Duser.language=en",
            "-Duser.country=US",
            f"-Djava.io.tmpdir={folder}",
            "-cp",
            str(jar),
            main,
            *arguments,
        ]
        code, out, err = _communicate(command, text.encode(), Path(folder), timeout)
    said = err.decode(errors="replace").strip()[-_STDERR_TAIL:]
    if code != 0:
        raise JavaError(f"{main} ended with code {code}, expected 0; Java ({java}) said: {said or 'nothing'}")
    try:
        return out.decode()
    except UnicodeDecodeError as error:
        raise JavaError(f"{main} answered with bytes that are not UTF-8 ({error}); Java said: {said}") from error


def _communicate(command: Sequence[str], text: bytes, folder: Path, timeout: float) -> tuple[int, bytes, bytes]:
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, start_new_session=True)
    except OSError as error:
        raise JavaError(f"{command[0]} cannot be started ({error}); {INSTALL}") from error
    with process:
        try:
            out, err = process.communicate(text, timeout)
        except subprocess.TimeoutExpired as error:
            raise JavaError(
                f"Java did not answer within {timeout:.0f} s and was stopped; try again on a calmer machine"
            ) from error
        finally:
            _kill(process)
    return process.returncode, out, err


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started; those that have ended already are no error."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
