"""What docs/metrics.md shows works as it stands there, and it leaves no metric out."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from harness.metrics import registry as metrics_registry
from harness.metrics.evaluate import due_metrics
from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here
from tests.pages import ROOT, block
from tests.plugins import install

PAGE = "docs/metrics.md"


def test_every_metric_is_described() -> None:
    own = {name for name, claims in metrics_registry().entries.items() if claims[0].distribution == "seetell"}
    assert "mauve" in own
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert {name for name in own if f"`{name}`" not in text and f"`{name} " not in text} == set()


def test_the_options_it_shows_exist(tmp_path: Path) -> None:
    suite = 'name = "s"\n[data]\ndataset = "jsonl"\nfile = "a.jsonl"\n[text]\nmax_new_tokens = 8\n[decoders.greedy]\n'
    due = due_metrics(Suite.parse((suite + block(PAGE, "toml", "[metrics.chair]")).encode(), "docs", tmp_path))
    assert len(due) == 8


def test_the_metric_it_shows_is_listed_scored_and_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads(block(PAGE, "toml", 'name = "my-metric"'))["project"]
    source = block(PAGE, "python", "class Words(")
    site = install(tmp_path / "site", project["name"], "my_metric", source, project["entry-points"])
    monkeypatch.syspath_prepend(str(site))
    environment = {"SEETELL_CACHE": str(tmp_path / "cache")}
    listed = json.loads(seetell_here("list", "--json", **environment).stdout)["metrics"]
    entry = next(each for each in listed if each["name"] == "words")
    assert entry["from"] == "my-metric 1.0"
    assert "words" in entry["description"]

    suite = (ROOT / "harness/suites/toybox-plain.toml").read_text(encoding="utf-8").partition("[metrics.")[0]
    suite = suite.replace('name = "toybox-plain"', 'name = "mine"').replace("size = 96", "size = 6")
    (tmp_path / "mine.toml").write_text(suite + "[metrics.words]\nlongest = 3\n", encoding="utf-8")
    done = seetell_here("run", "mine.toml", "--only", "greedy,magic", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads(seetell_here("leaderboard", "--format", "json", cwd=tmp_path, **environment).stdout)["rows"]
    assert {row["decoder"] for row in rows} == {"greedy", "magic"}
    for row in rows:
        assert row["metrics"]["words"]["value"] > 3
        assert row["metrics"]["long-texts"]["value"] == 1
        assert row["metrics"]["words"]["low"] is not None
        assert "longest:3" in row["metrics"]["words"]["signature"]
    table = json.loads(
        seetell_here("compare", "mine/greedy", "mine/magic", "--format", "json", cwd=tmp_path, **environment).stdout
    )
    assert {each["output"] for each in table["differences"] if each["p"] is not None} == {"words", "long-texts"}
