"""Published numbers beside a board: their own table, their sources and what must be known before comparing.

They are never ranked. Where SeeTell itself scored published outputs, and a number's signature equals that of the board's own,
the table says which place it would take; the board's ranks do not change by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.leaderboard.frame import Board, PublishedCell, PublishedRow, PublishedTable, rankable
from harness.store import published as data
from harness.store.numbers import Column

RULE = (
    "Published numbers, apart from the runs above and never ranked with them: each says where it comes from, and nothing else "
    "is known of how it was made. A place in brackets is the one it would take among runs of equal signature."
)


def with_published(boards: Sequence[Board], published: Sequence[data.Published]) -> list[Board]:
    """Boards with the published tables that belong to them; tables that belong to none follow as boards without runs.

    A table belongs to the board of its suite, and to every board that holds a number of equal signature.
    """
    together = list(boards)
    for document in published:
        for table in document.tables:
            signatures = {text for row in table.rows for text in row.signatures.values()}
            homes = [
                index
                for index, board in enumerate(together)
                if not board.apart and (board.suite == table.suite or (board.rows and signatures & _signatures(board)))
            ]
            for index in homes:
                view = _view(document, table, together[index])
                together[index] = replace(together[index], published=(*together[index].published, view))
            if not homes:
                empty = Board(table.suite, table.task, (), (), description=table.title)
                together.append(replace(empty, published=(_view(document, table, empty),)))
    return together


def _signatures(board: Board) -> set[str]:
    return {cell.signature for row in board.rows for cell in row.cells.values() if cell.signature}


def _view(published: data.Published, table: data.PublishedTable, board: Board) -> PublishedTable:
    present = {name for row in table.rows for name in row.values}
    columns = {
        name: Column(name, metric.label, metric.higher_is_better, metric.percent)
        for name, metric in published.metrics.items()
        if name in present
    }
    sources = list(dict.fromkeys(row.source for row in table.rows))
    notes = list(dict.fromkeys(note for row in table.rows for note in row.notes))
    rows = tuple(
        PublishedRow(
            row.system,
            published.sources[row.source].origin,
            sources.index(row.source) + 1,
            row.examples,
            row.runs,
            tuple(sorted(notes.index(note) + 1 for note in row.notes)),
            {name: _cell(row, columns[name], board) for name in row.values},
        )
        for row in table.rows
    )
    return PublishedTable(
        table.suite,
        table.title,
        published.title,
        tuple(columns.values()),
        rows,
        tuple(published.sources[name] for name in sources),
        tuple(published.notes[name] for name in notes),
    )


def _cell(row: data.PublishedRow, column: Column, board: Board) -> PublishedCell:
    value = row.values[column.name]
    signature = row.signatures.get(column.name, "")
    scale, deviation = 100 if column.percent else 1, row.deviations.get(column.name)
    shown = f"{scale * value:.{row.digits}f}" + (f" ± {scale * deviation:.{row.digits}f}" if deviation is not None else "")
    place, of = _place(value, signature, column.name, board)
    return PublishedCell(value, shown, deviation, signature, place, of)


def _place(value: float, signature: str, name: str, board: Board) -> tuple[int | None, int]:
    column = next((board_column for board_column in board.columns if board_column.name == name), None)
    if not signature or column is None:
        return None, 0
    cells = [rankable(row, column) for row in board.rows]
    peers = [cell.number for cell in cells if cell is not None and cell.number is not None and cell.signature == signature]
    if not peers:
        return None, 0
    sign = 1.0 if column.higher_is_better else -1.0
    return 1 + sum(sign * peer > sign * value for peer in peers), len(peers) + 1


def facts(row: PublishedRow) -> str:
    """What is written beside a system's name: whose number it is, and of how many examples and runs."""
    parts = [row.origin, f"source {row.source}"]
    parts += [f"{row.examples:,} examples"] if row.examples else []
    parts += [f"mean of {row.runs} runs"] if row.runs > 1 else []
    parts += [f"note{'s' if len(row.notes) > 1 else ''} {', '.join(map(str, row.notes))}"] if row.notes else []
    return ", ".join(parts)


def value_text(cell: PublishedCell | None) -> str:
    """A published number as tables print it, with its place where it has one."""
    if cell is None:
        return "–"
    return cell.shown + (f" ({cell.place} of {cell.of})" if cell.place else "")
