"""How long texts are: in words, or in the tokens of the language model that said them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.base import Metric, MetricConfig, Output, mean_over_texts
from harness.suites.examples import Sample
from harness.suites.provenance import Signature


class LengthConfig(MetricConfig):
    """What is counted."""

    unit: Literal["words", "tokens"] = "words"
    """`words` between white space, or `tokens` as decoded; imported texts have no tokens and are left unscored."""


class Length(Metric):
    """Mean length of a text; neither long nor short is good in itself."""

    Config = LengthConfig
    config: LengthConfig

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("length", higher_is_better=None, percent=False),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Length and 1, `[n, 2]`."""
        rows = np.full((len(samples), 2), np.nan)
        for index, sample in enumerate(samples):
            if sample.failure is not None or (self.config.unit == "tokens" and sample.text and not sample.tokens):
                continue
            rows[index] = len(sample.tokens if self.config.unit == "tokens" else sample.text.split()), 1
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over texts."""
        return mean_over_texts(sums)

    def signature(self) -> Signature:
        """What is counted."""
        return Signature.of("length", {"unit": self.config.unit})
