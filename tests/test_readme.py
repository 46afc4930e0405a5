"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here
from tests.pages import ROOT, block
from tests.plugins import install

PAGE = "README.md"


def test_the_decoder_of_the_readme_is_listed_runs_and_is_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads(block(PAGE, "toml", 'name = "my-decoder"'))["project"]
    site = install(
        tmp_path / "site", project["name"], "my_decoder", block(PAGE, "python", "class Lukewarm"), project["entry-points"]
    )
    monkeypatch.syspath_prepend(str(site))
    environment = {"SEETELL_CACHE": str(tmp_path / "cache")}
    listed = json.loads(seetell_here("list", "--json", **environment).stdout)["decoders"]
    assert {"name": "lukewarm", "from": "my-decoder 1.0"}.items() <= next(e for e in listed if e["name"] == "lukewarm").items()

    (tmp_path / "mine.toml").write_text(block(PAGE, "toml", 'name = "mine"') + "\n[data]\nsize = 6\n", encoding="utf-8")
    done = seetell_here("run", "mine.toml", "--only", "lukewarm,greedy", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads(seetell_here("leaderboard", "mine", "--format", "json", cwd=tmp_path, **environment).stdout)["rows"]
    assert {row["decoder"] for row in rows} == {"lukewarm", "greedy"}
    assert all(row["metrics"]["cider"]["value"] is not None for row in rows)


def test_the_test_of_the_readme_passes_and_can_fail(tmp_path: Path) -> None:
    """As a user would run it: a project of its own, which knows SeeTell only as something installed."""
    decoder, test = block(PAGE, "python", "class Lukewarm"), block(PAGE, "python", "check_decoder")
    broken = decoder.replace("step.candidates(2)", "step.candidates(2 + (len(step.prompts) == 3))")
    broken = broken.replace("two.ids[:, 1])", "two.ids[:, -1])")
    for number, source in enumerate((decoder, broken)):
        (tmp_path / f"my_decoder{number}.py").write_text(source, encoding="utf-8")
        mine = test.replace("my_decoder", f"my_decoder{number}")
        (tmp_path / f"test_lukewarm{number}.py").write_text(mine, encoding="utf-8")
    broken_rule = "test_lukewarm1.py::test_lukewarm[batch-size]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "test_lukewarm0.py", broken_rule],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout
    assert len(re.findall(r"^PASSED test_lukewarm0", done, re.MULTILINE)) == 21
    assert f"FAILED {broken_rule}" in done
    assert "in batches of" in done
    assert "FAILED test_lukewarm0" not in done


def test_the_suite_of_the_readme_is_valid() -> None:
    suite = Suite.parse(block(PAGE, "toml", "my-images").encode(), "README", Path())
    assert set(suite.decoders) == {"magic", "mild"}


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / PAGE).read_text(encoding="utf-8").splitlines()) <= 200


def test_the_citation_has_the_version_and_the_papers_of_the_readme() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in citation
    papers = re.findall(r"\(https://arxiv\.org/abs/([\d.]+)\)", (ROOT / PAGE).read_text(encoding="utf-8"))
    assert len(papers) == 5
    assert [paper for paper in papers if f"https://arxiv.org/abs/{paper}" not in citation] == []
