"""Other people's outputs in a suite's own table: marked as imported, compared, and never complete where answers are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.compare.scored import ScoredRun, current_runs
from harness.decode.experiment import Experiment
from harness.decode.imported.keep import score_imported, store_in_suite
from harness.decode.imported.read import read_for_suite
from harness.errors import SuiteError
from harness.leaderboard.collect import boards
from harness.store.runs import Results
from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here

SUITE = """name = "mine"
task = "caption"
[data]
dataset = "jsonl"
file = "data.jsonl"
[models]
language_model = "toybox:plain"
[text]
max_length = 8
[decoders.greedy]
[metrics.repetition]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    rows = [{"id": f"{i}.jpg", "references": [f"a red ball {i}"]} for i in range(4)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "mine.toml").write_text(SUITE, encoding="utf-8")
    return Suite.load(str(tmp_path / "mine.toml"))


def store(folder: Path, suite: Suite, name: str, captions: dict[str, str]) -> list[str]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(captions), encoding="utf-8")
    experiment = Experiment(suite)
    system = read_for_suite(path, experiment.examples)
    imported = store_in_suite(system, experiment, Results(folder / "results"), name)
    score_imported([imported])
    return list(system.notes)


def test_theirs_stand_beside_mine_and_are_compared(tmp_path: Path, suite: Suite) -> None:
    store(tmp_path, suite, "Theirs", {f"{i}.jpg": "a a a a a" for i in range(4)})
    notes = store(tmp_path, suite, "Others", {f"{i}": f"one ball {i}" for i in range(3)})
    assert notes == ["1 of 4 examples have no answer and count as failures: 3.jpg"]
    results = Results(tmp_path / "results")
    (board,) = boards(results)
    rows = {row.decoder: row for row in board.rows}
    assert board.suite == "mine"
    assert (rows["theirs"].total, rows["theirs"].failed) == (4, 0)
    assert (rows["others"].total, rows["others"].decoded, rows["others"].failed) == (4, 3, 1)
    assert rows["theirs"].config["format"] == "captions by id (JSON object)"
    runs = current_runs(results, str(tmp_path / "mine.toml"), ["theirs", "others"])
    assert all(isinstance(run, ScoredRun) for run in runs.values())
    with pytest.raises(SuiteError, match="has no decoder 'thiers' .did you mean 'theirs'"):
        current_runs(results, str(tmp_path / "mine.toml"), ["thiers"])


def test_of_one_name_the_newest_counts_and_a_decoders_name_is_taken(tmp_path: Path, suite: Suite) -> None:
    store(tmp_path, suite, "theirs", {f"{i}.jpg": "a ball" for i in range(4)})
    with pytest.raises(SuiteError, match="has a decoder 'greedy'; give the imported outputs another --name"):
        store(tmp_path, suite, "greedy", {f"{i}.jpg": "a ball" for i in range(4)})
    run = current_runs(Results(tmp_path / "results"), str(tmp_path / "mine.toml"), ["theirs"])["theirs"]
    assert isinstance(run, ScoredRun)
    assert {record.text for record in run.answers} == {"a ball"}


def test_the_command_puts_theirs_into_the_suites_table(tmp_path: Path, suite: Suite) -> None:
    rows = [{"id": i, "image": f"{i}.jpg", "caption": "the reference", "output": f"ball {i}"} for i in range(3)]
    (tmp_path / "theirs.json").write_text(json.dumps(rows), encoding="utf-8")
    command = ("score", "theirs.json", "--suite", "mine.toml", "--name", "TheirMethod")
    refused = seetell_here(*command, cwd=tmp_path)
    assert refused.returncode == 1
    assert "--text caption" in refused.stderr
    done = seetell_here(*command, "--text", "output", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "1 of 4 examples have no answer and count as failures: 3.jpg" in done.stderr
    assert "theirmethod (imported, 1 failed)" in done.stdout
    page = seetell_here("leaderboard", "mine", "-f", "md", cwd=tmp_path).stdout
    assert "theirmethod (imported" in page
    assert "3 of 4, 1 failed" in page
    assert "--references and --suite" in seetell_here(*command, "--references", "x.json", cwd=tmp_path).stderr


def test_outputs_of_which_few_are_scored_end_with_a_warning_code_and_their_count(tmp_path: Path) -> None:
    rows = [{"id": i, "text": "a red ball", "references": ["a red ball" if i < 2 else ""]} for i in range(30)]
    (tmp_path / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ("--metrics", "rouge-l", "--set", "rouge-l.tokenizer=none")
    done = seetell_here("score", "theirs.jsonl", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "(2 of 30)" in done.stdout
    for form in ("md", "tex", "table"):
        assert "2 of 30" in seetell_here("leaderboard", "-f", form, cwd=tmp_path).stdout
