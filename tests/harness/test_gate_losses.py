"""What a gate must never pass: lost answers, losses too rare to be in the sample, and files that have changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.compare.baseline import Baseline
from harness.compare.differences import measure
from harness.compare.gate import ERROR_RATE, GateReport, gate, judge, parse_margins
from harness.compare.gate_reports import table, to_json
from harness.compare.paired import rare_change_bounds
from harness.compare.scored import ScoredMetric, ScoredRun
from harness.errors import SeeTellError, StoreError, SuiteError
from harness.metrics import registry as metrics_registry
from harness.metrics.base import Metric, nothing_right
from harness.metrics.evaluate import due_metrics
from harness.store.runs import Results
from harness.suites.examples import Failure
from harness.suites.spec import Suite
from tests.harness.scored_runs import install_metric, make_run, noisy
from tests.harness.test_gate import judged, outcomes, run_of, with_values

GONE = Failure("OutOfMemory", "the machine was too small")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    found = metrics_registry()
    monkeypatch.setattr(
        "harness.metrics.evaluate.metrics_registry", lambda: found
    )  # not looked for in each of hundreds of trials
    return Results(tmp_path / "results")


def judged_bounded(accepted: ScoredRun, candidate: ScoredRun) -> GateReport:
    return gate({accepted.spec.label: candidate}, Baseline.of([accepted], {}), {"bounded-words": None})


@pytest.mark.parametrize("lost", [90, 1], ids=["nearly all", "one"])
def test_lost_answers_never_pass(results: Results, lost: int) -> None:
    texts = noisy(np.random.default_rng(0), 100)
    both = ["quality", "bounded"]
    accepted = run_of(results, texts, metrics=both)
    left = {key: GONE if place < lost else text for place, (key, text) in enumerate(texts.items())}
    candidate = run_of(results, left, metrics=both, config={"other": 1})  # type: ignore[arg-type]
    report = judged(accepted, candidate, **{"bounded-words": None})
    verdicts = outcomes(report)
    assert verdicts["quality"] == "undecided", "it has no worst value"
    assert verdicts["bounded-quality"] == ("worse" if lost == 90 else "undecided")
    assert report.exit_code == (1 if lost == 90 else 2)
    [run] = report.runs
    quality = next(each for each in run.verdicts if each.output == "quality")
    assert f"{lost} answers that the baseline has a score for have none now" in quality.reason
    assert any(f"({lost} lost" in row[7] for row in table(report))
    assert to_json(report)["runs"][0]["metrics"]["bounded-quality"]["lost"] == lost


def test_texts_that_a_metric_cannot_score_any_more_are_lost_too(results: Results) -> None:
    texts = noisy(np.random.default_rng(1), 40)
    accepted = run_of(results, texts, metrics=["bounded"])
    long = {key: "too long to be scored" if place < 32 else text for place, (key, text) in enumerate(texts.items())}
    candidate = run_of(results, long, metrics=["bounded"], config={"other": 1})
    report = judged_bounded(accepted, candidate)
    assert report.exit_code == 1


def test_an_answer_that_was_gained_makes_up_for_nothing(results: Results) -> None:
    texts = {f"ex{index:03}": "0.5 words" for index in range(400)}
    accepted = run_of(results, {**texts, "ex000": GONE}, metrics=["bounded"])  # type: ignore[dict-item]
    worse = dict.fromkeys(texts, "0.4 words") | {"ex000": "1000 words"}
    report = judged_bounded(accepted, run_of(results, worse, metrics=["bounded"], config={"a": 1}))
    assert outcomes(report)["bounded-quality"] == "worse"


def test_equal_scores_of_other_texts_pass_only_with_as_many_examples_as_the_margin_needs(results: Results) -> None:
    template = run_of(results, {"a": "0.5 words"})
    for count, outcome in ((3, "undecided"), (96, "undecided"), (298, "undecided"), (299, "pass")):
        accepted, candidate = (with_values(template, np.full(count, 0.5), marker) for marker in ("", "other texts"))
        report = judged(accepted, replace(candidate, digest="other"), quality=0.01, badness=None)
        assert outcomes(report)["quality"] == outcome, count
        [verdict] = [each for each in report.runs[0].verdicts if each.output == "quality"]
        assert outcome == "pass" or (verdict.needed, "takes about 299" in verdict.reason) == (299, True)


def test_the_rule_of_three_and_its_exact_kin() -> None:
    for count in (2, 10, 50):
        low, high, size = rare_change_bounds(np.zeros(count), 1.0, 0.05)
        assert high == pytest.approx(1 - 0.05 ** (1 / count)) == -low
        assert size == 1.0
    changes = np.zeros(100)
    changes[:12] = -0.5
    low, high, size = rare_change_bounds(changes, 1.0, 0.05)
    assert (-low, size) == (pytest.approx(0.5 * stats.binomtest(12, 100).proportion_ci(0.9).high), 0.5)
    assert np.isnan(rare_change_bounds(np.array([np.nan, 0.0]), 1.0, 0.05)).all()


def differing(kind: str, count: int, loss: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Differences of single examples whose mean is minus `loss`."""
    chance = generator.random(count)
    match kind:
        case "rare and large":
            return np.where(chance < loss, -1.0, 0.0)
        case "gains and losses":
            return np.where(chance < 0.1 + loss, -1.0, np.where(chance < 0.2 + loss, 1.0, 0.0))
        case "half tied":
            return np.where(chance < 0.5, 0.0, generator.normal(-2 * loss, 0.1, count))
        case "mostly tied":
            return np.where(chance < 0.9, 0.0, generator.normal(-10 * loss, 5 * loss, count))
        case "skewed":
            return np.where(chance < 0.8, 0.0, -generator.exponential(5 * loss, count))
        case "rounded":
            return np.round(generator.normal(-loss, 0.05, count), 1)
    return generator.normal(-loss, 0.1, count)


KINDS = ["rare and large", "gains and losses", "half tied", "mostly tied", "skewed", "rounded", "untied"]


def passes(results: Results, kind: str, count: int, margin: float, trials: int, loss: float = 0.05) -> int:
    template = run_of(results, {"a": "0.5 words"})
    generator = np.random.default_rng(count)
    passed = 0
    for _ in range(trials):
        before = generator.uniform(0.2, 0.8, count)
        after = before + differing(kind, count, loss, generator)
        pair = with_values(template, before), with_values(template, after)
        found = measure(*pair, level=1 - 2 * ERROR_RATE, permutations=0)
        passed += judge(next(each for each in found if each.output == "quality"), margin).outcome == "pass"
    return passed


@pytest.mark.parametrize("count", [3, 20])
def test_a_loss_that_few_examples_show_seldom_passes(results: Results, count: int) -> None:
    assert passes(results, "rare and large", count, 0.01, 40) <= 2


@pytest.mark.heavy
@pytest.mark.parametrize("count", [2, 3, 5, 10, 20, 50])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.01, 0.05])
def test_a_loss_beyond_the_margin_passes_one_time_in_twenty_at_most(
    results: Results, kind: str, count: int, margin: float
) -> None:
    """The promise of the gate at every size; with a margin of 0.05 the true loss is just not put up with."""
    trials = 200
    assert passes(results, kind, count, margin, trials) <= stats.binom.ppf(0.999, trials, ERROR_RATE)


@pytest.mark.parametrize("margin", ["nan", "inf", "-1", "0", "1e999", "x", ""])
def test_a_margin_is_a_positive_number(margin: str) -> None:
    with pytest.raises(SuiteError, match="expected output=loss, a fraction above 0"):
        parse_margins([f"quality={margin}"])


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_baseline_with_a_margin_that_is_none_is_refused(results: Results, tmp_path: Path, margin: float) -> None:
    path = tmp_path / "baseline.json"
    run = run_of(results, {"a": "0.5 words", "b": "0.4 words"})
    Baseline.accept(path, {"echo": run}, {"quality": 0.5}, keep_others=False)
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "margins": {"quality": margin}}), "utf-8")
    with pytest.raises(StoreError, match="margins"):
        Baseline.read(path)


def test_accepting_checks_margins_and_values(results: Results, tmp_path: Path) -> None:
    run = run_of(results, {"a": "0.5 words", "b": "0.4 words"})
    with pytest.raises(SuiteError, match="no run has such an output, did you mean 'quality'|did you mean"):
        Baseline.accept(tmp_path / "one.json", {"echo": run}, {"qualty": 0.5}, keep_others=False)
    scored = run.metrics["quality"]
    improved = ScoredMetric((replace(scored.scores[0], value=0.99), *scored.scores[1:]), scored.rows)
    with pytest.raises(StoreError, match="do not give its stored value"):
        Baseline.accept(tmp_path / "two.json", {"echo": replace(run, metrics={"quality": improved})}, {}, keep_others=False)
    assert not list(tmp_path.glob("*.json"))


DEEP = b"[" * 100_000 + b"]" * 100_000


def test_files_that_are_no_longer_what_was_written_are_named(results: Results, tmp_path: Path) -> None:
    folder = make_run(results, "echo", {"a": "0.5 words", "b": "0.4 words"})
    description, scores = (folder.path / name for name in ("run.json", "scores.json"))
    whole = json.loads(description.read_bytes())
    stored = json.loads(scores.read_bytes())
    broken = {
        "run.json": [
            DEEP,
            b'{"identity": ' + DEEP + b"}",
            json.dumps({**whole, "spec": {**whole["spec"], "draws": "many"}}).encode(),
            json.dumps({**whole, "spec": {**whole["spec"], "dtype": "float33"}}).encode(),
            json.dumps({**whole, "suite": []}).encode(),
            json.dumps({**whole, "answers": "x"}).encode(),
        ],
        "scores.json": [
            DEEP,
            b"[]",
            json.dumps({"metrics": stored["metrics"]}).encode(),
            json.dumps({**stored, "metrics": {"quality": {}}}).encode(),
            json.dumps({**stored, "metrics": {"quality": {"rows": None, "scores": [{"value": "x"}]}}}).encode(),
        ],
    }
    for name, contents in broken.items():
        kept = (folder.path / name).read_bytes()
        for content in contents:
            (folder.path / name).write_bytes(content)
            with pytest.raises(StoreError, match=name.replace(".", r"\.")):
                ScoredRun.load(folder)
        (folder.path / name).write_bytes(kept)
    path = tmp_path / "baseline.json"
    for content in (DEEP, b"[]", b'{"runs": ' + DEEP + b"}"):
        path.write_bytes(content)
        with pytest.raises(SeeTellError):
            Baseline.read(path)


BUILT_IN = Suite.parse(
    b"""name = "all"
[data]
dataset = "toybox"
[text]
max_new_tokens = 4
[decoders.greedy]
[metrics.bleu]
[metrics.cider]
[metrics.rouge-l]
[metrics.meteor]
[metrics.spice]
[metrics.clipscore]
[metrics.refclipscore]
[metrics.image-rank]
[metrics.grounding]
[metrics.chair]
[metrics.repetition]
[metrics.distinct]
[metrics.coherence]
""",
    "suite",
    Path(),
)


def plausible_rows(label: str, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Rows as the metric makes them: counts that are right never exceed what they are divided by."""
    if label == "bleu":
        length = generator.integers(4, 20, count)
        said = np.stack([length - order for order in range(4)], axis=1)
        return np.column_stack([length, generator.integers(4, 20, count), said, generator.binomial(said, 0.4)])
    if label == "meteor":
        said, asked = generator.integers(4, 20, count), generator.integers(4, 20, count)
        matches = np.zeros((count, 4, 4))
        matches[:, 0, 0] = matches[:, 0, 1] = generator.integers(0, 4, count)
        matched = matches[:, 0, 0]
        return np.column_stack(
            [said, asked, said // 3, asked // 3, matches.reshape(count, 16), np.minimum(matched, 1), matched, matched]
        )
    if label == "grounding":
        said, there = generator.integers(1, 5, count), generator.integers(2, 5, count)
        return np.column_stack([generator.binomial(np.minimum(said, there), 0.5), said, there])
    if label == "chair":
        named = generator.integers(1, 5, count)
        wrong = generator.binomial(named, 0.4)
        return np.column_stack([wrong, named, wrong > 0, np.ones(count)])
    if label in ("repetition", "distinct"):
        total = generator.integers(3, 20, (count, 3 if label == "repetition" else 2))
        unique = np.maximum(generator.binomial(total, 0.8), 1)
        return np.stack([unique, total], axis=2).reshape(count, -1)
    width = {"clipscore": 3, "image-rank": 4}.get(label, 2)
    values = generator.random((count, width - 1)) * (0.3 if label == "coherence" else 1.0)
    return np.column_stack([values, np.ones(count)])


@pytest.mark.parametrize("label", list(BUILT_IN.metrics))
def test_failing_on_the_hard_examples_never_pays(label: str) -> None:
    """However an answer scores, to fail instead gives no better number, whichever and how many examples it happens to."""
    [due] = due_metrics(BUILT_IN.model_copy(update={"metrics": {label: BUILT_IN.metrics[label]}}))
    metric: Metric = due.blank()
    generator = np.random.default_rng(3)
    for _ in range(50):
        rows = plausible_rows(label, generator, 12).astype(float)
        alone = metric.finalise(rows)[..., 0]
        better = metric.outputs[0].higher_is_better
        hard = np.argsort(alone if better else -alone, kind="stable")[: generator.integers(1, 11)]
        worst = metric.worst_row(rows)
        assert worst is not None
        failed = rows.copy()
        failed[hard] = worst
        before, after = metric.finalise(rows.sum(axis=0)), metric.finalise(failed.sum(axis=0))
        for output, one, other in zip(metric.outputs, before, after, strict=True):
            assert (other <= one + 1e-12) if output.higher_is_better else (other >= one - 1e-12), output.name


def test_the_worst_row_counts_at_least_one() -> None:
    assert nothing_right(np.zeros((0, 2))).tolist() == [0.0, 1.0]
