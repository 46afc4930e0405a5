"""`seetell compare` and `seetell gate` as people and CI run them: real runs of a plug-in decoder, exit codes, files."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli import console, main
from tests.harness.scored_runs import install_metric
from tests.plugins import ECHO, install

SUITE = """
name = "guarded"
task = "story"
[data]
dataset = "jsonl"
file = "{file}"
[text]
max_new_tokens = 8
[decoders.echo]
word = "{word}"
[decoders.other]
decoder = "echo"
word = "0.4"
[metrics.quality]
"""


@dataclass
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


class Home:
    """A folder with suites and data, two plug-ins on the path, and the command line in this process (which is quicker)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        module = f"guarded_echo_{abs(hash(str(folder)))}"
        install(folder / "site", "guarded-echo", module, ECHO, {"seetell.decoders": {"echo": f"{module}:Echo"}})
        monkeypatch.syspath_prepend(install_metric(folder / "site"))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SEETELL_CACHE", str(folder / "cache"))
        monkeypatch.setattr(console.out, "width", 200)
        for name, count in (("data", 12), ("fewer", 9)):
            lines = [json.dumps({"id": f"e{i}", "prompt": f"title {i}", "references": ["x"]}) for i in range(count)]
            (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def __call__(self, *arguments: str) -> Done:
        self.monkeypatch.setattr("sys.argv", ["seetell", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        said = self.capsys.readouterr()
        return Done(int(stop.value.code or 0), said.out, said.err)

    def suite(self, word: str, file: str = "data.jsonl") -> str:
        path = self.folder / "guarded.toml"
        path.write_text(SUITE.format(word=word, file=file), encoding="utf-8")
        return str(path)

    def run(self, word: str, *options: str, file: str = "data.jsonl") -> str:
        suite = self.suite(word, file)
        done = self("run", suite, *options)
        assert done.returncode == 0, done.stderr
        return suite


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, monkeypatch, capsys)


def test_a_gate_in_the_life_of_a_project(home: Home) -> None:
    suite = home.run("0.7")
    assert home("gate", suite).returncode == 2  # nothing was accepted yet
    accepted = home("gate", suite, "--accept", "--margin", "quality=0.02")
    assert (accepted.returncode, accepted.stdout) == (0, "")
    assert (home.folder / "results/baselines/guarded.json").is_file()

    # A harmless refactor: decoded anew elsewhere, same settings, same texts.
    home.run("0.7", "--results", "fresh")
    passed = home("gate", suite, "--results", "fresh", "--baseline", "results/baselines/guarded.json")
    assert passed.returncode == 0, passed.stderr
    assert "guarded passes" in passed.stdout

    # A worse setting of one decoder; the other is as it was.
    suite = home.run("0.5", "--results", "fresh")
    arguments = ("gate", suite, "--results", "fresh", "--baseline", "results/baselines/guarded.json")
    failed = home(*arguments, "--json", "--junit", "gate.xml")
    assert failed.returncode == 1
    report = json.loads(failed.stdout)
    assert {run["decoder"]: run["outcome"] for run in report["runs"]} == {"echo": "worse", "other": "pass"}
    assert report["runs"][0]["metrics"]["quality"]["margin"] == 0.02
    junit = ElementTree.parse(home.folder / "gate.xml").getroot()  # noqa: S314  # our own output
    assert {case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None} == {"quality", "badness"}
    comment = home(*arguments, "--markdown")
    assert comment.returncode == 1
    assert comment.stdout.startswith("## ❌ guarded is worse")
    assert home(*arguments, "--only", "other").returncode == 0

    # The change was meant: accept it for that decoder, and the next gate passes.
    assert home("gate", suite, "--results", "fresh", "--accept", "--only", "echo").returncode == 0
    assert home("gate", suite, "--results", "fresh").returncode == 0


def test_whatever_keeps_a_gate_from_judging_is_not_called_worse(home: Home) -> None:
    suite = home.suite("0.7")
    cases = {
        "was not run with these settings": ("gate", suite, "--accept"),
        "there is no baseline": ("gate", suite),
        "there is no suite 'guardet'": ("gate", "guardet"),
        "expected output=loss": ("gate", suite, "--margin", "quality"),
        "Unknown option": ("gate", suite, "--marginn", "quality=1"),
        "--seed is -3; expected 0 or more": ("gate", suite, "--seed", "-3"),
    }
    for said, arguments in cases.items():
        done = home(*arguments)
        assert done.returncode == 2, (said, done)
        assert said in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_compare_says_it_in_every_format(home: Home) -> None:
    home.run("0.7")
    home.run("0.6", "--only", "echo")
    unclear = home("compare", "guarded/echo", "guarded/other")
    assert unclear.returncode == 1
    assert "may be any of" in unclear.stderr
    shown = home("compare", "guarded/other", *_named(home, "0.7"))
    assert shown.returncode == 0, shown.stderr
    assert "better" in shown.stdout
    assert "config.word" in shown.stdout
    as_json = home("compare", "guarded/other", *_named(home, "0.7"), "--json", "--correction", "holm")
    content = json.loads(as_json.stdout)
    assert (content["correction"], content["differences"][0]["n"]) == ("holm", 12)
    assert content["differences"][0]["difference"] == pytest.approx(0.3)
    for name in ("page.html", "page.md"):
        assert home("compare", "guarded/other", *_named(home, "0.7"), "--out", name).returncode == 0
    assert (home.folder / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert (home.folder / "page.md").read_text().startswith("# guarded/echo")
    assert "does not tell the format" in home("compare", "guarded/other", *_named(home, "0.7"), "--out", "page.x").stderr


def _named(home: Home, word: str) -> list[str]:
    """The folder of the echo run with that word."""
    for file in (home.folder / "results/runs/guarded").glob("echo-*/run.json"):
        if json.loads(file.read_text())["spec"]["config"]["word"] == word:
            return [str(file.parent)]
    raise AssertionError(word)


def test_runs_on_different_examples_compare_on_the_common_ones(home: Home) -> None:
    home.run("0.7", "--only", "echo")
    shutil.move(home.folder / "results/runs/guarded", home.folder / "kept")
    home.run("0.4", "--only", "other", file="fewer.jsonl")
    first = str(next((home.folder / "kept").glob("echo-*")))
    refused = home("compare", first, "guarded/other")
    assert refused.returncode == 1
    assert "the 9 they share with --common" in refused.stderr
    common = home("compare", first, "guarded/other", "--common", "--json")
    assert common.returncode == 0, common.stderr
    quality = json.loads(common.stdout)["differences"][0]
    assert quality["n"] == 9
    assert quality["difference"] == pytest.approx(-0.3)
