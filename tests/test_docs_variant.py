"""The walk-through of a variant works as it stands there, up to the invitation of raters."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.harness.test_cli import seetell
from tests.pages import ROOT, block
from tests.plugins import install

PAGE = "docs/variant.md"


@pytest.mark.heavy
def test_the_variant_is_run_compared_gated_published_and_rated(tmp_path: Path) -> None:
    project = tomllib.loads(block(PAGE, "toml", 'name = "magic-adaptive"'))["project"]
    source = block(PAGE, "python", "class Adaptive(")
    site = install(tmp_path / "site", project["name"], "magic_adaptive", source, project["entry-points"])
    for name in ("adaptive", "candidate"):
        text = block(PAGE, "toml", f'name = "{name}"') + "\n[data]\nsize = 8\n"
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    environment = {"SEETELL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{site}:{ROOT}"}

    def run(*arguments: str, expect: int = 0) -> str:
        done = seetell(*arguments, cwd=tmp_path, **environment)
        assert done.returncode == expect, done.stderr + done.stdout
        return done.stdout

    run("run", "adaptive.toml", "--only", "magic,adaptive")
    compared = json.loads(run("compare", "adaptive/magic", "adaptive/adaptive", "--format", "json"))
    assert {"magic", "adaptive"} <= {part for key in ("first", "second") for part in re.split(r"[/-]", compared[key])}
    run("run", "toybox-plain", "--only", "magic", "--set", "data.size=8", "--results", "known")
    accept = ["gate", "toybox-plain", "--set", "data.size=8", "--only", "magic", "--results", "known", "--accept"]
    run(*accept, "--baseline", "baseline.json")
    run("run", "candidate.toml", "--only", "magic", "--results", "fresh")
    gate = ["gate", "candidate.toml", "--only", "magic", "--results", "fresh", "--baseline", "baseline.json"]
    assert json.loads(run(*gate, "--json", expect=2))["outcome"] == "undecided"
    run("leaderboard", "adaptive")
    assert "adaptive" in (tmp_path / "results" / "site" / "index.html").read_text(encoding="utf-8")
    made = run("study", "create", "ask", "--suite", "adaptive", "--runs", "magic,adaptive", "--items", "6", "--json")
    assert "invite" in made
