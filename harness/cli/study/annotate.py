"""`annotate` and `study serve`: start the rating app, in a process of its own: no import runs from the harness to the app."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import RESULTS, ResultsFolder
from harness.cli.study.shared import Name, find
from harness.errors import StudyError

_ANY = ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104  # addresses that this machine's own browser calls localhost


Host = Annotated[str, Parameter(help="The address to listen on.")]
Port = Annotated[int, Parameter(help="The port to listen on.")]
Browse = Annotated[bool, Parameter(name="--open", negative="--no-open", help="Open a browser.")]


def annotate(
    study: str, /, *, host: Host = "127.0.0.1", port: Port = 8501, browse: Browse = False, results: ResultsFolder = RESULTS
) -> NoReturn:
    """Serve a study, so that people can rate: pages, rating screen and database access in one process, until Ctrl-C.

    Annotators open an invitation link (`seetell study create` and `study invite` print them; while nobody has joined, this prints
    one too). Those who run the study open `/admin` with the secret that `study create` printed.
    To let other machines in, put a proxy with HTTPS in front, or listen on them all: `--host 0.0.0.0`.

    For example: `seetell annotate pilot --port 8600`.

    Args:
        study: A name under results/studies, a study's folder or file, or a postgresql:// URL.
    """
    _check_installed()
    from harness.study.service import StudyService

    address = place(study, results)
    StudyService.open(address).close()
    _check_port(host, port)
    _welcome(address, f"http://{'localhost' if host in _ANY else host}:{port}")
    command = [sys.executable, "-m", "annotation_ui", "--host", host, "--port", str(port)]
    command += ["--results", str(results.resolve()), *(["--open"] if browse else [])]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, os.environ | {"SEETELL_STUDY": address})  # noqa: S606  # a list, no shell


def serve(
    name: Name, /, *, host: Host = "127.0.0.1", port: Port = 8501, browse: Browse = False, results: ResultsFolder = RESULTS
) -> NoReturn:
    """Serve a study, so that people can rate: the same as `seetell annotate`.

    For example: `seetell study serve pilot --port 8600`.
    """
    annotate(name, host=host, port=port, browse=browse, results=results)


def _check_installed() -> None:
    if missing := [name for name in ("streamlit", "sqlalchemy", "alembic") if importlib.util.find_spec(name) is None]:
        raise StudyError(f"the rating app needs {', '.join(missing)}; install them with: pip install 'seetell[ui]'")


def place(study: str, results: Path) -> str:
    """Where a study is: a URL, or an absolute path, since the app's process is another one."""
    folder = find(study, results)
    return folder if isinstance(folder, str) else str(folder.resolve())


def _welcome(address: str, url: str) -> None:
    """Say where to go; while nobody has joined, with a link for the first one."""
    from harness.study.admin import StudyAdmin

    study = StudyAdmin.open(address)
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
        raise StudyError(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port or --host") from error
