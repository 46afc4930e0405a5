"""Metrics with models of their own, in suites, stores and comparisons: found, remembered, missed, and measured together."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.compare.baseline import AcceptedRun
from harness.compare.differences import Difference, measure
from harness.compare.gate import judge, margin_of
from harness.compare.groups import suite_groups
from harness.compare.runs import compare_runs
from harness.compare.scored import ScoredRun
from harness.compare.views import verdict
from harness.datasets.load import Digests, load_examples
from harness.leaderboard import render
from harness.leaderboard.collect import boards
from harness.metrics.evaluate import Evaluator
from harness.metrics.score import Score
from harness.store.runs import Record, Results, RunFolder
from harness.suites.spec import RunSpec, Suite

pytest.importorskip("sklearn", reason="needs scikit-learn, of the metrics extra")
COUNT = 110
WORDS = ("a", "red", "boat", "two", "dogs", "on", "the", "sea", "grass", "man", "street", "table", "cakes", "yellow")
SUITE = """
name = "made"
task = "story"
[data]
dataset = "jsonl"
file = "data.jsonl"
[text]
max_new_tokens = 8
[decoders.greedy]
[metrics.perplexity]
model = "local:judge"
[metrics.mauve]
model = "local:judge"
"""


def said(seed: int, tilt: float = 0.0) -> list[str]:
    generator = np.random.default_rng(seed)
    weights = np.exp(tilt * np.arange(len(WORDS)))
    return [" ".join(generator.choice(WORDS, 6, p=weights / weights.sum())) for _ in range(COUNT)]


@pytest.fixture
def home(tmp_path: Path, gpt2_folder: Path) -> Path:
    shutil.copytree(gpt2_folder, tmp_path / "judge")
    lines = [json.dumps({"id": f"{i:03}", "prompt": "A boat", "references": [text]}) for i, text in enumerate(said(0))]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "made.toml").write_text(SUITE)
    return tmp_path


def store(home: Path, label: str, texts: Sequence[str]) -> RunFolder:
    """A complete run that nobody decoded."""
    suite = Suite.load(str(home / "made.toml"))
    spec = RunSpec(
        suite=suite.name, label=label, task="story", decoder="greedy", decoder_version=1, config={"label": label},
        language_model=None, image_text=None, data_digest="d", captions_digest=None, prompt="{prompt}", max_new_tokens=8,
        max_length=None, seed=0, draws=1, dtype="float32",
    )  # fmt: skip
    records = [Record(f"{i:03}", 0, text, (), "eos") for i, text in enumerate(texts)]
    folder = Results(home / "results").run(spec)
    folder.path.mkdir(parents=True)
    folder.open(spec, len(records), suite.document(), {"python": "3", "platform": "x", "packages": {}})
    with folder.part() as part:
        part.append(records)
    folder.finish([record.key for record in records])
    return folder


def evaluator(home: Path) -> Evaluator:
    suite = Suite.load(str(home / "made.toml"))
    examples = load_examples(suite)
    return Evaluator(suite, examples, Digests(suite, examples), "cpu")


def by_output(scores: Sequence[Score]) -> dict[str, Score]:
    return {score.output: score for score in scores}


def test_a_model_of_its_own_is_found_beside_the_suite_and_kept_by_content(home: Path) -> None:
    folder = store(home, "one", said(1))
    first = by_output(evaluator(home).score(folder))
    assert first["perplexity"].value > 1
    assert first["perplexity"].low < first["perplexity"].value < first["perplexity"].high
    keys = {label: entry["key"] for label, entry in (folder.scores() or {})["metrics"].items()}
    shutil.move(home / "judge", home / "elsewhere")
    (home / "made.toml").write_text(SUITE.replace("local:judge", "local:elsewhere"))
    evaluator(home).score(folder)
    moved = {label: entry["key"] for label, entry in (folder.scores() or {})["metrics"].items()}
    assert moved.keys() == keys.keys()
    config = json.loads((home / "elsewhere/config.json").read_text())
    (home / "elsewhere/config.json").write_text(json.dumps({**config, "note": "another model"}))
    evaluator(home).score(folder)
    changed = {label: entry["key"] for label, entry in (folder.scores() or {})["metrics"].items()}
    assert all(changed[label] != moved[label] for label in moved)


def test_a_model_that_is_missing_takes_its_metric_away_and_no_other(home: Path) -> None:
    (home / "made.toml").write_text(SUITE + '[metrics.surprise]\nmetric = "perplexity"\nmodel = "local:nowhere"\n')
    folder = store(home, "one", said(1))
    assert len(evaluator(home).score(folder)) == 4
    scores = (folder.scores() or {})["metrics"]
    [lost] = scores["surprise"]["scores"]
    assert "nowhere" in lost["unavailable"]
    assert lost["value"] is None
    assert lost["unscored"] == COUNT
    assert scores["perplexity"]["scores"][0]["value"] > 1
    shutil.copytree(home / "judge", home / "nowhere")
    evaluator(home).score(folder)
    found = (folder.scores() or {})["metrics"]["surprise"]["scores"][0]
    assert found["unavailable"] == ""
    assert found["value"] == pytest.approx(scores["perplexity"]["scores"][0]["value"])


@pytest.fixture
def pair(home: Path) -> tuple[ScoredRun, ScoredRun]:
    folders = [store(home, "one", said(1)), store(home, "two", said(2, 1.0))]
    scorer = evaluator(home)
    for folder in folders:
        scorer.score(folder)
    first, second = map(ScoredRun.load, folders)
    return first, second


def outputs(differences: Sequence[Difference]) -> dict[str, Difference]:
    return {each.output: each for each in differences}


def test_two_runs_are_compared_on_one_codebook(pair: tuple[ScoredRun, ScoredRun]) -> None:
    first, second = pair
    comparison = compare_runs(first, second, permutations=99)
    mauve = outputs(comparison.differences)["mauve"]
    assert "codebook:joint" in mauve.signature
    assert mauve.p == 0.01
    assert mauve.difference < 0
    assert mauve.first - mauve.second == pytest.approx(-mauve.difference)
    assert verdict(mauve) == "worse"
    assert math.isnan(mauve.low)
    assert math.isnan(mauve.high)
    assert "codebook" in mauve.reason
    alone = {score.output: score.value for score in first.metrics["mauve"].scores}
    assert mauve.first != alone["mauve"], "the codebook was fitted to both"
    assert outputs(comparison.differences)["perplexity"].low < outputs(comparison.differences)["perplexity"].high
    back = outputs(compare_runs(second, first, permutations=99).differences)["mauve"]
    assert back.difference == pytest.approx(-mauve.difference)
    assert compare_runs(first, second, by="mauve", permutations=9).moved == ()
    same = outputs(compare_runs(first, first, permutations=99).differences)["mauve"]
    assert (same.difference, same.p) == (0.0, 1.0)


def test_rows_of_different_codebooks_are_never_subtracted(pair: tuple[ScoredRun, ScoredRun]) -> None:
    first, second = pair
    found = outputs(measure(first, second, permutations=9))
    assert not found["mauve"].compared
    assert "measured together" in found["mauve"].reason
    assert found["perplexity"].compared
    other = replace(second.metrics["mauve"], scores=tuple(
        replace(score, signature=score.signature.replace("max:64", "max:9")) for score in second.metrics["mauve"].scores
    ))  # fmt: skip
    assert (
        "max"
        in outputs(compare_runs(first, replace(second, metrics={**second.metrics, "mauve": other}), permutations=9).differences)[
            "mauve"
        ].reason
    )
    assert set(suite_groups({"one": first, "two": second}, draws=99)) == {"perplexity"}


def test_a_baseline_keeps_no_texts_and_its_gate_leaves_mauve_out(pair: tuple[ScoredRun, ScoredRun]) -> None:
    first, second = pair
    found = outputs(measure(AcceptedRun.of(first).scored(), second, permutations=0))
    mauve = found["mauve"]
    assert "baseline" in mauve.reason
    assert judge(mauve, margin_of(mauve, {})).outcome == "not gated"
    assert judge(mauve, 0.01).outcome == "undecided"


def test_a_run_whose_data_or_model_is_gone_still_compares_by_the_rest(pair: tuple[ScoredRun, ScoredRun], home: Path) -> None:
    (home / "judge/config.json").unlink()
    found = outputs(compare_runs(*pair, permutations=9).differences)
    assert found["perplexity"].compared
    assert "judge" in found["mauve"].reason
    (home / "data.jsonl").write_text('{"id": "000", "prompt": "a", "references": ["b"]}')
    found = outputs(compare_runs(*pair, permutations=9).differences)
    assert "no longer has example" in found["mauve"].reason
    (home / "data.jsonl").unlink()
    assert "data.jsonl" in outputs(compare_runs(*pair, permutations=9).differences)["mauve"].reason


def test_the_leaderboard_marks_few_texts_and_says_why_there_is_no_interval(pair: tuple[ScoredRun, ScoredRun], home: Path) -> None:
    found = boards(Results(home / "results"))
    text = render(found, "md")
    values = {score.output: score for score in pair[0].metrics["mauve"].scores}
    assert re.search(rf"{values['mauve'].value:.2f}(\*\*)?†", text)
    assert f"† MAUVE of {COUNT} texts is higher" in text
    assert "No interval for MAUVE: the codebook" in text
    page = render(found, "html")
    assert f"{values['mauve'].value:.2f}†" in page
    assert f"MAUVE of {COUNT} texts is higher" in page
    rows = json.loads(render(found, "json"))["rows"]
    assert all("caution" in row["metrics"]["mauve"] and "caution" not in row["metrics"]["perplexity"] for row in rows)
