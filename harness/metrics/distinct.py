"""Variety across texts: distinct-1 and distinct-2 (Li et al. 2016, arXiv 1510.03055, section 5).

How many different n-grams all texts together say, divided by how many tokens they say. White-space tokens, case kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.base import Metric, MetricConfig, Output, Resampling, nothing_right
from harness.suites.examples import Sample
from harness.suites.provenance import Signature

ORDERS = (1, 2)


class DistinctConfig(MetricConfig):
    """What the count is divided by."""

    per: Literal["tokens", "ngrams"] = "tokens"
    """`tokens` as the paper says; `ngrams`, as many programs do, divides by the number of n-grams of the same length."""


class Distinct(Metric):
    """distinct-1 and distinct-2 of the corpus; more texts give lower values, so only runs on the same examples compare."""

    Config = DistinctConfig
    config: DistinctConfig
    resampling: ClassVar[Resampling] = "none"
    """A resampled text repeats its own n-grams, so a bootstrap sees less variety than there is: there is no valid interval."""

    row_names = tuple(f"{kind}-{n}" for n in ORDERS for kind in ("share", "of"))

    @property
    def outputs(self) -> tuple[Output, ...]:
        """distinct-1, distinct-2."""
        return tuple(Output(f"distinct-{n}", higher_is_better=True) for n in ORDERS)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """For each n, the text's share in the different n-grams and what it is divided by, `[n, 4]`.

        An n-gram that m texts say counts 1/m for each of them, so the shares add up to the number of different n-grams.
        """
        rows = np.full((len(samples), 2 * len(ORDERS)), np.nan)
        words = {index: sample.text.split() for index, sample in enumerate(samples) if sample.failure is None}
        for column, n in enumerate(ORDERS):
            grams = {index: list(zip(*(tokens[i:] for i in range(n)), strict=False)) for index, tokens in words.items()}
            texts = Counter(gram for ngrams in grams.values() for gram in set(ngrams))
            for index, ngrams in grams.items():
                rows[index, 2 * column] = sum(1 / texts[gram] for gram in dict.fromkeys(ngrams))
                rows[index, 2 * column + 1] = len(words[index]) if self.config.per == "tokens" else len(ngrams)
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Different n-grams by tokens (or n-grams); NaN where nothing is said."""
        different, total = sums[..., 0::2], sums[..., 1::2]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, different / total, np.nan)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """A text that adds no new n-gram."""
        return nothing_right(rows, (1, 3))

    def signature(self) -> Signature:
        """How n-grams are counted, and that they are pooled."""
        return Signature.of("distinct", {"per": self.config.per, "tok": "whitespace", "case": "kept", "average": "pooled"})
