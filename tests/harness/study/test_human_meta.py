"""Metrics against people: tau against scipy, accuracy by hand, and verdicts that do not claim what was not shown."""

from __future__ import annotations

import ast
import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.compare.scored import ScoredRun
from harness.store.runs import Results
from harness.study.analysis.agreement import panel_alpha
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


def harmonic(name: str, rows: np.ndarray) -> MetricScores:
    """A metric whose finaliser, like METEOR's, makes 0 of what has no value."""

    def finalise(sums: np.ndarray) -> np.ndarray:
        return np.where(sums[..., 1] > 0, sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], 1.0), 0.0)

    return MetricScores(name, True, rows, finalise)


def test_a_text_without_a_score_stays_without_one(panel: Panel) -> None:
    rows = np.stack([noisy(panel, 0.3, 8), np.ones(panel.item_means.shape)], axis=-1)
    rows[0, 3] = np.nan
    metric = harmonic("meteor-like", rows)
    assert np.isnan(metric.segments[0, 3])
    assert not np.isnan(metric.segments[1:, 3]).any()
    found = meta_evaluate("fluency", panel, [metric], draws=100)
    assert found.items == 119
    assert found.verdicts[0].system.value == 1.0  # its system would be 0 if NaN came to 0, and lose every pair


def test_a_metric_that_covers_part_of_the_rated_items_is_left_out_with_its_count(panel: Panel) -> None:
    rows = np.stack([noisy(panel, 0.01, 9), np.ones(panel.item_means.shape)], axis=-1)
    rows[:, 48:] = np.nan
    found = meta_evaluate("fluency", panel, [harmonic("part", rows), as_metric("all", noisy(panel, 1, 2))], draws=100)
    assert [verdict.metric for verdict in found.verdicts] == ["all"]
    assert found.items == 120
    assert "48 of 120" in found.left_out["part"]


def ties(items: int = 60) -> Panel:
    """Three systems that people rate alike on two items of three; each item has its own level."""
    base = np.array([1.0, 3.0, 5.0])[np.arange(items) % 3]
    values = np.stack([base, base, base])
    values[1, ::3], values[2, ::3] = 2.0, 3.0  # the first system is worst where they differ
    return Panel(("a", "b", "c"), tuple(f"{n:03d}" for n in range(items)), ("x",), values[:, :, None])


def test_pooled_tau_and_systems_are_on_all_items(panel: Panel) -> None:
    """Items on which people rate all systems alike say nothing about order within them, and all about levels and means."""
    tied = ties()
    scores = tied.item_means + np.random.default_rng(1).normal(0, 0.1, (3, 60))
    scores[0, 1::3] += 20  # only on tied items: with them, the metric puts the worst system first
    found = meta_evaluate("fluency", tied, [as_metric("m", scores)], draws=100)
    [verdict] = found.verdicts
    assert (found.items, verdict.segment.n, verdict.pooled.n) == (60, 20, 180)
    expected = kendalltau(tied.item_means.ravel(), scores.ravel()).statistic
    assert verdict.pooled.value == pytest.approx(expected, abs=1e-12)
    assert verdict.system.value == pytest.approx(1 / 3)


def test_letters_at_the_system_level_test_the_corpus_scores(panel: Panel) -> None:
    """Long texts decide a corpus score: here it names every winner, while the mean of text scores names none."""
    order = panel.item_means.mean(axis=1).argsort().argsort()
    weight = np.where(np.arange(120) % 4 == 0, 100.0, 1.0)
    score = np.where(weight > 1, order[:, None], -order[:, None]).astype(float)
    corpus = MetricScores("corpus", True, np.stack([score * weight, np.tile(weight, (4, 1))], axis=-1),
                          lambda sums: sums[..., 0] / sums[..., 1])  # fmt: skip
    plain = as_metric("plain", -np.tile(order[:, None], (1, 120)).astype(float))
    found = {verdict.metric: verdict for verdict in meta_evaluate("fluency", panel, [corpus, plain], draws=100).verdicts}
    assert (found["corpus"].system.value, found["plain"].system.value) == (1.0, 0.0)
    assert (found["corpus"].system_letters, found["plain"].system_letters) == ("a", "b")


def test_a_design_with_gaps_is_analysed_on_the_texts_that_there_are(panel: Panel) -> None:
    values = panel.values.copy()
    values[0, ::2], values[1, 1::2] = np.nan, np.nan  # no item has a rating of every system
    gaps = Panel(panel.systems, panel.items, panel.annotators, values)
    scores = noisy(panel, 0.3, 3)
    [verdict] = meta_evaluate("fluency", gaps, [as_metric("m", scores)], draws=100).verdicts
    rated = ~np.isnan(gaps.item_means)
    assert verdict.pooled.n == rated.sum() == 360
    assert verdict.pooled.value == pytest.approx(kendalltau(gaps.item_means[rated], scores[rated]).statistic)
    item = [kendalltau(gaps.item_means[keep, n], scores[keep, n]).statistic for n in range(120) for keep in [rated[:, n]]]
    item = [tau for n, tau in enumerate(item) if len(set(gaps.item_means[rated[:, n], n])) > 1]
    assert verdict.segment.value == pytest.approx(np.mean(item))
    assert "0 items" in verdict.system.reason


def test_a_system_without_a_run_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugin")))
    results = Results(tmp_path / "results")
    values = {"low": [1, 2, 1, 2], "high": [4, 5, 3, 4], "person": [5, 5, 4, 5]}
    runs = {
        name: f"made/{make_run(results, name, {f'e{n}': f'{value / 10} words' for n, value in enumerate(given)}).path.name}"
        for name, given in values.items()
        if name != "person"
    }
    rows = [
        {"system": name, "item": f"e{n}", "annotator": who, "value": value}
        for name, given in values.items()
        for n, value in enumerate(given)
        for who in "xy"
    ]
    [meta], why_not = metrics_against_people(table(rows), runs, results)
    assert why_not == ""
    quality = {verdict.metric: verdict for verdict in meta.verdicts}["quality"]
    assert quality.system.n == 1
    assert quality.signature.startswith("quality|")
    assert "no run in the store" in meta.left_out["system 'person'"]


def test_hanna_gives_the_published_pooled_tau_and_alpha(shared: Path) -> None:
    """Eleven systems, 96 stories, three raters: values computed with independent code."""
    source = shared / "judgements" / "hanna" / "hanna_metric_scores_llm.csv.gz"
    if not source.exists():
        pytest.skip(f"{source} is not here")
    csv.field_size_limit(2**24)
    with gzip.open(source, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = np.stack([[ast.literal_eval(row[f"Human {n} RE"]) for n in (1, 2, 3)] for row in rows]).transpose(0, 2, 1)
    ratings = Panel(tuple(row["Model"] for row in rows), tuple(f"{n:02d}" for n in range(96)), ("1", "2", "3"), values)
    bleu = next(name for name in rows[0] if name.startswith("BLEU "))
    metric = as_metric("bleu", np.array([ast.literal_eval(row[bleu]) for row in rows], float))
    assert panel_alpha(ratings, draws=0).value == pytest.approx(0.1651, abs=5e-5)
    systems = ratings.systems[1:]  # people's own stories are what BLEU compares with
    assert ratings.systems[0] == "Human"
    metric = replace(metric, rows=metric.rows[1:])
    [verdict] = meta_evaluate("relevance", ratings.on_systems(systems), [metric], draws=50, permutations=50).verdicts
    assert verdict.pooled.value == pytest.approx(0.0737787, abs=5e-8)
