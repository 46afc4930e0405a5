"""A comparison as people and programs read it: a table for terminals, Markdown, JSON, and one HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from harness.compare.differences import Difference
from harness.compare.paired import POWER, SIGNIFICANCE
from harness.compare.runs import Change, Comparison
from harness.store.markdown import markdown_table
from harness.store.numbers import Column, json_values
from harness.store.page import Pages
from harness.store.text import markdown
from harness.store.text import to_json as json_text

HEADER = ("metric", "first", "second", "difference", "95 % interval", "p", "p adjusted", "detectable", "examples", "verdict")
LEFT = (0, 9)
"""Columns of text; the others are numbers."""


def verdict(difference: Difference) -> str:
    """What a row says, in a word or two; significance is judged after the correction."""
    if not difference.compared:
        return difference.reason or "no value"
    if math.isnan(difference.p_adjusted):
        return difference.reason or "not tested"
    if difference.p_adjusted > SIGNIFICANCE:
        return "no difference seen"
    if difference.higher_is_better is None:
        return "different"
    return "better" if (difference.difference > 0) == difference.higher_is_better else "worse"


def table(comparison: Comparison) -> list[tuple[str, ...]]:
    """The paired table as text, cells in the order of `HEADER`, unescaped."""
    return [_row(difference) for difference in comparison.differences]


def _row(difference: Difference) -> tuple[str, ...]:
    column = Column(difference.output, difference.output, difference.higher_is_better, difference.percent)
    show = _signed(column)
    ends = "–" if math.isnan(difference.low) else f"{show(difference.low)} to {show(difference.high)}"
    examples = f"{difference.n}" + (f" ({difference.left_out} left out)" if difference.left_out else "")
    return (
        f"{difference.output} {column.arrow}".strip(),
        column.show(difference.first),
        column.show(difference.second),
        show(difference.difference),
        ends,
        _p(difference.p),
        _p(difference.p_adjusted),
        "–" if math.isnan(difference.detectable) else f"±{_fine(difference.detectable, column)}",
        examples,
        verdict(difference),
    )


def _fine(value: float, column: Column) -> str:
    """A difference wants one digit more than the values it is between."""
    return f"{100 * value:.2f}" if column.percent else f"{value:.3f}"


def _signed(column: Column) -> Callable[[float], str]:
    def show(value: float) -> str:
        if math.isnan(value):
            return "–"
        text = _fine(value, column)
        return text.lstrip("-") if not text.strip("-0.") else text if value < 0 else f"+{text}"

    return show


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the table, a sentence each, unescaped."""
    corrected = {"none": "not corrected for several tests"}.get(comparison.correction, f"adjusted: {comparison.correction}")
    sentences = [
        f"first = {comparison.first}, second = {comparison.second}; differences are second minus first.",
        f"{comparison.identical_answers} of {comparison.examples} examples got the same answer from both.",
        "Values of percent metrics are shown times 100.",
        f"p: paired permutation, two-sided, {comparison.permutations} exchanges of whole examples, (c+1)/(B+1), or all there "
        f"are where they are fewer, {corrected}; verdicts at {SIGNIFICANCE:.0%} after that. "
        f"Interval: bootstrap over examples, {comparison.level:.0%}. "
        f"Seed {comparison.seed}.",
        f"detectable: the smallest true difference found with {POWER:.0%} power at {SIGNIFICANCE:.0%}, one test.",
    ]
    if any(comparison.counted_as_worst):
        first, second = comparison.counted_as_worst
        sentences.append(
            "Answers without a score count as the worst value where a metric has one: "
            f"{first} of the first run, {second} of the second."
        )
    data = [change for change in comparison.changes if change.field == "data_digest"]
    if data:
        sentences.append("The data of the two runs differ (images, references or meta), though the example ids are the same.")
    return sentences


def plain(value: Any) -> str:
    """One field's value as text."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; what is not a number is null."""
    content: dict[str, Any] = json_values(asdict(comparison))
    for entry, difference in zip(content["differences"], comparison.differences, strict=True):
        entry["verdict"] = verdict(difference)
    return content


def to_json_text(comparison: Comparison) -> str:
    """`to_json` as a document."""
    return json_text(to_json(comparison))


def to_markdown(comparison: Comparison) -> str:
    """GitHub's dialect; all text from outside is escaped."""
    parts = [
        f"# {markdown(comparison.second)} against {markdown(comparison.first)}",
        markdown_table(HEADER, table(comparison), LEFT),
    ]
    parts.append("\n".join(f"- {markdown(note)}" for note in notes(comparison)))
    for title, changes in (("Settings that differ", comparison.changes), ("Environment", comparison.environment)):
        if changes:
            rows = [_change(change) for change in changes]
            parts += [f"## {title}", markdown_table(("field", "first", "second"), rows, (0, 1, 2))]
    if comparison.moved:
        parts.append(f"## Examples that moved most, by {markdown(comparison.moved_by)}")
        moved = [
            (move.example_id, f"{move.first:.4g}", f"{move.second:.4g}", move.first_text, move.second_text)
            for move in comparison.moved
        ]
        parts.append(markdown_table(("example", "first", "second", "first said", "second said"), moved, (0, 3, 4)))
    return "\n\n".join(parts) + "\n"


def _change(change: Change) -> tuple[str, str, str]:
    return change.field, plain(change.first), plain(change.second)


PAGES = Pages("harness.compare")


def to_html(comparison: Comparison) -> str:
    """One page that needs nothing else. It holds no script, and its policy lets none in; all text is escaped."""
    return PAGES.render(
        "compare.html.jinja",
        styles=("compare",),
        comparison=comparison,
        header=HEADER,
        left=LEFT,
        rows=table(comparison),
        notes=notes(comparison),
        changes=[_change(change) for change in comparison.changes],
        environment=[_change(change) for change in comparison.environment],
    )
