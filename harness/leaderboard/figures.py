"""How sure the order is, as a drawing: a column's values with their intervals, and beside them a bar for each significance group.

A bar spans the systems that cannot be told apart, with a dot at each of them; where no bar joins two systems, they differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.leaderboard.frame import Board, Cell, Row, group_letters, rankable
from harness.store.numbers import Column

WIDTH, NAMES, SCALE, LINE, TOP, GAP = 560, 130, 290, 22, 26, 16
"""Measures in units of the drawing: its width, the room for names, that for values, a row, the head, between two bars."""
_TICKS = 6
"""At most so many on a scale."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One system in a figure."""

    name: str
    y: float
    x: float
    low: float
    high: float
    """Ends of the interval; both equal to `x` where there is none."""
    best: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """One significance group in a figure."""

    letter: str
    x: float
    top: float
    bottom: float
    dots: tuple[float, ...]
    """Heights of the systems that belong to it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One column's drawing, positions in units of its own."""

    column: Column
    width: int
    height: float
    marks: tuple[Mark, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    """Position and label of each."""
    summary: str
    """What the drawing shows, in a sentence."""


def figures(board: Board) -> list[Figure]:
    """A figure for each column that can be ranked and has intervals or groups, the one that orders the table first."""
    order = board.order_by
    columns = sorted(board.columns, key=lambda column: column is not order)
    return [drawn for column in columns if (drawn := figure(board, column)) is not None]


def figure(board: Board, column: Column) -> Figure | None:
    """The drawing of one column: the systems of its most frequent signature, best first; None if it would show nothing."""
    rows = _peers(board, column)
    cells = [cell for _, cell in rows]
    if len(rows) < 2 or not any(cell.interval or cell.letters for cell in cells):
        return None
    ends = [value for cell in cells for value in (cell.number, *(cell.interval or ())) if value is not None]
    start, end = min(ends), max(ends)
    room: float = end - start or 1.0

    def place(value: float) -> float:
        return float(round(NAMES + SCALE * (value - start) / room, 1))

    marks = []
    for index, (row, cell) in enumerate(rows):
        number = cell.number or 0.0
        low, high = cell.interval or (number, number)
        best = number == cells[0].number
        marks.append(Mark(row.name, TOP + LINE * (index + 0.5), place(number), place(low), place(high), best))
    scale = 100 if column.percent else 1
    ticks = tuple((place(value / scale), shown) for value, shown in _round_ticks(scale * start, scale * end))
    bars = _bars(cells, [mark.y for mark in marks])
    width = max(WIDTH, NAMES + SCALE + 2 * GAP + GAP * len(bars))
    return Figure(column, width, TOP + LINE * len(rows) + 6, tuple(marks), bars, ticks, verdict(board, column))


def _round_ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten from start to end, with their labels; the start alone where it is the end."""
    if start == end:
        return [(start, f"{start:.3g}")]
    power = math.floor(math.log10((end - start) / _TICKS))
    sizes = ((step, max(0, -exponent)) for exponent in (power, power + 1) for step in (10.0**exponent * n for n in (1, 2, 5)))
    size, digits = next(tick for tick in sizes if math.floor(end / tick[0]) - math.ceil(start / tick[0]) < _TICKS)
    counts = range(math.ceil(start / size), math.floor(end / size) + 1)
    return [(count * size, f"{count * size:.{digits}f}") for count in counts]


def verdict(board: Board, column: Column) -> str:
    """Who is first in a column and how sure that is, in a sentence; empty where nobody is ranked."""
    rows = _peers(board, column)
    if not rows:
        return ""
    cell = rows[0][1]
    first = [row.name for row, other_cell in rows if other_cell.number == cell.number]
    behind = rows[len(first) :]
    they, are = ("it", "is") if len(first) == 1 else ("they", "are")
    sentence = f"{_enumerate(first)} {are} first in {column.label} with {column.show(cell.value)}"
    if cell.interval is not None and len(first) == 1:
        sentence += f" ({column.show(cell.interval[0])} to {column.show(cell.interval[1])})"
    if not behind:
        return sentence + ("; it is alone." if len(first) == 1 else "; there are no others.")
    letters = group_letters(cell)
    if not letters:
        return sentence + f"; whether the others differ from {'it' if len(first) == 1 else 'them'} was not tested."
    alike = [row.name for row, peer in behind if letters & group_letters(peer)]
    if not alike:
        return sentence + f"; {they} {are} told apart from every other system."
    return sentence + f"; {they} cannot be told apart from {_enumerate(alike)}."


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _peers(board: Board, column: Column) -> list[tuple[Row, Cell]]:
    """The ranked rows of a column's most frequent signature with their cells, best first."""
    if column.higher_is_better is None:
        return []
    sign = -1.0 if column.higher_is_better else 1.0
    ranked = [(row, cell) for row in board.ordered() if (cell := rankable(row, column)) is not None]
    signatures = [cell.signature for _, cell in ranked]
    lead = max(dict.fromkeys(signatures), key=signatures.count, default="")
    return sorted(
        ((row, cell) for row, cell in ranked if cell.signature == lead),
        key=lambda row_and_cell: sign * (row_and_cell[1].number or 0.0),
    )


def _bars(cells: Sequence[Cell], heights: Sequence[float]) -> tuple[Bar, ...]:
    letters = sorted(
        {letter for cell in cells for letter in group_letters(cell)}, key=lambda letter_text: (len(letter_text), letter_text)
    )
    bars = []
    for index, letter in enumerate(letters):
        dots = tuple(y for cell, y in zip(cells, heights, strict=True) if letter in group_letters(cell))
        bars.append(Bar(letter, NAMES + SCALE + 2 * GAP + GAP * index, dots[0], dots[-1], dots))
    return tuple(bars)
