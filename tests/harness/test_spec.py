"""Suites say clearly what is wrong with them, and a run's identity moves with what moves the text and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suites.spec import ModelPin, RunSpec, Suite, packaged_suites

MINIMAL = """
name = "mine"
[data]
dataset = "jsonl"
file = "a.jsonl"
[text]
max_new_tokens = 8
[decoders.greedy]
"""


def parse(text: str) -> Suite:
    return Suite.parse(text.encode(), "mine.toml", Path())


def spec(**changes: object) -> RunSpec:
    values: dict[str, object] = {
        "suite": "s", "label": "magic", "task": "caption", "decoder": "magic", "decoder_version": 1, "config": {"k": 45},
        "language_model": ModelPin(name="local:a", digest="l"), "image_text": ModelPin(name="local-dir:b", digest="c"),
        "data_digest": "d", "captions_digest": None, "prompt": "{prompt}", "max_new_tokens": 8, "max_length": None,
        "seed": 0, "draws": 1, "dtype": "float32",
    }  # fmt: skip
    return RunSpec.model_validate(values | changes)


@pytest.mark.parametrize("name", packaged_suites())
def test_every_packaged_suite_is_valid(name: str) -> None:
    suite = Suite.load(name)
    assert suite.name == name
    assert suite.title


def test_keys_of_plugins_stay_apart_from_the_suites_own() -> None:
    suite = parse(MINIMAL + '[decoders.mild]\ndecoder = "magic"\ndraws = 2\nbeta = 0.5\n')
    assert suite.data.dataset == "jsonl"
    assert suite.data.options == {"file": "a.jsonl"}
    assert (suite.decoders["mild"].decoder, suite.decoders["mild"].draws, suite.decoders["mild"].options) == (
        "magic",
        2,
        {"beta": 0.5},
    )
    assert Suite.model_validate(suite.document()) == suite


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL.replace("max_new_tokens", "max_new_token"), r"unknown key 'text.max_new_token' \(did you mean 'max_new_tokens'"),
        ('tsk = "story"\n' + MINIMAL, r"unknown key 'tsk' \(did you mean 'task'"),
        (MINIMAL.replace('name = "mine"\n', ""), "'name' is missing"),
        (MINIMAL.replace('"mine"', '"../up"'), r"name = '\.\./up'"),
        (MINIMAL.replace('"mine"', '"a/b"'), "name = 'a/b'"),
        (MINIMAL.replace("max_new_tokens = 8", "max_new_tokens = 0"), "text.max_new_tokens = 0"),
        (MINIMAL.replace("max_new_tokens = 8", ""), "max_new_tokens or max_length"),
        (MINIMAL.replace("[decoders.greedy]", "[decoders]"), "names no decoder"),
        (MINIMAL + "[run]\ndtype = 'float8'\n", "run.dtype = 'float8'"),
        (MINIMAL + "[run]\ndraws = 0\n", "run.draws = 0"),
        (MINIMAL + "[sweep]\ngird = 1\n", r"unknown key 'sweep.gird' \(did you mean 'grid'"),
        ("name = ", "not TOML"),
    ],
)
def test_a_faulty_suite_is_told_where_and_why(text: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        parse(text)
    assert "mine.toml" in str(caught.value)


def test_a_suite_that_is_not_utf8_is_told_so() -> None:
    with pytest.raises(SuiteError, match="not TOML.*utf-8"):
        Suite.parse("name = 'é'".encode("latin-1"), "mine.toml", Path())


def test_an_unknown_suite_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="toybox-plain"):
        Suite.load("toybox-plane")
    with pytest.raises(SuiteError, match=r"nowhere\.toml"):
        Suite.load(str(tmp_path / "nowhere.toml"))


@pytest.mark.parametrize(
    "change",
    [
        {"decoder": "contrastive"}, {"decoder_version": 2}, {"config": {"k": 44}},
        {"language_model": ModelPin(name="local:a", digest="x")},
        {"image_text": None}, {"data_digest": "x"}, {"captions_digest": "x"}, {"prompt": "a {prompt}"}, {"max_new_tokens": 9},
        {"max_length": 9}, {"seed": 1}, {"draws": 2}, {"dtype": "bfloat16"},
    ],
)  # fmt: skip
def test_the_identity_moves_with_what_moves_the_text(change: dict[str, object]) -> None:
    assert spec(**change).identity() != spec().identity()


@pytest.mark.parametrize(
    "change", [{"suite": "other"}, {"label": "other"}, {"language_model": ModelPin(name="local:elsewhere", digest="l")}]
)
def test_the_identity_stays_when_only_a_name_changes(change: dict[str, object]) -> None:
    assert spec(**change).identity() == spec().identity()
