"""Two runs under metrics whose rows mean something only among the texts they were made from (MAUVE's codebook).

Such metrics are `paired-only`. Before two runs are compared they are measured again, both together, and what comes out takes
the place of what was stored: values, rows and signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.compare.differences import signature_changes
from harness.compare.scored import ScoredMetric, ScoredRun
from harness.decode.experiment import Experiment
from harness.errors import DataError, SeeTellError
from harness.metrics.evaluate import Due, due_metrics
from harness.metrics.score import score_rows, unavailable
from harness.store.runs import as_samples
from harness.suites.examples import Example, Sample


def measured_together(first: ScoredRun, second: ScoredRun, *, device: str = "cpu") -> tuple[ScoredRun, ScoredRun]:
    """Both runs, with those metrics measured again that have to be; nothing is loaded where there are none.

    A metric that was scored in different ways, or cannot be measured now, stays as it is or says why.

    Args:
        first: a run with its texts.
        second: another, on the same examples.
        device: where models run; `auto` for cuda where there is one.
    """
    try:
        due = [metric for metric in due_metrics(second.suite) if metric.plugin.resampling == "paired-only"]
    except SeeTellError:
        return first, second  # a plug-in that is gone; whoever needs it says so
    due = [metric for metric in due if _alike(first, second, metric.label)]
    if not due:
        return first, second
    measured = {metric.label: _measured(metric, first, second, device) for metric in due}
    first_scored, second_scored = ({label: pair[place] for label, pair in measured.items()} for place in (0, 1))
    return replace(first, metrics={**first.metrics, **first_scored}), replace(second, metrics={**second.metrics, **second_scored})


def _alike(first: ScoredRun, second: ScoredRun, label: str) -> bool:
    """Whether both runs have the metric, from rows that were made in the same way."""
    pair = [run.metrics.get(label) for run in (first, second)]
    if any(metric is None or metric.rows is None for metric in pair):
        return False
    before, after = (metric.scores[0].signature for metric in pair if metric is not None)
    return not signature_changes(before, after)


def _measured(due: Due, first: ScoredRun, second: ScoredRun, device: str) -> tuple[ScoredMetric, ScoredMetric]:
    suite = second.suite
    try:
        experiment = Experiment(suite)
        runs = [_samples(run, experiment.examples) for run in (first, second)]
        metric = experiment.evaluator(device).metric(due)
        rows = metric.joint_rows(runs)
    except SeeTellError as error:
        blank = due.blank()
        first_samples, second_samples = (
            ScoredMetric(tuple(due.named(unavailable(blank, len(run.answers), str(error)))), None) for run in (first, second)
        )
        return first_samples, second_samples
    first_samples, second_samples = (
        ScoredMetric(tuple(due.named(score_rows(metric, metric_rows, samples, seed=suite.run.seed))), metric_rows, joint=True)
        for metric_rows, samples in zip(rows, runs, strict=True)
    )
    return first_samples, second_samples


def _samples(run: ScoredRun, examples: Sequence[Example]) -> list[Sample]:
    known = {example.id for example in examples}
    for record in run.answers:
        if record.example_id not in known:
            raise DataError(f"the data of suite {run.spec.suite!r} no longer has example {record.example_id!r}; run it again")
    return as_samples(run.answers, examples)
