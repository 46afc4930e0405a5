"""Agreement held to the package `krippendorff`, to scikit-learn's or statsmodels' kappas, and to published examples."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as oracle_fleiss

from harness.study.analysis.agreement import (
    fleiss_kappa,
    kappa,
    krippendorff_alpha,
    leave_one_out,
    pairwise_kappas,
    panel_alpha,
    repeats,
)
from harness.study.analysis.panel import Panel
from harness.study.analysis.power import ASSUMED, StudyPlan
from tests.harness.study.human_data import simulate_panel

NAN = np.nan
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: 4 observers, 12 units, missing values.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def random_units(rng: np.random.Generator) -> NDArray[np.float64]:
    """Units by annotators, correlated, skewed, with missing ratings."""
    units, annotators = int(rng.integers(2, 40)), int(rng.integers(2, 9))
    truth = rng.normal(rng.uniform(1.5, 4.5), rng.uniform(0.2, 1.5), (units, 1))
    values = np.clip(np.round(truth + rng.normal(0, rng.uniform(0.2, 1.5), (units, annotators))), 1, 5)
    return np.where(rng.random((units, annotators)) < rng.uniform(0, 0.7), NAN, values)


def test_alpha_equals_the_package_on_200_random_matrices(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    apart, defined = 0.0, 0
    for _ in range(200):
        units = random_units(rng)
        for level in ("nominal", "ordinal", "interval"):
            ours = krippendorff_alpha(units, level)
            try:
                with np.errstate(invalid="ignore"):  # the package divides nothing by nothing where one value is all there is
                    oracle = krippendorff.alpha(units.T, level_of_measurement=level, value_domain=np.arange(1.0, 6.0))
            except ValueError:
                assert ours.value is None
                continue
            if np.isnan(oracle):
                assert ours.value is None
                continue
            assert ours.value is not None
            apart, defined = max(apart, abs(ours.value - oracle)), defined + 1
    assert defined > 500
    with capsys.disabled():
        print(f"\n[alpha: largest difference from the package over {defined} values: {apart:.1e}]")
    assert apart <= 1e-12


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level: str, alpha: float) -> None:
    found = krippendorff_alpha(PUBLISHED.T, level)  # type: ignore[arg-type]
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.n == 11  # one unit was seen by one observer only


def test_undefined_alpha_says_why() -> None:
    assert "same value" in krippendorff_alpha(np.full((4, 3), 4.0)).reason
    alone = np.array([[1, NAN], [NAN, 3], [5, NAN]])
    assert "two annotators" in krippendorff_alpha(alone).reason
    assert krippendorff_alpha(alone).value is None


def test_the_interval_draws_whole_items() -> None:
    """All systems' texts on an item are drawn together: repeating every system must not make the interval narrower."""
    panel = simulate_panel(StudyPlan(60, 3, 6, 2), ASSUMED, [0, 0], 1)
    twice = Panel((*panel.systems, "c", "d"), panel.items, panel.annotators, np.concatenate([panel.values] * 2))
    one, two = panel_alpha(panel, seed=3), panel_alpha(twice, seed=3)
    assert one.low is not None
    assert one.high is not None
    assert two.low is not None
    assert two.high is not None
    assert one.low < (one.value or 0) < one.high
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.01)
    assert panel_alpha(panel, seed=3) == one


def test_leaving_an_annotator_out_is_alpha_of_the_others() -> None:
    panel = simulate_panel(StudyPlan(40, 3, 5, 2), ASSUMED, [0, 0], 2)
    found = leave_one_out(panel)
    for annotator in panel.annotators:
        others = panel_alpha(panel.without(annotator), draws=0)
        assert found[annotator].value == pytest.approx(others.value, abs=1e-12)
        assert found[annotator].n == others.n
    pair = panel.without(panel.annotators[0]).without(panel.annotators[1]).without(panel.annotators[2])
    assert all(each.value is None and each.reason for each in leave_one_out(pair).values())


def test_pairwise_kappas_equal_statsmodels() -> None:
    panel = simulate_panel(StudyPlan(80, 3, 4, 2), ASSUMED, [0, 0.5], 3)
    found = pairwise_kappas(panel)
    for one in range(4):
        for other in range(one + 1, 4):
            first, second = panel.units[:, one], panel.units[:, other]
            both = ~np.isnan(first) & ~np.isnan(second)
            confusion = np.zeros((5, 5))
            np.add.at(confusion, (first[both].astype(int) - 1, second[both].astype(int) - 1), 1)
            oracle = cohens_kappa(confusion, weights=np.arange(5), wt="quadratic").kappa
            assert found.values[one][other].value == pytest.approx(oracle, abs=1e-12)
            assert found.values[other][one] == found.values[one][other]
            assert found.values[one][other].n == both.sum()
    assert len(found.defined) == 6
    assert found.values[0][0].value is None


def test_undefined_kappa_says_why() -> None:
    assert "in common" in kappa(np.zeros((5, 5))).reason
    same = np.zeros((5, 5))
    same[2, 2] = 7
    assert "same value" in kappa(same).reason


def test_fleiss_equals_statsmodels_and_leaves_uneven_texts_out() -> None:
    panel = simulate_panel(StudyPlan(50, 4, 7, 2), ASSUMED, [0, 0], 4)
    units = panel.units
    counts = np.stack([(units == value).sum(axis=1) for value in range(1, 6)], axis=1)
    assert fleiss_kappa(units).value == pytest.approx(oracle_fleiss(counts), abs=1e-12)
    uneven = units.copy()
    uneven[0, np.flatnonzero(~np.isnan(uneven[0]))[0]] = NAN
    assert fleiss_kappa(uneven).n == len(units) - 1
    assert fleiss_kappa(uneven).value == pytest.approx(oracle_fleiss(counts[1:]), abs=1e-12)
    assert "same value" in fleiss_kappa(np.full((3, 2), 2.0)).reason


def test_two_looks_at_one_text() -> None:
    found = repeats([1, 2, 3, 4, 5, 3], [1, 2, 3, 4, 4, 5])
    assert found.pairs == 6
    assert found.error.value == pytest.approx(0.5)
    assert found.same.value == pytest.approx(4 / 6)
    looks = np.array([[1, 2, 3, 4, 5, 3], [1, 2, 3, 4, 4, 5]], float)
    assert found.alpha.value == pytest.approx(krippendorff.alpha(looks, level_of_measurement="ordinal"), abs=1e-12)
    assert repeats([], []).alpha.reason
