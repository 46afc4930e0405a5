"""Texts, machines and Java at their worst: nothing hangs, no metric takes another down, no example moves another's score."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from decoders.models.loaded import Models
from harness.metrics import coco
from harness.metrics.base import Metric
from harness.metrics.coco import Bleu, Cider, CocoConfig, RougeL, java, meteor, ptb
from harness.metrics.coco.java import find_jar, java_path
from harness.metrics.coco.meteor import Meteor
from harness.metrics.repetition import Repetition, RepetitionConfig
from harness.metrics.score import ScoreSheet, score_samples
from harness.suites.examples import Example, Sample

GOOD = [
    Sample(Example("a", references=("a red ball on the grass", "one ball lies there")), text="a red ball on grass"),
    Sample(Example("b", references=("two dogs run in a park", "dogs are running")), text="big dogs run quickly"),
    Sample(Example("c", references=("a man sits near a wall",)), text="the man is sitting by a wall"),
]
ODD = Example("odd", references=("one two three", "two three four"))

TEXTS = {
    "empty": "",
    "white space": " \t ",
    "punctuation only": "... !? --",
    "separator": "one ||| two",
    "separator alone": "|||",
    "tab": "one\ttwo",
    "LF": "one\ntwo",
    "CR": "one\rtwo",
    "CR LF": "one\r\ntwo",
    "VT": "one\vtwo",
    "FF": "one\ftwo",
    "NEL": "one\u0085two",
    "U+2028": "one\u2028two",
    "U+2029": "one\u2029two",
    "file separator": "one\x1ctwo",
    "NBSP": "one\u00a0two",
    "NUL": "one\0two",
    "emoji": "one 🐕 two 👩‍👩‍👧",
    "right to left": "one כלב two كلب",
    "combining": "one te\u0301 two",
    "lone surrogate": "one \ud83d two",
    "10,000 words": "one two " * 5000,
    "SCORE command": "SCORE ||| one ||| two",
    "EVAL command": "EVAL ||| 1 2 3",
}
UNSCORED = {"bleu": {"lone surrogate"}, "rouge-l": {"lone surrogate"}, "cider": {"lone surrogate"}}
UNSCORED["meteor"] = {"lone surrogate", "10,000 words"}


def metrics(tokenizer: str = "ptb") -> dict[str, Metric]:
    plugins = {"bleu": Bleu, "meteor": Meteor, "rouge-l": RougeL, "cider": Cider}
    made: dict[str, Metric] = {
        name: plugin(CocoConfig.model_validate({"tokenizer": tokenizer}), Models()) for name, plugin in plugins.items()
    }
    return made | {"repetition": Repetition(RepetitionConfig(), Models())}


def run_of(text: str) -> list[Sample]:
    return [*GOOD, Sample(ODD, text=text)]


def forget() -> None:
    """What METEOR has said, and what hung."""
    meteor._ALIGNED.clear()
    java._HUNG.clear()


def forget_tokens() -> None:
    """Also what was tokenised, for tests of Java as the tokenizer meets it."""
    forget()
    coco._REFERENCES.clear()
    ptb._memory.cache_clear()


def few_paraphrases(folder: Path) -> Path:
    """A table of paraphrases in the place of METEOR's, which takes seconds to read."""
    table = folder / "paraphrases.gz"
    table.write_bytes(gzip.compress(b"0.5\nnear\nby\n0.5\nrun\nrun quickly\n"))
    return table


def use(table: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(meteor, "find_jar", lambda inside: table if inside == meteor._PARAPHRASES else find_jar(inside))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, with the table in it."""
    folder = tmp_path_factory.mktemp("cache")
    few_paraphrases(folder)
    return folder


@pytest.fixture(autouse=True)
def _fresh(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SEETELL_CACHE", str(cache))
    use(cache / "paraphrases.gz", monkeypatch)
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def plain(cache: Path) -> dict[str, NDArray[np.float64]]:
    """Rows of a run with nothing odd in it, on this machine as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEETELL_CACHE", str(cache))
        use(cache / "paraphrases.gz", patch)
        forget()
        return {name: metric.rows(run_of("one two")) for name, metric in metrics().items()}


def reasons(sheet: ScoreSheet) -> dict[str, str]:
    return {score.output: score.unavailable for score in sheet.scores if score.unavailable}


# Texts


@pytest.mark.java
def test_no_text_moves_another_examples_score_or_stops_a_metric(plain: dict[str, NDArray[np.float64]]) -> None:
    runs = {name: run_of(text) for name, text in TEXTS.items()}
    same = {"tab", "LF", "CR", "CR LF", "VT", "FF", "NEL", "U+2028", "U+2029", "file separator", "NUL"}
    for name, metric in metrics().items():
        metric.expect(list(runs.values()))  # Java starts once for all of them
        for case, samples in runs.items():
            rows = metric.rows(samples)
            np.testing.assert_array_equal(rows[:-1], plain[name][:-1], err_msg=f"{name}, {case}")
            assert np.isnan(rows[-1]).any() == (case in UNSCORED.get(name, set())), (name, case)
            if case in same and name != "repetition":
                np.testing.assert_array_equal(rows[-1], plain[name][-1], err_msg=f"{name}, {case}")
            values = metric.finalise(np.nansum(rows, axis=0))
            assert np.isfinite(values).all(), (name, case)


@pytest.mark.parametrize("case", [case for case in TEXTS if case != "10,000 words"])
def test_without_java_texts_do_not_move_each_other_either(case: str) -> None:
    every = metrics("python")
    del every["meteor"]
    for name, metric in every.items():
        rows, expected = metric.rows(run_of(TEXTS[case])), metric.rows(run_of("one two"))
        np.testing.assert_array_equal(rows[:-1], expected[:-1], err_msg=name)
        assert np.isnan(rows[-1]).any() == (case in UNSCORED.get(name, set()))


@pytest.mark.java
@pytest.mark.parametrize("reference", ["one ||| two", "one\ntwo", "one\u2028two", "...", "one two " * 5000])
def test_odd_references_move_no_other_example(reference: str, plain: dict[str, NDArray[np.float64]]) -> None:
    samples = [*GOOD, Sample(replace(ODD, references=("one two", reference)), text="one two")]
    every = metrics()
    del every["cider"]  # whose weights come from all references
    for name, metric in every.items():
        if name != "meteor" or reference == "one ||| two":
            np.testing.assert_array_equal(metric.rows(samples)[:-1], plain[name][:-1], err_msg=name)


def test_references_that_are_blank_are_none() -> None:
    samples = [*GOOD, Sample(replace(ODD, references=("", " \n")), text="one two")]
    rows = Bleu(CocoConfig(tokenizer="python"), Models()).rows(samples)
    assert np.isnan(rows[-1]).all()
    assert not np.isnan(rows[:-1]).any()


def test_one_example_alone_has_no_cider_and_is_told_why() -> None:
    every = metrics("python")
    del every["meteor"]
    sheet = score_samples(GOOD[:1], every)
    assert "two images" in reasons(sheet)["cider"]
    assert not {"bleu-4", "rouge-l"} & reasons(sheet).keys()


# Java

REAL = java_path()


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, release: str = "") -> None:
    """A JAVA_HOME whose `java` runs a script; $REAL is the machine's own."""
    program = folder / "java home" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nREAL='{REAL}'\n{script}\n")
    program.chmod(0o755)
    if release:
        (program.parents[1] / "release").write_text(f'JAVA_VERSION="{release}"\n')
    monkeypatch.setenv("JAVA_HOME", str(program.parents[1]))


METEOR_ONLY = 'case "$*" in *" Meteor "*) {fault};; *) exec "$REAL" "$@";; esac'
FAULTS = {
    "killed at once": (METEOR_ONLY.format(fault="kill -9 $$"), "killed by signal 9"),
    "killed half-way": (METEOR_ONLY.format(fault='"$REAL" "$@" | head -n 2; kill -9 $$'), "killed by signal 9"),
    "cut short": (METEOR_ONLY.format(fault='"$REAL" "$@" | head -n 2'), "answered 2 lines"),
    "ends with 1": (METEOR_ONLY.format(fault="echo no room >&2; exit 1"), "no room"),
    "answers nonsense": (METEOR_ONLY.format(fault="cat >/dev/null; yes error | head -n 4"), "expected 23 numbers"),
    "stopped": (METEOR_ONLY.format(fault="kill -STOP $$"), "did not answer within 5 s"),
}


@pytest.mark.java
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_meteor_says_so_and_the_others_go_on(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: dict[str, NDArray[np.float64]]
) -> None:
    script, message = FAULTS[fault]
    every = metrics()
    for name in ("bleu", "rouge-l", "cider"):
        every[name].rows(run_of("one two"))  # tokenised with the machine's own Java
    stand_in(tmp_path, script, monkeypatch)
    if fault == "stopped":
        monkeypatch.setenv("SEETELL_JAVA_SECONDS", "5")
    sheet = score_samples(run_of("one two"), every)
    assert list(reasons(sheet)) == ["meteor"]
    assert message in reasons(sheet)["meteor"]
    for name in ("bleu", "rouge-l", "cider", "repetition"):
        np.testing.assert_array_equal(sheet.rows[name], plain[name])


TOKENIZER_FAULTS = {
    "killed": ("kill -9 $$", "killed by signal 9"),
    "killed half-way": ('"$REAL" "$@" | head -n 2; kill -9 $$', "killed by signal 9"),
    "cut short": ('"$REAL" "$@" | head -n 2', "one line a text"),
    "bad options": ("echo Unrecognized option: -Xfoo >&2; exit 1", "Unrecognized option"),
    "too old for the jar": ("echo java.lang.UnsupportedClassVersionError >&2; exit 1", "too old"),
    "silent": ("cat > /dev/null", "answered 0 lines"),
}


@pytest.mark.java
@pytest.mark.parametrize("fault", TOKENIZER_FAULTS)
def test_a_broken_java_gives_no_score_and_takes_nothing_down(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_tokens()
    script, message = TOKENIZER_FAULTS[fault]
    stand_in(tmp_path, script, monkeypatch)
    sheet = score_samples(run_of("one two"), metrics())
    found = reasons(sheet)
    assert set(found) == {"bleu-1", "bleu-2", "bleu-3", "bleu-4", "meteor", "rouge-l", "cider"}
    assert all(message in reason for reason in found.values()), found
    assert "repetition" in sheet.rows


@pytest.mark.java
def test_a_hanging_java_is_waited_for_once_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_tokens()
    pid = tmp_path / "pid"
    stand_in(tmp_path, f"echo $$ >> '{pid}'; kill -STOP $$", monkeypatch)
    monkeypatch.setenv("SEETELL_JAVA_SECONDS", "5")
    sheet = score_samples(run_of("one two"), metrics())
    assert all("SEETELL_JAVA_SECONDS=50" in reason for reason in reasons(sheet).values())
    assert "repetition" in sheet.rows
    [started] = pid.read_text().split()
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(started), 0)
        pytest.fail("the process that hung is still there")


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(seconds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "exit 0", monkeypatch)
    monkeypatch.setenv("SEETELL_JAVA_SECONDS", seconds)
    with pytest.raises(java.JavaError, match="number of seconds"):
        java.run_java(Path("x.jar"), "Main", [], "", timeout=5)


@pytest.mark.parametrize(("release", "old"), [("1.7.0_80", True), ("1.8.0_392", False), ("17.0.15", False), ("7", True)])
def test_an_old_java_is_told_before_it_starts(release: str, old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "echo fine", monkeypatch, release)
    if old:
        with pytest.raises(java.MetricUnavailable, match="is Java 7, and 8 or newer is needed; install one"):
            java.run_java(Path("x.jar"), "Main", [], "", timeout=300)
    else:
        assert java.run_java(Path("x.jar"), "Main", [], "", timeout=300) == "fine\n"


def test_without_java_the_reason_and_the_remedy_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_tokens()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = reasons(score_samples(run_of("one two"), metrics()))
    assert set(found) == {"bleu-1", "bleu-2", "bleu-3", "bleu-4", "meteor", "rouge-l", "cider"}
    assert all("JAVA_HOME" in reason for reason in found.values())
    auto = score_samples(run_of("one two"), metrics("auto"))
    assert list(reasons(auto)) == ["meteor"]


# Places


def installed_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that pycocoevalcap is installed there, read-only."""
    for file in ("tokenizer/stanford-corenlp-3.4.1.jar", "meteor/meteor-1.5.jar"):
        source, target = find_jar(file), folder / file
        assert source is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    (folder / "meteor" / "data").mkdir()
    few_paraphrases(folder).rename(folder / meteor._PARAPHRASES)
    monkeypatch.setattr(meteor, "find_jar", find_jar)
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(0o555)
    real = util.find_spec
    there = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: there if name == "pycocoevalcap" else real(name, *rest))


LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX, nothing set": {"LC_ALL": "", "LANG": ""},
    "French": {"LC_ALL": "fr_FR.UTF-8", "JAVA_TOOL_OPTIONS": "-Duser.language=fr -Duser.country=FR"},
}


@pytest.mark.java
@pytest.mark.parametrize("locale", LOCALES)
def test_install_paths_and_locales_do_not_matter(
    locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: dict[str, NDArray[np.float64]]
) -> None:
    forget_tokens()
    folder = tmp_path / "mes données 100%" / "pycocoevalcap"
    installed_in(folder, monkeypatch)
    before = sorted(folder.rglob("*"))
    for name, value in LOCALES[locale].items():
        monkeypatch.setenv(name, value)
    for name in ("bleu", "meteor"):
        np.testing.assert_array_equal(metrics()[name].rows(run_of("one two")), plain[name], err_msg=name)
    assert sorted(folder.rglob("*")) == before
    jar = find_jar("meteor/meteor-1.5.jar")
    assert jar is not None
    assert jar.is_relative_to(folder)


@pytest.mark.java
def test_two_jobs_at_once_do_not_mix(plain: dict[str, NDArray[np.float64]]) -> None:
    turned = [replace(sample, text=GOOD[i - 1].text) for i, sample in enumerate(GOOD)] + [Sample(ODD, text="one two")]
    alone = metrics()["meteor"].rows(turned)
    assert not np.array_equal(alone, plain["meteor"])
    forget()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(metrics()["meteor"].rows, run_of("one two"))
        second = pool.submit(metrics()["meteor"].rows, turned)
        np.testing.assert_array_equal(first.result(), plain["meteor"])
        np.testing.assert_array_equal(second.result(), alone)
