"""A real PostgreSQL for tests: the system's own binaries, a temporary folder, a free port; gone when the tests are."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_COUNTER = itertools.count(1)


class Server:
    """A running server with as many empty databases as are asked for."""

    def __init__(self, port: int, user: str) -> None:
        self.port, self.user = port, user

    def url(self, database: str) -> str:
        """The address of a database of this server."""
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"study_{os.getpid()}_{next(_COUNTER)}"
        address = f"host=127.0.0.1 port={self.port} user={self.user} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)


def binaries() -> Path | None:
    """The folder that holds initdb and pg_ctl, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Start a server; skips the test, saying so, where there is none to start."""
    pytest.importorskip("psycopg", reason="psycopg is not installed, so there is nothing to talk to PostgreSQL with")
    folder = binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql/*/bin or on the path")
    root = Path(tempfile.mkdtemp(prefix="seetell-pg-"))
    data, port = root / "data", _free_port()
    as_user = _as_another_user(root)
    settings = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=64MB"
    try:
        _run([*as_user, folder / "initdb", "-D", data, "-U", "study", "-A", "trust", "-E", "UTF8", "--locale=C"])
        _run([*as_user, folder / "pg_ctl", "-D", data, "-w", "-t", "300", "-l", root / "log", "-o", settings, "start"])
        yield Server(port, "study")
    finally:
        if (data / "postmaster.pid").exists():
            _run([*as_user, folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
        shutil.rmtree(root, ignore_errors=True)


def _as_another_user(root: Path) -> list[str]:
    """initdb refuses to run as root, so there it is run as `postgres` (or `nobody`)."""
    if sys.platform == "win32" or os.getuid() != 0:
        return []
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            os.chown(root, account.pw_uid, account.pw_gid)
            return ["runuser", "-u", name, "--"]
    pytest.skip("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")


def _run(command: list[str | Path]) -> None:
    # Not captured through a pipe: the server would inherit it and keep it open.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [str(part) for part in command], cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )
        said.seek(0)
        assert done.returncode == 0, f"{command}: {said.read().decode(errors='replace')}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
