"""What every system said to every example, those on which the systems differ most first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.compare.differences import load_metric
from harness.compare.paired import Clusters
from harness.errors import SeeTellError
from harness.leaderboard.collect import Material, RunMaterial
from harness.leaderboard.frame import Answer, Row
from harness.store.numbers import Column
from harness.suites.examples import Example


@dataclass(frozen=True, slots=True)
class Item:
    """One example with what every system said to it, systems in the order of `Gallery.systems`."""

    example: Example
    answers: tuple[tuple[Answer, ...], ...]
    """A draw each; empty where a system has not answered yet."""
    values: tuple[float | None, ...]
    """Each system's own score on this example alone; None where there is none."""
    spread: float
    """Standard deviation of the values over systems, zero where fewer than two have one. In a gallery without scores, of 0 and
    1 for texts that are the commonest one and texts that are not."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """A suite's examples for looking at."""

    systems: tuple[Row, ...]
    """In the order of the table."""
    column: Column | None
    """Whose scores `values` are; None where no column can be scored example by example."""
    items: tuple[Item, ...]
    """Those on which systems differ most first; equal ones by id."""

    def find(self, example_id: str) -> Item | None:
        """The item of an example."""
        return next((item for item in self.items if item.example.id == example_id), None)


def gallery(material: Material) -> Gallery:
    """Gather a suite's examples; ids that only the runs know (the data is gone) come without image and references."""
    order = {(row.decoder, row.identity): place for place, row in enumerate(material.board.ordered())}
    runs = sorted(material.runs, key=lambda run: order[run.row.decoder, run.row.identity])
    column, values = _values(material, runs)
    answers_by_run: list[dict[str, list[Answer]]] = []
    for run in runs:
        answers: dict[str, list[Answer]] = {}
        for record in run.records:
            answer = Answer(run.row.decoder, run.row.identity, record.text, record.draw, record.failure)
            answers.setdefault(record.example_id, []).append(answer)
        answers_by_run.append(answers)
    known = sorted({example_id for answers in answers_by_run for example_id in answers})
    examples = list(material.examples) or [Example(example_id) for example_id in known]
    items = [
        _item(
            example,
            tuple(tuple(answers.get(example.id, ())) for answers in answers_by_run),
            tuple(run_values.get(example.id) for run_values in values),
            scored=column is not None,
        )
        for example in examples
    ]
    items.sort(key=lambda item: (-item.spread, item.example.id))
    return Gallery(tuple(run.row for run in runs), column, tuple(items))


def _item(example: Example, answers: tuple[tuple[Answer, ...], ...], values: tuple[float | None, ...], *, scored: bool) -> Item:
    item = Item(example, answers, values, 0.0)
    if scored:
        known = [value for value in values if value is not None]
        # Rounded, so that the order is the same on machines whose last digits differ.
        return replace(item, spread=round(float(np.std(known)), 6) if len(known) > 1 else 0.0)
    texts = [tuple(answer.text for answer in run_answers) for run_answers in answers if run_answers]
    if not texts:
        return item
    share = max(texts.count(text) for text in texts) / len(texts)
    return replace(item, spread=round(math.sqrt(share * (1 - share)), 6))


def _values(material: Material, runs: Sequence[RunMaterial]) -> tuple[Column | None, list[Mapping[str, float]]]:
    """Scores of single examples by the column that orders the table, else by the first that has any; a mapping a run."""
    board = material.board
    first = board.order_by
    columns = [column for column in board.columns if column.higher_is_better is not None and column.kind == "metric"]
    for column in sorted(columns, key=lambda candidate: candidate is not first):
        signatures = board.signatures(column)
        lead = signatures[0] if signatures else ""
        run_values = [_example_values(run, column.name, lead) for run in runs]
        if any(run_values):
            return column, run_values
    return None, [{} for _ in runs]


def _example_values(run: RunMaterial, output: str, signature: str) -> Mapping[str, float]:
    """An output on each example alone, all its draws together; a corpus-level metric is finalised on one example.

    Nothing for a run whose number was made in another way, and for a metric that says nothing about one example.
    """
    if run.scored is None:
        return {}
    for label, scored in run.scored.metrics.items():
        outputs = [score.output for score in scored.scores]
        if output not in outputs or scored.rows is None:
            continue
        place = outputs.index(output)
        try:
            metric = load_metric(run.scored.suite, label)
        except SeeTellError:  # a plug-in that is not installed any more
            return {}
        if metric.resampling != "bootstrap" or scored.scores[place].signature != signature:
            return {}
        clusters = Clusters.of(run.scored.example_ids, scored.rows)
        values = metric.finalise(clusters.sums)[..., place]
        return {str(key): float(value) for key, value in zip(clusters.ids, values, strict=True) if math.isfinite(value)}
    return {}
