"""From samples to scores: what is counted, what is kept, what happens when a metric cannot be computed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from decoders.models.loaded import Models
from harness.metrics.base import Metric, MetricConfig, Output
from harness.metrics.clip import ClipScore, ClipScoreConfig
from harness.metrics.coco import Bleu, Cider, CocoConfig, RougeL
from harness.metrics.repetition import Repetition, RepetitionConfig
from harness.metrics.score import Score, score_samples
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature

TEXTS = ("a dog on a red mat and a dog on a red mat", "two cats sit near a wall", "a man runs in the park", "blue sky")


def samples(draws: int = 1) -> list[Sample]:
    return [
        Sample(Example(str(i), references=(text, f"{text} again", f"here {text}")), draw, TEXTS[(i + draw) % 4])
        for i, text in enumerate(TEXTS * 3)
        for draw in range(draws)
    ]


def metrics() -> dict[str, Metric]:
    python = CocoConfig(tokenizer="python")
    return {
        "bleu": Bleu(python, Models()),
        "rouge-l": RougeL(python, Models()),
        "cider": Cider(python, Models()),
        "repetition": Repetition(RepetitionConfig(), Models()),
    }


class Words(Metric):
    """Mean number of words; no interval is claimed for it."""

    resampling = "none"

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("words", None, percent=False),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        return np.array([[len(sample.text.split()), 1.0] for sample in samples])

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums[..., :1] / sums[..., 1:]

    def signature(self) -> Signature:
        return Signature.of("words", {})


def test_values_lie_in_their_intervals_and_come_from_the_rows() -> None:
    sheet = score_samples(samples(), metrics(), seed=1, draws=300)
    names = [f"bleu-{n}" for n in (1, 2, 3, 4)] + ["rouge-l", "cider", "rep-2", "rep-3", "rep-4", "diversity"]
    assert sorted(score.output for score in sheet.scores) == sorted(names)
    for label, metric in metrics().items():
        values = metric.finalise(sheet.rows[label].sum(axis=0))
        by_name = {score.output: score for score in sheet.scores}
        for output, value in zip(metric.outputs, values, strict=True):
            score = by_name[output.name]
            assert score.value == pytest.approx(value, rel=1e-12)
            assert score.low <= score.value <= score.high
            assert score.method in ("bca", "percentile")
            assert (score.n, score.unscored, score.unavailable) == (12, 0, "")


def test_failed_samples_are_unscored_in_every_metric() -> None:
    given = samples()
    given[3] = Sample(given[3].example, failure=Failure("UnreadableImage", "gone"))
    sheet = score_samples(given, metrics(), draws=50)
    assert {(score.n, score.unscored) for score in sheet.scores} == {(11, 1)}
    assert all(np.isnan(rows[3]).all() and len(rows) == 12 for rows in sheet.rows.values())


def test_a_metric_that_cannot_be_computed_says_why_and_the_others_go_on() -> None:
    every = {"clipscore": ClipScore(ClipScoreConfig(), Models()), **metrics()}
    seen: list[tuple[int, int]] = []
    sheet = score_samples(samples(), every, draws=50, progress=lambda done, total: seen.append((done, total)))
    missing = [score for score in sheet.scores if score.unavailable]
    assert [score.output for score in missing] == ["clipscore", "clip-cosine"]
    assert all(math.isnan(score.value) and score.n == 0 and score.unscored == 12 for score in missing)
    assert "clipscore" not in sheet.rows
    assert len(sheet.scores) == 12
    assert seen == [(done, 5) for done in range(1, 6)]


def test_nothing_scored_is_no_zero() -> None:
    given = [Sample(sample.example, failure=Failure("OutOfMemory", "no")) for sample in samples()]
    for score in score_samples(given, metrics(), draws=50).scores:
        assert math.isnan(score.value)
        assert score.unavailable
        assert (score.n, score.unscored) == (0, 12)


def test_an_output_that_is_not_defined_says_so() -> None:
    given = [Sample(Example(str(i)), text="three words only") for i in range(4)]
    scores = {s.output: s for s in score_samples(given, {"r": metrics()["repetition"]}, draws=50).scores}
    assert scores["rep-2"].value == 0.0
    assert scores["rep-3"].unavailable == ""
    assert math.isnan(scores["rep-4"].value)
    assert scores["rep-4"].unavailable
    assert scores["rep-4"].method == "none"


def test_an_infinite_value_is_none() -> None:
    class Endless(Words):
        def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.full((*sums.shape[:-1], 1), np.inf)

    [score] = score_samples(samples(), {"words": Endless(MetricConfig(), Models())}).scores
    assert math.isnan(score.value)
    assert score.unavailable == "not defined for these samples"
    assert json.loads(json.dumps(score.to_json(), allow_nan=False))["value"] is None


def test_a_metric_without_resampling_gets_no_interval() -> None:
    [score] = score_samples(samples(), {"words": Words(MetricConfig(), Models())}).scores
    assert score.value == pytest.approx(np.mean([len(text.split()) for text in TEXTS]))
    assert math.isnan(score.low)
    assert math.isnan(score.high)
    assert (score.method, score.higher_is_better, score.percent) == ("none", None, False)


def test_several_draws_widen_nothing_and_narrow_nothing_by_their_number() -> None:
    """The same answers drawn five times are no more evidence than once."""
    once = samples()
    often = [Sample(sample.example, draw, sample.text) for sample in once for draw in range(5)]
    one, five = (score_samples(given, metrics(), seed=2, draws=200).scores for given in (once, often))
    for first, second in zip(one, five, strict=True):
        assert second.n == 60
        assert second.value == pytest.approx(first.value, rel=1e-9)
        assert (second.low, second.high) == pytest.approx((first.low, first.high), rel=1e-6, abs=1e-9)


def test_scores_survive_json() -> None:
    every = {"clipscore": ClipScore(ClipScoreConfig(), Models()), **metrics()}
    for score in score_samples(samples(), every, draws=50).scores:
        text = json.dumps(score.to_json(), allow_nan=False)
        assert repr(Score.from_json(json.loads(text))) == repr(score)


def test_equal_seeds_give_equal_sheets() -> None:
    first, second, other = (score_samples(samples(2), metrics(), seed=s, draws=100).scores for s in (4, 4, 5))
    assert repr(first) == repr(second)
    assert repr(first) != repr(other)
