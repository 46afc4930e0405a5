"""`seetell score FILE...` on the published outputs, with the values that others got from them, and its options."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.bench.metrics import FIRST, NEW, SEEN
from harness.metrics.coco.java import java_path
from tests.harness.in_process import seetell_here
from tests.harness.test_cli import seetell
from tests.harness.test_outputs import CAPTIONS, STORIES, write

KEYS = {"BLEU": {f"bleu-{n}": f"Bleu_{n}" for n in range(1, 5)}, "rest": {"rouge-l": "ROUGE_L", "cider": "CIDEr"}}
FIGURES = {"value", "low", "high", "n", "signature"}


def scores_of(*arguments: str | Path, cwd: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    return told(seetell_here("score", *map(str, arguments), "--json", cwd=cwd, SEETELL_CACHE=str(cwd / "cache")), code)


def told(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, dict[str, Any]]:
    assert done.returncode == code, done.stderr
    scores: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return scores


def scores_and_starts(files: Sequence[Path], metrics: str, folder: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """What a process of its own says of files, for only a new one has nothing in memory; and how often it started Java."""
    home, notes = counting_java(folder)
    asked = ("score", *map(str, files), "--metrics", metrics, "--json")
    scores = told(seetell(*asked, cwd=folder, SEETELL_CACHE=str(folder / "cache"), JAVA_HOME=str(home)))
    return scores, len(notes.read_text().splitlines())


def counting_java(folder: Path) -> tuple[Path, Path]:
    """A JAVA_HOME whose java notes every start, and the notes."""
    java, notes = folder / "counting" / "bin" / "java", folder / "starts"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho \"$*\" >> '{notes}'\nexec '{java_path()}' \"$@\"\n")
    java.chmod(0o755)
    return java.parents[1], notes


@pytest.mark.java
def test_all_published_captions_in_one_command(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap", reason="the tokenizer's jar comes with pycocoevalcap, which is not installed")
    files = sorted((shared / "published" / "flickr30k").glob("*.json.gz"))
    golden = json.loads((shared / "published" / "golden.json").read_bytes())["flickr30k"]
    scores, starts = scores_and_starts(files, "bleu,rouge-l,cider", tmp_path)
    assert set(scores) == set(golden)
    for system, expected in golden.items():
        for ours, theirs in (KEYS["BLEU"] | KEYS["rest"]).items():
            found = scores[system][ours]
            assert set(found) == FIGURES
            assert found["value"] == pytest.approx(expected["scores"][theirs], abs=1e-6)
            assert found["low"] <= found["value"] <= found["high"]
            assert found["n"] == 1000
    assert starts == 1  # the tokenizer, once for the references and all texts


@pytest.mark.java
def test_meteor_of_published_captions_with_one_start(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap", reason="METEOR's jar comes with pycocoevalcap, which is not installed")
    _check_meteor(shared, tmp_path, ("magic",))


@pytest.mark.java
@pytest.mark.heavy
def test_meteor_of_all_published_captions(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "published" / "flickr30k").glob("*.json.gz"))
    _check_meteor(shared, tmp_path, tuple(file.name.removesuffix(".json.gz") for file in files))


def _check_meteor(shared: Path, folder: Path, systems: tuple[str, ...]) -> None:
    files = [shared / "published" / "flickr30k" / f"{system}.json.gz" for system in systems]
    golden = json.loads((shared / "published" / "golden.json").read_bytes())["flickr30k"]
    scores, starts = scores_and_starts(files, "meteor", folder)
    for system in systems:
        assert scores[system]["meteor"]["value"] == pytest.approx(golden[system]["scores"]["METEOR"], abs=1e-6)
    assert starts == 2  # the tokenizer and METEOR


def test_published_stories_as_their_authors_counted(shared: Path, tmp_path: Path) -> None:
    """Table values of the papers; the human stories come out of the file as one more system, without references."""
    folder = shared / "published" / "rocstories"
    content = json.loads(gzip.decompress((folder / "contrastive.json.gz").read_bytes()))["evaluation_result"]
    lines = [json.dumps({"id": i, "text": each["reference_continuation_text"]}) for i, each in enumerate(content)]
    human = write(tmp_path, "human.jsonl", "\n".join(lines))
    files = (folder / "magic.json.gz", folder / "contrastive.json.gz", human)
    as_theirs = ("--metrics", "repetition", "--set", "repetition.impl=simctg")
    scores = scores_of(*files, *as_theirs, cwd=tmp_path)
    expected = {"magic": (2.60, 0.40, 0.10), "contrastive": (2.49, 0.38, 0.09), "human": (2.21, 0.37, 0.09)}
    for system, values in expected.items():
        found = [round(100 * scores[system][f"rep-{n}"]["value"], 2) for n in (2, 3, 4)]
        assert found == list(values)
        assert "impl:simctg" in scores[system]["rep-2"]["signature"]
    exact = scores_of(human, "--metrics", "repetition", cwd=tmp_path)
    assert round(100 * exact["human"]["rep-2"]["value"], 2) == 2.28
    assert "impl:exact" in exact["human"]["rep-2"]["signature"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("repetition.impl", "expected METRIC.OPTION=VALUE"),
        ("impl=simctg", "expected METRIC.OPTION=VALUE"),
        ("repetition.metric=length", "expected METRIC.OPTION=VALUE"),
        ("repetiton.impl=simctg", "did you mean 'repetition'"),
        ("cider.tokenizer=python", "is not among the metrics"),
        ("repetition.impl=mine", "simctg"),
        ("repetition.imp=simctg", "imp"),
    ],
)
def test_a_setting_that_cannot_be_is_told(tmp_path: Path, setting: str, message: str) -> None:
    write(tmp_path, "a.json", json.dumps(STORIES))
    done = seetell_here("score", "a.json", "--set", setting, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toybox-plain", "--set", "cider.tokenizer=python"), "--set cider.tokenizer=python: metrics are no part of a run"),
        (("toybox-plain", "--metrics", "cider"), "--metrics is for files of outputs; a suite has its metrics in"),
        (("toybox-plain", "--common"), "--common is for files of outputs; a suite has its examples"),
        (("toybox-plain", "--references", "a.json"), "--references is for files of outputs"),
        (("toybox-plain", "--images", "a.zip"), "--images is for files of outputs"),
        (("toybox-plain", "--image-text", "toybox:clip"), "--image-text is for files of outputs; a suite has its models"),
        (("a.json", "--only", "a"), "--only is for suites; of files, name those"),
        (("a.md",), "a.md is neither JSON, JSON Lines nor CSV"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_for_files_is_not_for_suites(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write(tmp_path, "a.json", json.dumps(CAPTIONS))
    write(tmp_path, "a.md", "hello")
    done = seetell_here("score", *arguments, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "results").exists()


def test_scores_of_before_stay_when_other_metrics_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps([{**each, "prediction": "a ball on a ball on a ball"} for each in CAPTIONS]))

    def stored() -> dict[str, Any]:
        [file] = tmp_path.rglob("scores.json")
        rows = {each.stem for each in file.parent.glob("rows/*.parquet")}
        found: dict[str, Any] = json.loads(file.read_text())["metrics"]
        assert rows == {entry["rows"] for entry in found.values()}
        [run] = tmp_path.rglob("run.json")
        assert list(json.loads(run.read_text())["suite"]["metrics"]) == list(found)
        return found

    scores_of("a.json", "--metrics", "repetition,length", cwd=tmp_path)
    before = stored()
    said = scores_of("a.json", "--metrics", "distinct", cwd=tmp_path)
    assert set(said["a"]) == {"distinct-1", "distinct-2"}, "told is what was asked for"
    after = stored()
    assert list(after) == ["repetition", "length", "distinct"]
    assert {label: after[label] for label in before} == before
    scores_of("a.json", "--metrics", "repetition", "--set", "repetition.impl=simctg", "--fresh", cwd=tmp_path)
    changed = stored()
    assert list(changed) == ["repetition", "length", "distinct"]
    assert "impl:simctg" in changed["repetition"]["scores"][0]["signature"]
    assert changed["length"] == before["length"]

    # What no longer is what it would be now goes.
    [file] = tmp_path.rglob("scores.json")
    changed["length"]["key"] = "of another version"
    file.write_text(json.dumps({**json.loads(file.read_text()), "metrics": changed}))
    scores_of("a.json", "--metrics", "distinct", cwd=tmp_path)
    assert list(json.loads(file.read_text())["metrics"]) == ["repetition", "distinct"]


def test_paths_among_options_start_where_the_command_is_given(tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps([{**each, "image_name": f"COCO_{i}.jpg"} for i, each in enumerate(CAPTIONS)]))
    asked = ("a.json", "--metrics", "chair", "--set", "chair.instances=here/instances.json")
    found = scores_of(*asked, cwd=tmp_path, code=2)["a"]["chair-i"]["unavailable"]
    assert str(tmp_path / "here" / "instances.json") in found
    shown = seetell_here("score", *asked, cwd=tmp_path)  # a dash in the table has its reason beside it, once
    assert (shown.returncode, shown.stderr.count(f"chair-i, chair-s unavailable: {found}")) == (2, 1)
    asked = ("a.json", "--metrics", "perplexity", "--set", "perplexity.model=local:here/gpt2")
    assert f"{tmp_path / 'here' / 'gpt2'}" in scores_of(*asked, cwd=tmp_path, code=2)["a"]["perplexity"]["unavailable"]


def test_what_is_wrong_is_in_the_json_and_in_the_exit_code(tmp_path: Path) -> None:
    broken = [*CAPTIONS[1:], {**CAPTIONS[0], "prediction": "half \ud83d of one"}]
    write(tmp_path, "broken.json", json.dumps(broken))
    write(tmp_path, "alone.json", json.dumps(CAPTIONS[:1]))
    settings = ("--set", "cider.tokenizer=python", "rouge-l.tokenizer=python")
    done = scores_of("broken.json", "--metrics", "cider,rouge-l,length", *settings, cwd=tmp_path, code=2)
    for found in done["broken"].values():
        assert (found["n"], found["unscored"]) == (3, 1)
        assert "unavailable" not in found
    alone = scores_of("alone.json", "--metrics", "cider,rouge-l", *settings, cwd=tmp_path, code=2)["alone"]
    assert alone["cider"]["value"] is None
    assert "two images" in alone["cider"]["unavailable"]
    assert set(alone["rouge-l"]) == FIGURES


def test_metrics_without_references_need_none_and_others_say_so(tmp_path: Path) -> None:
    write(tmp_path, "bare.jsonl", '{"id": 1, "text": "a b a b"}\n{"id": 2, "text": "c"}\n')
    found = scores_of("bare.jsonl", "--metrics", "length,distinct", cwd=tmp_path)["bare"]
    assert found["length"]["value"] == 2.5
    assert found["distinct-1"]["value"] == 3 / 5
    assert found["distinct-1"]["low"] is None
    done = seetell_here("score", "bare.jsonl", "--metrics", "length,cider", cwd=tmp_path)
    assert done.returncode == 1
    assert "--references" in done.stderr


@pytest.mark.java
@pytest.mark.heavy
def test_bench_metrics_agrees_and_is_cheaper(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap", reason="there is nothing to compare with: pycocoevalcap is not installed")
    file = shared / "published" / "flickr30k" / "magic.json.gz"
    # In a process of its own: the system counts into a child's peak what its parent held when it was started.
    done = seetell("bench", "metrics", str(file), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, new, again = json.loads(done.stdout)["comparisons"]
    assert [each["case"] for each in (first, new, again)] == [f"1 system, {state}" for state in (FIRST, NEW, SEEN)]
    assert first["difference"] == new["difference"] == again["difference"] < 1e-9
    assert again["ours"]["cpu"] < new["ours"]["cpu"] < first["ours"]["cpu"] < first["theirs"]["cpu"]
    assert max(each["ours"]["peak"] for each in (first, new, again)) < 400 < new["theirs"]["peak"]


def test_bench_metrics_of_one_metric_without_java(tmp_path: Path) -> None:
    """Both sides run and are measured; without Java theirs cannot tokenise, and that is said."""
    write(tmp_path, "a.json", json.dumps(CAPTIONS))
    done = seetell_here("bench", "metrics", "a.json", "--metrics", "rouge", cwd=tmp_path)
    assert (done.returncode, "did you mean 'rouge-l'" in done.stderr) == (1, True)
    nowhere = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    done = seetell_here("bench", "metrics", "a.json", "--metrics", "rouge-l", cwd=tmp_path, **nowhere)
    assert done.returncode == 1
    assert "pycocoevalcap could not score these files" in done.stderr


@pytest.mark.java
def test_bench_metrics_measures_a_small_case(tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap", reason="there is nothing to compare with: pycocoevalcap is not installed")
    write(tmp_path, "a.json", json.dumps(CAPTIONS))
    write(tmp_path, "b.json", json.dumps([{**each, "prediction": "one ball"} for each in CAPTIONS]))
    done = seetell_here("bench", "metrics", "a.json", "b.json", "--metrics", "bleu,cider", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)["comparisons"]
    assert [(each["systems"], each["case"].endswith("new")) for each in cases] == [(1, True), (1, False), (2, True), (2, False)]
    for each in cases:
        assert each["difference"] < 1e-9
        assert each["ratio"] == pytest.approx(each["theirs"]["cpu"] / each["ours"]["cpu"])
        assert each["ours"]["cpu"] > 0
        assert each["ours"]["peak"] > 50  # the process and its Java


def test_metrics_of_texts_alone_load_no_model_libraries(tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps(CAPTIONS))
    code = (
        "import sys; from harness.cli import main\n"
        "try: main()\n"
        "finally: print('loaded', sorted({'numpy', 'torch', 'faiss', 'transformers'} & set(sys.modules)))"
    )
    asked = ["score", "a.json", "--metrics", "bleu,rouge-l,distinct"]
    settings = ["--set", "bleu.tokenizer=python", "--set", "rouge-l.tokenizer=python"]
    environment = {**os.environ, "SEETELL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, *asked, *settings],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "bleu-4" in done.stdout, done.stderr
    assert "loaded ['numpy']" in done.stdout
