"""Commands in messages can be copied: they carry the user's own `--results`, and name a suite that is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.cli.console import runnable
from harness.store.runs import Results
from tests.harness.in_process import seetell_here
from tests.harness.scored_runs import install_metric, make_run


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("run `seetell run toybox-plain`", "run `seetell run toybox-plain --results 'my results'`"),
        (
            "`seetell run a --set 'x.y=1'` or `seetell score a`",
            "`seetell run a --set 'x.y=1' --results 'my results'` or `seetell score a --results 'my results'`",
        ),
        ("`seetell study review pilot`", "`seetell study review pilot --results 'my results'`"),
        ("`seetell leaderboard a --results b`", "`seetell leaderboard a --results b`"),
        ("`seetell prefetch spice`", "`seetell prefetch spice`"),
        ("`seetell data check SUITE`", "`seetell data check SUITE`"),
        ("`seetell nonsense` and seetell run a", "`seetell nonsense` and seetell run a"),
    ],
)
@pytest.mark.parametrize("flags", [("--results", "my results"), ("--results=my results",)])
def test_commands_get_the_folder_that_was_given(
    monkeypatch: pytest.MonkeyPatch, said: str, expected: str, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["seetell", "gate", "toybox-plain"])
    assert runnable(said) == said
    monkeypatch.setattr(sys, "argv", ["seetell", "gate", "toybox-plain", *flags])
    assert runnable(said) == expected


def test_errors_and_tables_name_commands_that_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    store = Results(tmp_path / "of mine")
    texts = {f"e{i}": f"0.{i} words" for i in range(1, 9)}
    make_run(store, "one", texts)
    make_run(store, "two", texts, metrics=["quality", "unresampled"])
    where = ("--results", "of mine")
    done = seetell_here("compare", "made/one", "made/two", "--permutations", "9", *where, cwd=tmp_path, COLUMNS="400")
    assert "[metrics.unresampled]" in done.stdout
    assert "`seetell score made --results 'of mine'`" in " ".join(done.stdout.split())
    next((store.root / "runs").rglob("two*/scores.json")).unlink()
    done = seetell_here("compare", "made/one", "made/two", *where, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("is not scored yet; run `seetell score made --results 'of mine'`\n")
