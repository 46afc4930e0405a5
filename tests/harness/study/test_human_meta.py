"""Metrics against people: tau against scipy, accuracy by hand, and verdicts that do not claim what was not shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.compare.scored import ScoredRun
from harness.store.runs import Results
from harness.study.analysis.findings import metrics_against_people
from harness.study.analysis.meta import MetricScores, item_taus, meta_evaluate, metric_scores
from harness.study.analysis.panel import Panel
from harness.study.analysis.power import ASSUMED, StudyPlan
from tests.harness.scored_runs import install_metric, make_run
from tests.harness.study.human_data import simulate_panel, table


def as_metric(name: str, segments: np.ndarray, higher: bool = True) -> MetricScores:
    """A metric that is the mean of its segments."""
    rows = np.stack([segments, np.where(np.isnan(segments), np.nan, 1.0)], axis=-1)
    return MetricScores(name, higher, rows, lambda sums: sums[..., 0] / sums[..., 1])


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate_panel(StudyPlan(120, 3, 9, 4), ASSUMED, [0, 0.2, 0.5, 0.9], 1)


def noisy(panel: Panel, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return panel.item_means + noise * rng.standard_normal(panel.item_means.shape)


def test_tau_is_scipys() -> None:
    rng = np.random.default_rng(0)
    human, metric = rng.integers(1, 5, (5, 60)).astype(float), rng.integers(1, 4, (5, 60)).astype(float)
    human[:, 0] = [1, 2, 3, 4, 5]
    human = human[:, (human != human[0]).any(axis=0)]
    metric = metric[:, : human.shape[1]]
    metric[:, 3] = 2.0
    pairs = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    signs = [np.stack([np.sign(each[b] - each[a]) for a, b in pairs]) for each in (human, metric)]
    ours = item_taus(signs[0], signs[1])
    for item in range(human.shape[1]):
        oracle = kendalltau(human[:, item], metric[:, item]).statistic
        assert ours[item] == pytest.approx(0.0 if np.isnan(oracle) else oracle, abs=1e-12)
    assert ours[3] == 0.0


def test_the_better_metric_is_believed(panel: Panel) -> None:
    metrics = [as_metric("noise", noisy(panel, 50, 1)), as_metric("good", noisy(panel, 0.3, 2))]
    found = meta_evaluate("fluency", panel, metrics, draws=300)
    assert [each.metric for each in found.verdicts] == ["good", "noise"]
    assert found.verdict.startswith("Believe good")
    assert found.verdicts[0].segment_letters == "a"
    assert found.verdicts[1].segment_letters == "b"
    assert found.verdicts[0].system.value == 1.0
    assert found.verdicts[0].system.n == 6


def test_equals_are_not_told_apart(panel: Panel) -> None:
    metrics = [as_metric("one", noisy(panel, 1.0, 3)), as_metric("two", noisy(panel, 1.0, 4))]
    found = meta_evaluate("fluency", panel, metrics, draws=300)
    assert "cannot be told apart" in found.verdict
    assert not found.verdict.startswith("Believe")
    assert found.verdicts[0].segment_letters == found.verdicts[1].segment_letters == "a"


def test_chance_is_not_believed(panel: Panel) -> None:
    metrics = [as_metric("coin", np.random.default_rng(9).standard_normal((4, 120)))]
    assert meta_evaluate("fluency", panel, metrics, draws=300).verdict.startswith("None:")


def test_lower_can_be_better(panel: Panel) -> None:
    scores = noisy(panel, 0.3, 5)
    up, down = as_metric("up", scores), as_metric("down", -scores, higher=False)
    first, second = meta_evaluate("fluency", panel, [up, down], draws=300).verdicts
    assert first.segment == second.segment
    assert first.system == second.system


def test_system_accuracy_counts_pairs(panel: Panel) -> None:
    """A metric that turns the two worst systems round names the winner in five of six pairs."""
    means = panel.item_means.mean(axis=1)
    order = np.argsort(means)
    swapped = np.repeat(means[:, None], len(panel.items), axis=1)
    swapped[[order[0], order[1]]] = swapped[[order[1], order[0]]]
    [verdict] = meta_evaluate("fluency", panel, [as_metric("m", swapped)], draws=300).verdicts
    assert verdict.system.value == pytest.approx(5 / 6)
    assert verdict.system.low is not None
    assert verdict.system.low <= 5 / 6


def test_unscored_texts_are_left_out_and_a_metric_that_scores_few_is_too(panel: Panel) -> None:
    some, few = noisy(panel, 0.5, 6), noisy(panel, 0.5, 7)
    some[0, :10], few[1, 20:] = np.nan, np.nan
    found = meta_evaluate("fluency", panel, [as_metric("some", some), as_metric("few", few)], draws=100)
    assert [each.metric for each in found.verdicts] == ["some"]
    assert found.items <= 110
    assert "20 of 120" in found.left_out["few"]


def test_nothing_to_say_is_said(panel: Panel) -> None:
    assert "no metric" in meta_evaluate("fluency", panel, []).verdict
    alone = Panel(panel.systems[:1], panel.items, panel.annotators, panel.values[:1])
    assert "one system" in meta_evaluate("fluency", alone, [as_metric("m", noisy(alone, 1, 1))]).verdict


def test_metrics_come_from_the_runs_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in the store, ratings by example id: a metric that is what people say, its opposite, a count, one without rows."""
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugin")))
    results = Results(tmp_path / "results")
    values = {"low": [1, 2, 1, 2], "high": [4, 5, 3, 4]}
    folders = {
        name: make_run(results, name, {f"e{n}": f"{each / 10} words" for n, each in enumerate(given)},
                       metrics=("quality", "unresampled"))
        for name, given in values.items()
    }  # fmt: skip
    rows = [
        {"system": name, "item": f"e{n}", "annotator": who, "value": each}
        for name, given in values.items()
        for n, each in enumerate(given)
        for who in "xy"
    ]
    runs = {name: f"made/{folder.path.name}" for name, folder in folders.items()}
    [meta], why_not = metrics_against_people(table(rows), runs, results)
    assert why_not == ""
    by_name = {each.metric: each for each in meta.verdicts}
    assert by_name["quality"].segment.value == by_name["badness"].segment.value == 1.0
    assert by_name["quality"].system.value == 1.0
    assert "neither direction" in meta.left_out["words"]
    assert meta.left_out["un-quality"]
    loaded = {name: ScoredRun.load(folder) for name, folder in folders.items()}
    scores, _ = metric_scores(loaded, ["e0", "nowhere"])
    assert scores[0].segments[:, 0].tolist() == [0.1, 0.4]
    assert np.isnan(scores[0].segments[:, 1]).all()
    several = make_run(results, "draws", {"e0": ["0.2 a", "0.4 a"], "e1": ["0.5 a", "0.7 a"]})
    [drawn, *_], _ = metric_scores({"draws": ScoredRun.load(several)}, ["e0", "e1"])
    assert drawn.segments == pytest.approx(np.array([[0.3, 0.6]]))
    assert (drawn.rows[..., -1] == 1.0).all()  # an item weighs the same however often it was drawn
    nothing, why_not = metrics_against_people(table(rows), {**runs, "low": ""}, results)
    assert (nothing, "'low' has no run" in why_not) == ((), True)
    nothing, why_not = metrics_against_people(table(rows), {**runs, "low": "made/gone-00000000"}, results)
    assert (nothing, "not available" in why_not) == ((), True)
