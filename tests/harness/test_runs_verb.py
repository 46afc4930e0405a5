"""`seetell runs`: what is stored is listed, and removed with consent; what was left behind or is empty is named in the table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

from harness.leaderboard.collect import boards
from harness.leaderboard.markdown import count_text
from harness.store.runs import Results, RunFolder
from tests.harness.in_process import seetell_here

QUICK = """
name = "quick"
data = { dataset = "toybox", domain = "plain", size = 3 }
models = { language_model = "toybox:plain" }
text = { max_new_tokens = 3 }
[decoders.greedy]
[decoders.constant]
text = "%s"
[metrics.length]
"""


def write(folder: Path, sentence: str) -> Path:
    path = folder / "quick.toml"
    path.write_text(QUICK % sentence)
    return path


def runs_of(folder: Path) -> dict[str, RunFolder]:
    return {run.path.name: run for run in Results(folder / "results").runs()}


def run_long_ago(folder: Path, *flags: str) -> None:
    write(folder, "a dog")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.store.runs._now", lambda: "2026-01-01T00:00:00+00:00")
        seetell_here("run", "quick.toml", "--only", "constant", *flags, cwd=folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after one example, and the same decoder with other settings run to its end."""
    folder = tmp_path_factory.mktemp("made")
    run_long_ago(folder, "--limit", "1")
    write(folder, "a cat")
    assert seetell_here("run", "quick.toml", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def stopped(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "stopped")


def test_a_run_that_was_left_behind_is_named_once_and_is_no_row(stopped: Path) -> None:
    [left] = [run for run in runs_of(stopped).values() if not run.complete]
    [board] = boards(Results(stopped / "results"))
    assert sorted(row.name for row in board.rows) == ["constant", "greedy"]
    assert board.left_out.count(left.path.name) == 2, "its name, and the command that removes it"
    assert f"{left.path.name} (1 of 3); `seetell runs quick/{left.path.name} --remove` removes it" in board.left_out
    shown = seetell_here("leaderboard", "quick", "--format", "md", cwd=stopped).stdout
    assert "not ranked: constant" not in shown
    removed = seetell_here("runs", f"quick/{left.path.name}", "--remove", "--yes", cwd=stopped)
    assert removed.returncode == 0, removed.stderr
    assert left.path.name not in runs_of(stopped)
    [board] = boards(Results(stopped / "results"))
    assert "left" not in board.left_out
    assert left.path.name not in board.left_out


def test_a_run_that_is_being_resumed_stays_a_row(tmp_path: Path) -> None:
    run_long_ago(tmp_path)
    write(tmp_path, "a cat")
    seetell_here("run", "quick.toml", "--only", "constant", "--limit", "1", cwd=tmp_path)
    [board] = boards(Results(tmp_path / "results"))
    assert sorted(row.complete for row in board.rows) == [False, True]


def test_the_list_says_what_is_there(stopped: Path) -> None:
    listed = json.loads(seetell_here("runs", "--json", cwd=stopped).stdout)["runs"]
    assert {(run["decoder"], run["answers"], run["state"]) for run in listed} == {
        ("constant", "1 of 3", "incomplete"), ("constant", "3 of 3", "scored"), ("greedy", "3 of 3", "scored"),
    }  # fmt: skip
    shown = seetell_here("runs", "quick", cwd=stopped).stdout
    assert all(name in shown for name in runs_of(stopped))


def test_nothing_is_removed_without_consent_or_from_elsewhere(stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = set(runs_of(stopped))
    for arguments, words in (
        (["runs", "--remove", "--yes"], "expected the runs to remove"),
        (["runs", "quick", "--remove"], "add --yes"),
        (["runs", "quick/nothing", "--remove", "--yes"], "there is no run"),
        (["runs", str(next(iter(runs_of(stopped).values())).path), "--remove", "--yes", "--results", "other"], "is not in"),
    ):
        (stopped / "other").mkdir(exist_ok=True)
        done = seetell_here(*arguments, cwd=stopped)
        assert done.returncode != 0
        assert words in " ".join(done.stderr.split())
    assert set(runs_of(stopped)) == before


def test_a_run_that_is_being_written_is_not_removed(stopped: Path) -> None:
    name, run = next(iter(runs_of(stopped).items()))
    with run.lock():
        done = seetell_here("runs", f"quick/{name}", "--remove", "--yes", cwd=stopped)
    assert done.returncode != 0
    assert "it was not removed" in " ".join(done.stderr.split())
    assert name in runs_of(stopped)


def test_a_damaged_run_is_listed_and_can_be_removed(stopped: Path) -> None:
    name, run = next(iter(runs_of(stopped).items()))
    (run.path / "run.json").write_text("{")
    listed = json.loads(seetell_here("runs", "--json", cwd=stopped).stdout)["runs"]
    assert [entry["state"] for entry in listed if entry["run"] == f"quick/{name}"] == ["damaged"]
    assert seetell_here("runs", f"quick/{name}", "--remove", "--yes", cwd=stopped).returncode == 0
    assert name not in runs_of(stopped)


def test_texts_without_a_word_are_counted(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(
        json.dumps([{"image_id": number, "caption": text} for number, text in ((1, "a dog"), (2, " "))])
    )
    (tmp_path / "references.json").write_text(json.dumps({"1": ["a dog"], "2": ["a cat"]}))
    seetell_here("score", "captions.json", "--references", "references.json", "--metrics", "length", cwd=tmp_path)
    [board] = boards(Results(tmp_path / "results"))
    [row] = board.rows
    assert (row.empty, count_text(row)) == (1, "2, 1 empty")
    shown = seetell_here("show", f"{row.suite}/{row.decoder}", cwd=tmp_path).stdout
    assert "1 of them empty" in " ".join(shown.split())


def test_the_rows_behind_a_score_have_named_columns(made: Path) -> None:
    greedy = next(run for name, run in runs_of(made).items() if name.startswith("greedy"))
    [file] = (greedy.path / "rows").glob("length-*.parquet")
    assert parquet.read_schema(file).names == ["length", "texts"]
