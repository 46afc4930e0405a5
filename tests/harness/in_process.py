"""The command line without a process of its own: a second cheaper each time, for tests of what a command does and says."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import console, main


def seetell_here(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `tests.harness.test_cli.seetell`, in this process: what a process remembers is remembered for the next call."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys, "argv", ["seetell", *arguments])
        shell = {"COLUMNS": "100", **environment}
        for name, value in shell.items():
            patch.setenv(name, value)
        for terminal in (console.out, console.err):  # which looked at their window when they were made
            patch.setattr(terminal, "_width", int(shell["COLUMNS"]))
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return subprocess.CompletedProcess(arguments, int(str(code)), out.getvalue(), err.getvalue())
