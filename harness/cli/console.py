"""What the command line shows: progress bars, notices, tables. Quiet where nobody is watching.

Progress goes to standard error, results to standard output, so that `--json` can be piped.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from harness.cli.suggested import runnable
from harness.store.text import to_json

_PIPED_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where nobody's window is known."""


_BROKEN_WORD = 20
"""Longer words than this, such as hashes and signatures, may be broken."""


_RULES = 3
"""A rule and two spaces a column; one more rule closes the table."""


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What commands a terminal, turns a line round, or is half of a surrogate pair."""


class _Terminal(Console):
    """rich's console, whose reader may leave (`| head`): the command line decides what becomes of that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


_width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH


out = _Terminal(soft_wrap=True, highlight=False, width=_width)


err = _Terminal(stderr=True, soft_wrap=True, highlight=False)


def shown(text: str) -> str:
    """Text from anywhere as a terminal may show it: nothing in it is markup, and what must not be printed is written out."""
    return escape(_UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text))


def say(text: str) -> None:
    """A line for the user, on standard error; nothing in it is read as markup, and commands between backticks can be copied."""
    err.print(shown(runnable(text)))


def note(text: str) -> None:
    """As `say`, on standard output: what belongs to a table there."""
    out.print(shown(runnable(text)))


def complain(text: str) -> None:
    """An error: what is wrong, what was expected, what mends it."""
    err.print(f"[bold red]error:[/] {shown(runnable(text))}")


def emit(content: Any) -> None:
    """A JSON document on standard output."""
    sys.stdout.write(to_json(content))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table on standard output; `right` are the columns to align right.

    Where the window is too narrow for it, columns go on below, beside the first one again, before any number is broken.
    """
    widths = [max(map(_longest_word, cells)) for cells in zip(columns, *rows, strict=True)]
    for number, part in enumerate(_parts(widths, out.width)):
        table = Table(title=shown(title) if title and not number else None, title_justify="left", header_style="bold")
        for index in part:
            side: Literal["left", "right"] = "right" if index in right else "left"
            table.add_column(shown(columns[index]), justify=side, overflow="fold", min_width=widths[index])
        for row in rows:
            table.add_row(*(shown(row[index]) for index in part))
        out.print(table)


def _longest_word(cell: str) -> int:
    return min(max(map(cell_len, cell.split()), default=0), _BROKEN_WORD)


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns that fit beside each other, by index; each part begins with the first column."""
    parts = [[0]]
    for index in range(1, len(widths)):
        fitting = sum(widths[each] + _RULES for each in (*parts[-1], index)) < room
        if fitting or len(parts[-1]) == 1:
            parts[-1].append(index)
        else:
            parts.append([0, index])
    return parts


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
