"""The command line: instant help, exit codes, errors without tracebacks, JSON that parses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def seetell(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "COLUMNS": "100", **environment},
        timeout=300,
        check=False,
    )


VERBS = ("run", "score", "compare", "gate", "leaderboard", "list", "doctor", "train", "bench", "prefetch")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["list"], ["list", "--json"], *([verb, "--help"] for verb in VERBS)],
    ids=" ".join,
)
def test_help_and_list_import_nothing_heavy(arguments: list[str]) -> None:
    allowed = ("pydantic",) if arguments[0] == "list" else ()
    code = LOOK.format(arguments=arguments, heavy=[name for name in HEAVY if name not in allowed])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
    assert done.stdout.strip()


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
        (["run", "toybox-plain", "--bathc-size", "3"], "--bathc-size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_a_sentence_and_exit_code_1(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = seetell(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
