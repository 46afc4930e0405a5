"""The five published experiments from beginning to end, in miniature and without a network.

    python -m examples.miniature                 # from a checkout; writes to ./miniature, a few minutes on two cores
    python -m examples.miniature --only mscoco rocstories --folder /tmp/miniature

The program creates a mirror (`examples/miniature/mirror.py`), then runs the commands of the real experiments and prints each:
data check, prefetch, train lm, index, run, score, leaderboard. Sockets are blocked in all of them. At the end it prints time and
memory of every command. For the real experiments, omit `--mirror` and the small sizes (docs/benchmark.md).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from examples.miniature import IMAGE_TEXT
from harness.cli import console

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = '''"""Loaded by every Python process of this program: opening a connection raises an error."""
import socket
def refuse(*arguments, **options):
    raise RuntimeError(f"NETWORK {arguments[1:]!r}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
'''

LANGUAGE = {
    "mscoco": "mscoco",
    "flickr30k": "flickr30k",
    "mscoco-to-flickr30k": "mscoco",
    "flickr30k-to-mscoco": "flickr30k",
    "rocstories": "rocstories",
}
"""The packaged suites, in the order of docs/benchmark.md, each with the suite whose texts train its language model."""
SMALL = ("--set", "data.expect=20", f"models.image_text=hf-hub:{IMAGE_TEXT}")
"""Flags that replace the real sizes until the miniature suite is written."""

_SUITE = """\
extends = "{name}"
name = "{name}-miniature"
title = "{name} in miniature: random weights, scores have no meaning"

[data]
expect = 20                     # the real data set has thousands

[models]
language_model = "local:models/{language}"
image_text = "hf-hub:{clip}"
"""
_CAPTIONS = """
[captions]
dataset = "index"               # every caption, encoded once
folder = "indices/{language}"

[decoders.sample-rerank]
n = 4

[decoders.zerocap]              # published: 5 beams, 512 candidates, 5 steps
beam_size = 2
candidates = 16
num_iterations = 1
"""
_STORIES = """
[text]
max_length = 60                 # published: 100

[run]
draws = 1                       # published: 3

[decoders.sample-rerank]
n = 4
"""


class StepFailed(Exception):
    """A command ended with an unexpected exit code."""


@dataclass(slots=True)
class Walk:
    """Runs commands in a folder and records their time and memory."""

    folder: Path
    measured: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Verb, exit code, seconds and peak memory in MB of every command."""

    def type(self, *arguments: str, code: int = 0) -> None:
        """Run one command of SeeTell; its output goes to the standard output of this program.

        Raises:
            StepFailed: the exit code is not `code`.
        """
        shown = shlex.join(arguments).replace(f"{self.folder}{os.sep}", "")
        console.out.print(f"\n$ seetell {shown}", style="bold", markup=False, highlight=False, soft_wrap=True)
        sys.stdout.flush()
        start = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "harness.cli", *arguments], cwd=self.folder, env=self._environment())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        verb = " ".join(arguments[: 3 if arguments[0] in ("data", "train", "index") else 2])
        self.measured.append((verb, str(process.returncode), f"{seconds:.1f}", f"{used.ru_maxrss * unit / 1e6:.0f}"))
        if process.returncode != code:
            raise StepFailed(f"seetell {shown} ended with exit code {process.returncode}; expected {code}")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "no-network"), str(ROOT)]),
            "SEETELL_DATA": str(self.folder / "data"),
            "SEETELL_CACHE": str(self.folder / "cache"),
            "SEETELL_RESULTS": "results",
            "HF_HOME": str(self.folder / "hub"),  # hides earlier downloads
        }

    def show(self) -> None:
        """Print time and memory of every command."""
        console.show_table("Time and memory", ("seetell", "exit code", "s", "peak MB"), self.measured, right=(1, 2, 3))


def walk(steps: Walk, suites: list[str]) -> None:
    """Run every step.

    Args:
        steps: its folder must not exist yet.
        suites: keys of `LANGUAGE`.

    Raises:
        StepFailed: a command ended with an unexpected exit code.
    """
    folder = steps.folder
    (folder / "no-network").mkdir(parents=True)
    (folder / "no-network" / "sitecustomize.py").write_text(NO_NETWORK)
    console.say(f"creating a mirror in {folder / 'mirror'}")
    # In a separate process: Linux includes the peak memory of this process in that of the processes it starts.
    subprocess.run([sys.executable, "-m", "examples.miniature.mirror", str(folder)], cwd=ROOT, check=True)
    mirror = ("--mirror", "mirror")
    present: set[str] = set()
    for name in suites:
        needed = {*name.split("-to-"), f"the language model of {LANGUAGE[name]}"}
        # The suites across domains need nothing that the earlier suites have not fetched.
        steps.type("data", "check", name, *SMALL, code=0 if needed <= present else 1)
        present |= needed
        steps.type("prefetch", name, *mirror, *SMALL)
        if name == "rocstories":
            _bring_stories(folder)
            index = str(folder / "data" / "stories" / "images.index")
            steps.type("index", "images", "pictures", "--out", index, "--model", f"hf-hub:{IMAGE_TEXT}")
            steps.type("index", "retrieved", name, "--top", "3", *SMALL)
        steps.type("data", "check", name, "--deep", *SMALL)
    steps.type("prefetch", suites[0], *mirror, *SMALL, "models.language_model=hf:gpt2")  # the base of the trainings
    for language in dict.fromkeys(LANGUAGE[name] for name in suites):
        small = ("--steps", "8", "--batch-size", "8", "--eval-every", "4", "--learning-rate", "1e-3")
        steps.type("train", "lm", language, "--out", f"models/{language}", *small, "--offline")
        if language != "rocstories":
            out = ("--out", f"indices/{language}", "--model", f"hf-hub:{IMAGE_TEXT}")
            steps.type("index", "captions", language, *out, "--offline")
    for name in suites:
        _write_suite(folder, name)
        steps.type("data", "check", f"{name}.toml")
        steps.type("run", f"{name}.toml", "--offline", "--no-score")
        steps.type("score", f"{name}.toml", "--offline")
    steps.type("leaderboard")


def _write_suite(folder: Path, name: str) -> None:
    language = LANGUAGE[name]
    text = _SUITE + (_STORIES if name == "rocstories" else _CAPTIONS)
    (folder / f"{name}.toml").write_text(text.format(name=name, language=language, clip=IMAGE_TEXT))
    console.say(f"wrote {folder / name}.toml, which extends {name}")


def _bring_stories(folder: Path) -> None:
    """Copy training and validation stories beside the test stories, as a person does who got them by the request form."""
    for split in ("train", "dev"):
        shutil.copy(folder / "mirror" / "rocstories" / f"rocstories_{split}.txt", folder / "data" / "rocstories")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.miniature", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("miniature"), help="folder to write to; must not exist yet")
    parser.add_argument("--only", nargs="+", choices=list(LANGUAGE), default=list(LANGUAGE), metavar="SUITE",
                        help=f"suites to run, out of {', '.join(LANGUAGE)}; all by default")  # fmt: skip
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder} exists already; delete it, or name another folder with --folder")
    steps = Walk(given.folder.resolve())
    try:
        walk(steps, [name for name in LANGUAGE if name in given.only])
    except StepFailed as error:
        console.say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        steps.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
