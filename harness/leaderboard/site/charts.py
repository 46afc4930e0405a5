"""Quality against speed: a scatter by Altair, with the Pareto front, as a Vega-Lite specification that a page holds inside."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.leaderboard.frame import Board, Cell, Row, rankable
from harness.leaderboard.page import KINDS
from harness.leaderboard.side_columns import SPEED
from harness.store.numbers import Column
from harness.store.text import one_line

WIDTH, HEIGHT, ROOM = 640, 380, 70
"""Of the drawing, in pixels; the last is left free beside the slowest and the fastest, for their names."""

FONT, LETTER = 12, 6.8
"""Size of the names, and about how wide a letter is."""

_BESIDE = [("left", 10), ("right", -10)]
_HEIGHTS = (-7, 8, -20, 21, -33, 34, -46, 47)


def can_draw() -> bool:
    """Whether the extra `site` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("altair", "vl_convert"))


@functools.cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, in a scope of its own; it sets `window.vegaEmbed`."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Vega's own texts hold no such tag; should a new version, a string stays the same string with this.
    return "(() => {" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "})();\n"


def points(board: Board) -> list[dict[str, Any]]:
    """What the scatter shows: a record for each system and measure of quality, where both numbers are there.

    `front` says that no other system of equally made numbers is at least as good in both and better in one.
    """
    drawn: list[dict[str, Any]] = []
    for column in board.columns:
        if column.higher_is_better is None or column.kind == "speed":
            continue
        pairs = [
            (row, cell, row.cells[SPEED])
            for row in board.ordered()
            if SPEED in row.cells and row.cells[SPEED].number is not None and (cell := rankable(row, column))
        ]
        drawn.extend(_point(column, row, cell, speed, pairs) for row, cell, speed in pairs)
    return _with_places(drawn)


Pair = tuple[Row, Cell, Cell]


def _point(column: Column, row: Row, cell: Cell, speed: Cell, pairs: Sequence[Pair]) -> dict[str, Any]:
    peers = [
        (other.number or 0.0, fast.number or 0.0)
        for _, other, fast in pairs
        if (other.signature, fast.signature) == (cell.signature, speed.signature)
    ]
    scale = 100 if column.percent else 1
    low, high = cell.interval or (cell.number, cell.number)
    slow, fast = speed.interval or (speed.number, speed.number)
    return {
        "measure": _label(column),
        "system": one_line(row.name),
        "sees": KINDS[row.kind] or "not known",
        "quality": _rounded(scale * (cell.number or 0.0)),
        "low": _rounded(scale * (low or 0.0)),
        "high": _rounded(scale * (high or 0.0)),
        "speed": _rounded(speed.number or 0.0),
        "slow": _rounded(slow or 0.0),
        "fast": _rounded(fast or 0.0),
        "front": on_front(cell.number or 0.0, speed.number or 0.0, peers, higher=column.higher_is_better is True),
        "made": f"{cell.signature} / {speed.signature}",
    }


def on_front(quality: float, speed: float, peers: Iterable[tuple[float, float]], *, higher: bool) -> bool:
    """Whether a point is on the Pareto front of its peers.

    Args:
        quality: of the point.
        speed: of the point; more is better.
        peers: quality and speed of all points, this one too.
        higher: whether more quality is better.
    """
    sign = 1.0 if higher else -1.0
    return not any(
        sign * peer_quality >= sign * quality and fast >= speed and (peer_quality, fast) != (quality, speed)
        for peer_quality, fast in peers
    )


def specification(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The scatter of some points as Vega-Lite, with a choice of the measure; nothing in it names an address to fetch."""
    import altair as alt

    measures = list(dict.fromkeys(str(point["measure"]) for point in points))
    measure = alt.param(name="chosen", value=measures[0], bind=alt.binding_select(options=measures, name="Measure of quality"))
    chosen = alt.Chart(alt.NamedData("points")).transform_filter("datum.measure === chosen")
    speed = alt.X("speed:Q", title="Images a second (logarithmic)", scale=alt.Scale(type="log", nice=False, padding=ROOM))
    quality = alt.Y("quality:Q", title="Score", scale=alt.Scale(zero=False))
    colour = alt.Color("sees:N", title=None, legend=alt.Legend(orient="bottom"))
    ring = (
        chosen.transform_filter("datum.front")
        .mark_point(filled=False, size=320, strokeWidth=1.5, opacity=0.8)
        .encode(x=speed, y=quality)
    )
    front = (
        chosen.transform_filter("datum.front")
        .mark_line(strokeDash=[5, 4], opacity=0.7)
        .encode(x=speed, y=quality, order="speed:Q", detail="made:N")
    )
    intervals = chosen.mark_rule(opacity=0.55).encode(x=speed, y=alt.Y("low:Q", title="Score"), y2="high:Q", color=colour)
    repeats = chosen.mark_rule(opacity=0.55).encode(x=alt.X("slow:Q"), x2="fast:Q", y=quality, color=colour)
    tooltip = [
        alt.Tooltip("system:N", title="System"),
        alt.Tooltip("measure:N", title="Measure"),
        alt.Tooltip("quality:Q", title="Score"),
        alt.Tooltip("low:Q", title="Interval from"),
        alt.Tooltip("high:Q", title="to"),
        alt.Tooltip("speed:Q", title="Images a second"),
    ]
    dots = chosen.mark_point(filled=True, size=90, opacity=1).encode(x=speed, y=quality, color=colour, tooltip=tooltip)
    align, dx, dy = (alt.expr(f"datum.{key}") for key in ("align", "dx", "dy"))
    names = chosen.mark_text(fontSize=FONT, align=align, dx=dx, dy=dy).encode(x=speed, y=quality, text="system:N")
    chart = alt.layer(front, ring, intervals, repeats, dots, names, title=alt.Title(text=alt.expr("chosen")))
    chart = chart.add_params(measure).interactive().properties(width=WIDTH, height=HEIGHT)
    content: dict[str, Any] = chart.to_dict()
    content.pop("$schema", None)
    content.pop("config", None)
    return {**content, "datasets": {"points": [dict(point) for point in points]}}


def _with_places(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The points with where each one's name stands, so that names of one measure lie neither on each other nor on a dot."""
    placed: dict[int, dict[str, Any]] = {}
    for measure in dict.fromkeys(point["measure"] for point in points):
        of_measure = [(index, point) for index, point in enumerate(points) if point["measure"] == measure]
        across = _pixels([(point["speed"], point["slow"], point["fast"]) for _, point in of_measure], WIDTH - 2 * ROOM, log=True)
        down = _pixels([(point["quality"], point["low"], point["high"]) for _, point in of_measure], HEIGHT)
        dots = [(x - 5, x + 5, HEIGHT - y - 5, HEIGHT - y + 5) for x, y in zip(across, down, strict=True)]
        taken: list[tuple[float, float, float, float]] = []
        for (index, point), dot in sorted(zip(of_measure, dots, strict=True), key=lambda entry: entry[1][2]):
            options = [(align, dx, dy, _box(dot, align, dx, dy, point["system"])) for dy in _HEIGHTS for align, dx in _BESIDE]
            occupied = [*taken, *(neighbour for neighbour in dots if neighbour != dot)]
            free = [option for option in options if not any(_overlap(option[3], neighbour) for neighbour in occupied)]
            align, dx, dy, box = (free or options)[0]
            taken.append(box)
            placed[index] = {**point, "align": align, "dx": dx, "dy": dy}
    return [placed[index] for index in range(len(points))]


def _pixels(values: Sequence[tuple[float, float, float]], size: float, *, log: bool = False) -> list[float]:
    """About where the first of each three numbers is drawn on an axis that holds them all."""
    scaled = [[math.log10(max(value, 1e-9)) if log else value for value in ends] for ends in values]
    start, end = min(map(min, scaled)), max(map(max, scaled))
    return [size * (ends[0] - start) / ((end - start) or 1.0) for ends in scaled]


def _box(dot: tuple[float, ...], align: str, dx: float, dy: float, name: str) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a name."""
    x, y, width = (dot[0] + dot[1]) / 2 + dx, (dot[2] + dot[3]) / 2 + dy, LETTER * len(name)
    left = x if align == "left" else x - width
    return left, left + width, y - FONT, y + 2


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first[0] < second[1] and second[0] < first[1] and first[2] < second[3] and second[2] < first[3]


def _label(column: Column) -> str:
    return f"{one_line(column.label)} {column.arrow}".strip()


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
