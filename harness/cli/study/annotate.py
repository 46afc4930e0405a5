"""Starting the rating app. It is a process of its own, because imports run from the app to the harness and never back."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from harness.cli import console
from harness.cli.study.shared import find
from harness.errors import StudyError

_ANY = ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104  # addresses that this machine's own browser calls localhost


def serve(study: str, host: str, port: int, browse: bool, results: Path) -> NoReturn:
    """Become the app's process, which serves the study until it is stopped.

    Args:
        study: a name under `results/studies`, a folder, a SQLite file or a PostgreSQL URL.
        host: the address to listen on.
        port: the port to listen on.
        browse: open a browser.
        results: the folder of results.

    Raises:
        StudyError: what the app needs is not installed, there is no such study, or the port is taken.
    """
    if missing := [name for name in ("streamlit", "sqlalchemy", "alembic") if importlib.util.find_spec(name) is None]:
        raise StudyError(f"the rating app needs {', '.join(missing)}; install them with: pip install 'seetell[ui]'")
    from harness.study.service import StudyService

    where = place(study, results)
    StudyService.open(where).close()
    _check_port(host, port)
    _welcome(where, f"http://{'localhost' if host in _ANY else host}:{port}")
    command = [
        sys.executable,
        "-m",
        "annotation_ui",
        "--host",
        host,
        "--port",
        str(port),
        "--results",
        str(results.resolve()),
    ]
    command += ["--open"] if browse else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, os.environ | {"SEETELL_STUDY": where})  # noqa: S606  # a list, no shell


def place(study: str, results: Path) -> str:
    """Where a study is: a URL, or an absolute path, since the app's process is another one."""
    where = find(study, results)
    return where if isinstance(where, str) else str(where.resolve())


def _welcome(where: str, url: str) -> None:
    """Say where to go; while nobody has joined, with a link for the first one."""
    from harness.study.admin import StudyAdmin

    study = StudyAdmin.open(where)
    try:
        if not study.annotators():
            console.say(f"To rate, open {url}/?invite={study.invite(note='printed by annotate', by='annotate')}")
        console.say(f"To run the study, open {url}/admin with the secret that `seetell study create` printed")
    finally:
        study.close()


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise StudyError(f"--port is {port}; expected 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StudyError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port or --host"
        ) from error
