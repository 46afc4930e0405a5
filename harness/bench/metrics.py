"""`seetell bench metrics`: caption metrics here and in pycocoevalcap on the same texts: CPU time, memory, equality.

Each side works in a process of its own. CPU time counts everything that the process started and waited for, Java included;
memory is the largest sum over the process and its descendants, looked at every 20 ms. Pycocoevalcap does what its own evaluation
does: tokenise references and captions with the PTB tokenizer, then let each scorer run. SeeTell also draws its intervals.

SeeTell keeps things for later, so it is measured as often as that matters: with nothing kept (METEOR's paraphrases are unpacked,
once a machine), with references that were never scored before, and with references that were.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

from harness.decode.imported.read import Outputs
from harness.errors import MetricError, MetricUnavailable
from harness.store.durable import Progress, no_progress

METRICS = ("bleu", "meteor", "rouge-l", "cider")
OURS, THEIRS = "seetell", "pycocoevalcap"
FIRST, NEW, SEEN = "METEOR's first use on a machine", "references new", "references seen before"
"""What SeeTell finds in its cache: nothing; what METEOR left there for other references; these references."""
_LOOK_SECONDS = 0.02


Texts = Sequence[tuple[str, str, Sequence[str]]]
"""One system: id, text and references of each example."""
ELSEWHERE: Texts = [("seetell-1", "a heron", ["a heron waits"]), ("seetell-2", "two kites", ["kites in the sky"])]
"""What was scored on the machine before; other references than anybody's."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side took."""

    cpu: float
    """Seconds, user and system, descendants included."""
    peak: float
    """Megabytes (10**6 bytes), descendants included."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two sides on the same texts."""

    case: str
    """In words, such as `10 systems, references seen before`: what of ours was in the cache already."""
    systems: int
    ours: Cost
    theirs: Cost
    difference: float
    """Largest difference between the two over all systems and numbers, as fractions."""

    @property
    def ratio(self) -> float:
        """How many times the CPU time of ours theirs is."""
        return self.theirs.cpu / self.ours.cpu

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "ratio": self.ratio}


def measure(
    systems: Sequence[Outputs], metrics: Sequence[str] = METRICS, *, progress: Progress = no_progress
) -> list[Comparison]:
    """Score the first system alone and then all of them, here and there.

    Ours runs twice: where METEOR has scored other references before, and where it has scored these. The first system is also
    scored with an empty cache if METEOR is asked for, as on a new machine.

    Args:
        systems: from `harness.decode.imported.read.read_outputs`.
        metrics: some of `METRICS`.
        progress: called with processes run and due.

    Raises:
        MetricUnavailable: pycocoevalcap is not installed.
        MetricError: one side could not score; with what it said.
    """
    if util.find_spec("pycocoevalcap") is None:
        raise MetricUnavailable("pycocoevalcap, which is measured against, is not installed; pip install 'seetell[metrics]'")
    comparisons: list[Comparison] = []
    cases = [systems[:1], systems] if len(systems) > 1 else [systems]
    keeps = "meteor" in metrics  # something that other references profit from
    due = 3 * len(cases) + 2 * keeps
    done = itertools.count()
    with tempfile.TemporaryDirectory(prefix="seetell-bench-") as name:
        folder = Path(name)
        used, empty = folder / "used", folder / "empty"
        if keeps:
            progress(next(done), due)
            _run(OURS, _texts_file(folder, metrics, [ELSEWHERE]), folder, used)
        for number, case_systems in enumerate(cases):
            texts_file = _texts_file(folder, metrics, _plain(case_systems))
            progress(next(done), due)
            published, expected = _run(THEIRS, texts_file, folder, empty)
            cache = folder / f"cache-{number}"
            if keeps:
                _link(used, cache)
            states = [(cache, NEW), (cache, SEEN)]
            for found_there, state in [(empty, FIRST), *states] if keeps and not number else states:
                progress(next(done), due)
                ours, scores = _run(OURS, texts_file, folder, found_there)
                case = f"{len(case_systems)} system{'s' if len(case_systems) > 1 else ''}, {state}"
                comparisons.append(Comparison(case, len(case_systems), ours, published, _difference(scores, expected)))
            shutil.rmtree(empty, ignore_errors=True)
    progress(due, due)
    return comparisons


def _texts_file(folder: Path, metrics: Sequence[str], systems: Sequence[Texts]) -> Path:
    file = folder / "asked.json"
    file.write_text(json.dumps({"metrics": list(metrics), "systems": systems}), encoding="utf-8")
    return file


def _link(source: Path, target: Path) -> None:
    """A folder of the same files: those of the cache are put in place whole and never written to afterwards."""
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def _plain(systems: Sequence[Outputs]) -> list[Texts]:
    return [[(sample.example.id, sample.text, sample.example.references) for sample in system.samples] for system in systems]


Scores = list[dict[str, float]]


def _run(side: str, texts_file: Path, folder: Path, cache: Path) -> tuple[Cost, Scores]:
    answer = folder / f"{side}.json"
    answer.unlink(missing_ok=True)
    environment = {**os.environ, "SEETELL_CACHE": str(cache)}
    command = [sys.executable, "-m", "harness.bench.metrics", side, str(texts_file), str(answer)]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with _Watch(process.pid) as watch:
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode or not answer.exists():
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines() or ["no output"]
            raise MetricError(f"{side} could not score these files (exit code {process.returncode}): {lines[-1][:800]}")
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    scores: Scores = json.loads(answer.read_bytes())
    return Cost(usage.ru_utime + usage.ru_stime, max(watch.peak, largest) / 1e6), scores


class _Watch:
    """Looks at the memory of a process and its descendants until left; where there is no /proc it sees nothing."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.peak = max(self.peak, _resident(self._pid))


def _resident(pid: int) -> int:
    """Bytes in memory of a process and its descendants."""
    total = 0
    waiting = [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (process / "task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
    return total


def _difference(ours: Scores, published: Scores) -> float:
    pairs = [(own, reference) for own, reference in zip(ours, published, strict=True)]
    if any(own.keys() != reference.keys() for own, reference in pairs):
        return math.inf
    return max(abs(own[name] - reference[name]) for own, reference in pairs for name in own)


# ---------------------------------------------------------------------------------------------------------------------
# In the processes that are measured


def _seetell_scores(systems: Sequence[Texts], names: Sequence[str]) -> Scores:
    from decoders.models.loaded import Models
    from harness.metrics import registry as metrics_registry
    from harness.metrics.base import Metric
    from harness.metrics.score import score_samples
    from harness.suites.examples import Example, Sample

    registry = metrics_registry()
    plugins = {name: registry.load(name) for name in names}

    def made() -> dict[str, Metric]:
        return {name: plugin(plugin.Config(), Models()) for name, plugin in plugins.items()}

    runs = [[Sample(Example(key, references=tuple(refs)), text=text) for key, text, refs in texts] for texts in systems]
    for metric in made().values():
        metric.expect(runs)
    scores_of_systems = []
    for run in runs:
        scores = score_samples(run, made()).scores
        for score in scores:
            if score.unavailable:
                raise MetricError(f"{score.output}: {score.unavailable}")
        scores_of_systems.append({score.output: score.value for score in scores})
    return scores_of_systems


def _published_scores(systems: Sequence[Texts], names: Sequence[str]) -> Scores:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    scores_of_systems: Scores = []
    for texts in systems:
        references = {key: [{"caption": reference} for reference in refs] for key, _, refs in texts}
        captions = {key: [{"caption": text}] for key, text, _ in texts}
        tokenised_references, tokenised_captions = (PTBTokenizer().tokenize(references), PTBTokenizer().tokenize(captions))
        scores: dict[str, float] = {}
        for name in names:
            scorer, outputs = _scorer(name)
            value, _ = scorer.compute_score(tokenised_references, tokenised_captions)
            scores |= dict(zip(outputs, value if isinstance(value, list) else [float(value)], strict=True))
            del scorer  # ends METEOR's process and waits for it
        scores_of_systems.append(scores)
    return scores_of_systems


def _scorer(name: str) -> tuple[Any, list[str]]:
    if name == "bleu":
        from pycocoevalcap.bleu.bleu import Bleu

        return Bleu(4), [f"bleu-{n}" for n in range(1, 5)]
    if name == "meteor":
        from pycocoevalcap.meteor.meteor import Meteor

        return Meteor(), [name]
    if name == "rouge-l":
        from pycocoevalcap.rouge.rouge import Rouge

        return Rouge(), [name]
    from pycocoevalcap.cider.cider import Cider

    return Cider(), [name]


SIDES: Mapping[str, Callable[[Sequence[Texts], Sequence[str]], Scores]] = {OURS: _seetell_scores, THEIRS: _published_scores}


def _work(side: str, texts_file: Path, answer: Path) -> None:
    content = json.loads(texts_file.read_bytes())
    answer.write_text(json.dumps(SIDES[side](content["systems"], content["metrics"])))


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
