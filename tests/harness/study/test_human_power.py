"""Variance components against the analysis of variance and against truth; planned power against simulated studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import DataError
from harness.study.analysis.human_tests import permutation_p
from harness.study.analysis.panel import Panel
from harness.study.analysis.power import ASSUMED, PARTS, Components, StudyPlan, compare_plans, forecast, variance_components
from tests.harness.study.human_data import simulate_panel

PARTS_KNOWN = Components(0.5, 0.3, 0.25, 0.15, 0.2, 0.6)


def balanced_anova(values: np.ndarray) -> dict[str, float]:
    """Expected mean squares of the crossed three-way design without replication (Searle et al. 1992, sec. 4.7)."""
    s, i, a = values.shape
    grand = values.mean()
    mean = {
        "s": values.mean((1, 2)), "i": values.mean((0, 2)), "a": values.mean((0, 1)),
        "si": values.mean(2), "sa": values.mean(1), "ia": values.mean(0),
    }  # fmt: skip
    ms_si = a * ((mean["si"] - mean["s"][:, None] - mean["i"][None] + grand) ** 2).sum() / ((s - 1) * (i - 1))
    ms_sa = i * ((mean["sa"] - mean["s"][:, None] - mean["a"][None] + grand) ** 2).sum() / ((s - 1) * (a - 1))
    ms_ia = s * ((mean["ia"] - mean["i"][:, None] - mean["a"][None] + grand) ** 2).sum() / ((i - 1) * (a - 1))
    ms_i = s * a * ((mean["i"] - grand) ** 2).sum() / (i - 1)
    ms_a = s * i * ((mean["a"] - grand) ** 2).sum() / (a - 1)
    rest = (
        values - mean["si"][:, :, None] - mean["sa"][:, None, :] - mean["ia"][None]
        + mean["s"][:, None, None] + mean["i"][None, :, None] + mean["a"][None, None, :] - grand
    )  # fmt: skip
    ms_e = (rest**2).sum() / ((s - 1) * (i - 1) * (a - 1))
    return {
        "item": (ms_i - ms_si - ms_ia + ms_e) / (s * a),
        "annotator": (ms_a - ms_sa - ms_ia + ms_e) / (s * i),
        "system_item": (ms_si - ms_e) / a,
        "system_annotator": (ms_sa - ms_e) / i,
        "item_annotator": (ms_ia - ms_e) / s,
        "residual": ms_e,
    }


def test_components_of_a_balanced_design_are_those_of_the_analysis_of_variance() -> None:
    panel = simulate_panel(StudyPlan(12, 6, 6, 3), PARTS_KNOWN, [0, 0.2, 0.5], 4, rounded=False)
    assert panel.rated.all()
    found = variance_components(panel)
    for name, value in balanced_anova(panel.values).items():
        assert getattr(found, name) == pytest.approx(max(0.0, value), abs=1e-9), name


def test_components_are_found_again_in_a_thin_design() -> None:
    """5 of 14 annotators an item: over 40 studies the estimates are right on average."""
    plan = StudyPlan(120, 5, 14, 4)
    found = [variance_components(simulate_panel(plan, PARTS_KNOWN, [0, 0, 0.3, 0.5], seed, rounded=False)) for seed in range(40)]
    for name in PARTS:
        values = np.array([getattr(each, name) for each in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert values.mean() == pytest.approx(getattr(PARTS_KNOWN, name), abs=4 * error), name


def test_one_text_a_visit_puts_tastes_into_the_residual() -> None:
    plan = StudyPlan(200, 2, 40, 3, together=False)
    panel = simulate_panel(plan, PARTS_KNOWN, [0, 0, 0], 2, rounded=False)
    alone = np.where(panel.rated.sum(axis=0, keepdims=True) == 1, panel.values, np.nan)
    found = variance_components(Panel(panel.systems, panel.items, panel.annotators, alone))
    assert found.item_annotator == 0.0
    assert found.residual == pytest.approx(PARTS_KNOWN.residual + PARTS_KNOWN.item_annotator, abs=0.2)


def test_a_design_that_cannot_tell_says_so() -> None:
    panel = simulate_panel(StudyPlan(10, 1, 3, 2), ASSUMED, [0, 0], 1)
    with pytest.raises(DataError, match="two annotators on one text"):
        variance_components(panel)


def test_negative_estimates_are_zero_and_told() -> None:
    flat = replace(PARTS_KNOWN, system_annotator=0.0, annotator=0.0, item_annotator=0.0)
    found = [variance_components(simulate_panel(StudyPlan(30, 3, 6, 2), flat, [0, 0], seed)) for seed in range(6)]
    assert any(each.clipped for each in found)
    assert all(getattr(each, name) == 0.0 for each in found for name in each.clipped)
    assert all(getattr(each, name) >= 0.0 for each in found for name in PARTS)


def test_items_are_worth_more_than_ratings_an_item() -> None:
    """1,200 ratings a system: 400 x 3 finds more than 240 x 5."""
    plan = StudyPlan(400, 3, 12, 6)
    wide, deep = forecast(plan), forecast(replace(plan, items=240, ratings_per_item=5))
    assert wide.texts == deep.texts
    assert wide.power[0.2] > deep.power[0.2]
    assert wide.detectable < deep.detectable


def test_forecasts_answer_to_their_definition() -> None:
    found = forecast(StudyPlan(200, 5, 5, 6), seconds=36)
    again = forecast(StudyPlan(200, 5, 5, 6), differences=[found.detectable])
    assert again.power[found.detectable] == pytest.approx(0.8, abs=1e-3)
    assert found.texts == 6000
    assert found.hours == pytest.approx(60)
    assert found.hours_each == pytest.approx(12)
    assert "8 or more" in found.caution
    assert found.error_everyone > found.error
    assert list(found.power.values()) == sorted(found.power.values())


@pytest.mark.parametrize("together", [True, False])
def test_the_error_of_a_plan_is_what_the_tests_see(together: bool) -> None:
    """The spread of item differences in simulated studies, tastes of people included."""
    plan = StudyPlan(60, 2, 12, 2, together=together)
    parts = replace(PARTS_KNOWN, system_annotator=0.6, item_annotator=0.5, annotator=0.8)
    seen = []
    for seed in range(150):
        means = simulate_panel(plan, parts, [0, 0], seed, rounded=False).item_means
        seen.append(float((means[1] - means[0]).var(ddof=1)) / plan.items)
    assert np.mean(seen) == pytest.approx(forecast(plan, parts).error ** 2, rel=0.05)


def test_plans_side_by_side() -> None:
    table = compare_plans([100, 200], [2, 4, 9], StudyPlan(50, 2, 8, 4))
    assert [(each.plan.items, each.plan.ratings_per_item) for each in table] == [(100, 2), (100, 4), (200, 2), (200, 4)]


@pytest.mark.parametrize(
    ("plan", "told"),
    [((0, 1, 1, 2), "items"), ((10, 0, 1, 2), "ratings an item"), ((10, 3, 2, 2), "twice"), ((10, 1, 1, 1), "systems")],
)
def test_an_impossible_plan_is_refused(plan: tuple[int, int, int, int], told: str) -> None:
    with pytest.raises(DataError, match=told):
        StudyPlan(*plan)


def simulated_power(plan: StudyPlan, difference: float, runs: int) -> float:
    """How often the permutation test finds a pair's true difference at the first step of Holm; ratings not rounded."""
    found = 0
    pair = replace(plan, systems=2)
    for seed in range(runs):
        means = simulate_panel(pair, ASSUMED, [0.0, difference], seed, rounded=False).item_means
        found += float(permutation_p(means, [(0, 1)], draws=4000, seed=seed)[0]) <= 0.05 / plan.family
    return found / runs


def test_planned_power_is_what_simulated_studies_have() -> None:
    plan = StudyPlan(100, 3, 12, 4, aspects=1)
    expected = forecast(plan, differences=[0.3]).power[0.3]
    assert simulated_power(plan, 0.3, 200) == pytest.approx(expected, abs=0.11)


@pytest.mark.heavy
def test_planned_power_over_the_plans_of_the_field(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for items, k, difference in [(200, 3, 0.2), (200, 5, 0.2), (400, 3, 0.2), (400, 5, 0.2), (200, 3, 0.3), (200, 5, 0.1)]:
        plan = StudyPlan(items, k, 12, 6, aspects=1)
        expected = forecast(plan, differences=[difference]).power[difference]
        seen = simulated_power(plan, difference, 400)
        lines.append(f"{items} x {k}, {difference} points: planned {expected:.2f}, simulated {seen:.2f}")
        assert seen == pytest.approx(expected, abs=0.07), lines[-1]
    with capsys.disabled():
        print("\n" + "\n".join(lines))
