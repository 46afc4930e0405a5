"""A board in a terminal."""

from __future__ import annotations

from harness.cli import console
from harness.leaderboard.frame import Board, Row, Standing
from harness.leaderboard.markdown import CAUTION
from harness.store.numbers import Column


def show(board: Board) -> None:
    """A board as a terminal shows it: as many columns as fit, the interval of the column that orders the rows, * for the best.

    Small letters are significance groups, capital ones signatures; the lines below the table say so.
    """
    if not board.rows:
        console.note(f"{board.suite}: no runs here; what was published is on the page, and in `seetell leaderboard -f md`")
        return
    lead = board.order_by
    columns = sorted(board.columns, key=lambda column: column is not lead)
    standings = {column.name: board.standings(column) for column in columns}
    rows = board.ordered()
    cells = [[_cell(row, column, standings[column.name][i], column is lead) for column in columns] for i, row in enumerate(rows)]
    header = [f"{column.label} {column.arrow}".strip() for column in columns]
    names = [_row_name(row) for row in rows]
    room = console.out.width - 4 - max(map(len, names))
    shown = 0
    while shown < len(columns) and room >= (
        width := 3 + max(len(header[shown]), *(len(row_cells[shown]) for row_cells in cells))
    ):
        room -= width
        shown += 1
    shown = max(shown, 1)
    lines = [[name, *row_cells[:shown]] for name, row_cells in zip(names, cells, strict=True)]
    console.show_table(board.description or board.suite, ["decoder", *header[:shown]], lines, left=(0,))
    if any(standing.best for of_column in standings.values() for standing in of_column):
        console.out.print("* is the best of its column.")
    if board.grouping:
        console.out.print(f"{board.grouping.sentence()}.")
    if any(standing.group for of_column in standings.values() for standing in of_column):
        console.out.print("Capital letters: numbers made in another way, ranked and compared only among equals.")
    if board.left_out:
        console.note(board.left_out)
    if shown < len(columns):
        console.out.print(f"Not shown for want of room: {', '.join(header[shown:])}")


def _row_name(row: Row) -> str:
    if not row.complete:
        return f"{row.name} (incomplete: {row.decoded + row.failed} of {row.total})"
    facts = ["imported" if row.note.startswith("imported") else "", f"{row.failed} failed" if row.failed else ""]
    return f"{row.name} ({', '.join(filter(None, facts))})" if any(facts) else row.name


def _cell(row: Row, column: Column, standing: Standing, with_interval: bool) -> str:
    cell = row.cells.get(column.name)
    if cell is None:
        return "–"
    text = column.show(cell.number) + (CAUTION if cell.caution else "")
    if partial := cell.partial(row.failed):
        text += f" ({partial})"
    if with_interval and cell.interval:
        text += f" [{column.show(cell.interval[0])}, {column.show(cell.interval[1])}]"
    marks = [text + ("*" if standing.best else ""), cell.letters, standing.group]
    return " ".join(filter(None, marks))
