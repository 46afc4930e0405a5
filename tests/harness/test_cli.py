"""The command line: instant help, exit codes, errors without tracebacks, JSON that parses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness.cli import app

HEAVY = ("torch", "streamlit", "transformers", "open_clip", "faiss", "pyarrow", "pydantic", "numpy")

LOOK = """
import json, runpy, sys
sys.argv = ["seetell", *{arguments!r}]
try:
    runpy.run_module("harness.cli", run_name="__main__")
except SystemExit as stop:
    code = stop.code
print("\\n" + json.dumps([code, [name for name in {heavy!r} if name in sys.modules]]), file=sys.stderr)
"""

LOOK_AT_HELP = """
import json, sys
from harness.cli import app

def verbs(group, *before):
    for name in group:
        if not name.startswith("-"):
            yield (*before, name)
            yield from verbs(group[name], *before, name)

found = {{}}
for verb in verbs(app):
    app([*verb, "--help"], result_action="return_value")
    found[" ".join(verb)] = [name for name in {heavy!r} if name in sys.modules]
print("\\n" + json.dumps(found), file=sys.stderr)
"""


def seetell(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "COLUMNS": "100", **environment},
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["list"], ["list", "--json"]],
    ids=" ".join,
)
def test_help_and_list_import_nothing_heavy(arguments: list[str]) -> None:
    allowed = ("pydantic",) if arguments[0] == "list" else ()
    code = LOOK.format(arguments=arguments, heavy=[name for name in HEAVY if name not in allowed])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
    assert done.stdout.strip()


def test_help_of_every_verb_is_there_and_imports_nothing_heavy() -> None:
    code, environment = LOOK_AT_HELP.format(heavy=HEAVY), {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300, check=True
    )
    found = json.loads(done.stderr.splitlines()[-1])
    assert {"run", "annotate", "study create", "bench published"} <= set(found)
    assert {verb: heavy for verb, heavy in found.items() if heavy} == {}
    assert done.stdout.count("Usage: seetell ") == len(found)
    assert "[default: 100,200,400]" in done.stdout
    assert not re.search(r"default: *(\(|\]|None|False)", done.stdout)


def test_the_version_is_that_of_the_package() -> None:
    assert seetell("--version").stdout.strip() == metadata.version("seetell") != "0.0.0"


def test_list_tells_everything_that_is_installed() -> None:
    listing = json.loads(seetell("list", "--json").stdout)
    assert {"magic", "clipre", "contrastive", "greedy", "top-k", "nucleus", "typical"} <= {
        each["name"] for each in listing["decoders"]
    }
    assert {"cider", "bleu", "rouge-l", "clipscore", "grounding", "repetition"} <= {
        each["name"] for each in listing["metrics"]
    }
    assert {"toybox", "jsonl", "karpathy"} <= {each["name"] for each in listing["datasets"]}
    assert {"toybox-plain", "toybox-stories"} <= {each["name"] for each in listing["suites"]}
    assert all(each["description"] for kind in ("decoders", "metrics", "datasets") for each in listing[kind])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "toybox-plane"], "did you mean 'toybox-plain'"),
        (["run", "toybox-plain", "--only", "majic"], "did you mean 'magic'"),
        (["run", "toybox-plain", "--limit", "0"], "--limit is 0"),
        (["run", "nowhere.toml"], "no suite file nowhere.toml"),
        (["leaderboard"], "there are no runs"),
        (["compare", "a/b", "a/c", "--seed", "-1"], "--seed is -1; expected 0 or more"),
        (["run"], "requires an argument"),
        (["rum"], "rum"),
        (
            ["run", "toybox-plain", "--bathc-size", "3"],
            "error: Unknown option: --bathc-size. Did you mean --batch-size?",
        ),
        (["run", "toybox-plain", "--only"], "--only requires at least 1"),
        (["run", "toybox-plain", "--only", " ,"], "--only: expected at least one value"),
        (["run", "toybox-plain", "again"], "'again' is more than there is a place for. `seetell run --help` shows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_a_sentence_and_exit_code_1(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = seetell(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_values_of_a_list_may_have_commas_or_spaces_between_them() -> None:
    for given in (["100,200"], ["100", "200"], ["100, 200,"]):
        _, bound, *_ = app.parse_args(["study", "power", "--items", *given], exit_on_error=False, print_error=False)
        assert bound.arguments["items"] == (100, 200)
    _, bound, *_ = app.parse_args(["bench", "cluster"], exit_on_error=False, print_error=False)
    bound.apply_defaults()
    assert bound.arguments["workers"] == ("1", "2")
    _, bound, *_ = app.parse_args(["run", "a", "--set", "sweep.x=[1, 2]"], exit_on_error=False, print_error=False)
    assert bound.arguments["settings"] == ("sweep.x=[1, 2]",)


def test_any_character_gets_out_whatever_the_locale_knows(tmp_path: Path) -> None:
    (tmp_path / "ä.jsonl").write_text('{"id": 1, "text": "drei Bäume → 木"}\n', encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "harness.cli", *arguments]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=300, check=True)
        return done.stdout.decode()

    run("score", "ä.jsonl", "--metrics", "length")
    [folder] = (tmp_path / "results/runs").glob("*/system-*")
    assert "drei Bäume → 木" in run("show", str(folder), "1")
    assert json.loads(run("show", str(folder), "1", "--json"))["systems"][0]["answers"] == ["drei Bäume → 木"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_leaves_early_ends_it_quietly(flags: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "harness.cli", "list", *flags]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, timeout=300, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "a b"}\n', encoding="utf-8")
    assert seetell("score", "a.jsonl", "--metrics", "length", cwd=tmp_path).returncode == 0
    [suite] = (each.name for each in (tmp_path / "results/runs").iterdir())
    for arguments, code, place in (
        (["leaderboard", "--format", "md", "--out", "file/below"], 1, "file"),
        (["leaderboard", "--format", "md", "--out", "folder"], 1, "folder"),
        (["score", "a.jsonl", "--metrics", "length", "--results", "file"], 1, "file/runs"),
        (["gate", suite, "--accept", "--baseline", "file/below"], 2, "file"),  # 1 would mean: something is worse
    ):
        done = seetell(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert f"error: {place}" in done.stderr
        assert " cannot be used (" in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_bytes() == b""
