"""One metric across suites: a decoder a row, a suite a column, as the published experiments are read.

Suites stand side by side and are not ranked against each other: bold type and letters count within a column, as in its suite's
own table. Where two suites ask about the same examples, `seetell compare` holds their runs together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.frame import Board, rankable
from harness.store.markdown import markdown_table
from harness.store.numbers import Column
from harness.store.text import markdown


def to_matrix(boards: Sequence[Board], metrics: Sequence[str]) -> str:
    """Markdown, a table a metric, decoders ordered by the first suite.

    Args:
        boards: one a suite, in the order of the columns; those without runs are left out.
        metrics: names of columns as in JSON, such as `cider`.

    Raises:
        SuiteError: a metric that none of the suites has.
    """
    measured = [board for board in boards if board.rows and not board.apart]
    known = {column.name: column for board in reversed(measured) for column in board.columns}
    for metric in metrics:
        if metric not in known:
            raise SuiteError(f"--matrix {metric}: none of the suites shown has it{did_you_mean(metric, known)}")
    return "\n\n".join(_table(measured, known[metric]) for metric in metrics) + "\n"


def _table(boards: Sequence[Board], column: Column) -> str:
    heads = [f"{column.label} {column.arrow}".strip(), *(board.suite for board in boards)]
    board_columns = [_column(board, column) for board in boards]
    names = dict.fromkeys(name for board in board_columns for name in board)
    lines = [[markdown(name), *(board.get(name, "–") for board in board_columns)] for name in names]
    return markdown_table([*map(markdown, heads)], lines, escape=False)


def _column(board: Board, column: Column) -> dict[str, str]:
    """What a suite says of each decoder, best first. A label with two runs (its settings were changed) has both."""
    rows = list(zip(board.ordered(), board.standings(column), strict=True))
    sign = -1.0 if column.higher_is_better else 1.0

    def merit(position: int) -> float:
        cell = rankable(rows[position][0], column)
        return math.inf if cell is None or cell.number is None else sign * cell.number

    texts_by_name: dict[str, list[str]] = {}
    for position in sorted(range(len(rows)), key=merit):
        row, standing = rows[position]
        cell = row.cells.get(column.name)
        if cell is None or cell.number is None:
            continue
        parts = [f"**{column.show(cell.value)}**" if standing.best else column.show(cell.value)]
        if cell.interval:
            parts.append(f"\\[{column.show(cell.interval[0])}, {column.show(cell.interval[1])}\\]")
        parts += [markdown(cell.letters), standing.group and f"<sup>{standing.group}</sup>"]
        parts.append("" if row.complete else "incomplete")
        texts_by_name.setdefault(row.name, []).append(" ".join(filter(None, parts)))
    return {name: "<br>".join(texts) for name, texts in texts_by_name.items()}
