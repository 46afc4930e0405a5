"""Suites that extend one another, and what `--set` changes."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from harness.datasets.digests import load_dataset
from harness.datasets.load import load_examples
from harness.decode.plan import plan
from harness.errors import SuiteError
from harness.store.toml import to_toml
from harness.suites.settings import as_flags, settings_of
from harness.suites.spec import Suite
from harness.suites.tables import merged

BASE = """
name = "base"
[data]
dataset = "toybox"
domain = "plain"
size = 4
[text]
max_new_tokens = 8
[decoders.magic]
k = 3
beta = 1.5
[decoders.greedy]
[metrics.cider]
tokenizer = "python"
[captions]
dataset = "toybox"
domain = "plain"
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def test_a_suite_says_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path, "base", BASE)
    (tmp_path / "inside").mkdir()
    write(tmp_path / "inside", "middle", 'extends = "../base.toml"\nname = "middle"\n[decoders.magic]\nbeta = 2.0\n')
    child = write(
        tmp_path, "child",
        'extends = "inside/middle.toml"\nname = "child"\ncaptions = false\n'
        '[data]\nsize = 6\n[decoders]\ngreedy = false\n[decoders.top-k]\nk = 7\n',
    )  # fmt: skip
    suite = Suite.load(child)
    assert suite.name == "child"
    assert suite.data.options == {"domain": "plain", "size": 6}
    assert {label: dict(ref.options) for label, ref in suite.decoders.items()} == {
        "magic": {"k": 3, "beta": 2.0}, "top-k": {"k": 7},
    }  # fmt: skip
    assert suite.captions is None
    assert suite.metrics["cider"].options == {"tokenizer": "python"}
    assert suite.folder == tmp_path


def test_a_packaged_suite_can_be_extended(tmp_path: Path) -> None:
    suite = Suite.load(write(tmp_path, "mine", 'extends = "toybox-plain"\nname = "mine"\n[decoders.magic]\nk = 5\n'))
    assert suite.decoders["magic"].options == {"k": 5, "alpha": 0.1, "beta": 1.0}


def test_options_of_another_plugin_are_not_mixed_in() -> None:
    base = {"data": {"dataset": "karpathy", "file": "a", "split": "test"}, "magic": {"k": 3}}
    over = {"data": {"dataset": "jsonl", "file": "b"}, "magic": {"decoder": "greedy"}}
    assert merged(base, over) == over
    assert merged(base, {"magic": {"decoder": "magic", "beta": 1}})["magic"] == {"decoder": "magic", "k": 3, "beta": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": 'extends = "b.toml"', "b": 'extends = "a.toml"'}, "in a circle: .*b.toml -> .*a.toml -> .*b.toml"),
        ({"a": 'extends = "a.toml"'}, "in a circle"),
        ({"a": 'extends = "mscocoo"'}, "there is no suite 'mscocoo' .did you mean 'mscoco'"),
        ({"a": 'extends = "gone.toml"'}, "there is no suite file"),
        ({"a": "extends = 3"}, "extends = 3; expected"),
        ({"a": 'extends = "b.toml"', "b": "="}, "b.toml is not TOML"),
        ({"a": 'extends = "toybox-plain"\nname = "a"\n[decoders.magic]\nbetta = 1'}, "unknown key 'betta' .did you mean 'beta'"),
        ({"a": 'extends = "toybox-plain"\nsettings = ["x"]'}, "unknown key 'settings'"),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_told(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    with pytest.raises(SuiteError, match=message):
        plan_magic(str(tmp_path / "a.toml"))


def plan_magic(name: str) -> None:
    suite = Suite.load(name, ["data.first=1"])
    plan(suite, "magic", load_examples(suite))


def test_settings_are_read_as_toml_and_land_where_they_belong(tmp_path: Path) -> None:
    suite = Suite.load(
        write(tmp_path, "base", BASE),
        ["magic.beta=0.25", "decoders.magic.alpha=0", "text.max_length=20", "run.seed=3", "data.size=2",
         "models.language_model=toybox:plain", 'models.image_text="toybox:clip"', "data.exclude=[]", "greedy.draws=2",
         "constant.k=9", "magic.max_new_tokens=4"],
    )  # fmt: skip
    magic = suite.decoders["magic"]
    assert (magic.options, magic.max_new_tokens) == ({"k": 3, "beta": 0.25, "alpha": 0}, 4)
    assert (suite.text.max_length, suite.run.seed, suite.data.options["size"]) == (20, 3, 2)
    assert (suite.models.language_model, suite.models.image_text) == ("toybox:plain", "toybox:clip")
    assert (suite.decoders["greedy"].draws, suite.decoders["constant"].options) == (2, {"k": 9})
    planned = plan(suite, "magic", load_examples(suite))
    assert (planned.spec.max_new_tokens, planned.spec.max_length, planned.spec.seed) == (4, None, 3)


def test_a_setting_is_the_same_however_it_is_written() -> None:
    first = Suite.load("toybox-plain", ["magic.beta=1.50", "run.seed=1"])
    again = Suite.load("toybox-plain", ["run.seed=9", "run.seed=1", "decoders.magic.beta=1.5"])
    assert first.settings == again.settings == ("decoders.magic.beta=1.5", "run.seed=1")
    assert again.settings_of("greedy") == ("run.seed=1",)
    assert as_flags(first.settings) == " --set 'magic.beta=1.5' --set 'run.seed=1'"
    assert settings_of(Suite.load("toybox-plain", ["run.batch_size=2"]).settings, "magic") == ()


def test_labels_with_dots_are_found(tmp_path: Path) -> None:
    suite = Suite.load(write(tmp_path, "base", BASE + '[decoders."magic.k"]\ndecoder = "magic"\n'), ["magic.k.k=5", "magic.k=4"])
    assert (suite.decoders["magic.k"].options, suite.decoders["magic"].options["k"]) == ({"k": 5}, 4)
    assert suite.settings_of("magic") == ("decoders.magic.k=4",)
    assert suite.settings_of("magic.k") == ('decoders."magic.k".k=5',)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("magc.beta=1", "no decoder and no table 'magc' .did you mean 'magic'"),
        ("magic.beta", "expected a place and a value"),
        ("beta=1", "names no key inside a table"),
        ("cider.tokenizer=ptb", "write a suite with extends"),
        ("metrics.cider.tokenizer=ptb", "write a suite with extends"),
        ("text.max_lenth=3", "unknown key 'text.max_lenth' .did you mean 'max_length'"),
        ("run.seed=x\ny=1", "run.seed = "),
        ("name.x=1", "no table 'name'"),
        ("magic.=1", "'magic.' names no key inside a table"),
        ("data..x=1", "'data..x' names no key inside a table"),
    ],
)
def test_settings_that_lead_nowhere_are_told(setting: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        Suite.load("toybox-plain", [setting])


def test_a_value_inside_another_is_told() -> None:
    with pytest.raises(SuiteError, match=r"--set data.size.x=2 is inside --set data.size=1"):
        Suite.load("toybox-plain", ["data.size.x=2", "data.size=1"])


def test_a_quotation_mark_in_a_setting_survives_the_shell() -> None:
    suite = Suite.load("toybox-plain", ["zerocap.end_token=it's"])
    flag, setting = shlex.split(as_flags(suite.settings))
    assert flag == "--set"
    assert Suite.load("toybox-plain", [setting]).settings == suite.settings


def test_an_unknown_hyper_parameter_is_told_with_the_nearest() -> None:
    suite = Suite.load("toybox-plain", ["magic.betta=1", "data.size=1"])
    with pytest.raises(SuiteError, match=r"unknown key 'betta' \(did you mean 'beta'"):
        plan(suite, "magic", load_examples(suite))


def test_examples_that_are_left_out(tmp_path: Path) -> None:
    base = write(tmp_path, "base", BASE)
    every = [example.id for example in load_examples(Suite.load(base))]
    left = load_examples(Suite.load(base, [f'data.exclude=["{every[1]}"]', "data.first=2", "data.expect=4"]))
    assert [example.id for example in left] == [every[0], every[2]]
    with pytest.raises(SuiteError, match="names 1 examples that the data does not have, such as 'nobody'"):
        load_examples(Suite.load(base, ['data.exclude=["nobody"]']))
    suite = Suite.load(base, ["captions.first=2"])  # texts to choose from are not examples
    assert suite.captions is not None
    with pytest.raises(SuiteError, match=r"\[captions\]: unknown key 'first'"):
        load_dataset(suite.captions, suite.folder, "[captions]")


def test_toml_that_is_written_is_read_back() -> None:
    table = {
        "a": 1,
        "b": [1.5, True, 'q"\\\x7fé😀\n'],
        "t": {"x y": {"deep": "v"}, "list": [{"p": 1}, {"p": 2, "in": {"z": 0}}]},
        "e": {},
    }
    assert tomllib.loads(to_toml(table)) == table


def test_setting_another_plug_in_leaves_the_old_ones_options_behind() -> None:
    suite = Suite.load("mscoco", ["captions.folder=said", "captions.dataset=index", "magic.decoder=greedy"])
    assert suite.captions is not None
    assert (suite.captions.dataset, dict(suite.captions.options)) == ("index", {"folder": "said"})
    assert (suite.decoders["magic"].decoder, dict(suite.decoders["magic"].options)) == ("greedy", {})
    same = Suite.load("mscoco", ["captions.dataset=karpathy", "captions.split=val"]).captions
    assert same is not None
    assert same.options["split"] == "val"
    assert "file" in same.options


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000], ids=["deep", "long number"])
def test_toml_that_no_reader_takes_is_one_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(SuiteError, match="mine is not TOML"):
        Suite.parse(f"name = {value}".encode(), "mine", tmp_path)
