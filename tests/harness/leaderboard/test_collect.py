"""From the store to boards: letters of every column, metrics that nobody here knows, published tables where they belong."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from harness.compare.groups import enough_permutations, suite_groups
from harness.compare.scored import ScoredRun
from harness.decode.imported.keep import store_outputs
from harness.decode.imported.read import Outputs
from harness.errors import StoreError
from harness.leaderboard import FORMATS, render
from harness.leaderboard.collect import boards
from harness.leaderboard.frame import Board
from harness.store.runs import Results
from harness.suites.examples import Example, Sample
from tests.harness.scored_runs import install_metric, make_run, noisy

LEVELS = {"best": 0.2, "nearly": 0.199, "worst": 0.0}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Three systems scored by a metric that is installed from elsewhere, and one that was scored in another way."""
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    store = Results(tmp_path / "results")
    generator = np.random.default_rng(0)
    for label, level in LEVELS.items():
        make_run(store, label, noisy(generator, 80, level), metrics=("quality", "unresampled"))
    make_run(store, "crooked", noisy(generator, 80, 0.3), way="crooked")
    return store


def cells(board: Board, column: str) -> dict[str, str]:
    return {row.decoder: row.cells[column].letters for row in board.rows if column in row.cells}


def test_every_column_that_can_be_ranked_has_letters(results: Results) -> None:
    [board] = boards(results)
    assert cells(board, "quality") == {"best": "a", "nearly": "a", "worst": "b", "crooked": ""}
    assert cells(board, "badness") == {"best": "a", "nearly": "a", "worst": "b", "crooked": ""}
    assert set(cells(board, "words").values()) == {""}, "neither direction is better"
    assert set(cells(board, "un-quality").values()) == {""}, "its rows cannot be resampled"
    assert board.grouping is not None
    assert (board.grouping.correction, board.grouping.permutations) == ("Holm", 10_000)


def test_a_metric_that_nobody_here_knows_is_in_every_format_with_its_direction(results: Results) -> None:
    [board] = boards(results)
    found = {column.name: column for column in board.columns}
    assert (found["quality"].higher_is_better, found["quality"].percent) == (True, True)
    assert (found["badness"].higher_is_better, found["words"].percent) == (False, False)
    written = render([board], "md")
    assert "| quality ↑ | badness ↓ | words |" in written
    assert re.search(r"\| 1 <sup>A</sup> \| best \(word=best\) \| \*\*7\d\.\d\*\* a <sup>A</sup> \|", written)
    assert r"quality <sup>B</sup>: quality\|way:crooked" in written
    lines = [line for line in csv.DictReader(io.StringIO(render([board], "csv"))) if line["metric"] == "badness"]
    assert {line["decoder"]: (line["rank"], line["letters"]) for line in lines}["worst"] == ("3", "b")
    columns = json.loads(render([board], "json"))["suites"][0]["columns"]
    assert {
        "metric": "words", "label": "words", "kind": "metric", "higher_is_better": None, "percent": False,
    } in columns  # fmt: skip
    assert "group b: told apart from all others" in render([board], "html")
    assert r"quality $\uparrow$ & badness $\downarrow$ & words" in render([board], "tex")


def test_imported_outputs_tell_their_format_and_no_hash(tmp_path: Path) -> None:
    samples = [Sample(Example(f"e{i}", references=("x",)), 0, "a b") for i in range(2)]
    store = Results(tmp_path)
    [imported] = store_outputs([Outputs("theirs", "CSV", samples)], store, {})
    content = imported.folder.describe()["spec"]["config"]["content"]
    found = boards(store)
    assert [dict(row.config) for row in found[0].rows] == [{"format": "CSV"}]
    for kind in FORMATS:
        written = render(found, kind)
        assert content not in written, kind
        assert "theirs" in written


def test_rows_that_do_not_give_the_value_any_more_get_no_letter(results: Results) -> None:
    runs = {folder.path.name: ScoredRun.load(folder) for folder in results.runs()}
    [changed] = [name for name in runs if name.startswith("nearly")]
    rows = runs[changed].metrics["quality"].rows
    assert rows is not None
    rows[:, 0] += 1
    letters = suite_groups(runs, draws=500)["quality"]
    assert changed not in letters
    assert sorted(letters.values()) == ["", "a", "b"]


def test_a_run_without_scores_or_answers_has_no_letters(results: Results) -> None:
    [folder] = [folder for folder in results.runs() if folder.path.name.startswith("nearly")]
    (folder.path / "scores.json").unlink()
    [board] = boards(results)
    assert cells(board, "quality") == {"best": "a", "worst": "b", "crooked": ""}


def test_permutations_grow_with_the_table() -> None:
    """Of 40 systems 780 pairs are tested, and 1 in 10,001 times 780 would be above 5 % whatever the data."""
    assert enough_permutations(2) == enough_permutations(12) == 10_000
    for systems in (30, 40, 100):
        pairs = systems * (systems - 1) / 2
        assert pairs / (enough_permutations(systems) + 1) <= 0.05 / 4.9


SIGNATURE = "quality|way:plain|n:7|v:0.1.0"


def publish(results: Results, suite: str, signature: str = "") -> None:
    signatures = {"quality": signature} if signature else {}
    row = {
        "system": "MAGIC",
        "source": "paper",
        "digits": 1,
        "values": {"quality": 0.6, "spice": 0.113},
        "deviations": {"spice": 0.0046},
    }
    content = {
        "format": "seetell-published-1",
        "title": "A paper",
        "metrics": {"quality": {"label": "Quality"}, "spice": {"label": "SPICE"}},
        "sources": {"paper": {"origin": "authors", "title": "A paper", "where": "table 1"}},
        "notes": {"fewer": "18 images fewer."},
        "tables": [{"suite": suite, "task": "story", "title": "T", "rows": [
            {**row, "examples": 4982, "notes": ["fewer"], "signatures": signatures}]}],
    }  # fmt: skip
    path = results.root / "published" / f"{suite}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_published_numbers_stand_apart_and_change_no_rank(results: Results) -> None:
    before = boards(results)[0]
    publish(results, "made")
    [board] = boards(results)
    assert (board.rows, board.columns) == (before.rows, before.columns)
    [table] = board.published
    assert table.rows[0].cells["quality"].place is None, "its signature is not known to be ours"
    written = render([board], "md")
    assert written.index("How each number was made") < written.index("### Published: A paper")
    assert "| MAGIC <sup>authors, source 1, 4,982 examples, note 1</sup> | 60.0 | 11.3 ± 0.5 |" in written
    assert "1. A paper (authors): table 1" in written
    assert "1. 18 images fewer." in written
    [line] = [each for each in csv.DictReader(io.StringIO(render([board], "csv"))) if each["metric"] == "spice"]
    assert (line["origin"], line["rank"], line["identity"], line["value"]) == ("authors", "", "", "0.113")
    assert line["source"] == "A paper: table 1"
    document = json.loads(render([board], "json"))
    assert [each["decoder"] for each in document["rows"]] == [row.decoder for row in before.ordered()]
    assert document["published"][0]["sources"] == [{"origin": "authors", "title": "A paper", "where": "table 1"}]


def test_an_equal_signature_tells_the_place_and_finds_the_board(results: Results) -> None:
    [made] = {run.metrics["quality"].scores[0].signature for run in map(ScoredRun.load, results.runs("made"))
              if run.spec.label != "crooked"}  # fmt: skip
    publish(results, "elsewhere", made)
    [board] = boards(results)
    cell = board.published[0].rows[0].cells["quality"]
    assert (cell.place, cell.of) == (3, 4), "between nearly and worst; crooked was made in another way"
    assert "60.0 (3 of 4)" in render([board], "md")
    assert "60.0 (3 of 4)" in render([board], "html")
    assert {row.decoder: row.identity for row in board.rows}.keys() == {*LEVELS, "crooked"}


def test_what_is_published_about_other_suites_follows_without_runs(results: Results) -> None:
    publish(results, "elsewhere")
    assert [board.suite for board in boards(results)] == ["made", "elsewhere"]
    assert [board.suite for board in boards(results, ["made"])] == ["made"]
    [other] = boards(results, ["elsewhere"])
    assert not other.rows
    for format in ("md", "html", "csv", "json", "tex"):
        assert ("MAGIC" in render([other], format)) == (format != "tex")
    with pytest.raises(StoreError, match="did you mean 'elsewhere'"):
        boards(results, ["elswhere"])
