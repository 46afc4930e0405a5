"""distinct-n, by hand and against pooling all texts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.metrics.distinct import Distinct, DistinctConfig
from harness.metrics.score import score_samples
from harness.suites.examples import Example, Failure, Sample


def metric(per: str = "tokens") -> Distinct:
    return Distinct(DistinctConfig.model_validate({"per": per}), Models())


def texts(*each: str) -> list[Sample]:
    return [Sample(Example(str(i)), text=text) for i, text in enumerate(each)]


def values(samples: list[Sample], per: str = "tokens") -> list[float]:
    found = metric(per)
    return [float(value) for value in found.finalise(found.rows(samples).sum(axis=0))]


def test_by_hand() -> None:
    # 3 of 6 words differ; bigrams: "a b", "b a", "a c" of 4
    given = texts("a b a", "a b", "", "c")
    assert values(given) == pytest.approx([3 / 6, 2 / 6])
    assert values(given, "ngrams") == pytest.approx([3 / 6, 2 / 3])


def test_rows_add_up_to_pooling_all_texts_in_any_order() -> None:
    rng = np.random.default_rng(0)
    given = texts(*(" ".join(rng.choice(list("abcdefghij"), rng.integers(0, 9))) for _ in range(60)))
    tokens = [sample.text.split() for sample in given]
    bigrams = {pair for each in tokens for pair in pairwise(each)}
    total = sum(map(len, tokens))
    expected = [len({token for each in tokens for token in each}) / total, len(bigrams) / total]
    assert values(given) == pytest.approx(expected)
    np.testing.assert_allclose(metric().rows(given[::-1])[::-1], metric().rows(given))


def test_failures_are_unscored_and_nothing_said_is_no_zero() -> None:
    failed = Sample(Example("x"), text="z z", failure=Failure("OutOfMemory", "no"))
    assert np.isnan(metric().rows([*texts("a b"), failed])[1]).all()
    assert all(np.isnan(values(texts("", " "))))


def test_there_is_no_interval_and_the_signature_tells_the_way() -> None:
    scores = score_samples(texts("a b a", "a b"), {"distinct": metric()}).scores
    assert [score.output for score in scores] == ["distinct-1", "distinct-2"]
    assert all(score.method == "none" and np.isnan(score.low) for score in scores)
    assert str(metric().signature()) != str(metric("ngrams").signature())
