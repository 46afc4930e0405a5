"""Samples and metrics in, scores with intervals and the rows behind them out. No files, no models of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import MetricError, MetricUnavailable, ModelMismatch, NeedMissing
from harness.metrics.base import Metric
from harness.metrics.intervals import DRAWS, interval
from harness.store.durable import Progress, no_progress
from harness.store.numbers import json_values
from harness.suites.examples import Sample


@dataclass(frozen=True, slots=True)
class Score:
    """One number that a metric reports about a run, as a plain fraction, with how sure it is and how it was made."""

    output: str
    """Such as `bleu-4`."""
    value: float
    """NaN where nothing could be scored."""
    low: float = math.nan
    high: float = math.nan
    """Ends of the 95 % interval; NaN where there is none."""
    n: int = 0
    """Samples scored."""
    unscored: int = 0
    """Samples that could not be: failures, and texts on which the metric is not defined."""
    signature: str = ""
    """`str(harness.suites.provenance.Signature)`: everything that moves the value."""
    higher_is_better: bool | None = None
    percent: bool = True
    method: str = "none"
    """How the interval was made: `bca`, `percentile` or `none`."""
    unavailable: str = ""
    """Why there is no number at all; empty where there is one."""
    caution: str = ""
    """What to know before believing the number; empty if nothing. Tables mark it."""
    no_interval: str = ""
    """Why the metric refuses an interval; empty where it does not."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes null."""
        values: dict[str, Any] = json_values(asdict(self))
        return values

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Score:
        """The inverse of `to_json`."""
        numbers = {key: math.nan if fields[key] is None else float(fields[key]) for key in ("value", "low", "high")}
        return cls(**{**fields, **numbers})


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """What several metrics said about the same samples."""

    scores: Sequence[Score]
    rows: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """By the metric's label, `[n, k]` in the order of the samples; missing for an unavailable metric."""


def score_samples(
    samples: Sequence[Sample],
    metrics: Mapping[str, Metric],
    *,
    seed: int = 0,
    draws: int = DRAWS,
    progress: Progress = no_progress,
    rows: Callable[[Sequence[Sample]], NDArray[np.float64]] | None = None,
) -> ScoreSheet:
    """Score samples with each metric. A metric that cannot be computed says why, and the others go on.

    Args:
        samples: all that is scored together.
        metrics: by label.
        seed: of the bootstrap.
        draws: bootstrap replicates.
        progress: called with metrics done and due.
        rows: makes the rows instead of the metric itself, where there is but one; other machines may do it.
    """
    scores: list[Score] = []
    kept: dict[str, NDArray[np.float64]] = {}
    for done, (label, metric) in enumerate(metrics.items(), start=1):
        try:
            metric_rows = rows(samples) if rows else rows_that_fit(metric, samples)
        except (MetricError, NeedMissing, ModelMismatch) as error:
            scores += unavailable(metric, len(samples), str(error))
        else:
            kept[label] = metric_rows
            scores += score_rows(metric, metric_rows, samples, seed=seed, draws=draws)
        progress(done, len(metrics))
    return ScoreSheet(scores, kept)


def rows_that_fit(metric: Metric, samples: Sequence[Sample]) -> NDArray[np.float64]:
    """The rows of a metric, `[n, k]`. One whose rows can be made apart makes fewer at once where memory is full.

    Raises:
        MetricError: as the metric; also where its models and one sample do not fit the memory.
    """
    if not metric.needs:  # it computes nothing on a device
        return metric.rows(samples)
    from decoders.models.devices import Fit, is_memory_error

    try:
        if not metric.per_sample:
            return metric.rows(samples)
        return np.concatenate(list(Fit().batches(samples, max(1, len(samples)), metric.rows)))
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise MetricUnavailable(f"its models do not fit the device's memory ({error}); choose another --device") from error


def score_rows(
    metric: Metric, rows: NDArray[np.float64], samples: Sequence[Sample], *, seed: int = 0, draws: int = DRAWS
) -> list[Score]:
    """What a metric reports, from the rows that it has made of these samples."""
    scored = ~np.isnan(rows).any(axis=1)
    n = int(scored.sum())
    if not n:
        return unavailable(metric, len(samples), "no sample could be scored")
    values = metric.finalise(rows[scored].sum(axis=0))
    values = np.where(np.isfinite(values), values, np.nan)  # an infinite value is none either, and no JSON
    blank = np.full(len(values), np.nan)
    low, high, methods = blank, blank, ("none",) * len(values)
    if metric.resampling == "bootstrap":
        ends = interval(rows, [sample.example.cluster for sample in samples], metric.finalise, draws=draws, seed=seed)
        low, high, methods = ends.low, ends.high, ends.methods
    signature, caution = str(metric.signature()), metric.caution()
    return [
        Score(
            output.name,
            float(values[i]),
            float(low[i]),
            float(high[i]),
            n,
            len(samples) - n,
            signature,
            output.higher_is_better,
            output.percent,
            methods[i],
            "not defined for these samples" if np.isnan(values[i]) else "",
            caution,
            metric.no_interval,
        )
        for i, output in enumerate(metric.outputs)
    ]


def unavailable(metric: Metric, unscored: int, reason: str) -> list[Score]:
    """The scores of a metric that could not be computed: no numbers, and the reason."""
    return [
        Score(
            output.name,
            math.nan,
            unscored=unscored,
            higher_is_better=output.higher_is_better,
            percent=output.percent,
            unavailable=reason,
        )
        for output in metric.outputs
    ]
