"""Made-up ratings for the tests of a study's statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.study.analysis.panel import Panel
from harness.study.analysis.power import ASSUMED, StudyPlan, simulate_panel
from harness.study.analysis.ratings import RatingTable


def simulated(
    items: int = 40,
    k: int = 3,
    annotators: int = 9,
    effects: Sequence[float] = (0.0, 0.0, 1.0),
    aspects: Sequence[str] = ("fluency", "relevance"),
    seed: int = 0,
) -> RatingTable:
    """A study whose last system is better, as a table."""
    plan = StudyPlan(items, k, annotators, len(effects), len(aspects))
    return table_of({name: simulate_panel(plan, ASSUMED, effects, seed + i) for i, name in enumerate(aspects)})


def table_of(panels: Mapping[str, Panel]) -> RatingTable:
    """Panels as one table of systems' texts; forms are sent in the order of items."""
    rows = []
    for aspect, panel in panels.items():
        for s, i, a in zip(*np.nonzero(panel.rated), strict=True):
            system, item, annotator = panel.systems[s], panel.items[i], panel.annotators[a]
            rows.append(
                {
                    "system": system,
                    "item": item,
                    "annotator": annotator,
                    "aspect": aspect,
                    "value": int(panel.values[s, i, a]),
                    "position": int(s),
                    "at": 1000.0 * i + s,
                    "output": f"{system}/{item}",
                }
            )
    return table(rows)


def table(rows: Sequence[Mapping[str, Any]]) -> RatingTable:
    """A table from rows that name what is not usual about them."""
    usual: dict[str, Any] = {
        "system": "magic",
        "item": "1",
        "annotator": "ann",
        "aspect": "fluency",
        "value": 3,
        "kind": "system",
        "position": 0,
        "seconds": 20.0,
        "at": 0.0,
        "repeat_of": "",
        "revision": 0,
    }
    types = {"value": np.int8, "position": np.int64, "seconds": np.float64, "at": np.float64, "revision": np.int64}
    full = [{**usual, "output": f"{row.get('system', 'magic')}/{row.get('item', '1')}", **row} for row in rows]
    names = [*usual, "output"]
    return RatingTable(**{name: np.array([row[name] for row in full], types.get(name, np.str_)) for name in names})


def joined(*tables: RatingTable) -> RatingTable:
    """Tables one after the other."""
    names = RatingTable.__dataclass_fields__
    return RatingTable(**{name: np.concatenate([getattr(each, name) for each in tables]) for name in names})
