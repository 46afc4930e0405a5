"""The leaderboard as Markdown: a table of values, a table of intervals, and notes that say how the numbers were made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.leaderboard.frame import Board, PublishedTable, Row, Standing
from harness.leaderboard.published import RULE, facts, value_text
from harness.store.markdown import markdown_table
from harness.store.numbers import Column
from harness.store.text import markdown

CAUTION = "†"
"""Behind a value that a note warns of."""


def to_markdown(boards: Sequence[Board]) -> str:
    """Every board under its own heading; GitHub's dialect. All text from outside is escaped."""
    return "\n\n".join(["# SeeTell leaderboard", *map(_board, boards)]) + "\n"


def config_text(row: Row) -> str:
    """The settings that are not at their default, `k=12 alpha=0.1`."""
    return " ".join(f"{key}={value}" for key, value in row.config.items())


def count_text(row: Row) -> str:
    """How many answers there are: `64`, `64, 1 empty`, `61 of 64, 3 failed`, or `20 of 64, incomplete`."""
    empty = f", {row.empty} empty" if row.empty else ""
    if row.complete and not row.failed:
        return f"{row.decoded}{empty}"
    failed = f", {row.failed} failed" if row.failed else ""
    return f"{row.decoded} of {row.total}{empty}{failed}{'' if row.complete else ', incomplete'}"


def notes(board: Board) -> list[str]:
    """What a reader must know to read the table, a sentence each, unescaped."""
    order = board.order_by
    sentences = [f"Rows are ordered by {order.label}."] if order else []
    sentences.append("Bold: best of its column, among numbers made in the same way. ↑ higher is better, ↓ lower is better.")
    if any(column.percent for column in board.columns):
        plain = [column.label for column in board.columns if not column.percent]
        sentences.append(f"Values are shown times 100{', except ' + ', '.join(plain) if plain else ''}.")
    if board.intervals:
        sentences.append(f"{board.intervals}.")
    if board.grouping:
        sentences.append(f"{board.grouping.sentence()}.")
    sentences.extend(f"{remark}." for remark in board.remarks)
    mixed = [column.label for column in board.columns if len(board.signatures(column)) > 1]
    if mixed:
        sentences.append(
            f"Not all numbers were made in the same way in: {', '.join(mixed)}. Capital letters tell them apart; they are ranked "
            "and compared only among equals."
        )
    incomplete = [row.name for row in board.rows if not row.complete]
    if incomplete:
        sentences.append(f"Incomplete, hence last and not ranked: {', '.join(incomplete)}.")
    if board.left_out:
        sentences.append(board.left_out)
    cells = [(column.label, cell) for column in board.columns for row in board.rows if (cell := row.cells.get(column.name))]
    sentences.extend(f"{CAUTION} {sentence}." for sentence in dict.fromkeys(cell.caution for _, cell in cells if cell.caution))
    refused = dict.fromkeys((label, cell.no_interval) for label, cell in cells if cell.no_interval and not cell.unavailable)
    sentences.extend(f"No interval for {label}: {reason}." for label, reason in refused)
    reasons: dict[str, list[str]] = {}
    for column in board.columns:
        for row in board.rows:
            cell = row.cells.get(column.name)
            if cell is not None and cell.unavailable and column.label not in reasons.setdefault(cell.unavailable, []):
                reasons[cell.unavailable].append(column.label)
    sentences.extend(f"n/a, {', '.join(labels)}: {reason}" for reason, labels in reasons.items())
    return sentences


def _board(board: Board) -> str:
    parts = [f"## {markdown(board.name)}", markdown(board.description)]
    parts += _measured(board) if board.rows or not board.published else ["No runs here yet."]
    parts += [_published(table) for table in board.published]
    return "\n\n".join(filter(None, parts))


def _measured(board: Board) -> list[str]:
    parts = [markdown(_facts(board)), _values(board)]
    intervals = _intervals(board)
    if intervals:
        parts.append(f"<details><summary>Intervals</summary>\n\n{intervals}\n\n</details>")
    parts.append("\n".join(f"- {markdown(note)}" for note in notes(board)))
    parts.append(_signatures(board))
    provenance = [f"SeeTell {board.version}" if board.version else "", board.created, board.environment]
    return [*parts, markdown(", ".join(filter(None, provenance)))]


def _published(table: PublishedTable) -> str:
    heads = ["System", *(f"{markdown(shown_column.label)} {shown_column.arrow}".strip() for shown_column in table.columns)]
    lines = [
        [
            f"{markdown(row.system)} <sup>{markdown(facts(row))}</sup>",
            *(value_text(row.cells.get(column.name)) for column in table.columns),
        ]
        for row in table.rows
    ]
    sources = [
        f"{number}. {markdown(source.title)} ({source.origin}): {markdown(source.where)}"
        for number, source in enumerate(table.sources, start=1)
    ]
    notes = [f"{number}. {markdown(note)}" for number, note in enumerate(table.notes, start=1)]
    parts = [f"### Published: {markdown(table.collection)}", RULE, markdown_table(heads, lines, escape=False)]
    parts += ["Sources:", "\n".join(sources)]
    return "\n\n".join([*parts, "Notes:", "\n".join(notes)] if notes else parts)


def _facts(board: Board) -> str:
    facts = [f"{board.examples_total} examples" if board.examples_total else ""]
    facts += [f"{part}: {name}" for part, name in board.models.items()]
    return "; ".join(filter(None, facts))


def _values(board: Board) -> str:
    heads = ["#", "Decoder", *(f"{markdown(column.label)} {column.arrow}".strip() for column in board.columns), "Texts"]
    standings = [board.standings(column) for column in board.columns]
    order = board.order_by
    ranks = board.standings(order) if order else []
    lines = []
    for index, row in enumerate(board.ordered()):
        place = ranks[index] if ranks else Standing()
        cells = [
            _value(row, column, column_standings[index])
            for column, column_standings in zip(board.columns, standings, strict=True)
        ]
        lines.append([f"{place.rank}{_group(place)}" if place.rank else "–", _name(row), *cells, markdown(count_text(row))])
    return markdown_table(heads, lines, left={1}, escape=False)


def _intervals(board: Board) -> str:
    columns = [column for column in board.columns if any(_interval(row, column) != "–" for row in board.rows)]
    if not columns:
        return ""
    heads = ["Decoder", *(markdown(column.label) for column in columns)]
    lines = [[_name(row), *(_interval(row, column) for column in columns)] for row in board.ordered()]
    return markdown_table(heads, lines, escape=False)


def _name(row: Row) -> str:
    extra = ", ".join(filter(None, [row.kind if row.kind == "constant" else "", row.note, config_text(row)]))
    return markdown(f"{row.name} ({extra})" if extra else row.name)


def _value(row: Row, column: Column, standing: Standing) -> str:
    cell = row.cells.get(column.name)
    if cell is None or math.isnan(cell.value):
        return "n/a" if cell is not None and cell.unavailable else "–"
    text = column.show(cell.value)
    letters = f" {markdown(cell.letters)}" if cell.letters else ""
    caution = CAUTION if cell.caution else ""
    partial = f" ({cell.partial(row.failed)})" if cell.partial(row.failed) else ""
    return (f"**{text}**" if standing.best else text) + caution + partial + letters + _group(standing)


def _group(standing: Standing) -> str:
    return f" <sup>{standing.group}</sup>" if standing.group else ""


def _interval(row: Row, column: Column) -> str:
    cell = row.cells.get(column.name)
    if cell is None or cell.interval is None or cell.number is None:
        return "–"
    low, high = cell.interval
    return f"{column.show(low)} to {column.show(high)}"


def _signatures(board: Board) -> str:
    lines = []
    for column, capital, signature in board.all_signatures():
        mark = f" <sup>{capital}</sup>" if capital else ""
        lines.append(f"- {markdown(column.label)}{mark}: {markdown(signature)}")
    return "How each number was made:\n\n" + "\n".join(lines) if lines else ""
