"""The two-way bootstrap: against a plain loop, and whether its intervals hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.intervals import draw_counts
from harness.study.analysis import bootstrap
from harness.study.analysis.bootstrap import two_way_means
from harness.study.analysis.panel import Estimate, percentiles
from harness.study.analysis.power import ASSUMED, StudyPlan
from tests.harness.study.human_data import simulate_panel


def plain(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Every replicate by weights on single ratings."""
    of_items, of_annotators = np.random.SeedSequence(seed).generate_state(2).tolist()
    items = np.concatenate(list(draw_counts(values.shape[1], draws, of_items)))
    people = np.concatenate(list(draw_counts(values.shape[2], draws, of_annotators)))
    found = np.full((draws, len(values)), np.nan)
    for draw in range(draws):
        for layer, cells in enumerate(values):
            above = below = 0.0
            for i, row in enumerate(cells):
                rated = [a for a in range(len(row)) if not np.isnan(row[a])]
                for a in rated:
                    weight = items[draw, i] * people[draw, a] / len(rated)
                    above, below = above + weight * row[a], below + weight
            if below:
                found[draw, layer] = above / below
    return found


@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_the_weighted_mean_of_every_replicate(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_SPARSE_BELOW", 1.1 if sparse else -1.0)
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 200)  # several pieces
    rng = np.random.default_rng(1)
    values = np.where(rng.random((3, 7, 4)) < 0.6, rng.integers(1, 6, (3, 7, 4)), np.nan)
    np.testing.assert_allclose(two_way_means(values, draws=40, seed=9), plain(values, 40, 9), atol=1e-12)


def test_what_nobody_rated_has_no_replicates() -> None:
    values = np.stack([np.full((3, 2), np.nan), np.full((3, 2), 4.0)])
    found = two_way_means(values, draws=50)
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1] == 4.0).all()
    assert percentiles(found[:, 0]) == (None, None)


def test_an_estimate_has_a_value_or_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Estimate(None)
    with pytest.raises(ValueError, match="finite"):
        Estimate(float("nan"))


def coverage(runs: int, draws: int, items: int, k: int, annotators: int, seed: int) -> tuple[float, float, float]:
    """How often intervals hold the truth: a mean's, a difference's, and, for contrast, one that calls ratings independent."""
    plan = StudyPlan(items, k, annotators, 2)
    inside = np.zeros(3)
    for run in range(runs):
        panel = simulate_panel(plan, ASSUMED, [0.0, 0.3], seed + run, rounded=False)
        replicates = two_way_means(panel.values, draws=draws, seed=run)
        low, high = percentiles(replicates[:, 0])
        inside[0] += (low or 0) <= 3.0 <= (high or 0)
        low, high = percentiles(replicates[:, 1] - replicates[:, 0])
        inside[1] += (low or 9) <= 0.3 <= (high or -9)
        given = panel.values[0][panel.rated[0]]
        naive = 1.96 * given.std(ddof=1) / np.sqrt(len(given))
        inside[2] += abs(given.mean() - 3.0) <= naive
    return tuple((inside / runs).tolist())


def test_intervals_hold_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    """A small version of the simulation below: 80 studies leave a standard error of 2.4 points."""
    mean, difference, naive = coverage(80, 400, 40, 3, 12, seed=100)
    with capsys.disabled():
        print(f"\n[coverage, 80 studies: mean {mean:.1%}, difference {difference:.1%}, i.i.d. {naive:.1%}]")
    assert mean >= 0.88
    assert difference >= 0.88
    assert naive < 0.75


@pytest.mark.heavy
def test_intervals_hold_the_truth_93_to_99_times_in_100(capsys: pytest.CaptureFixture[str]) -> None:
    mean, difference, naive = coverage(500, 1000, 200, 5, 12, seed=10_000)
    with capsys.disabled():
        print(
            f"\n[coverage of 95 % intervals, 500 studies of 200 items x 5 ratings by 12 annotators: mean {mean:.1%}, "
            f"difference {difference:.1%}; ratings taken for independent: {naive:.1%}]"
        )
    assert 0.93 <= mean <= 0.99
    assert 0.93 <= difference <= 0.99
    assert naive < 0.6
