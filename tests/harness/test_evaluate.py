"""Metrics of a suite by their labels: one metric twice on a board, and two that would hide each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.compare.runs import compare_runs
from harness.compare.scored import ScoredRun
from harness.decode.imported.keep import score_imported, store_outputs
from harness.decode.imported.read import Outputs
from harness.errors import SuiteError
from harness.leaderboard import render
from harness.leaderboard.collect import boards
from harness.metrics import registry
from harness.metrics.evaluate import due_metrics
from harness.store.runs import Results
from harness.suites.examples import Example, Sample
from harness.suites.spec import MetricRef, Suite
from tests.harness.scored_runs import METRIC, SUITE
from tests.plugins import install

TEXTS = ("a b c d e a b c d f", "one two three four one two three four five", "a a a a a a a")


def test_a_metric_under_two_labels_has_two_columns(tmp_path: Path) -> None:
    store = Results(tmp_path)
    systems = [
        Outputs(name, "CSV", [Sample(Example(f"e{i}", references=("x",)), 0, text[cut:]) for i, text in enumerate(TEXTS)])
        for name, cut in (("whole", 0), ("later", 2))
    ]
    metrics = {"repetition": MetricRef(), "published": MetricRef.model_validate({"metric": "repetition", "impl": "simctg"})}
    imported = store_outputs(systems, store, metrics)
    scores = {each.output: each for each in score_imported(imported)["whole"]}
    assert len(scores) == 8
    assert "impl:exact" in scores["rep-2"].signature
    assert "impl:simctg" in scores["rep-2:published"].signature
    assert scores["rep-2"].value != scores["rep-2:published"].value
    [board] = boards(store)
    labels = {column.name: column.label for column in board.columns}
    assert (labels["diversity"], labels["diversity:published"]) == ("Diversity", "Diversity (published)")
    whole = next(row for row in board.rows if row.decoder == "whole")
    assert whole.cells["rep-2:published"].value == scores["rep-2:published"].value
    assert whole.cells["rep-2:published"].letters
    assert "Diversity (published)" in render([board], "html")
    found = compare_runs(*(ScoredRun.load(each.folder) for each in imported), by="rep-3:published", permutations=20)
    assert [each.output for each in found.differences if each.compared] == list(scores)
    assert [each.field for each in found.changes] == ["label"], "what differs are the texts, not a setting"


def test_two_metrics_that_report_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"quality": "clashing_quality:Quality", "merit": "clashing_quality:Quality"}
    monkeypatch.syspath_prepend(install(tmp_path, "clashing", "clashing_quality", METRIC, {"seetell.metrics": entries}))
    suite = (SUITE % (b"made", b"plain")).decode()
    assert len(due_metrics(Suite.parse(suite.encode(), "suite", tmp_path))) == 1
    both = suite + "[metrics.merit]\n"
    with pytest.raises(SuiteError, match=r"\[metrics.quality\] and \[metrics.merit\] both report 'quality'.*metric = \"merit\""):
        due_metrics(Suite.parse(both.encode(), "suite", tmp_path))
    apart = suite + '[metrics.other]\nmetric = "merit"\n'
    assert [due.output("quality") for due in due_metrics(Suite.parse(apart.encode(), "suite", tmp_path))] == [
        "quality",
        "quality:other",
    ]


@pytest.mark.parametrize("name", [name for name in registry().entries if name not in ("mauve", "chair")])
def test_the_numbers_of_a_row_have_names(name: str) -> None:
    """Each name once; a metric whose rows are neither its outputs and a count nor named itself would get numbers."""
    plugin = registry().load(name)
    metric = plugin(plugin.Config(), Models())
    names = metric.row_names or (*(output.name for output in metric.outputs), "texts")
    assert len(set(names)) == len(names)
    zero = metric.finalise(np.ones(len(names)))  # as many numbers as the finaliser takes
    assert zero.shape == (len(metric.outputs),)
    assert metric.columns_of(len(names)) == list(names)
    assert metric.columns_of(len(names) + 1)[0] == "number-1"
