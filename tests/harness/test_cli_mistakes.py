"""What goes wrong outside SeeTell: broken plug-ins, closed or full outputs, unexpected errors. One sentence, the right code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import console
from tests.harness.in_process import seetell_here
from tests.plugins import install

SUITE = """
name = "mixed"
[data]
dataset = "jsonl"
file = "data.jsonl"
[text]
max_new_tokens = 3
[decoders.first]
decoder = "first"
[decoders.bad]
decoder = "bad"
[decoders.last]
decoder = "first"
"""
GOOD = '''
"""A decoder that prints."""
from decoders.base import Decoder, DecoderConfig, Generation

class First(Decoder):
    """Says one sentence, aloud."""

    def decode(self, prompts, seeds):
        print("a line of the plug-in")
        return [Generation(f"a dog :dog: {prompt.id}", (), "eos") for prompt in prompts]
'''
BAD = {
    "import": "import sys\nsys.exit(0)",
    "broken import": 'raise ValueError("half installed")',
    "making": '''
from decoders.base import Decoder

class Bad(Decoder):
    """Cannot be made."""

    def __init__(self, *arguments, **named):
        raise RuntimeError("no weights here")

    def decode(self, prompts, seeds):
        return []
''',
    "ending": '''
import sys
from decoders.base import Decoder

class Bad(Decoder):
    """Ends the program."""

    def __init__(self, *arguments, **named):
        sys.exit(0)

    def decode(self, prompts, seeds):
        return []
''',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.jsonl").write_text('{"id": 1, "references": ["a dog"]}\n{"id": 2, "references": ["a cat"]}\n')
    (tmp_path / "mixed.toml").write_text(SUITE)
    return tmp_path


def plug_in(folder: Path, bad: str) -> Path:
    """A good decoder and a bad one, as a user installs them."""
    mark = f"{abs(hash((str(folder), bad))):x}"
    install(folder / "site", "good", f"good_{mark}", GOOD, {"seetell.decoders": {"first": f"good_{mark}:First"}})
    entries = {"seetell.decoders": {"bad": f"bad_{mark}:Bad"}}
    return install(folder / "site", "bad", f"bad_{mark}", BAD[bad], entries)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("import", "SystemExit: 0"),
        ("broken import", "ValueError: half installed"),
        ("making", "RuntimeError: no weights here"),
        ("ending", "sys.exit(0)"),
    ],
)
def test_a_broken_decoder_is_named_and_the_others_are_run(
    bad: str, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(plug_in(folder, bad))
    done = seetell_here("run", "mixed.toml", "--no-score", "--json", cwd=folder)
    assert done.returncode == 1
    report = json.loads(done.stdout)  # and not a word of the plug-in in it
    assert [(run["decoder"], run["complete"]) for run in report["runs"]] == [("first", True), ("last", True)]
    assert [entry["decoder"] for entry in report["broken"]] == ["bad"]
    assert reason in report["broken"][0]["error"]
    assert f"error: mixed/bad: {report['broken'][0]['error']}" in done.stderr
    assert "1 of 3 decoders of mixed could not be run to the end: bad" in done.stderr
    assert "a line of the plug-in" in done.stderr


def test_a_text_is_shown_as_it_is_and_not_as_a_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(plug_in(folder, "making"))
    assert seetell_here("run", "mixed.toml", "--only", "first", "--no-score", cwd=folder).returncode == 0
    assert "a dog :dog: 1" in seetell_here("show", "mixed/first", "1", cwd=folder).stdout


@pytest.mark.parametrize("error", [RuntimeError("a fault"), RecursionError("too deep"), KeyError("samples"), SystemExit(0)])
def test_a_gate_that_fails_in_an_unexpected_way_judges_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("harness.compare.scored.current_runs", fail)
    done = seetell_here("gate", "toybox-plain", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    shown = seetell_here("gate", "toybox-plain", cwd=tmp_path, SEETELL_TRACEBACK="1")
    assert shown.returncode == 2
    assert "Traceback" in shown.stderr


def test_a_fault_of_the_programs_own_is_one_sentence_that_says_how_to_see_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("harness.suites.spec.Suite.load", fail)
    done = seetell_here("run", "toybox-plain", cwd=tmp_path, COLUMNS="200")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: RuntimeError: a fault. SEETELL_TRACEBACK=1 shows where\n"
    assert "Traceback" in seetell_here("run", "toybox-plain", cwd=tmp_path, SEETELL_TRACEBACK="1").stderr


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = f"{sys.executable} -m harness.cli"
    return subprocess.run(
        ["sh", "-c", command.replace("seetell", program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("verb", ["list", "list --json", "--help"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_an_output_that_cannot_be_written_is_a_sentence(verb: str, tmp_path: Path) -> None:
    done = in_shell(f"seetell {verb} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: writing failed (No space left on device)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("command", "code"), [("seetell list >&-", 1), ("seetell gate toybox-plain >&-", 2)])
def test_a_closed_output_is_a_sentence(command: str, code: int, tmp_path: Path) -> None:
    done = in_shell(command, tmp_path)
    assert (done.returncode, done.stderr) == (
        code,
        "error: standard output is closed; expected an open one, such as >/dev/null\n",
    )


def test_markup_and_emoji_names_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("a :cat: title", ("what",), [(":dog: [bold]x",)])
    console.note(":dog:")
    shown = capsys.readouterr().out
    assert shown.count(":dog:") == 2
    assert ":cat:" in shown


def test_a_run_is_decoded_anew_where_that_is_asked_for_and_nothing_is_deleted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(plug_in(folder, "making"))
    command = ("run", "mixed.toml", "--only", "first,last", "--no-score", "--json")
    first = json.loads(seetell_here(*command, cwd=folder).stdout)["runs"]
    done = seetell_here(*command, "--fresh", "last", cwd=folder)
    assert json.loads(done.stdout)["runs"] == first
    assert "mixed/first: 2 of 2 decoded (already on disk)" in done.stderr
    assert "mixed/last: 2 of 2 decoded\n" in done.stderr
    assert done.stderr.count("a line of the plug-in") == 1
    replaced = folder / first[1]["folder"] / "replaced"
    assert (replaced / "001" / "samples.parquet").is_file()
    refused = seetell_here(*command, "--fresh", "lasst", cwd=folder)
    assert refused.returncode == 1
    assert "--fresh lasst: expected a decoder that is run (did you mean 'last'" in refused.stderr
