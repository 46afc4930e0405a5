"""The committed leaderboard is what the code as it is now would make, as far as that shows without decoding: identities of runs,
the templates, each file's bytes. `make leaderboard-check` decodes the embedded suites and compares the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.datasets.load import Digests, load_examples
from harness.decode.plan import labels, plan
from harness.leaderboard.site import manifest
from harness.suites.provenance import seetell_version
from harness.suites.spec import Suite

ROOT = Path(__file__).resolve().parents[3]
SITE = ROOT / "results" / "leaderboard"
EMBEDDED = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("EMBEDDED :=")).split()[2:]
REMEDY = "the committed leaderboard is not current; `make leaderboard` makes it anew"


def test_every_file_is_as_it_was_written_by_these_templates() -> None:
    assert manifest.damaged(SITE) == [], REMEDY
    content = manifest.read(SITE)
    assert content["templates"] == manifest.templates_digest(), REMEDY
    assert content["seetell"] == seetell_version(), REMEDY
    assert content["reproducible"], "the committed site must have the same bytes wherever it is built"


def test_it_shows_the_embedded_suites() -> None:
    shown = [each["suite"] for each in manifest.read(SITE)["suites"] if each["runs"]]
    assert sorted(shown) == sorted(EMBEDDED), REMEDY


def test_a_table_is_ordered_by_what_sums_a_metric_up() -> None:
    page = (SITE / "index.html").read_text("utf-8")
    assert "first in Grounding F1" in page
    assert "first in Grounding P" not in page.partition('id="suite-')[0], "precision alone favours who says little"


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_run_is_that_of_its_suite_as_it_is_now(name: str) -> None:
    suite = Suite.load(name)
    examples = load_examples(suite)
    digests = Digests(suite, examples)
    wanted = {plan(suite, label, examples, digests=digests).spec.identity(): label for label in labels(suite)}
    [shown] = [each for each in manifest.read(SITE)["suites"] if each["suite"] == name]
    assert {key: run["decoder"] for key, run in shown["runs"].items()} == wanted, REMEDY
    said = {output.partition(":")[0] for run in shown["runs"].values() for output in run["scores"]}
    families = {"cider": "cider", "grounding": "grounding-f1", "clipscore": "clipscore", "repetition": "rep-2"}
    assert {families[each] for each in suite.metrics if each in families} <= said, REMEDY
