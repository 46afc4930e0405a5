"""Mean length in words or tokens."""

from __future__ import annotations

import numpy as np

from decoders.models.loaded import Models
from harness.metrics.length import Length, LengthConfig
from harness.metrics.score import score_samples
from harness.suites.examples import Example, Failure, Sample

SAMPLES = [
    Sample(Example("a"), text="two  words", tokens=(1, 2, 3)),
    Sample(Example("b"), text="", tokens=()),
    Sample(Example("c"), text="imported only here now"),
    Sample(Example("d"), failure=Failure("OutOfMemory", "no")),
]


def lengths(unit: str) -> list[float]:
    return [float(row[0]) for row in Length(LengthConfig.model_validate({"unit": unit}), Models()).rows(SAMPLES)]


def test_words_and_tokens() -> None:
    np.testing.assert_array_equal(lengths("words"), [2, 0, 4, np.nan])
    np.testing.assert_array_equal(lengths("tokens"), [3, 0, np.nan, np.nan])


def test_the_score_is_the_mean_and_neither_direction_is_good() -> None:
    [score] = score_samples(SAMPLES, {"length": Length(LengthConfig(), Models())}, draws=50).scores
    assert (score.value, score.n, score.unscored) == (2.0, 3, 1)
    assert (score.higher_is_better, score.percent) == (None, False)
    assert "unit:words" in score.signature
