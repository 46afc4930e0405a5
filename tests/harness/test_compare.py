"""Two runs side by side: what is said of them, what is refused, and that no text in them can act."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from harness.compare.differences import signature_changes
from harness.compare.groups import suite_groups
from harness.compare.runs import Comparison, compare_runs
from harness.compare.scored import ScoredRun
from harness.compare.views import table, to_html, to_json, to_markdown, verdict
from harness.errors import IncomparableRuns, RunIncomplete, StoreError
from harness.store.find import find_run
from harness.store.runs import Results, RunFolder
from harness.suites.examples import Failure
from tests.harness.scored_runs import install_metric, make_run, noisy

HOSTILE = "0.9 <script>alert(1)</script> | `x` [a](javascript:b) \u202e\nnext"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    return Results(tmp_path / "results")


def compared(first: RunFolder, second: RunFolder, **options: object) -> Comparison:
    return compare_runs(ScoredRun.load(first), ScoredRun.load(second), permutations=999, **options)  # type: ignore[arg-type]


def two_runs(results: Results, shift: float = 0.1, count: int = 120) -> tuple[RunFolder, RunFolder]:
    generator = np.random.default_rng(0)
    first = make_run(results, "old", noisy(generator, count), config={"alpha": 0.1, "nested": {"k": 3}})
    return first, make_run(results, "new", noisy(generator, count, shift), config={"alpha": 0.2, "nested": {"k": 3}})


def test_a_real_difference_is_found_in_every_number(results: Results) -> None:
    comparison = compared(*two_runs(results))
    quality, badness, words = comparison.differences
    assert quality.difference == pytest.approx(0.1, abs=0.02)
    assert quality.low < quality.difference < quality.high
    assert quality.low > 0.05
    assert (quality.p, quality.n, quality.left_out) == (1 / 1000, 120, 0)
    assert quality.p_adjusted >= quality.p
    assert 0 < quality.detectable < 0.05
    assert badness.difference == pytest.approx(-quality.difference)
    assert [verdict(each) for each in (quality, badness, words)] == ["better", "better", "no difference seen"]
    back = compared(*reversed(two_runs(results))).differences
    assert [verdict(each) for each in back] == ["worse", "worse", "no difference seen"]


def test_a_run_against_itself(results: Results) -> None:
    first, _ = two_runs(results)
    comparison = compared(first, first)
    assert [(each.difference, each.p, each.low, each.high) for each in comparison.differences] == [(0, 1, 0, 0)] * 3
    assert (comparison.moved, comparison.changes, comparison.identical_answers) == ((), (), 120)


def test_settings_and_moved_examples_are_shown(results: Results) -> None:
    first, second = two_runs(results)
    comparison = compared(first, second)
    fields = {change.field: (change.first, change.second) for change in comparison.changes}
    assert fields == {"label": ("old", "new"), "config.alpha": (0.1, 0.2)}
    assert comparison.moved_by == "quality"
    moves = [abs(move.second - move.first) for move in comparison.moved]
    assert len(moves) == 10
    assert moves == sorted(moves, reverse=True)
    texts = {record.example_id: record.text for record in second.records()}
    assert all(move.second_text == texts[move.example_id] for move in comparison.moved)
    assert all(float(move.second_text.split()[0]) == pytest.approx(move.second) for move in comparison.moved)


def test_an_unscored_example_is_left_out_of_both_and_counted(results: Results) -> None:
    first = make_run(results, "old", {f"e{i}": f"0.{i}" for i in range(1, 9)})
    answers = {f"e{i}": f"0.{i}" for i in range(1, 9)} | {"e3": "wordless", "e5": Failure("Boom", "it broke")}
    quality = compared(first, make_run(results, "new", answers)).differences[0]
    assert (quality.n, quality.left_out) == (6, 2)
    assert quality.first == quality.second == pytest.approx((1 + 2 + 4 + 6 + 7 + 8) / 60)
    assert quality.difference == 0


def test_draws_are_clustered_by_example(results: Results) -> None:
    once = noisy(np.random.default_rng(1), 30)
    many = {key: [text] * 50 for key, text in noisy(np.random.default_rng(2), 30, 0.01).items()}
    single = {key: draws[0] for key, draws in many.items()}
    first = make_run(results, "old", once)
    with_draws = compared(first, make_run(results, "new", many)).differences[0]
    without = compared(first, make_run(results, "new", single, config={"draws": 1})).differences[0]
    assert with_draws.n == 30
    assert with_draws.p == without.p
    assert with_draws.error == pytest.approx(without.error)


def test_different_signatures_are_refused_by_field(results: Results) -> None:
    texts = noisy(np.random.default_rng(3), 20)
    first = make_run(results, "old", texts, metrics=["quality", "unresampled"])
    second = make_run(results, "new", texts, way="crooked", metrics=["quality", "unresampled"])
    with pytest.raises(IncomparableRuns, match="quality: made differently: way plain against crooked"):
        compared(first, second)
    assert signature_changes("m|a:1|n:5|v:1", "m|a:1|n:6|v:1") == []
    assert signature_changes("m|a:1|v:1", "m|b:1|v:2") == [
        "a 1 against absent", "v 1 against 2", "b absent against 1",
    ]  # fmt: skip


def test_what_cannot_be_resampled_is_shown_and_not_tested(results: Results) -> None:
    generator = np.random.default_rng(4)
    first = make_run(results, "old", noisy(generator, 20), metrics=["unresampled"])
    second = make_run(results, "new", noisy(generator, 20, 0.3), metrics=["unresampled"])
    found = compared(first, second).differences[0]
    assert found.compared
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert "not tested" in verdict(found)


def test_a_score_that_one_run_lacks_is_named(results: Results) -> None:
    texts = noisy(np.random.default_rng(5), 20)
    first = make_run(results, "old", texts, metrics=["quality"])
    second = make_run(results, "new", texts, metrics=["quality", "unresampled"])
    lacking = [each for each in compared(first, second).differences if each.metric == "unresampled"]
    assert len(lacking) == 3
    assert all("old" in each.reason and "[metrics.unresampled]" in each.reason for each in lacking)


def test_rows_that_do_not_give_the_stored_value_are_refused(results: Results) -> None:
    first, second = two_runs(results)
    stored = second.scores()
    assert stored is not None
    stored["metrics"]["quality"]["scores"][0]["value"] += 0.01
    (second.path / "scores.json").write_text(json.dumps(stored))
    reasons = [each.reason for each in compared(first, second).differences]
    assert "do not give the stored value" in reasons[0]
    assert reasons[1:] == ["", ""]


def test_rows_of_a_metric_that_has_other_columns_now_are_refused(results: Results) -> None:
    runs = [ScoredRun.load(folder) for folder in two_runs(results)]
    older = []
    for run in runs:
        quality = run.metrics["quality"]
        assert quality.rows is not None
        older.append(replace(run, metrics={"quality": replace(quality, rows=quality.rows[:, :2])}))
    with pytest.raises(IncomparableRuns, match="quality: the stored rows do not give the stored value"):
        compare_runs(*older, permutations=99)


def test_a_number_that_a_metric_no_longer_reports_is_refused_alone(results: Results) -> None:
    runs = [ScoredRun.load(folder) for folder in two_runs(results)]
    older = []
    for run in runs:
        quality = run.metrics["quality"]
        gone = replace(quality.scores[-1], output="letters")
        older.append(replace(run, metrics={"quality": replace(quality, scores=(*quality.scores, gone))}))
    found = compare_runs(*older, permutations=99).differences
    assert [bool(each.reason) for each in found] == [False, False, False, True]
    assert "do not give the stored value" in found[-1].reason


def test_different_examples_are_refused_and_the_common_ones_offered(results: Results) -> None:
    first = make_run(results, "old", {f"e{i}": "0.5" for i in range(10)})
    second = make_run(results, "new", {f"e{i}": "0.5" for i in range(2, 10)})
    with pytest.raises(IncomparableRuns, match=r"2 only in made/old.*'e0', 'e1'.*the 8 they share with --common"):
        compared(first, second)
    other = make_run(results, "other", {f"x{i}": "0.5" for i in range(10)})
    with pytest.raises(IncomparableRuns, match="they share none"):
        compared(first, other)


def test_runs_that_are_not_ready_say_what_to_do(results: Results) -> None:
    first, second = two_runs(results)
    (first.path / "scores.json").unlink()
    with pytest.raises(StoreError, match="not scored yet; run `seetell score made`"):
        ScoredRun.load(first)
    (second.path / "samples.parquet").write_bytes((first.path / "samples.parquet").read_bytes())
    with pytest.raises(StoreError, match="of other samples"):
        ScoredRun.load(second)
    (second.path / "samples.parquet").unlink()
    with pytest.raises(RunIncomplete, match="0 of 120 answers"):
        ScoredRun.load(second)


def test_runs_are_found_by_any_name_that_is_clear(results: Results) -> None:
    first, second = two_runs(results)
    third = make_run(results, "new", {"a": "0.1"}, config={"other": 1})
    for name in ("old", "made/old", first.path.name, f"made/{first.path.name}", str(first.path), f"made/{first.path.name[:-3]}"):
        assert find_run(results, name).path == first.path
    assert find_run(results, second.path.name).path == second.path
    with pytest.raises(StoreError, match=f"may be any of .*{third.path.name}.*in full"):
        find_run(results, "made/new")
    with pytest.raises(StoreError, match=r"no run 'made/odl'.*did you mean 'made/old'"):
        find_run(results, "made/odl")


def test_corrections_can_be_chosen(results: Results) -> None:
    first, second = two_runs(results, 0.012)
    plain = compared(first, second, correction="none").differences
    holm = compared(first, second, correction="holm").differences
    assert [each.p for each in plain] == [each.p_adjusted for each in plain]
    assert holm[0].p_adjusted == pytest.approx(min(1, 3 * plain[0].p))


def test_json_is_json_and_repeats_itself(results: Results) -> None:
    first, second = two_runs(results)
    content = to_json(compared(first, second))
    assert json.loads(json.dumps(content, allow_nan=False)) == json.loads(json.dumps(to_json(compared(first, second))))
    assert content["differences"][0]["verdict"] == "better"
    assert content["changes"][1] == {"field": "config.alpha", "first": 0.1, "second": 0.2}


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)


def test_hostile_text_is_inert_in_every_view(results: Results) -> None:
    texts = {f"e{i}": "0.1 a" for i in range(8)}
    first = make_run(results, "old", texts)
    second = make_run(results, "new", texts | {"e1": HOSTILE}, config={"<img src=x>": "<b>"})
    comparison = compared(first, second)
    page = to_html(comparison)
    tags = Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "b", "a", "iframe"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src &#39;none&#39;" in page
    assert "\u202e" not in page
    said = to_markdown(comparison)
    [line] = [line for line in said.splitlines() if "alert" in line]
    assert "<script>" not in said
    assert line.replace("\\|", "").count("|") == 6
    assert "\\[a\\]" in line


def test_views_have_a_row_a_number(results: Results) -> None:
    comparison = compared(*two_runs(results))
    rows = table(comparison)
    assert [row[0] for row in rows] == ["quality ↑", "badness ↓", "words"]
    assert rows[0][3].startswith("+")
    assert rows[1][3].startswith("-")
    said = to_markdown(comparison)
    assert "| quality ↑ |" in said
    assert "config.alpha" in said
    assert "benjamini-hochberg" in said


def test_a_table_gets_letters_among_equals_only(results: Results) -> None:
    generator = np.random.default_rng(6)
    made = {
        "good": make_run(results, "good", noisy(generator, 80, 0.2)),
        "bad": make_run(results, "bad", noisy(generator, 80)),
        "also bad": make_run(results, "also-bad", noisy(generator, 80)),
        "crooked": make_run(results, "crooked", noisy(generator, 80, 0.5), way="crooked"),
    }
    groups = suite_groups({name: ScoredRun.load(folder) for name, folder in made.items()}, draws=999)
    assert groups["quality"] == groups["badness"] == {"good": "a", "bad": "b", "also bad": "b", "crooked": ""}
    assert set(groups["words"].values()) == {""}


def test_a_run_that_fails_on_the_hard_examples_is_not_better(results: Results) -> None:
    texts = noisy(np.random.default_rng(21), 30)
    easy = {key: "0.99 words" if key > "ex0026" else Failure("OutOfMemory", "too hard") for key in texts}
    runs = [
        ScoredRun.load(make_run(results, label, texts_of_run, metrics=["bounded"]))  # type: ignore[arg-type]
        for label, texts_of_run in (("plain", texts), ("picky", easy))
    ]
    found = compare_runs(*runs, permutations=500)
    quality = next(each for each in found.differences if each.output == "bounded-quality")
    assert (quality.n, quality.left_out, found.counted_as_worst) == (30, 0, (0, 27))
    assert quality.second == pytest.approx(3 * 0.99 / 30)
    assert verdict(quality) == "worse"
    assert "0 of the first run, 27 of the second" in to_markdown(found)
