"""Run a Java class as a guarded process: found or explained, timed, fed through stdin, and gone when the call returns."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path

from harness.errors import JavaError, MetricUnavailable

INSTALL = "install one (`apt-get install default-jre-headless`, or `conda install openjdk`) or set JAVA_HOME"
OLDEST = 8
"""Major version of the oldest Java that the jars run on."""
CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
"""What SPICE needs besides pycocoevalcap's jars."""
PATIENCE = "SEETELL_JAVA_SECONDS"
"""Environment variable: seconds that a Java process may take, in place of what its caller allows."""

_STDERR_TAIL = 800
_HARMLESS = re.compile(r"[A-Za-z0-9._/+\-]+")
_VERSION = re.compile(r'^JAVA_VERSION="?([^"\s]+)"?$', re.MULTILINE)
_HUNG: dict[tuple[Path, str], str] = {}
"""What did not answer in this process, and the message: nothing is waited for twice."""


def java_path() -> Path | None:
    """The `java` of JAVA_HOME, else of PATH; None if there is none. Starts nothing."""
    home = os.environ.get("JAVA_HOME")
    path = (shutil.which("java", path=str(Path(home) / "bin")) if home else None) or shutil.which("java")
    return Path(path) if path else None


def find_java() -> Path:
    """As `java_path`.

    Raises:
        MetricUnavailable: no Java on this machine.
    """
    path = java_path()
    if path is None:
        raise MetricUnavailable(f"a Java runtime is needed, and there is no `java` in JAVA_HOME or on PATH; {INSTALL}")
    return path


def java_major(java: Path) -> int | None:
    """8 for 1.8.0_392, 17 for 17.0.15, as the `release` file of the runtime says; None without one. Starts nothing."""
    try:
        version = _VERSION.search((java.resolve().parents[1] / "release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    numbers = [int(number) for number in re.findall(r"\d+", version.group(1))] if version else []
    return (numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]) if numbers else None


def find_jar(inside: str) -> Path | None:
    """A jar that ships inside the installed pycocoevalcap, such as `meteor/meteor-1.5.jar`, without importing it."""
    spec = util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        jar = Path(folder) / inside
        if jar.is_file():
            return jar.resolve()
    return None


def run_java(
    jars: Path | Sequence[Path],
    main: str,
    arguments: Sequence[str],
    text: str,
    *,
    timeout: float,
    heap: str = "512m",
    opened: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    answer: str | None = None,
) -> str:
    """Run a class with `text` on stdin and return what it answers, both UTF-8 whatever the locale.

    The process works in a temporary folder of its own and leads its own process group, which is killed on any way out. Jars
    whose path could get in Java's way are linked into that folder.

    Args:
        jars: the class path, absolute.
        main: the class.
        arguments: its arguments.
        text: stdin.
        timeout: seconds; `$SEETELL_JAVA_SECONDS` goes before it.
        heap: as for -Xmx.
        opened: packages that the class looks into by reflection, as `module/package`; Java 16 and newer must be told.
        files: what the folder must hold, by name.
        answer: the file in the folder that holds the answer; stdout by default.

    Raises:
        MetricUnavailable: no Java, or one that is too old.
        JavaError: it did not start, did not end in time (now or earlier in this process), ended with a code other than 0, or
            wrote something not UTF-8.
    """
    java = find_java()
    if (major := java_major(java)) is not None and major < OLDEST:
        raise MetricUnavailable(f"{java} is Java {major}, and {OLDEST} or newer is needed; {INSTALL}")
    if (java, main) in _HUNG:
        raise JavaError(_HUNG[java, main])
    with tempfile.TemporaryDirectory(prefix="seetell-java-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for file, content in (files or {}).items():
            (folder / file).write_bytes(content)
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
            os.pathsep.join(_reachable(jar, folder) for jar in ([jars] if isinstance(jars, Path) else jars)),
            main,
            *arguments,
        ]
        seconds = _patience(timeout)
        try:
            code, out, err = _communicate(command, text.encode(), folder, seconds, _environment(opened))
        except subprocess.TimeoutExpired as error:
            _HUNG[java, main] = (
                f"Java ({main}) did not answer within {seconds:g} s and was stopped; try again on a calmer machine, or allow "
                f"more: {PATIENCE}={max(1, round(10 * seconds))}"
            )
            raise JavaError(_HUNG[java, main]) from error
        lines = err.decode(errors="replace").splitlines()
        complaint = "\n".join(line for line in lines if not line.startswith("NOTE: Picked up")).strip()[-_STDERR_TAIL:]
        if "UnsupportedClassVersionError" in complaint:
            raise MetricUnavailable(
                f"{java} is too old for {main} (it said: {complaint}); {OLDEST} or newer is needed; {INSTALL}"
            )
        if code != 0:
            ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}, expected 0"
            raise JavaError(f"{main} {ending}; Java ({java}) said: {complaint or 'nothing'}")
        try:
            return ((folder / answer).read_bytes() if answer else out).decode()
        except OSError as error:
            raise JavaError(f"{main} wrote no answer ({error}); Java said: {complaint or 'nothing'}") from error
        except UnicodeDecodeError as error:
            raise JavaError(f"{main} answered with bytes that are not UTF-8 ({error}); Java said: {complaint}") from error


def _reachable(jar: Path, folder: Path) -> str:
    """The jar's path if any Java can read it, else that of a copy in the folder.

    Java reads paths in the locale's encoding, and METEOR and the class path stumble over signs such as `%` and `:`.
    """
    if _HARMLESS.fullmatch(str(jar)):
        return str(jar)
    copy = folder / jar.name
    if jar.is_dir():
        shutil.copytree(jar, copy)
    else:
        try:
            os.link(jar, copy)
        except OSError:
            shutil.copyfile(jar, copy)
    return str(copy)


def _environment(opened: Sequence[str]) -> dict[str, str]:
    """The user's own, with what is to be opened: Java 9 and newer read it there, Java 8 does not and need not."""
    flags = [os.environ.get("JDK_JAVA_OPTIONS", ""), *(f"--add-opens={package}=ALL-UNNAMED" for package in opened)]
    return {**os.environ, "JDK_JAVA_OPTIONS": " ".join(flags).strip()} if opened else dict(os.environ)


def _patience(timeout: float) -> float:
    patience = os.environ.get(PATIENCE)
    if not patience:
        return timeout
    try:
        seconds = float(patience)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e9:
        raise JavaError(f"{PATIENCE}={patience!r}; expected a number of seconds above 0")
    return seconds


def _communicate(
    command: Sequence[str], text: bytes, folder: Path, timeout: float, environment: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=environment, start_new_session=True
        )
    except OSError as error:
        raise JavaError(f"{command[0]} cannot be started ({error}); {INSTALL}") from error
    with process:
        try:
            out, err = process.communicate(text, timeout)
        finally:
            _kill(process)
    return process.returncode, out, err


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started; those that have ended already are no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
