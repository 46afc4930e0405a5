"""The leaderboard for programs: CSV, one line a metric of a run, and JSON, one object a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from harness.leaderboard.frame import Board, Cell, PublishedTable, Row, Standing
from harness.store.numbers import Column, finite
from harness.store.text import csv_text

FIELDS = ("suite", "task", "decoder", "identity", "kind", "config", "complete", "decoded", "failed", "total",
          "metric", "value", "low", "high", "n", "unscored", "rank", "ranked", "letters", "signature", "unavailable",
          "origin", "source")  # fmt: skip
"""Heading of the CSV. Values are plain fractions, empty where there is none; `rank` counts among the `ranked` runs of
equal signature, and of these the ones that share one of the `letters` cannot be told apart. `origin` is
`measured` for runs; lines of other origin are published numbers, whose `rank` is the one they would take beside ours."""


MEASURED = ("measured", "")
"""Origin and source of our own runs."""


def to_csv(boards: Sequence[Board]) -> str:
    """One line a table, run and metric; a metric that a run lacks is a line without a value, so that nothing goes missing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for board in boards:
        writer.writerows(_lines(board))
        writer.writerows(line for table in board.published for line in _published_lines(board, table))
    return buffer.getvalue()


def to_json(boards: Sequence[Board]) -> str:
    """`{"suites": [...], "rows": [...], "published": [...]}`: what columns and letters are, one object a run, papers' tables.

    Values are fractions; what is not a number is null.
    """
    rows = [{**_row(row), **_apart(board)} for board in boards for row in board.ordered()]
    published = [_table(board, table) for board in boards for table in board.published]
    content = {"suites": [_suite(board) for board in boards if board.rows], "rows": rows, "published": published}
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def _table(board: Board, table: PublishedTable) -> dict[str, object]:
    return {
        "suite": board.suite,
        "about": table.suite,
        "title": table.title,
        "collection": table.collection,
        "sources": [source.model_dump() for source in table.sources],
        "notes": list(table.notes),
        "rows": [asdict(row) for row in table.rows],
    }


def _suite(board: Board) -> dict[str, object]:
    return {
        "suite": board.suite,
        **_apart(board),
        "task": board.task,
        "intervals": board.intervals,
        "letters": asdict(board.grouping) if board.grouping else None,
        "columns": [
            {
                "metric": column.name,
                "label": column.label,
                "kind": column.kind,
                "higher_is_better": column.higher_is_better,
                "percent": column.percent,
            }
            for column in board.columns
        ],
    }


def _apart(board: Board) -> dict[str, str]:
    """Of a table that stands apart, what it differs in."""
    return {"apart": board.apart} if board.apart else {}


def _row(row: Row) -> dict[str, object]:
    return {
        "suite": row.suite,
        "decoder": row.decoder,
        "identity": row.identity,
        "kind": row.kind,
        "config": dict(row.config),
        "complete": row.complete,
        "decoded": row.decoded,
        "failed": row.failed,
        "total": row.total,
        "reproduce": row.reproduce,
        "metrics": {name: _metric(cell) for name, cell in row.cells.items()},
    }


def _metric(cell: Cell) -> dict[str, object]:
    metric: dict[str, object] = {
        "value": finite(cell.value),
        "low": finite(cell.low),
        "high": finite(cell.high),
        "n": cell.n,
        "unscored": cell.unscored,
        "letters": cell.letters,
        "signature": cell.signature,
    }
    remarks = {
        "unavailable": cell.unavailable,
        "caution": cell.caution,
        "counted_as_worst": "" if cell.not_ranked else cell.failed,
        "not_ranked": cell.not_ranked,
    }
    return {**metric, **{key: remark for key, remark in remarks.items() if remark}}


def _published_lines(board: Board, table: PublishedTable) -> Iterator[list[str]]:
    """A line a published number, in the order of `FIELDS`; what is only known of our own runs stays empty."""
    for row in table.rows:
        source = table.sources[row.source - 1]
        for name, cell in row.cells.items():
            fields = dict.fromkeys(FIELDS, "") | {
                "suite": csv_text(board.suite),
                "task": csv_text(board.task),
                "decoder": csv_text(row.system),
                "metric": csv_text(name),
                "value": repr(cell.value),
                "n": str(row.examples or ""),
                "rank": str(cell.place or ""),
                "ranked": str(cell.of or ""),
                "signature": csv_text(cell.signature),
                "origin": row.origin,
                "source": csv_text(f"{source.title}: {source.where}"),
            }
            yield list(fields.values())


def _lines(board: Board) -> Iterator[list[str]]:
    standings = [board.standings(column) for column in board.columns]
    for index, row in enumerate(board.ordered()):
        if not board.columns:
            yield [*_run_fields(board, row), *[""] * 11, *MEASURED]
        for column, standing in zip(board.columns, standings, strict=True):
            fields = _cell_fields(column, row.cells.get(column.name), standing[index])
            yield [*_run_fields(board, row), *fields, *MEASURED]


def _run_fields(board: Board, row: Row) -> list[str]:
    config = json.dumps(dict(row.config), sort_keys=True, default=str) if row.config else ""
    texts = [board.name, board.task, row.decoder, row.identity, row.kind, config]
    counts = [row.decoded, row.failed, row.total]
    return [*map(csv_text, texts), "true" if row.complete else "false", *map(str, counts)]


def _cell_fields(column: Column, cell: Cell | None, standing: Standing) -> list[str]:
    if cell is None:
        return [csv_text(column.name), *[""] * 10]
    numbers = ["" if finite(value) is None else repr(float(value)) for value in (cell.value, cell.low, cell.high)]
    rank = ["", ""] if standing.rank is None else [str(standing.rank), str(standing.of)]
    texts = [csv_text(cell.letters), csv_text(cell.signature), csv_text(cell.unavailable)]
    return [csv_text(column.name), *numbers, str(cell.n), str(cell.unscored), *rank, *texts]
