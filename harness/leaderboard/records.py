"""The leaderboard for programs: CSV, one line a metric of a run, and JSON, one object a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from harness.leaderboard.escaping import csv_text
from harness.leaderboard.frame import Board, Cell, Column, Row, Standing, finite

FIELDS = ("suite", "task", "decoder", "identity", "kind", "config", "complete", "decoded", "failed", "total",
          "metric", "value", "low", "high", "n", "unscored", "rank", "ranked", "signature", "unavailable")  # fmt: skip
"""Heading of the CSV. Values are plain fractions, empty where there is none; `rank` counts among the `ranked` runs of
equal signature."""


def to_csv(boards: Sequence[Board]) -> str:
    """One line a suite, run and metric; a metric that a run lacks is a line without a value, so that nothing goes missing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for board in boards:
        writer.writerows(_lines(board))
    return buffer.getvalue()


def to_json(boards: Sequence[Board]) -> str:
    """`{"rows": [...]}`, one object a run with its metrics by name. Values are fractions; what is not a number is null."""
    rows = [_row(row) for board in boards for row in board.ordered()]
    return json.dumps({"rows": rows}, indent=2, allow_nan=False) + "\n"


def _row(row: Row) -> dict[str, object]:
    return {
        "suite": row.suite,
        "decoder": row.decoder,
        "identity": row.identity,
        "complete": row.complete,
        "decoded": row.decoded,
        "failed": row.failed,
        "metrics": {name: _metric(cell) for name, cell in row.cells.items()},
    }


def _metric(cell: Cell) -> dict[str, object]:
    metric: dict[str, object] = {
        "value": finite(cell.value),
        "low": finite(cell.low),
        "high": finite(cell.high),
        "n": cell.n,
        "unscored": cell.unscored,
        "signature": cell.signature,
    }
    said = {"unavailable": cell.unavailable, "caution": cell.caution}
    return {**metric, **{key: text for key, text in said.items() if text}}


def _lines(board: Board) -> Iterator[list[str]]:
    standings = [board.standings(column) for column in board.columns]
    for index, row in enumerate(board.ordered()):
        if not board.columns:
            yield [*_run_fields(board, row), *[""] * 10]
        for column, standing in zip(board.columns, standings, strict=True):
            yield [*_run_fields(board, row), *_cell_fields(column, row.cells.get(column.name), standing[index])]


def _run_fields(board: Board, row: Row) -> list[str]:
    config = json.dumps(dict(row.config), sort_keys=True, default=str) if row.config else ""
    texts = [row.suite, board.task, row.decoder, row.identity, row.kind, config]
    counts = [row.decoded, row.failed, row.total]
    return [*map(csv_text, texts), "true" if row.complete else "false", *map(str, counts)]


def _cell_fields(column: Column, cell: Cell | None, standing: Standing) -> list[str]:
    if cell is None:
        return [csv_text(column.name), *[""] * 9]
    numbers = ["" if finite(value) is None else repr(float(value or 0)) for value in (cell.value, cell.low, cell.high)]
    rank = ["", ""] if standing.rank is None else [str(standing.rank), str(standing.of)]
    texts = [csv_text(cell.signature), csv_text(cell.unavailable)]
    return [csv_text(column.name), *numbers, str(cell.n), str(cell.unscored), *rank, *texts]
