"""The leaderboard as LaTeX for a paper: booktabs tables, values over their intervals, significance letters raised.

Text from outside is escaped character by character, so a decoder's label can neither run a command nor break the table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from harness.leaderboard.frame import Board, Cell, Row, Standing
from harness.leaderboard.markdown import CAUTION, count_text, notes
from harness.store.latex import _SPECIAL, HEAD, latex, number
from harness.store.numbers import Column

WIDEST = 7
"""Columns beside each other that can still be read across a page; a board with more becomes several tables."""


def to_latex(boards: Sequence[Board]) -> str:
    """A `table*` or several for each board that has runs. Published numbers are left out: papers cite them from the source."""
    tables = [table for board in boards if board.rows for table in _tables(board)]
    return "\n\n".join(["\n".join(HEAD), *tables]) + "\n"


def _tables(board: Board) -> list[str]:
    """The columns in equal parts, each a table with all rows; below the first stands the legend."""
    count = max(1, -(-len(board.columns) // WIDEST))
    ends = [len(board.columns) * part // count for part in range(count + 1)]
    return [_table(board, board.columns[start:end], first=not start) for start, end in itertools.pairwise(ends)]


def _table(board: Board, columns: Sequence[Column], *, first: bool) -> str:
    heads = ["System", *(f"{latex(column.label)} {latex(column.arrow)}".strip() for column in columns), "Texts"]
    standings = [board.standings(column) for column in columns]
    lines = []
    for index, row in enumerate(board.ordered()):
        cells = [
            _value(row, column, column_standings[index]) for column, column_standings in zip(columns, standings, strict=True)
        ]
        lines.append(" & ".join([latex(row.name), *cells, latex(count_text(row))]) + r" \\")
        ends = [_interval(row.cells.get(column.name), column) for column in columns]
        if any(ends):
            lines.append(" & ".join(["", *ends, ""]) + r" \\[2pt]")
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{latex(board.description or board.suite)}{'' if first else ' (continued)'}.}}",
            # Made smaller where it is wider than the page, never larger.
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}r}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            *([_below(" ".join(map(latex, notes(board))))] if first else []),
            *_signatures(board, columns),
            r"\end{table*}",
        ]
    )


def _value(row: Row, column: Column, standing: Standing) -> str:
    cell = row.cells.get(column.name)
    if cell is None or math.isnan(cell.value):
        return "n/a" if cell is not None and cell.unavailable else latex("–")
    text = number(column.show(cell.value))
    marks = (CAUTION if cell.caution else "", cell.partial(row.failed), cell.letters, standing.group)
    raised = "".join(rf"\textsuperscript{{{latex(mark)}}}" for mark in marks if mark)
    return (rf"\textbf{{{text}}}" if standing.best else text) + raised


def _interval(cell: Cell | None, column: Column) -> str:
    if cell is None or cell.interval is None or cell.number is None:
        return ""
    low, high = cell.interval
    return rf"{{\scriptsize {number(column.show(low))} to {number(column.show(high))}}}"


def _signatures(board: Board, columns: Sequence[Column]) -> list[str]:
    """How each number was made, a paragraph a signature, which may be broken at its bars."""
    names: dict[str, list[str]] = {}
    for column, capital, signature in board.all_signatures():
        if column in columns:
            mark = rf"\textsuperscript{{{capital}}}" if capital else ""
            names.setdefault(signature, []).append(latex(column.label) + mark)
    bar = _SPECIAL["|"]
    shown = {signature: latex(signature).replace(bar, bar + r"\allowbreak{}") for signature in names}
    return [_below(rf"{', '.join(systems)}: \texttt{{{shown[signature]}}}") for signature, systems in names.items()]


def _below(text: str) -> str:
    """A paragraph under a table."""
    return rf"\par{{\raggedright\scriptsize {text}\par}}"
