"""Bootstrap intervals: against SciPy, by simulation, and where there can be none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.metrics.intervals import draw_counts, interval

Floats = NDArray[np.float64]


def mean(sums: Floats) -> Floats:
    """Rows `[value, 1]`."""
    return sums[..., :1] / sums[..., 1:]


def log_ratio_and_ratio(sums: Floats) -> Floats:
    """Two outputs that are no means of rows."""
    return np.stack([np.log(sums[..., 0] / sums[..., 1]), sums[..., 0] / sums[..., 1]], axis=-1)


def as_rows(values: Floats) -> Floats:
    return np.stack([values, np.ones_like(values)], axis=-1)


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_scipy_on_a_skewed_ratio(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.lognormal(0, 1.2, 60), rng.lognormal(0, 0.5, 60)], axis=-1)
    ours = interval(rows, range(60), log_ratio_and_ratio, draws=20_000, seed=seed)
    for i in range(2):
        theirs = stats.bootstrap(
            (rows[:, 0], rows[:, 1]),
            lambda a, b, axis=-1, i=i: log_ratio_and_ratio(np.stack([a.sum(axis), b.sum(axis)], -1))[..., i],
            paired=True,
            vectorized=True,
            n_resamples=20_000,
            method="BCa",
            rng=np.random.default_rng(seed + 100),
        )
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert ours.methods[i] == "bca"
        assert ours.low[i] == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
        assert ours.high[i] == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_agrees_with_scipy_where_many_replicates_equal_the_value() -> None:
    """Of few yes-or-no answers a fifth of the replicates is tied, and each counts half."""
    for yes, n in ((3, 12), (8, 20), (2, 25)):
        values = np.repeat([1.0, 0.0], [yes, n - yes])
        ours, theirs = [], []
        for seed in range(40):  # ends jump from one multiple of 1/n to the next, so that only their means agree
            found = interval(as_rows(values), range(n), mean, draws=1000, seed=seed)
            ours.append((found.low[0], found.high[0]))
            rng = np.random.default_rng(seed)
            theirs.append(stats.bootstrap((values,), np.mean, n_resamples=1000, method="BCa", rng=rng).confidence_interval)
        assert np.abs(np.mean(ours, axis=0) - np.mean(theirs, axis=0)).max() < 0.3 / n


def test_bca_moves_the_interval_to_the_long_tail() -> None:
    rows = as_rows(np.random.default_rng(0).lognormal(0, 1.0, 80))
    found = interval(rows, range(80), mean, draws=4000)
    value = rows[:, 0].mean()
    assert found.high[0] - value > 1.2 * (value - found.low[0])


def normal(rng: np.random.Generator) -> tuple[Floats, Floats, float]:
    return as_rows(rng.normal(0.3, 1, 60)), np.arange(60), 0.3


def corpus_ratio(rng: np.random.Generator) -> tuple[Floats, Floats, float]:
    """Hits among a text's words, texts of different lengths: a corpus-level score, no mean of per-example ones."""
    words = rng.integers(5, 15, 100)
    return np.stack([rng.binomial(words, 0.3), words], axis=-1).astype(np.float64), np.arange(100), 0.3


def three_draws(rng: np.random.Generator) -> tuple[Floats, Floats, float]:
    """Three draws of each of 80 examples, which differ more between examples than within."""
    names = np.repeat(np.arange(80), 3)
    return as_rows(np.repeat(rng.normal(0, 1, 80), 3) + rng.normal(0, 0.7, 240)), names, 0.0


@pytest.mark.parametrize("world", [normal, corpus_ratio, three_draws])
def test_covers_the_truth_as_often_as_it_says(world: Callable[[np.random.Generator], tuple[Floats, Floats, float]]) -> None:
    covered, trials = 0, 1500
    for trial in range(trials):
        rows, names, truth = world(np.random.default_rng(trial))
        found = interval(rows, names.tolist(), mean, draws=400, seed=trial)
        covered += bool(found.low[0] <= truth <= found.high[0])
    assert 0.93 <= covered / trials <= 0.97


def test_a_cluster_is_drawn_as_often_as_a_fair_lottery_draws_it() -> None:
    """Counts of a multinomial distribution: their sum, mean, variance and covariance."""
    counts = np.concatenate(list(draw_counts(8, 20_000, seed=0)))
    assert (counts.sum(axis=1) == 8).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(np.cov(counts.T), np.eye(8) - 1 / 8, atol=0.04)


def test_draws_of_one_example_are_resampled_together() -> None:
    """Ten equal draws of an example say no more than one; taken for independent they would narrow it by sqrt(10)."""
    covered = narrow = 0
    for trial in range(120):
        values = np.repeat(np.random.default_rng(trial).normal(0, 1, 30), 10)
        found = interval(as_rows(values), np.repeat(np.arange(30), 10), mean, draws=250, seed=trial)
        covered += bool(found.low[0] <= 0 <= found.high[0])
        wrong = interval(as_rows(values), range(300), mean, draws=100, seed=trial)
        narrow += bool(wrong.low[0] <= 0 <= wrong.high[0])
    assert covered / 120 >= 0.87
    assert narrow / 120 <= 0.65


def test_unequal_numbers_of_draws_equal_the_sums_of_their_rows() -> None:
    rng = np.random.default_rng(5)
    names = rng.integers(0, 12, 50)
    rows = rng.random((50, 2)) + 0.5
    sums = np.stack([rows[names == name].sum(axis=0) for name in sorted(set(names.tolist()), key=str)])
    apart = interval(rows, names.tolist(), log_ratio_and_ratio, seed=3)
    whole = interval(sums, sorted({str(name) for name in names.tolist()}), log_ratio_and_ratio, seed=3)
    np.testing.assert_allclose([apart.low, apart.high], [whole.low, whole.high], rtol=1e-12)


def test_depends_on_the_seed_and_not_on_the_order() -> None:
    rng = np.random.default_rng(1)
    rows, names = as_rows(rng.random(50)), [f"example-{i}" for i in range(50)]
    first = interval(rows, names, mean, seed=7)
    order = rng.permutation(50)
    again = interval(rows[order], [names[i] for i in order], mean, seed=7)
    other = interval(rows, names, mean, seed=8)
    np.testing.assert_array_equal([first.low, first.high], [again.low, again.high])
    assert first.low[0] != other.low[0]


def test_memory_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = as_rows(np.random.default_rng(2).random(30))
    whole = interval(rows, range(30), mean)
    monkeypatch.setattr("harness.metrics.intervals._CHUNK_BYTES", 8 * 30 * 7)
    parts = interval(rows, range(30), mean)
    np.testing.assert_allclose([whole.low, whole.high], [parts.low, parts.high], rtol=1e-12)


def test_unscored_rows_are_left_out() -> None:
    rng = np.random.default_rng(3)
    rows = as_rows(rng.random(20))
    with_gaps = np.concatenate([rows, np.full((5, 2), np.nan)])
    names = [f"{i:02d}" for i in range(25)]
    full, gaps = interval(rows, names[:20], mean), interval(with_gaps, names, mean)
    np.testing.assert_array_equal([full.low, full.high], [gaps.low, gaps.high])


@pytest.mark.parametrize("n", [0, 1])
def test_no_interval_from_fewer_than_two_examples(n: int) -> None:
    with np.errstate(invalid="ignore"):
        found = interval(np.ones((n, 2)), range(n), mean)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert found.methods == ("none",)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.7])
def test_equal_examples_give_a_point_and_say_that_it_is_no_bca(value: float) -> None:
    found = interval(as_rows(np.full(37, value)), range(37), mean)
    assert found.methods == ("percentile",)
    np.testing.assert_allclose([found.low[0], found.high[0]], value, rtol=1e-12)


def test_the_scale_of_a_metric_does_not_matter() -> None:
    values = np.random.default_rng(4).lognormal(0, 1, 40)
    found = interval(as_rows(values), range(40), mean)
    tiny = interval(as_rows(values * 1e-20), range(40), mean)
    assert tiny.methods == ("bca",)
    np.testing.assert_allclose(tiny.high * 1e20, found.high, rtol=1e-9)


def test_an_output_without_a_value_has_no_interval() -> None:
    def half(sums: Floats) -> Floats:
        return np.stack([sums[..., 0] / sums[..., 1], np.full(sums.shape[:-1], np.nan)], axis=-1)

    found = interval(as_rows(np.random.default_rng(0).random(20)), range(20), half)
    assert found.methods == ("bca", "none")
    assert np.isnan(found.low[1])


def test_one_cluster_for_each_row_is_asked_for() -> None:
    with pytest.raises(ValueError, match="expected one cluster a row"):
        interval(np.ones((3, 2)), range(2), mean)
