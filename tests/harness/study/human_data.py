"""Made-up ratings for the tests of a study's statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.study.analysis.panel import Panel
from harness.study.analysis.power import ASSUMED, Components, StudyPlan
from harness.study.analysis.ratings import COLUMNS, RatingTable


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
    arrays = {name: np.concatenate([getattr(each, name) for each in tables]) for name in COLUMNS}
    return RatingTable(**arrays, scale=tables[0].scale)


def simulate_panel(
    plan: StudyPlan, components: Components, effects: Sequence[float], seed: int, *, centre: float = 3.0, rounded: bool = True
) -> Panel:
    """Made-up ratings of a plan: what the statistics of a study are tested on.

    Args:
        plan: the size; each item is rated by `ratings_per_item` annotators, spread evenly.
        components: how much each part varies.
        effects: each system's advantage in points, `[systems]`.
        seed: of everything.
        centre: mean of a system without advantage.
        rounded: to whole points from 1 to 5, as people answer; else as the model says.
    """
    rng = np.random.default_rng(seed)
    systems, items, people = plan.systems, plan.items, plan.annotators

    def noise(variance: float, *shape: int) -> NDArray[np.float64]:
        return math.sqrt(variance) * rng.standard_normal(shape)

    values = (
        centre
        + np.asarray(effects, np.float64)[:, None, None]
        + noise(components.item, 1, items, 1)
        + noise(components.annotator, 1, 1, people)
        + noise(components.system_item, systems, items, 1)
        + noise(components.system_annotator, systems, 1, people)
        + noise(components.item_annotator, 1, items, people)
        + noise(components.residual, systems, items, people)
    )
    if rounded:
        values = np.clip(np.round(values), 1.0, 5.0)
    draws = 1 if plan.together else systems
    order = rng.permuted(np.tile(np.arange(people), (draws, items, 1)), axis=2)[:, :, : plan.ratings_per_item]
    chosen = np.zeros((draws, items, people), bool)
    np.put_along_axis(chosen, order, True, axis=2)
    names = tuple(f"system {index}" for index in range(systems))
    ids = tuple(f"item {index:05d}" for index in range(items))
    who = tuple(f"annotator {index:03d}" for index in range(people))
    return Panel(names, ids, who, np.where(chosen, values, np.nan))
