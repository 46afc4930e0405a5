"""Columns of numbers: what a column holds and how a value is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ColumnKind = Literal["metric", "human", "speed"]
"""Who says a column's numbers: a metric, people who rated, a clock. Columns of a kind stand together."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric output, human rating or speed."""

    name: str
    """As in JSON, such as `bleu-4`."""
    label: str
    """As in tables, such as `BLEU-4`."""
    higher_is_better: bool | None = True
    """None where neither direction is good in itself; such a column is never ranked."""
    percent: bool = True
    """Shown times 100 with one decimal."""
    description: str = ""
    """One line of meaning, for whoever does not know the metric."""
    kind: ColumnKind = "metric"

    def show(self, value: float | None) -> str:
        """The value as tables print it; an en dash where there is none."""
        number = finite(value)
        if number is None:
            return "∞" if value is not None and math.isinf(value) and value > 0 else "–"
        text = f"{100 * number:.1f}" if self.percent else f"{number:.{2 if abs(number) < 100 else 1}f}"
        # A negative value that rounds to nothing must not read as minus zero.
        return text.lstrip("-") if not text.strip("-0.") else text

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


def finite(value: float | None) -> float | None:
    """The value, or None where it is missing, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def json_values(content: Any) -> Any:
    """The content as plain JSON values: a number that is NaN or infinite becomes null, a time its ISO 8601 text."""
    if isinstance(content, Mapping):
        return {str(key): json_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [json_values(value) for value in content]
    if isinstance(content, float):
        return finite(content)
    return content.isoformat() if isinstance(content, datetime) else content
