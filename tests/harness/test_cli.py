"""The command line: instant help, exit codes, errors without tracebacks, JSON that parses."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import pytest
from cyclopts import App

from harness.cli import app, verb_of
from tests.harness.in_process import seetell_here

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
import contextlib, io, json, os, sys, time
from harness.cli import app, main

def verbs(group, *before):
    for name in group:
        if not name.startswith("-"):
            yield (*before, name)
            yield from verbs(group[name], *before, name)

# The list of verbs is asked for in a process of its own, because asking imports every verb's file.
read, write = os.pipe()
if not os.fork():
    os.write(write, json.dumps(list(verbs(app))).encode())
    os._exit(0)
os.close(write)
found = {{}}
for verb in json.loads(open(read).read()):
    out, (read, write) = io.StringIO(), os.pipe()
    if not os.fork():  # cheaper than a process that starts anew, and as clean: nothing but `harness.cli` is imported here
        sys.argv, before = ["seetell", *verb, "--help"], time.process_time()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main()
        seconds = time.process_time() - before
        os.write(write, json.dumps([out.getvalue(), sorted(sys.modules), seconds]).encode())
        os._exit(0)
    os.close(write)
    found[" ".join(verb)] = json.loads(open(read).read())
print(json.dumps(found))
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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["list", "--json"]], ids=" ".join)
def test_help_and_list_import_nothing_heavy(arguments: list[str]) -> None:
    allowed = ("pydantic", "numpy") if arguments[0] == "list" else ()
    code = LOOK.format(arguments=arguments, heavy=[name for name in HEAVY if name not in allowed])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
    assert done.stdout.strip()


OWN_FILES = ("harness.cli.flags", "harness.cli.console", "harness.cli.study", "harness.cli.study.shared")
"""What every verb may import; beside these, its own file only."""


def test_help_of_every_verb_is_there_and_imports_nothing_but_its_own_file() -> None:
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LOOK_AT_HELP.format()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=True)
    found: dict[str, tuple[str, list[str], float]] = json.loads(done.stdout)
    assert {"run", "annotate", "study create", "bench published", "data check"} <= set(found)
    for verb, (text, modules, seconds) in found.items():
        assert text.startswith("Usage: seetell "), verb
        assert [name for name in HEAVY if name in modules] == [], verb
        files = [name for name in modules if name.startswith("harness.cli.") and name not in OWN_FILES]
        assert len(files) == (verb not in GROUPS_OF_VERBS), (verb, files)
        assert seconds < 2, f"{verb}: instant on a machine that does nothing else, never slow on a busy one"
        assert not re.search(r"default: *(\(|\]|None|False)", text), verb
    assert "[default: 100,200,400]" in found["study power"][0]


GROUPS_OF_VERBS = ("bench", "data", "index", "study", "train")


def test_the_list_of_verbs_says_what_each_verb_says_first_and_each_shows_an_example() -> None:
    for words in every_verb(app):
        listed = group_of(words)[words[-1]].help
        command = verb_of(words).default_command
        if command is None:
            assert " ".join(words) in GROUPS_OF_VERBS
            continue
        text = " ".join((command.__doc__ or "").split())
        assert text.startswith(" ".join(listed.split()).rstrip(".?")), words
        shown = re.findall(r"`(seetell [^`]+)`", text.partition("For example: ")[2].partition(" Args: ")[0])
        assert any(shlex.split(example)[1 : 1 + len(words)] == list(words) for example in shown), words
        for example in shown:
            app.parse_args(shlex.split(example)[1:], exit_on_error=False, print_error=False)


def every_verb(group: App, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every verb and group of verbs."""
    for name in group:
        if not name.startswith("-"):
            yield (*before, name)
            yield from every_verb(group[name], *before, name)


def group_of(words: Sequence[str]) -> App:
    """The group that a verb is in."""
    group = app
    for word in words[:-1]:
        group = group[word]
    return group


def test_the_version_is_that_of_the_package() -> None:
    assert seetell("--version").stdout.strip() == metadata.version("seetell") != "0.0.0"


def test_list_tells_everything_that_is_installed() -> None:
    listing = json.loads(seetell_here("list", "--json").stdout)
    assert {"magic", "clipre", "contrastive", "greedy", "top-k", "nucleus", "typical"} <= {
        each["name"] for each in listing["decoders"]
    }
    assert {"cider", "bleu", "rouge-l", "clipscore", "grounding", "repetition"} <= {each["name"] for each in listing["metrics"]}
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
        (["run", "toybox-plain", "--bathc-size", "3"], "error: Unknown option: --bathc-size. Did you mean --batch-size?"),
        (["run", "toybox-plain", "--only"], "--only requires at least 1"),
        (["run", "toybox-plain", "--only", " ,"], "--only: expected at least one value"),
        (["run", "toybox-plain", "again"], "'again' is more than the verb takes. `seetell run --help` shows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_a_sentence_and_exit_code_1(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = seetell_here(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_values_of_a_list_may_have_commas_or_spaces_between_them() -> None:
    for given in (["100,200"], ["100", "200"], ["100, 200,"]):
        _, bound, *_ = app.parse_args(["study", "power", "--items", *given], exit_on_error=False, print_error=False)
        assert bound.arguments["plans"].items == (100, 200)
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
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=600, check=True)
        return done.stdout.decode()

    assert seetell_here("score", "ä.jsonl", "--metrics", "length", cwd=tmp_path).returncode == 0
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
    assert seetell_here("score", "a.jsonl", "--metrics", "length", cwd=tmp_path).returncode == 0
    [suite] = (each.name for each in (tmp_path / "results/runs").iterdir())
    for arguments, code, place in (
        (["leaderboard", "--format", "md", "--out", "file/below"], 1, "file"),
        (["leaderboard", "--format", "md", "--out", "folder"], 1, "folder"),
        (["score", "a.jsonl", "--metrics", "length", "--results", "file"], 1, "file/runs"),
        (["gate", suite, "--accept", "--baseline", "file/below"], 2, "file"),  # 1 would mean: something is worse
    ):
        done = seetell_here(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert f"error: {place}" in done.stderr
        assert " cannot be used (" in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_bytes() == b""
