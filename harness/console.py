"""What the command line shows: progress bars, notices, tables. Quiet where nobody is watching.

Progress goes to standard error, results to standard output, so that `--json` can be piped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_PIPED_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where nobody's window is known."""

_width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
out = Console(soft_wrap=True, highlight=False, width=_width)
err = Console(stderr=True, soft_wrap=True, highlight=False)


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Text from anywhere for `out.print`: nothing in it is read as markup, moves the cursor, colours or turns the line round."""
    return escape(_CONTROLS.sub("\ufffd", text))


def say(text: str) -> None:
    """A line for the user, on standard error; nothing in it is read as markup."""
    err.print(shown(text))


def complain(text: str) -> None:
    """An error: what is wrong, what was expected, what mends it."""
    err.print(f"[bold red]error:[/] {shown(text)}")


def emit(content: Any) -> None:
    """A JSON document on standard output."""
    sys.stdout.write(to_json(content))


def to_json(content: Any) -> str:
    """A JSON document, readable and with NaN refused."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table on standard output; `right` are the columns to align right."""
    table = Table(title=shown(title) or None, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(shown(column), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(shown(cell) for cell in row))
    out.print(table)


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; the value is a function of (done, total). No bar unless a terminal watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(escape(what), total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


@contextlib.contextmanager
def training_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """As `progress_bar`, with a note behind the bar that changes; the value is a function of (done, total, note)."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(escape(what), total=None, note="")
        yield lambda done, total, note: progress.update(bar, completed=done, total=total, note=note)
