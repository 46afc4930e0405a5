"""Runs of one table on the same examples: a failed answer counts as the worst, and what nobody can read counts for nobody.

Without this rule a decoder that fails on the hard examples would be judged on the easy ones alone, and win. Within a metric
whose numbers were made in the same way:

* an example whose image nobody can read, or for which no run has a score, leaves the comparison for every run;
* any other answer without a score (a failure, a text that the metric cannot judge) counts as `Metric.worst_row`;
* where a metric has no worst value (perplexity has none), a run with such answers is not ranked by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decoders.models.images import open_image
from harness.compare.differences import gives_back, load_metric
from harness.compare.scored import ScoredMetric, ScoredRun, command
from harness.errors import SeeTellError, UnreadableImage
from harness.metrics.base import Metric
from harness.metrics.intervals import CONFIDENCE, interval
from harness.metrics.score import Score
from harness.store.answers import Record
from harness.suites.examples import Example

Floats = NDArray[np.float64]


def on_same_examples(runs: Mapping[str, ScoredRun], unreadable: Collection[str] | None = None) -> dict[str, ScoredRun]:
    """The runs with rows and values that may be ranked and tested against each other.

    A run whose every answer has a score keeps its stored values to the last digit.

    Args:
        runs: by any name, on the same data.
        unreadable: examples whose image cannot be read; None where the data is not available, so that an example on which
            every run failed counts as one of them.
    """
    changed: dict[str, dict[str, ScoredMetric]] = {name: dict(run.metrics) for name, run in runs.items()}
    for label in dict.fromkeys(label for run in runs.values() for label in run.metrics):
        for names in made_alike(runs, label):
            for name, metric in _compared({name: runs[name] for name in names}, label, unreadable).items():
                changed[name][label] = metric
    return {name: replace(run, metrics=changed[name]) for name, run in runs.items()}


def unreadable_images(records: Iterable[Record], examples: Sequence[Example]) -> list[str]:
    """The examples whose image some run could not read, and that cannot be read here either; by id."""
    blamed = {
        record.example_id for record in records if record.failure is not None and record.failure.kind == UnreadableImage.__name__
    }
    return [example.id for example in examples if example.id in blamed and not _readable(example)]


def _readable(example: Example) -> bool:
    if example.image is None:  # nothing that could be broken
        return True
    try:
        open_image(example.image)
    except UnreadableImage:
        return False
    return True


def made_alike(runs: Mapping[str, ScoredRun], label: str) -> list[list[str]]:
    """The runs that have a metric, by signature, width of its rows, and outputs."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, run in runs.items():
        metric = run.metrics.get(label)
        if metric is not None and metric.rows is not None:
            signature = next((score.signature for score in metric.scores if score.signature), "")
            key = (signature, f"{metric.rows.shape[1]}", *(score.output for score in metric.scores))
            alike.setdefault(key, []).append(name)
    return list(alike.values())


def _compared(runs: Mapping[str, ScoredRun], label: str, unreadable: Collection[str] | None) -> dict[str, ScoredMetric]:
    """A metric of runs that were scored in the same way; those that change."""
    first = next(iter(runs.values()))
    rows = {name: _rows(run, label) for name, run in runs.items()}
    unscored = {name: np.asarray(np.isnan(values).any(axis=1)) for name, values in rows.items()}
    try:
        metric = load_metric(first.suite, label)
    except SeeTellError as error:
        return {
            name: replace(run.metrics[label], not_ranked=f"{_without_score(unscored[name])}, and {error}")
            for name, run in runs.items()
            if unscored[name].any()
        }
    changed = {name: _without_values(run, label) for name, run in runs.items() if not gives_back(run.metrics[label], metric)}
    runs = {name: run for name, run in runs.items() if name not in changed}
    if not unreadable and not any(unscored[name].any() for name in runs):
        return changed
    outside = _outside(runs, unscored, unreadable)
    inside = {name: np.array([key not in outside for key in run.example_ids]) for name, run in runs.items()}
    scored = [rows[name][~unscored[name] & inside[name]] for name in runs]
    worst = metric.worst_row(np.concatenate(scored)) if metric.resampling != "paired-only" else None
    for name, run in runs.items():
        failed = unscored[name] & inside[name]
        answered = ~unscored[name] & inside[name]
        if not failed.any() and answered.sum() == (~unscored[name]).sum():
            continue
        filled = np.where(inside[name][:, None], rows[name], np.nan)
        not_ranked = ""
        if worst is not None:
            filled[failed] = worst
        elif failed.any():
            not_ranked = f"{_without_score(failed)}, and this number has no worst value to count for them"
        before = run.metrics[label]
        scores = _scores(run, before, metric, filled, int(answered.sum()))
        changed[name] = replace(before, scores=scores, rows=filled, failed=int(failed.sum()), not_ranked=not_ranked)
    return changed


def _without_score(missing: NDArray[np.bool_]) -> str:
    count = int(missing.sum())
    return f"{count} answers have no score" if count != 1 else "1 answer has no score"


def _without_values(run: ScoredRun, label: str) -> ScoredMetric:
    """The metric of a run whose rows are not those of its values: neither is shown."""
    reason = f"the stored rows do not give the stored value; `{command('score', run.spec, run.suite)} --fresh` scores again"
    scores = [replace(score, value=np.nan, low=np.nan, high=np.nan, unavailable=reason)
              for score in run.metrics[label].scores]  # fmt: skip
    return replace(run.metrics[label], scores=tuple(scores), rows=None)


def _rows(run: ScoredRun, label: str) -> Floats:
    rows = run.metrics[label].rows
    assert rows is not None  # `made_alike` has seen to it  # noqa: S101
    return rows


def _outside(
    runs: Mapping[str, ScoredRun], unscored: Mapping[str, NDArray[np.bool_]], unreadable: Collection[str] | None
) -> set[str]:
    """The examples that count for no run."""
    scored: set[str] = set()
    answered: set[str] = set()
    union: set[str] = set()
    for name, run in runs.items():
        union.update(run.example_ids)
        scored.update(key for key, missing in zip(run.example_ids, unscored[name], strict=True) if not missing)
        answered.update(record.example_id for record in run.answers if record.failure is None)
    if unreadable is None:  # nobody can look: what every run failed on may be a broken image, unless there is but one run
        return union - scored if len(runs) > 1 else (union - scored) & answered
    return set(unreadable) | ((union - scored) & answered)


def _scores(run: ScoredRun, before: ScoredMetric, metric: Metric, rows: Floats, answered: int) -> tuple[Score, ...]:
    """The metric's scores from other rows than the stored ones; how they were made stays."""
    usable = rows[~np.isnan(rows).any(axis=1)]
    if not len(usable):
        return tuple(
            replace(score, value=np.nan, low=np.nan, high=np.nan, n=0, unscored=len(rows),
                    unavailable="no example is left that some run has a score for")
            for score in before.scores
        )  # fmt: skip
    values = metric.finalise(usable.sum(axis=0))
    values = np.where(np.isfinite(values), values, np.nan)
    low = high = np.full(len(values), np.nan)
    methods: Sequence[str] = ["none"] * len(values)
    if metric.resampling == "bootstrap":
        ends = interval(rows, run.clusters, metric.finalise, seed=run.suite.run.seed, level=CONFIDENCE)
        low, high, methods = ends.low, ends.high, ends.methods
    return tuple(
        replace(
            score,
            value=float(values[place]),
            low=float(low[place]),
            high=float(high[place]),
            n=answered,
            unscored=len(rows) - answered,
            method=methods[place],
            unavailable="not defined for these samples" if np.isnan(values[place]) else "",
        )
        for place, score in enumerate(before.scores)
    )


def pair_on_same_examples(first: ScoredRun, second: ScoredRun, unreadable: Collection[str] | None) -> tuple[ScoredRun, ScoredRun]:
    """Two runs with their failures as the worst value where a metric has one.

    By a metric without a worst value they are compared on what both have a score for, and the others are counted.
    """
    aligned = on_same_examples({"first": first, "second": second}, unreadable)
    first_failed, second_failed = (
        replace(run, metrics={label: changed.metrics[label] if _counted(changed.metrics[label]) else metric
                              for label, metric in run.metrics.items()})
        for run, changed in ((first, aligned["first"]), (second, aligned["second"]))
    )  # fmt: skip
    return first_failed, second_failed


def _counted(metric: ScoredMetric) -> bool:
    return metric.rows is not None and not metric.not_ranked


def with_lost_as_worst(accepted: ScoredRun, candidate: ScoredRun) -> ScoredRun:
    """The candidate with every answer counted as the worst that has no score although the accepted run has one there.

    What the accepted run has no score for is left alone: an example that the candidate gained must not make up for a loss.
    """
    metrics = dict(candidate.metrics)
    for label, after in candidate.metrics.items():
        before = accepted.metrics.get(label)
        if before is None or before.rows is None or after.rows is None or before.rows.shape[1:] != after.rows.shape[1:]:
            continue
        scored = np.asarray(~np.isnan(before.rows).any(axis=1))
        known = {key for key, has_score in zip(accepted.example_ids, scored, strict=True) if has_score}
        missing = np.isnan(after.rows).any(axis=1)
        lost = missing & np.array([key in known for key in candidate.example_ids], bool)
        if not lost.any():
            continue
        count = int(lost.sum())
        try:
            metric = load_metric(candidate.suite, label)
        except SeeTellError:
            continue  # whoever measures the difference names it
        if not gives_back(after, metric):
            continue
        worst = None
        if metric.resampling == "bootstrap":
            worst = metric.worst_row(np.concatenate([before.rows[scored], after.rows[~missing]]))
        if worst is None:
            reason = f"{count} answers that the baseline has a score for have none now, and this number has no worst value"
            metrics[label] = replace(after, failed=count, not_ranked=reason)
            continue
        rows = after.rows.copy()
        rows[lost] = worst
        scores = _scores(candidate, after, metric, rows, int((~missing).sum()))
        signed = tuple(
            replace(score, signature=score.signature or old.signature) for score, old in zip(scores, before.scores, strict=False)
        )
        metrics[label] = replace(after, scores=signed, rows=rows, failed=count)
    return replace(candidate, metrics=metrics)
