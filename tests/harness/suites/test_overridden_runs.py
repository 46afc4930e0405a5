"""Runs with `--set` lie beside a suite's own, enter none of its tables unasked, and are found with the same `--set`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import app
from harness.compare.scored import current_runs
from harness.errors import StoreError, SuiteError
from harness.leaderboard.collect import boards
from harness.leaderboard.markdown import notes
from harness.store.find import find_run
from harness.store.runs import Results, RunFolder, write_json
from harness.suites.spec import RunSpec
from tests.harness.scored_runs import install_metric, make_run

TEXTS = {"a": "0.1 x", "b": "0.5 y", "c": "0.9 z"}


@pytest.fixture(autouse=True)
def _metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugins")))


def with_settings(run: RunFolder, *settings: str) -> RunFolder:
    content = run.describe()
    write_json(run.path / "run.json", {**content, "suite": {**content["suite"], "settings": list(settings)}})
    return run


def test_a_leaderboard_shows_what_was_asked_for_and_counts_the_rest(tmp_path: Path) -> None:
    store = Results(tmp_path)
    own = make_run(store, "echo", TEXTS)
    # Of a decoder that the setting is not about: the same run, whoever made it.
    other = with_settings(make_run(store, "other", TEXTS), 'decoders.echo.word="x"')
    changed = with_settings(make_run(store, "echo", TEXTS, config={"word": "x"}), 'decoders.echo.word="x"')
    [board] = boards(store)
    assert {row.identity for row in board.rows} == {own.path.name[-8:], other.path.name[-8:]}
    assert "1 runs were made with other settings" in board.left_out
    assert "seetell leaderboard made --set 'echo.word=\"x\"'" in board.left_out
    assert board.left_out in notes(board)
    [board] = boards(store, ["made"], ["echo.word=x"])
    assert {row.identity for row in board.rows} == {changed.path.name[-8:], other.path.name[-8:]}
    with pytest.raises(StoreError, match="has no runs with --set 'run.seed=4'"):
        boards(store, ["made"], ["run.seed=4"])
    with pytest.raises(SuiteError, match="no decoder and no table 'eco' .did you mean 'echo'"):
        boards(store, ["made"], ["eco.word=x"])


def test_one_suite_without_such_runs_does_not_hide_the_others(tmp_path: Path) -> None:
    store = Results(tmp_path)
    with_settings(make_run(store, "echo", TEXTS, config={"word": "x"}), 'decoders.echo.word="x"')
    make_run(store, "echo", TEXTS, suite_name="other")
    [board] = boards(store)
    assert (board.suite, "suite 'made' has no runs; try" in board.left_out) == ("other", True)
    with pytest.raises(StoreError, match="suite 'made' has no runs"):
        boards(store, ["other", "made"])
    with pytest.raises(StoreError, match="has no runs with --set 'run.seed=4'"):
        boards(store, [], ["run.seed=4"])


def test_a_suite_with_overridden_runs_alone_says_how_to_see_them(tmp_path: Path) -> None:
    store = Results(tmp_path)
    with_settings(make_run(store, "echo", TEXTS), "run.seed=4")
    with pytest.raises(StoreError, match="try `seetell leaderboard made --set 'run.seed=4'`"):
        boards(store)


def test_comparing_means_the_suites_own_run_unless_settings_are_given(tmp_path: Path) -> None:
    store = Results(tmp_path)
    own = make_run(store, "echo", TEXTS)
    changed = with_settings(make_run(store, "echo", TEXTS, config={"word": "x"}), 'decoders.echo.word="x"')
    assert find_run(store, "made/echo").path == own.path
    assert find_run(store, "made/echo", ["echo.word=x"]).path == changed.path
    assert find_run(store, changed.path.name).path == changed.path
    with pytest.raises(StoreError, match="was not run with --set 'echo.word=y'; `seetell run made --set 'echo.word=y'` does it"):
        find_run(store, "made/echo", ["echo.word=y"])


def test_what_the_suite_itself_leads_to_stays_its_own(tmp_path: Path) -> None:
    store = Results(tmp_path)
    run = make_run(store, "echo", TEXTS)
    content = run.describe()
    spec = RunSpec.model_validate(content["spec"])
    run.open(spec, 3, {**content["suite"], "settings": ['data.file="elsewhere.jsonl"']}, content["environment"])
    assert not run.describe()["suite"].get("settings")
    with_settings(run, "run.seed=4")
    run.open(spec, 3, content["suite"], content["environment"])  # and becomes so when the suite is run
    assert not run.describe()["suite"].get("settings")


SUITE = """
extends = "toybox-plain"
name = "small"
[data]
size = 3
[decoders]
zerocap = false
beam = false
clipre = false
[metrics]
perplexity = false
refclipscore = false
image-rank = false
clipscore = false
grounding = false
bleu = false
rouge-l = false
[metrics.cider]
tokenizer = "python"
"""


def cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = app([*arguments, "--json"], result_action="return_value", exit_on_error=False)
    assert code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_run_score_compare_and_gate_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SUITE)
    flags = ("--set", "magic.beta=0")
    [own] = cli(capsys, "run", "small.toml", "--only", "magic")["runs"]
    changed, greedy = cli(capsys, "run", "small.toml", "--only", "magic,greedy", *flags)["runs"]
    assert own["settings"] == greedy["settings"] == []
    assert changed["settings"] == ["decoders.magic.beta=0"]
    assert own["folder"] != changed["folder"]
    assert own["folder"].startswith("results/runs/small/magic-")
    [again] = cli(capsys, "score", "small.toml", "--only", "magic", *flags)["runs"]
    assert again["scores"] == changed["scores"] != own["scores"]
    compared = cli(capsys, "compare", "small/magic", "small/magic", *flags)
    assert compared["second"].endswith(changed["identity"][:8])
    assert {each["field"] for each in compared["settings"]} == {"config.beta"} if "settings" in compared else True
    store = Results(Path("results"))
    runs = current_runs(store, "small.toml", ["magic"], ["magic.beta=0"])
    assert runs["magic"].spec.config["beta"] == 0  # type: ignore[union-attr]
    accept = app(["gate", "small.toml", "--only", "magic", "--accept"], result_action="return_value")
    assert accept == 0
    code = app(["gate", "small.toml", "--only", "magic", *flags, "--json"], result_action="return_value")
    judged = json.loads(capsys.readouterr().out)
    assert code in (1, 2)  # looking at no image is worse, or three images cannot say
    assert judged
