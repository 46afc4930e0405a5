"""The published experiments in miniature, typed as a user types them, with sockets blocked: `python -m examples.miniature`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.miniature.__main__ import main
from tests.harness.in_process import seetell_here

ROOT = Path(__file__).resolve().parents[2]
CAPTIONS = {
    "magic", "contrastive", "clipre", "zerocap", "sample-rerank", "top-k", "nucleus", "typical", "greedy", "beam", "constant"
}  # fmt: skip
STORIES = {"magic", "contrastive", "sample-rerank", "top-k", "nucleus", "typical", "greedy", "beam"}
SAMPLING = ("top-k", "nucleus", "typical")
LANGUAGE = {
    "mscoco": "mscoco",
    "flickr30k": "flickr30k",
    "mscoco-to-flickr30k": "mscoco",
    "flickr30k-to-mscoco": "flickr30k",
    "rocstories": "rocstories",
}


def test_its_help_names_the_suites(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["miniature", "--help"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--only SUITE" in shown
    assert "rocstories" in shown


@pytest.mark.heavy
def test_all_five_experiments_from_the_check_to_the_leaderboard(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    done = subprocess.run(
        [sys.executable, "-m", "examples.miniature", "--folder", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    assert "NETWORK" not in said
    assert "Traceback" not in said
    for suite in LANGUAGE:
        for command in ("data check {}", "prefetch {}", "run {}.toml --offline", "score {}.toml"):
            assert f"$ seetell {command.format(suite)}" in done.stdout
    check_outcome(folder)


def check_outcome(folder: Path) -> None:
    """Every decoder of every suite on the leaderboard: complete, scored, with the models that were trained on the way."""
    board = json.loads(seetell_here("leaderboard", "--json", cwd=folder).stdout)
    rows: dict[tuple[str, str], dict[str, Any]] = {(row["suite"], row["decoder"]): row for row in board["rows"]}
    expected = {(f"{suite}-miniature", label) for suite in LANGUAGE for label in (STORIES if suite == "rocstories" else CAPTIONS)}
    assert set(rows) == expected
    for (suite, label), row in rows.items():
        draws = 3 if label in SAMPLING and not suite.startswith("rocstories") else 1
        assert (row["complete"], row["failed"], row["decoded"]) == (True, 0, 20 * draws), (suite, label)
        missing = {name: str(each["unavailable"]) for name, each in row["metrics"].items() if each.get("unavailable")}
        few, parser = "20 texts do not make one", "seetell prefetch spice"
        told = {"mauve": few, "mauve-sd": few} if suite.startswith("rocstories") else {"spice": parser}
        told |= {name: "Java" for name in ("meteor",) if shutil.which("java") is None}
        assert set(missing) <= set(told), (suite, label, missing)
        assert all(told[name] in reason for name, reason in missing.items()), missing
    for suite, language in LANGUAGE.items():
        spec = _spec(folder, f"{suite}-miniature", "magic")
        trained = json.loads((folder / "models" / language / "training.json").read_bytes())
        assert trained["base"]["name"] == "hf:gpt2"
        assert spec["language_model"]["name"] == f"local:{folder / 'models' / language}"
    assert _spec(folder, "rocstories-miniature", "magic")["sentences"] == 5


def _spec(folder: Path, suite: str, label: str) -> dict[str, Any]:
    found = [json.loads(path.read_bytes())["spec"] for path in (folder / "results").rglob("run.json")]
    [spec] = [each for each in found if (each["suite"], each["label"]) == (suite, label)]
    return dict(spec)
