"""The leaderboard as one HTML page that needs nothing else, and what its templates are given of a board."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.leaderboard.frame import Answer, Board, Cell, ExampleView, Row, Standing, letter, share_a_letter
from harness.leaderboard.markdown import CAUTION, config_text, notes
from harness.leaderboard.published import RULE, value_text
from harness.store.numbers import Column, ColumnKind
from harness.store.page import Pages

ORIGINS = {"authors": "the authors' own", "third party": "by a third party", "re-scored": "their outputs, scored again"}
COLUMN_KINDS: Mapping[ColumnKind, str] = {"metric": "Metrics", "human": "Human ratings", "speed": "Speed"}
KINDS = {"blind": "image-blind", "image-aware": "sees the image", "constant": "one constant sentence", "": ""}
PLOT_WIDTH = 64
"""Of an interval's drawing, in CSS pixels."""

_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Plot:
    """An interval as it is drawn: x positions from 0 to `PLOT_WIDTH`."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell as the template writes it."""

    shown: str
    title: str
    """What a pointer that rests on it reads, and what a screen reader says."""
    sort: str
    """The value for the script to sort by; empty for none."""
    group: int
    """Index of its signature in the column: only equal groups are compared."""
    standing: Standing
    letters: str
    """Its significance groups."""
    plot: Plot | None
    partial: str
    """`61 of 64` where not every answer was scored."""
    unavailable: bool
    interval: str = ""
    """In words, such as `103.5 to 129.1`."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as the template writes it."""

    row: Row
    rank: str
    place: Standing
    """Its rank in the column that orders the table."""
    kind: str
    config: str
    cells: tuple[CellView, ...]
    page: str
    """Address of the run's own page; empty where it has none."""


@dataclass(frozen=True, slots=True)
class ColumnView:
    """One column head as the template writes it."""

    column: Column
    title: str
    signatures: tuple[str, ...]
    is_order: bool


@dataclass(frozen=True, slots=True)
class BoardView:
    """One board as the template writes it."""

    board: Board
    columns: tuple[ColumnView, ...]
    rows: tuple[RowView, ...]
    examples: tuple[tuple[ExampleView, str, tuple[tuple[str, tuple[Answer, ...]], ...]], ...]
    """Each example with its image as a data address and its answers by decoder."""
    notes: tuple[str, ...]
    kinds: Mapping[str, str]
    """What to call the origin of a published number."""
    heads: tuple[tuple[str, int], ...]
    """Kinds of columns with how many of each stand together; none where all are metrics."""
    legend: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]
    """Labels of columns that one metric makes in the same way, what they mean, and their signatures."""


def to_html(boards: Sequence[Board]) -> str:
    """The whole page. The same boards give the same bytes."""
    return PAGES.render(
        "leaderboard.html.jinja",
        styles=("base", "tools", "table", "examples"),
        scripts=("theme", "table", "gallery"),
        images="data:",
        boards=[board_view(board) for board in boards],
    )


def short(text: str, room: int = 18) -> str:
    """As much of a name as fits where nothing wraps."""
    return text if len(text) <= room else text[: room - 1] + "…"


PAGES = Pages(
    "harness.leaderboard", {"letter": letter, "value_text": value_text, "short": short}, {"rule": RULE, "plot_width": PLOT_WIDTH}
)


def board_view(board: Board, pages: Mapping[tuple[str, str], str] | None = None) -> BoardView:
    """A board as the templates write it.

    Args:
        board: the board; its columns are put together by kind.
        pages: addresses of the runs' own pages, by decoder and identity.
    """
    columns_by_kind = [column for kind in COLUMN_KINDS for column in board.columns if column.kind == kind]
    board = replace(board, columns=tuple(columns_by_kind))
    ordered = board.ordered()
    standings = [board.standings(column) for column in board.columns]
    signatures = [board.signatures(column) for column in board.columns]
    scales = [_scales(ordered, column) for column in board.columns]
    order = board.order_by
    rows = []
    for index, row in enumerate(ordered):
        cells = tuple(
            _cell_view(row.cells.get(column.name), column, standing[index], known, scale, _alike(ordered, row, column))
            for column, standing, known, scale in zip(board.columns, standings, signatures, scales, strict=True)
        )
        place = standings[board.columns.index(order)][index] if order else Standing()
        page = (pages or {}).get((row.decoder, row.identity), "")
        rows.append(RowView(row, str(place.rank or "–"), place, KINDS[row.kind], config_text(row), cells, page))
    columns = tuple(
        ColumnView(column, _head_title(column, known), tuple(known), column is order)
        for column, known in zip(board.columns, signatures, strict=True)
    )
    positions = {(row.name, row.identity): index for index, row in enumerate(ordered)}
    examples = tuple((view, image_address(view.image), _by_decoder(view, positions)) for view in board.examples)
    counts = {kind: sum(column.kind == kind for column in board.columns) for kind in COLUMN_KINDS}
    heads = tuple((COLUMN_KINDS[kind], count) for kind, count in counts.items() if count)
    heads = heads if any(column.kind != "metric" for column in board.columns) else ()
    return BoardView(board, columns, tuple(rows), examples, tuple(notes(board)), ORIGINS, heads, _legend(columns))


def _legend(columns: Sequence[ColumnView]) -> tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]:
    labels: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in columns:
        if column.signatures:
            labels.setdefault((column.column.description, column.signatures), []).append(column.column.label)
    return tuple((tuple(names), meaning, signatures) for (meaning, signatures), names in labels.items())


def _head_title(column: Column, signatures: Sequence[str]) -> str:
    better = {True: "Higher is better.", False: "Lower is better.", None: "Neither direction is better."}
    parts = [column.description, better[column.higher_is_better], *signatures]
    return "\n".join(filter(None, parts))


def _cell_view(
    cell: Cell | None,
    column: Column,
    standing: Standing,
    signatures: Sequence[str],
    scales: Mapping[str, tuple[float, float]],
    alike: Sequence[str],
) -> CellView:
    if cell is None or math.isnan(cell.value):
        reason = cell.unavailable if cell is not None else "not computed for this run"
        return CellView("n/a" if reason else "–", reason, "", 0, standing, "", None, "", bool(reason))
    facts = [f"{column.label} {column.show(cell.value)}"]
    interval = f"{column.show(cell.interval[0])} to {column.show(cell.interval[1])}" if cell.interval else ""
    facts += [f"interval {interval}"] if interval else []
    if standing.rank is not None:
        facts.append(f"rank {standing.rank} of {standing.of}")
    if cell.letters:
        facts.append(
            f"group {cell.letters}: " + (f"not told apart from {', '.join(alike)}" if alike else "told apart from all others")
        )
    if column.kind != "speed":
        facts.append(f"n = {cell.n}" + (f", {cell.unscored} unscored" if cell.unscored else ""))
    facts += [f"{cell.failed} of them count as the worst value"] if cell.failed and not cell.not_ranked else []
    facts += [text for text in (cell.not_ranked and f"not ranked: {cell.not_ranked}", cell.caution) if text]
    group = signatures.index(cell.signature) if cell.signature in signatures else 0
    plot = _plot(cell, scales[cell.signature]) if cell.number is not None else None
    partial = cell.partial()
    sort = "" if cell.number is None else repr(float(cell.number))
    shown = column.show(cell.value) + (CAUTION if cell.caution else "")
    return CellView(shown, "; ".join(facts), sort, group, standing, cell.letters, plot, partial, False, interval)


def _alike(rows: Sequence[Row], row: Row, column: Column) -> list[str]:
    """The other rows that share a letter with a row in a column."""
    cell = row.cells.get(column.name)
    if cell is None or not cell.letters:
        return []
    peers = [(peer, peer.cells.get(column.name)) for peer in rows if peer is not row]
    return [
        peer.name
        for peer, known in peers
        if known is not None and known.signature == cell.signature and share_a_letter(cell, known)
    ]


def _scales(rows: Sequence[Row], column: Column) -> dict[str, tuple[float, float]]:
    """The range of each signature's values and intervals in a column: only equals share an axis."""
    ends: dict[str, list[float]] = {}
    for row in rows:
        cell = row.cells.get(column.name)
        if cell is not None and cell.number is not None:
            ends.setdefault(cell.signature, []).extend([cell.number, *(cell.interval or ())])
    return {signature: (min(positions), max(positions)) for signature, positions in ends.items()}


def _plot(cell: Cell, scale: tuple[float, float]) -> Plot | None:
    if cell.interval is None or cell.number is None or scale[0] == scale[1]:
        return None
    start, end = scale

    def place(value: float) -> float:
        return round(2 + (PLOT_WIDTH - 4) * (value - start) / (end - start), 1)

    low, high = cell.interval
    return Plot(place(low), place(cell.number), place(high))


def _by_decoder(example: ExampleView, place: Mapping[tuple[str, str], int]) -> tuple[tuple[str, tuple[Answer, ...]], ...]:
    """Answers gathered by run, runs in the order of the table, draws in theirs."""
    answers_of: dict[tuple[str, str], list[Answer]] = {}
    for answer in example.answers:
        answers_of.setdefault((answer.decoder, answer.identity), []).append(answer)
    ordered = sorted(answers_of, key=lambda key: (place.get(key, len(place)), key))
    return tuple((key[0], tuple(sorted(answers_of[key], key=lambda answer: answer.draw))) for key in ordered)


def image_address(image: bytes | None) -> str:
    """The image as a `data:` address; empty for none, and for bytes that are no raster image (SVG may carry script)."""
    if image is None:
        return ""
    kind = next((kind for magic, kind in _MAGIC.items() if image.startswith(magic)), "")
    if not kind or (kind == "webp" and image[8:12] != b"WEBP"):
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
