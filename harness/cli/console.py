"""What the command line shows: progress bars, notices, tables. Quiet where nobody is watching.

Progress goes to standard error, results to standard output, so that `--json` can be piped. Commands between backticks in a
message can be copied: they get the `--results` that the user's own command had.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO, Any, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from decoders.errors import SeeTellError
from harness.store.text import to_json

_PIPED_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where nobody's window is known."""
_BROKEN_WORD = 20
"""Longer words than this, such as hashes and signatures, may be broken."""
_RULES = 3
"""A rule and two spaces a column; one more rule closes the table."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What commands a terminal, turns a line round, or is half of a surrogate pair."""
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""Of a write, whose error names no file."""
_LOG_SECONDS = 60
"""Between two lines about progress where no terminal shows a bar."""
_RESULTS_FLAG = "--results"
_COMMAND = re.compile(r"`(seetell [^`]+)`")
takes_results: Callable[[Sequence[str]], bool] = lambda words: False  # noqa: E731 - replaced by the command line
"""Whether the verb that these words begin with has `--results`; `harness.cli` knows its verbs and sets this."""


_results: list[TextIO] = []
"""Standard output while `results_only` is in force."""


class _Terminal(Console):
    """rich's console, whose reader may leave (`| head`): the command line decides what becomes of that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    @property
    def file(self) -> IO[str]:
        """Standard error or, for results, the standard output that `results_only` keeps for them."""
        return _results[-1] if _results and not self.stderr else super().file

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file


_on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None: it was closed
_width = None if _on_terminal or "COLUMNS" in os.environ else _PIPED_WIDTH
out = _Terminal(soft_wrap=True, highlight=False, width=_width, emoji=False)
err = _Terminal(stderr=True, soft_wrap=True, highlight=False, emoji=False)


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Keep standard output for what this module writes; what plug-ins and libraries print goes to standard error."""
    _results.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _results.pop()


def write(text: str) -> None:
    """A document, or a part of one, on standard output, as it is."""
    (_results[-1] if _results else sys.stdout).write(text)


def shown(text: str) -> str:
    """Text from anywhere as a terminal may show it: nothing in it is markup, and what must not be printed is written out."""
    return escape(_UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode(), text))


def runnable(text: str) -> str:
    """A message in which every command between backticks works when it is copied.

    Where results lie is the user's choice of the moment, so whoever writes a message need not know it. A folder named in the
    environment is named for the next command too.
    """
    folder = _results_given(sys.argv[1:])
    return _COMMAND.sub(lambda match: f"`{_with_results(match[1], folder)}`", text) if folder else text


def _results_given(arguments: Sequence[str]) -> str:
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{_RESULTS_FLAG}="):
            return argument.removeprefix(f"{_RESULTS_FLAG}=")
        if argument == _RESULTS_FLAG and place + 1 < len(arguments):
            return arguments[place + 1]
    return ""


def _with_results(command: str, folder: str) -> str:
    if _RESULTS_FLAG in command or not takes_results(command.split()[1:]):
        return command
    return f"{command} {_RESULTS_FLAG} {shlex.quote(folder)}"


def say(text: str) -> None:
    """A line for the user, on standard error; nothing in it is read as markup, and commands between backticks can be copied."""
    err.print(shown(runnable(text)))


def note(text: str) -> None:
    """As `say`, on standard output: what belongs to a table there."""
    out.print(shown(runnable(text)))


def complain(text: str) -> None:
    """An error: what is wrong, what was expected, what repairs it."""
    err.print(f"[bold red]error:[/] {shown(runnable(text))}")


def sentence_of(error: BaseException) -> str:
    """What went wrong, in a sentence; with SEETELL_TRACEBACK=1 the traceback is printed too."""
    if os.environ.get("SEETELL_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, SeeTellError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        path = error.filename2 or error.filename  # of a rename, where it was to go
        return (
            f"{path} cannot be used ({error.strerror}); expected what can be read, or a place that can be written: --results, "
            "--out, SEETELL_CACHE and the like name such places"
        )
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return f"writing failed ({error.strerror}); expected room on the disk, and a standard output that can be written"
    if isinstance(error, SystemExit):
        return (
            f"a plug-in, or a library that it uses, ended the program by sys.exit({error.code!r}); repair or uninstall it. "
            "SEETELL_TRACEBACK=1 shows where"
        )
    return f"{type(error).__name__}: {error}. SEETELL_TRACEBACK=1 shows where"


def emit(content: Any) -> None:
    """A JSON document on standard output."""
    write(to_json(content))


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    *,
    left: Collection[int] | None = None,
) -> None:
    """A table on standard output; `right` are the columns to align right, or `left` those that are not.

    Where the window is too narrow for it, columns go on below, beside the first one again, before any number is broken.
    """
    if left is not None:
        right = [column for column in range(len(columns)) if column not in left]
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
        fitting = sum(widths[column] + _RULES for column in (*parts[-1], index)) < room
        if fitting or len(parts[-1]) == 1:
            parts[-1].append(index)
        else:
            parts.append([0, index])
    return parts


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; the value is a function of (done, total). In a file or a pipe: a line a minute."""
    with _progress(title) as progress:
        yield lambda done, total: progress(done, total, "")


@contextlib.contextmanager
def step_bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """As `progress_bar`, for work in several steps; the value is a function of (step, done, total)."""
    with progress_bar(title) as progress:
        yield lambda _, done, total: progress(done, total)


@contextlib.contextmanager
def training_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """As `progress_bar`, with a note behind the bar that changes; the value is a function of (done, total, note)."""
    with _progress(title, TextColumn("{task.fields[note]}", markup=False)) as progress:
        yield progress


@contextlib.contextmanager
def _progress(title: str, *more: TextColumn) -> Iterator[Callable[[int, int, str], None]]:
    if not err.is_terminal:
        yield MinuteLines(title).update
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), *more)
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task(escape(title), total=None, note="")
        yield lambda done, total, note: progress.update(bar, completed=done, total=total, note=note)


class MinuteLines:
    """Progress for a log: what is done, what is due, the rate and the time left, at most once a minute.

    Args:
        title: begins each line.
        clock: seconds.
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._clock = clock
        self._last = clock()
        self._first: tuple[float, int] | None = None

    def update(self, done: int, total: int, note: str = "") -> None:
        """Write a line if the last one is a minute old; what was done when this was first called is no work of this process."""
        now = self._clock()
        if self._first is None:
            self._first = now, done
        if now - self._last < _LOG_SECONDS:
            return
        self._last = now
        since, before = self._first
        rate = (done - before) / (now - since) if now > since else 0.0
        share = f" ({100 * done / total:.0f} %)" if total else ""
        pace = f", {_rate(rate)}, {duration((total - done) / rate)} left" if rate > 0 else ""
        say(f"{self._title}: {done:,} of {total:,}{share}{pace}" + (f"; {note}" if note else ""))


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"


def duration(seconds: float) -> str:
    """Such as `40 s`, `12 min` or `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
