"""Two runs side by side: which numbers differ, by how much, how surely, and on which examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.compare.corrections import Correction, correct
from harness.compare.differences import Difference, load_metric, measure
from harness.compare.joint import measured_together
from harness.compare.paired import PERMUTATIONS, Clusters, align
from harness.compare.same_examples import pair_on_same_examples, unreadable_images
from harness.compare.scored import ScoredMetric, ScoredRun
from harness.decode.imported.keep import IMPORTED
from harness.errors import IncomparableRuns, MetricError, SeeTellError
from harness.metrics.intervals import CONFIDENCE
from harness.store.runs import as_samples

SHOWN_MOVES = 10


@dataclass(frozen=True, slots=True)
class Change:
    """One field in which two runs differ; values as JSON, None where a run lacks the field."""

    field: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Move:
    """An example on which one score moved."""

    example_id: str
    first: float
    second: float
    first_text: str
    second_text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything `seetell compare` says."""

    first: str
    second: str
    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]
    """Fields of the spec that differ."""
    environment: tuple[Change, ...]
    """Packages and platform that differ; they should not move anything, and sometimes do."""
    moved: tuple[Move, ...]
    """The examples that moved most, the largest move first."""
    moved_by: str
    """The output that `moved` is about; empty if there is none."""
    examples: int
    counted_as_worst: tuple[int, int]
    """Answers without a score, of the first run and of the second, that count as the worst value where a metric has one."""
    identical_answers: int
    """Examples to which both runs said the same, to the byte."""
    correction: Correction
    permutations: int
    level: float
    seed: int


def compare_runs(
    first: ScoredRun,
    second: ScoredRun,
    *,
    correction: Correction = "benjamini-hochberg",
    by: str | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    device: str = "cpu",
) -> Comparison:
    """Compare two runs on the same examples.

    Args:
        first: what `second` is compared with.
        second: differences are second minus first.
        correction: of the p-values over the table.
        by: the output whose largest moves are shown; the first that was compared if None.
        permutations: exchanges a test.
        seed: of everything random here.
        device: where the models of metrics run that have to see both runs at once.

    Raises:
        IncomparableRuns: they answered different examples, or no metric was made in the same way for both.
        SuiteError: no such correction.
    """
    check_same_examples(first, second)
    first, second = measured_together(first, second, device=device)
    first, second = pair_on_same_examples(first, second, _unreadable(first, second))
    differences = measure(first, second, level=CONFIDENCE, permutations=permutations, seed=seed)
    if not any(difference.compared for difference in differences):
        reasons = "; ".join(f"{difference.output}: {difference.reason}" for difference in differences) or "neither has a score"
        raise IncomparableRuns(f"{first.name} and {second.name} have no score that was made in the same way. {reasons}")
    adjusted = correct(np.array([difference.p for difference in differences]), correction)
    differences = [replace(difference, p_adjusted=float(p)) for difference, p in zip(differences, adjusted, strict=True)]
    chosen = _chosen(differences, by)
    texts = _texts(first), _texts(second)
    return Comparison(
        first=first.name,
        second=second.name,
        differences=tuple(differences),
        changes=tuple(changed(_spec(first), _spec(second))),
        environment=tuple(changed(first.environment, second.environment)),
        moved=tuple(moved_most(first, second, chosen)),
        moved_by=chosen.output,
        examples=len(set(second.example_ids)),
        counted_as_worst=(_failed(first), _failed(second)),
        identical_answers=sum(texts[0].get(example) == text for example, text in texts[1].items()),
        correction=correction,
        permutations=permutations,
        level=CONFIDENCE,
        seed=seed,
    )


def _failed(run: ScoredRun) -> int:
    return max((metric.failed for metric in run.metrics.values()), default=0)


def _unreadable(first: ScoredRun, second: ScoredRun) -> list[str] | None:
    """Examples that no run can read; the data is looked at only where a run failed to. None where it is not available."""
    if not any(record.failure is not None for run in (first, second) for record in run.answers):
        return []
    from harness.datasets.load import load_examples

    try:
        return unreadable_images([*first.answers, *second.answers], load_examples(second.suite))
    except SeeTellError:
        return None


def check_same_examples(first: ScoredRun, second: ScoredRun) -> None:
    """Raise IncomparableRuns, naming examples, unless both runs answered the same ones."""
    first_ids, second_ids = set(first.example_ids), set(second.example_ids)
    if first_ids == second_ids:
        return
    lacks = [
        f"{len(ids)} only in {run.name} ({', '.join(map(repr, sorted(ids)[:5]))}{', ...' if len(ids) > 5 else ''})"
        for run, ids in ((first, first_ids - second_ids), (second, second_ids - first_ids))
        if ids
    ]
    common = len(first_ids & second_ids)
    remedy = f"compare the {common} they share with --common" if common else "they share none, so nothing compares"
    raise IncomparableRuns(f"{first.name} and {second.name} answered different examples: {'; '.join(lacks)}; {remedy}")


def on_common_examples(first: ScoredRun, second: ScoredRun, *, device: str = "cpu") -> tuple[ScoredRun, ScoredRun]:
    """Both runs cut down to the examples they share and scored again, since some metrics depend on the whole set (CIDEr's idf).

    Raises:
        IncomparableRuns: they share none.
        SeeTellError: the data or the models of a run are no longer there.
    """
    common = set(first.example_ids) & set(second.example_ids)
    if not common:
        check_same_examples(first, second)
    return _cut(first, common, device), _cut(second, common, device)


def _cut(run: ScoredRun, ids: set[str], device: str) -> ScoredRun:
    from harness.datasets.load import load_examples
    from harness.decode.experiment import Experiment

    examples = [example for example in load_examples(run.suite) if example.id in ids]
    known = {example.id for example in examples}
    answers = tuple(record for record in run.answers if record.example_id in known)
    evaluator = Experiment(run.suite, examples).evaluator(device)
    metrics = {
        label: ScoredMetric(tuple(sheet.scores), sheet.rows.get(label))
        for label, sheet in evaluator.measure(as_samples(answers, examples)).items()
    }
    return replace(run, example_ids=tuple(answer.example_id for answer in answers), answers=answers, metrics=metrics)


def changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """The fields in which two JSON objects differ, with dots into nested objects."""
    first_values, second_values = dict(_flat(first)), dict(_flat(second))
    return [
        Change(field, first_values.get(field), second_values.get(field))
        for field in dict.fromkeys([*first_values, *second_values])
        if first_values.get(field) != second_values.get(field)
    ]


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    fields: list[tuple[str, Any]] = []
    for key, value in content.items():
        fields += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return fields


def _spec(run: ScoredRun) -> dict[str, Any]:
    """What was asked for. Of imported outputs the hash of their texts is no setting."""
    spec = run.spec.as_written(run.suite).model_dump(mode="json")
    if run.spec.decoder == IMPORTED:
        spec["config"].pop("content", None)
    return spec


def _chosen(differences: Sequence[Difference], by: str | None) -> Difference:
    """The output whose moves are shown."""
    compared = [difference for difference in differences if difference.compared]
    if by is None:
        return next((difference for difference in compared if difference.higher_is_better is not None), compared[0])
    for difference in compared:
        if difference.output == by:
            return difference
    raise IncomparableRuns(
        f"--by {by}: it was not compared; expected one of: {', '.join(difference.output for difference in compared)}"
    )


def moved_most(first: ScoredRun, second: ScoredRun, output: Difference, shown: int = SHOWN_MOVES) -> list[Move]:
    """The examples whose own score differs most; a corpus-level metric is finalised on each example alone.

    None for a metric of distributions, which says nothing about one example.

    Raises:
        MetricError: there are no rows to look at.
        RegistryError: the metric's plug-in does not load.
    """
    label = output.metric
    before, after = first.metrics[label].rows, second.metrics[label].rows
    if before is None or after is None:
        raise MetricError(f"there are no rows of {label!r} to look at single examples with")
    metric = load_metric(second.suite, label)
    if metric.resampling == "paired-only":
        return []
    aligned = align([Clusters.of(first.example_ids, before), Clusters.of(second.example_ids, after)])
    place = [score.output for score in second.metrics[label].scores].index(output.output)
    values = metric.finalise(aligned.rows)[..., place]
    moves = np.abs(values[1] - values[0])
    moved = [index for index in np.argsort(-np.nan_to_num(moves), kind="stable")[:shown] if moves[index] > 0]
    texts = _texts(first), _texts(second)
    return [
        Move(
            aligned.ids[index],
            float(values[0, index]),
            float(values[1, index]),
            *(" / ".join(side.get(aligned.ids[index], ())) for side in texts),
        )
        for index in moved
    ]


def _texts(run: ScoredRun) -> dict[str, tuple[str, ...]]:
    """What was said to each example, a text a draw; a failure shows its kind in angle brackets."""
    texts_of: dict[str, list[str]] = {}
    for record in run.answers:
        text = f"<{record.failure.kind}>" if record.failure else record.text
        texts_of.setdefault(record.example_id, []).append(text)
    return {example: tuple(texts) for example, texts in texts_of.items()}
