"""A sweep as a picture: a line over one setting, a heat map over two, ranked bars over more. One SVG, no library.

A ring marks the best, a dashed ring those that cannot be told apart from it; bars through points are intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from harness.compare.sweep import Result, shown
from harness.store.toml import toml_value

_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_INK, _HUSH, _LINE = "#1f2937", "#6b7280", "#d1d5db"
_RING = "#d97706"
_LOW, _HIGH = (239, 246, 255), (30, 64, 175)
_LEFT, _TOP, _CELL, _ROW = 110, 56, (96, 44), 24


def to_svg(results: Sequence[Result]) -> str:
    """The picture of one decoder's sweep.

    Args:
        results: at least one, of one decoder, the best first.
    """
    varying = [key for key in results[0].values if len({json.dumps(result.values[key]) for result in results}) > 1]
    first = results[0]
    title = f"{first.label}: {first.score.output} on the dev data, {len(results)} settings"
    if len(varying) == 2:
        body, width, height = _heat_map(results, *varying)
    elif len(varying) == 1 and all(_is_number(result.values[varying[0]]) for result in results):
        body, width, height = _curve(results, varying[0])
    else:
        body, width, height = _ranking(results, varying or list(first.values))
    width = max(width, 20 + 7 * len(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label={quoteattr(title)} {_FONT} fill="{_INK}">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def _heat_map(results: Sequence[Result], across: str, down: str) -> tuple[list[str], int, int]:
    columns, rows = _values(results, across), _values(results, down)
    body = [_text(_LEFT, _TOP - 18, across, _HUSH), _text(12, _TOP - 2, down, _HUSH)]
    body += [_text(_LEFT + _CELL[0] * (i + 0.5), _TOP - 2, toml_value(value), anchor="middle") for i, value in enumerate(columns)]
    body += [_text(_LEFT - 10, _TOP + _CELL[1] * (i + 0.6), toml_value(value), anchor="end") for i, value in enumerate(rows)]
    for result in results:
        x = _LEFT + _CELL[0] * columns.index(result.values[across])
        y = _TOP + 4 + _CELL[1] * rows.index(result.values[down])
        share = _share(result, results)
        colour = "rgb({}, {}, {})".format(*(round(a + share * (b - a)) for a, b in zip(_LOW, _HIGH, strict=True)))
        ink = "#ffffff" if share > 0.5 else _INK
        body.append(
            f'<g><title>{escape(_sentence(result))}</title><rect x="{x + 1}" y="{y + 1}" width="{_CELL[0] - 2}" '
            f'height="{_CELL[1] - 2}" rx="4" fill="{colour}"{_ring(result, results, _RING)}/>'
            f"{_text(x + _CELL[0] / 2, y + 20, _number(result), ink, 'middle')}"
            f"{_text(x + _CELL[0] / 2, y + 35, _interval(result), ink, 'middle', 10)}</g>"
        )
    return body, _LEFT + _CELL[0] * len(columns) + 20, _TOP + _CELL[1] * len(rows) + 20


def _curve(results: Sequence[Result], key: str) -> tuple[list[str], int, int]:
    width, height = 460, 240
    ordered = sorted(results, key=lambda result: result.values[key])
    low, high = _range(results)
    points = []
    body = [f'<line x1="60" y1="{height - 40}" x2="{width - 20}" y2="{height - 40}" stroke="{_LINE}"/>']
    body.append(_text(width / 2, height - 8, key, _HUSH, "middle"))
    for place, result in enumerate(ordered):
        x = 80 + place * (width - 120) / max(1, len(ordered) - 1)
        at = [_at(value, low, high, height - 50, _TOP) for value in (_main(result), *_ends(result))]
        points.append(f"{x:.1f},{at[0]:.1f}")
        body.append(_point(result, results, f'x1="{x:.1f}" y1="{at[1]:.1f}" x2="{x:.1f}" y2="{at[2]:.1f}"', x, at[0]))
        body.append(_text(x, height - 24, toml_value(result.values[key]), anchor="middle"))
        body.append(_text(x + 8, at[0] - 6, _number(result), _HUSH, size=10))
    body.insert(0, f'<polyline points="{" ".join(points)}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    return body, width, height


def _ranking(results: Sequence[Result], keys: Sequence[str]) -> tuple[list[str], int, int]:
    labels = [shown({key: result.values[key] for key in keys}) for result in results]
    left = 24 + 7 * max(map(len, labels))
    low, high = _range(results)
    body = []
    for place, (result, label) in enumerate(zip(results, labels, strict=True)):
        y = _TOP + _ROW * place
        x = [_at(value, low, high, left, left + 240) for value in (_main(result), *_ends(result))]
        body.append(_text(left - 12, y + 4, label, anchor="end"))
        body.append(_point(result, results, f'x1="{x[1]:.1f}" y1="{y}" x2="{x[2]:.1f}" y2="{y}"', x[0], y))
        body.append(_text(left + 256, y + 4, _number(result)))
    return body, left + 320, _TOP + _ROW * len(results) + 10


def _point(result: Result, results: Sequence[Result], line: str, x: float, y: float) -> str:
    ring = _ring(result, results, _RING)
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none"{ring}/>' if ring else ""
    return (
        f'<g><title>{escape(_sentence(result))}</title><line {line} stroke="{_HUSH}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#1e40af"/>{circle}</g>'
    )


def _ring(result: Result, results: Sequence[Result], ink: str) -> str:
    if result is results[0]:
        return f' stroke="{ink}" stroke-width="3"'
    return "" if result.apart or math.isnan(result.p) else f' stroke="{ink}" stroke-width="1.5" stroke-dasharray="4 3"'


def _sentence(result: Result) -> str:
    return f"{shown(result.values)}: {result.score.output} {_number(result)} {_interval(result)}".strip()


def _text(x: float, y: float, text: str, ink: str = _INK, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{ink}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _values(results: Sequence[Result], key: str) -> list[Any]:
    distinct: list[Any] = []
    for result in results:
        if result.values[key] not in distinct:
            distinct.append(result.values[key])
    return sorted(distinct) if all(map(_is_number, distinct)) else distinct


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _main(result: Result) -> float:
    return result.score.value


def _ends(result: Result) -> tuple[float, float]:
    low, high = result.score.low, result.score.high
    return (_main(result), _main(result)) if math.isnan(low) or math.isnan(high) else (low, high)


def _number(result: Result) -> str:
    return f"{_main(result) * 100:.2f}" if result.score.percent else f"{_main(result):.4g}"


def _interval(result: Result) -> str:
    if math.isnan(result.score.low) or math.isnan(result.score.high):
        return ""
    scale, digits = (100, 1) if result.score.percent else (1, 3)
    return f"[{result.score.low * scale:.{digits}f}, {result.score.high * scale:.{digits}f}]"


def _range(results: Sequence[Result]) -> tuple[float, float]:
    ends = [end for result in results for end in _ends(result)]
    return min(ends), max(ends)


def _share(result: Result, results: Sequence[Result]) -> float:
    values = [_main(result) for result in results]
    low, high = min(values), max(values)
    share = (_main(result) - low) / (high - low) if high > low else 1.0
    return share if result.score.higher_is_better else 1 - share


def _at(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)
