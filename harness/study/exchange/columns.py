"""Columns of other people's rating files: which column holds what, and wide tables made long.

A long table has one row a value. A wide one has several values in a row: a column an annotator (`j1`, `j2`, `j3`), a column an
aspect (`fluency`, `relevance`), both in one name (`Human 1 RE`), or whole lists of values in a cell, one value an item.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import StudyError, did_you_mean
from harness.study.tables.base import plain_text

LOWER = "-"
"""Begins the name of a column of scores of which lower ones are better."""
CONSTANT = "="
"""Begins a value that is the same in every row, where a column's name would stand."""
_MOST_NAMED = 20
_PLACES = ("annotator", "aspect")
FILE_ROW = "file_row"
"""Key of a record that tells its row in the file, from 1."""


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Names of a file's columns, or `=NAME` for something that is the same in every row; empty where the names are ours."""

    system: str = ""
    item: str = ""
    annotator: str = ""
    aspect: str = ""
    value: str = ""
    """One column; several separated by commas; or a pattern such as `Human {annotator} {aspect}`, whose places hold no spaces."""
    text: str = ""
    scores: str = ""
    """Columns of metrics' scores of the same texts, separated by commas; `-NAME` where lower is better."""
    unscored: str = ""
    """Systems whose scores are not taken, separated by commas."""

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return any(asdict(self).values())


OURS = ColumnMap()
"""Columns are called as in our own exports."""


def long_records(records: Sequence[Mapping[str, Any]], columns: ColumnMap, where: str) -> list[dict[str, Any]]:
    """One record a value, under our names, each with its `FILE_ROW`.

    Args:
        records: rows of the file.
        columns: what its columns are called.
        where: the file, as messages call it.

    Raises:
        StudyError: a column that is not there, a pattern that fits none, or lists beside a column of items.
    """
    names = list(dict.fromkeys(name for record in records[:1] for name in record if name is not None))
    fixed = {key: name for key, name in asdict(columns).items() if key not in ("value", "scores", "unscored") and name}
    for name in fixed.values():
        if not name.startswith(CONSTANT):
            _known(name, names, where)
    values = _value_columns(columns, names, where)
    long = []
    for number, record in enumerate(records, start=1):
        shared = {key: _cell(record, name) for key, name in fixed.items()}
        used = {*fixed.values(), *values}
        kept = {name: cell for name, cell in record.items() if name not in used}
        for name, places in values.items():
            for item, value in _items(record.get(name), f"row {number} of {where}: {name}"):
                if value is None or value == "":
                    continue  # a rater who did not rate this text
                if item is not None and ("item" in shared or kept.get("item")):
                    raise StudyError(
                        f"row {number} of {where}: {name} holds a list, one value an item, and there is a column of items too; "
                        "leave --item out, or give one value a row"
                    )
                extra = {} if item is None else {"item": item}
                long.append(kept | shared | places | extra | {"value": value, FILE_ROW: number})
    return long


def given_scores(records: Sequence[Mapping[str, Any]], columns: ColumnMap, where: str) -> dict[str, dict[str, dict[str, float]]]:
    """Scores that stand beside the ratings, by system, metric (as `ColumnMap.scores` names it) and item.

    Args:
        records: rows of the file.
        columns: what its columns are called.
        where: the file, as messages call it.

    Raises:
        StudyError: a column or a system that is not there, a score that is no number, or two scores of one text.
    """
    names = list(dict.fromkeys(name for record in records[:1] for name in record if name is not None))
    metrics = [name.strip() for name in columns.scores.split(",") if name.strip()]
    for metric in metrics:
        _known(metric.removeprefix(LOWER), names, where)
    systems = dict.fromkeys(plain_text(str(_cell(record, columns.system or "system"))) for record in records)
    unscored = [name.strip() for name in columns.unscored.split(",") if name.strip()]
    for name in unscored:
        if name not in systems:
            raise StudyError(
                f"{where} has no system {name!r}{did_you_mean(name, list(systems))}; it has: {_listed(list(systems))}"
            )
    given: dict[str, dict[str, dict[str, float]]] = {}
    for number, record in enumerate(records, start=1):
        system = plain_text(str(_cell(record, columns.system or "system")))
        for metric in metrics if system not in unscored else ():
            row = f"row {number} of {where}: {metric.removeprefix(LOWER)}"
            of_metric = given.setdefault(system, {}).setdefault(metric, {})
            for place, cell in _items(record.get(metric.removeprefix(LOWER)), row):
                item = plain_text(str(_cell(record, columns.item or "item") if place is None else place))
                try:
                    score = math.nan if cell is None or cell == "" else float(cell)
                except (TypeError, ValueError) as error:
                    raise StudyError(f"{row} is {str(cell)[:60]!r}; expected a number") from error
                if math.isfinite(score) and of_metric.setdefault(item, score) != score:
                    raise StudyError(f"{row} is {score:g}, and an earlier row says {of_metric[item]:g} of the same text")
    return given


def _value_columns(columns: ColumnMap, names: Sequence[str], where: str) -> dict[str, dict[str, str]]:
    """The columns that hold values, and what each column's name says of them."""
    if "{" in columns.value:
        pattern = re.escape(columns.value)
        for place in _PLACES:
            pattern = pattern.replace(re.escape(f"{{{place}}}"), rf"(?P<{place}>\S+)")
        fitting = {name: match.groupdict() for name in names if (match := re.fullmatch(pattern, name))}
        if not fitting or not any(fitting.values()):
            raise StudyError(
                f"{where} has no column like {columns.value!r}; expected a pattern with {{annotator}}, {{aspect}} or both, such "
                "as 'Human {annotator} {aspect}'"
            )
        return fitting
    chosen = [name.strip() for name in (columns.value or "value").split(",")]
    for name in chosen:
        _known(name, names, where)
    if len(chosen) == 1:
        return {chosen[0]: {}}
    # Several columns: their names are the annotators, unless annotators have a column of their own; then they are the aspects.
    lacking = "aspect" if columns.annotator or "annotator" in names else "annotator"
    return {name: {lacking: name} for name in chosen}


def _known(name: str, names: Sequence[str], where: str) -> None:
    if name not in names:
        raise StudyError(
            f"{where} has no column {name!r}{did_you_mean(name, names)}; it has: {_listed(names)}. For something "
            f"that is the same in every row write {CONSTANT}NAME"
        )


def _listed(names: Sequence[str]) -> str:
    return (
        ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "") or "none"
    )


def _cell(record: Mapping[str, Any], name: str) -> Any:
    return name.removeprefix(CONSTANT) if name.startswith(CONSTANT) else record.get(name)


def _items(cell: Any, where: str) -> list[tuple[str | None, Any]]:
    """A cell as (item, value): one without an item, or those of a list with their places in it, from 0."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise StudyError(f"{where} begins like a list and is none ({error}); expected [4, 3.5, ...]") from error
    if not isinstance(cell, list):
        return [(None, cell)]
    width = len(str(max(0, len(cell) - 1)))
    return [(f"{place:0{width}d}", value) for place, value in enumerate(cell)]
