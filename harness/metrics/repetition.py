"""Repetition inside texts and what is left: rep-2, rep-3, rep-4 and diversity (Su et al. 2022, arXiv 2202.06417, section 5.1).

n-grams of white-space tokens, case kept. Unique and total n-grams are counted within each text and summed over the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.base import Metric, MetricConfig, Output, nothing_right
from harness.suites.examples import Sample
from harness.suites.provenance import Signature

ORDERS = (2, 3, 4)


class RepetitionConfig(MetricConfig):
    """How n-grams are counted."""

    impl: Literal["exact", "simctg"] = "exact"
    """`simctg` repeats the published code: it drops the last n-gram of every text and multiplies rounded values."""


class Repetition(Metric):
    """rep-2/3/4, the share of n-grams that a text has said before, and diversity, the product of what is not repeated."""

    Config = RepetitionConfig
    config: RepetitionConfig

    row_names = tuple(f"{kind}-{n}-grams" for n in ORDERS for kind in ("different", "all"))

    @property
    def outputs(self) -> tuple[Output, ...]:
        """rep-2, rep-3, rep-4, diversity."""
        return (*(Output(f"rep-{n}", higher_is_better=False) for n in ORDERS), Output("diversity", higher_is_better=True))

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Unique and total n-grams for each n, `[n, 6]`; a text too short for an n-gram counts none of it."""
        rows = np.full((len(samples), 2 * len(ORDERS)), np.nan)
        dropped = 1 if self.config.impl == "simctg" else 0
        for index, sample in enumerate(samples):
            if sample.failure is None:
                tokens = sample.text.split()
                counts = []
                for n in ORDERS:
                    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1 - dropped)]
                    counts += [len(set(grams)), len(grams)]
                rows[index] = counts
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """rep-n = 1 - unique / total, NaN where no text is long enough; diversity = product of 1 - rep-n."""
        unique, total = sums[..., 0::2], sums[..., 1::2]
        with np.errstate(invalid="ignore", divide="ignore"):
            rep = np.where(total > 0, 1 - unique / total, np.nan)
        if self.config.impl == "simctg":
            rep = np.round(rep, 4)
        return np.concatenate([rep, np.prod(1 - rep, axis=-1, keepdims=True)], axis=-1)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """A text that only repeats."""
        return nothing_right(rows, (1, 3, 5))

    def signature(self) -> Signature:
        """How n-grams are counted."""
        return Signature.of("repetition", {"impl": self.config.impl, "tok": "whitespace", "case": "kept", "average": "micro"})
