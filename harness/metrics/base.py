"""A metric is rows and a finaliser: `score = finalise(sum of per-example rows)`.

Intervals, paired tests, shard merging and gates are then one routine each, because all of them only ever re-weight rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from decoders.models.loaded import Models
from harness.suites.examples import Sample
from harness.suites.provenance import Signature
from harness.suites.sections import Section

BLOCK = 64
"""Samples that a model encodes together, from places that do not move: features depend in their last digits on what is encoded
beside them, and scores of the same texts are to be the same bytes, whether a run was resumed, spread over workers or neither."""

Resampling = Literal["bootstrap", "paired-only", "none"]


class MetricConfig(Section):
    """Base of every metric's `Config`: frozen, unknown keys refused. Relative `Path` fields start at the suite's folder."""

    def own_models(self) -> Mapping[Need, str]:
        """Models that the metric is to be given instead of the suite's, as a suite would name them.

        A judge should not be the defendant: perplexity under the model that wrote the text, for one, says little.
        """
        return {}


@dataclass(frozen=True, slots=True)
class Output:
    """One number that a metric reports."""

    name: str
    """As it stands in tables and in JSON, such as `bleu-4`."""
    higher_is_better: bool | None
    """None where neither direction is good in itself (length)."""
    percent: bool = True
    """Tables show it times 100; stored values are always plain fractions."""


class Metric(ABC):
    """One way of scoring samples. Instances are cheap; the work is in `rows`."""

    Config: ClassVar[type[MetricConfig]] = MetricConfig
    needs: ClassVar[frozenset[Need]] = frozenset()
    """Models and inputs it cannot do without; the harness loads them, or reports the metric as unavailable."""
    needs_references: ClassVar[bool] = False
    """Whether it compares with what people wrote."""
    resampling: ClassVar[Resampling] = "bootstrap"
    """`bootstrap`: percentile-type intervals are valid; `paired-only`: only comparisons are, on rows from `joint_rows`;
    `none`: neither is."""
    per_sample: ClassVar[bool] = False
    """Whether a sample's row depends on that sample alone, and `signature` on the config and models alone: such rows may be
    made in parts, on several machines."""
    no_interval: ClassVar[str] = ""
    """Why there is no interval, for whoever misses one; only where `resampling` is not `bootstrap`."""

    row_names: ClassVar[tuple[str, ...]] = ()
    """What the numbers of a row are, for whoever reads the stored rows; by default the names of the outputs and `texts`, where
    there are so many."""

    def __init__(self, config: MetricConfig, models: Models) -> None:
        self.config = config
        self.models = models

    def variant(self) -> str:
        """What else on this machine moves the value, such as which tokenizer was found.

        Stored scores are not reused across a change of it. Called without models, so it must be cheap.
        """
        return ""

    def expect(self, runs: Sequence[Sequence[Sample]]) -> None:  # noqa: B027 - most metrics have nothing to prepare
        """Told before several runs are scored one after the other, so that what costs a start is done once for all.

        Nothing need be done here, and `rows` must give the same without. What goes wrong may be raised: it is passed over, and
        `rows` will say it again.
        """

    @property
    @abstractmethod
    def outputs(self) -> tuple[Output, ...]:
        """The numbers `finalise` returns, in its order."""

    @abstractmethod
    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """One row of additive statistics a sample, `[n, k]`; a row of NaN means unscored, which is counted, never zero.

        Failed samples are unscored. `samples` is everything that is scored together, so corpus-wide facts (CIDEr's
        document frequencies) may be taken from it.

        Raises:
            MetricError: these samples cannot be scored at all (with the reason); other metrics go on.
        """

    def columns_of(self, count: int) -> list[str]:
        """Names of the `count` numbers of a row, each once."""
        names = self.row_names or (*(output.name for output in self.outputs), "texts")
        return list(names) if len(names) == count else [f"number-{place}" for place in range(1, count + 1)]

    def joint_rows(self, runs: Sequence[Sequence[Sample]]) -> list[NDArray[np.float64]]:
        """Rows of several runs on the same examples that may be exchanged with each other.

        Those of `rows`, unless a run's rows depend on its other texts (a codebook fitted to them): such a metric is
        `paired-only`, and makes rows here that mean the same in every run, whichever of the runs said which text.

        Raises:
            MetricError: as `rows`.
        """
        return [self.rows(samples) for samples in runs]

    def caution(self) -> str:
        """What a reader of the value must be warned of; empty if nothing. Called after `rows`; marked in tables."""
        return ""

    @abstractmethod
    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of rows, `[..., k]`, to one value an output, `[..., len(outputs)]`. Vectorised over leading axes."""

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The row that stands for an answer which failed, `[k]`, so that failing never pays; None where no value is the worst.

        Args:
            rows: of all answers that are ranked together, `[n, k]` without NaN: no count of a failed answer is taken to be
                smaller than theirs.
        """
        return None

    @abstractmethod
    def signature(self) -> Signature:
        """Everything that moves the value. Called after `rows`, so it may name what only the data could tell."""


def mean_over_texts(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The finaliser of rows that end in a 1: `[..., k + 1]` to the means `[..., k]`, 0 where nothing was scored."""
    return sums[..., :-1] / np.maximum(sums[..., -1:], 1)


def nothing_right(rows: NDArray[np.float64], counts: Sequence[int] = (-1,)) -> NDArray[np.float64]:
    """The worst row of a metric that counts what is right: zeros, but `counts` (what it is divided by) as large as any."""
    worst = np.zeros(rows.shape[1])
    worst[list(counts)] = rows[:, list(counts)].max(axis=0, initial=1.0)
    return worst


class MeanOverTexts:
    """For metrics whose rows end in a 1: the value is the mean over texts, and a failed answer counts as 0."""

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means over texts."""
        return mean_over_texts(sums)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zeros."""
        return nothing_right(rows)
