"""The gate on the embedded world, with real decoders and texts: what it lets through, what it stops, how often it errs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.cli import main
from harness.compare.baseline import Baseline
from harness.compare.differences import load_metric, measure
from harness.compare.gate import ERROR_RATE, gate
from harness.compare.scored import ScoredMetric, ScoredRun
from harness.datasets.load import Digests, load_examples
from harness.decode.executor import InlineExecutor
from harness.decode.plan import plan
from harness.decode.run import decode
from harness.metrics import registry as metrics_registry
from harness.metrics.evaluate import Evaluator
from harness.store.runs import Results
from harness.suites.examples import Sample
from harness.suites.spec import Suite
from tests.plugins import install

SUITE = """
name = "guarded-toybox"
task = "caption"
[data]
dataset = "toybox"
domain = "plain"
split = "test"
size = {size}
[models]
language_model = "toybox:plain"
image_text = "toybox:clip"
[text]
prompt = "<-start_of_text->"
max_new_tokens = 24
[run]
draws = 2
{decoders}
"""
GROUNDED = "[metrics.clipscore]\n[metrics.grounding]\n"

TIDY = '''
"""MAGIC as somebody might rewrite it: the same score, all of it computed at once and added up in another order."""
import torch
import torch.nn.functional as F
from decoders.magic import Magic

class Tidy(Magic):
    """A refactored MAGIC."""

    version = 2

    def select(self, step):
        found = step.candidates(self.config.k)
        fit = step.image_text_logits(step.texts(found.ids, self.config.clip_text_max_len)).softmax(dim=-1)
        hidden, history = F.normalize(step.look_ahead(found.ids), dim=-1), F.normalize(step.history, dim=-1)
        likeness = torch.einsum("bkh,bth->bkt", hidden, history)
        penalty = likeness.masked_fill(~step.history_mask[:, None], -torch.inf).amax(dim=-1)
        total = self.config.beta * fit - self.config.alpha * penalty + (1 - self.config.alpha) * found.probs
        return found.ids.gather(1, total.argmax(dim=-1, keepdim=True)).squeeze(1)
'''

MAGIC = "[decoders.magic]\nk = 8\nbeta = 1.0\n"


class Project:
    """A folder with a suite, a plug-in on the path, and the command line in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        module = f"tidy_magic_{abs(hash(str(folder)))}"
        site = install(folder / "site", "tidy-magic", module, TIDY, {"seetell.decoders": {"tidy": f"{module}:Tidy"}})
        monkeypatch.syspath_prepend(site)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SEETELL_CACHE", str(folder / "cache"))

    def __call__(self, *arguments: str) -> int:
        self.monkeypatch.setattr("sys.argv", ["seetell", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    def run(self, decoders: str, results: str) -> None:
        Path("suite.toml").write_text(SUITE.format(size=24, decoders=decoders + GROUNDED), encoding="utf-8")
        assert self("run", "suite.toml", "--only", "magic", "--results", results) == 0

    def gate(self, results: str) -> int:
        file = "results/baselines/guarded-toybox.json"
        return self("gate", "suite.toml", "--only", "magic", "--results", results, "--baseline", file)


def test_a_harmless_refactor_passes_and_magic_that_ignores_the_image_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path, monkeypatch)
    project.run(MAGIC, "results")
    assert project("gate", "suite.toml", "--only", "magic", "--accept") == 0

    project.run(MAGIC.replace("[decoders.magic]", '[decoders.magic]\ndecoder = "tidy"'), "refactored")
    capsys.readouterr()
    assert project.gate("refactored") == 0
    assert "guarded-toybox passes" in capsys.readouterr().out

    project.run(MAGIC.replace("beta = 1.0", "beta = 0.0"), "blind")
    capsys.readouterr()
    assert project.gate("blind") == 1
    assert "guarded-toybox is worse" in capsys.readouterr().out


SCORED = "[decoders.nucleus]\n[metrics.cider]\n[metrics.rouge-l]\n"


@dataclass(frozen=True)
class World:
    """Toybox images, two nucleus samples of each, and the same samples cut off halfway, all of them scored."""

    trials: int
    """How many gates are asked."""
    run: ScoredRun
    ids: tuple[str, ...]
    whole: Mapping[str, NDArray[np.float64]]
    """Rows by metric, `[draws, examples, k]`."""
    cut: Mapping[str, NDArray[np.float64]]

    def system(self, rows: Mapping[str, NDArray[np.float64]], name: str) -> ScoredRun:
        """A run with one answer an example, whose rows are these, `[examples, k]` by metric."""
        metrics = {}
        for label, each in rows.items():
            values = load_metric(self.run.suite, label).finalise(each.sum(axis=0))
            scores = tuple(
                replace(score, value=float(value), n=len(each))
                for score, value in zip(self.run.metrics[label].scores, values, strict=True)
            )
            metrics[label] = ScoredMetric(scores, each)
        spec = self.run.spec.model_copy(update={"config": {"made": name}})
        return replace(self.run, spec=spec, example_ids=self.ids, digest=name, metrics=metrics)

    def pair(self, rng: np.random.Generator, share_cut: float) -> tuple[ScoredRun, ScoredRun]:
        """Two samples of nucleus; chance decides which of an example's two is whose. Of the second a share is cut off halfway."""
        places, which = np.arange(len(self.ids)), rng.integers(0, 2, len(self.ids))
        cut = (rng.random(len(self.ids)) < share_cut)[:, None]
        first = {label: rows[which, places] for label, rows in self.whole.items()}
        second = {
            label: np.where(cut, self.cut[label][1 - which, places], rows[1 - which, places])
            for label, rows in self.whole.items()
        }
        name = f"{rng.random():.17f}"
        return self.system(first, "before" + name), self.system(second, "after" + name)

    def margins(self) -> dict[str, float]:
        """For each number the margin that the examples suffice to see, and hardly more: where alarms come most easily."""
        found = measure(*self.pair(np.random.default_rng(0), 0.0), level=1 - 2 * ERROR_RATE, permutations=0)
        strictness = 1.645 + 1.96  # one-sided 5 %, and 5 % shared by two numbers
        return {each.output: 1.03 * strictness * each.error for each in found}

    def outcomes(self, margins: Mapping[str, float | None], share_cut: float) -> dict[str, int]:
        """What that many gates say about pairs of this kind."""
        rng = np.random.default_rng(1)
        found = {"pass": 0, "worse": 0, "undecided": 0}
        for _ in range(self.trials):
            accepted, candidate = self.pair(rng, share_cut)
            label = accepted.spec.label
            found[gate({label: candidate}, Baseline.of([accepted], {}), margins).outcome] += 1
        return found


IMAGES, TRIALS = 500, 200
"""Enough for the frequencies of alarms to be told from those that are promised: a simulation, so its tests are heavy."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    suite = Suite.parse(SUITE.format(size=IMAGES, decoders=SCORED).encode(), "suite", folder)
    examples = load_examples(suite)
    digests = Digests(suite, examples)
    planned = plan(suite, "nucleus", examples, digests=digests)
    outcome = decode(planned, suite, Results(folder), executor=InlineExecutor(lambda _: None), device="cpu")
    evaluator = Evaluator(suite, examples, digests, "cpu")
    evaluator.score(outcome.folder)
    run = ScoredRun.load(outcome.folder)
    by_id = {example.id: example for example in examples}
    halves = [
        Sample(by_id[each.example_id], each.draw, " ".join(words[: len(words) // 2]))
        for each in run.answers
        for words in [each.text.split()]
    ]
    cut = evaluator.measure(halves)
    ids = tuple(dict.fromkeys(run.example_ids))

    def by_draw(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return rows.reshape(len(ids), 2, -1).transpose(1, 0, 2)

    assert [(each.example_id, each.draw) for each in run.answers] == [(one, draw) for one in ids for draw in range(2)]
    whole = {label: by_draw(metric.rows) for label, metric in run.metrics.items() if metric.rows is not None}
    return World(TRIALS, run, ids, whole, {label: by_draw(cut[label].rows[label]) for label in whole})


@pytest.fixture(autouse=True)
def plugins_found_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hundreds of gates need not look for plug-ins each time."""
    if "world" in request.fixturenames:
        found = metrics_registry()
        monkeypatch.setattr("harness.metrics.evaluate.metrics_registry", lambda: found)


@pytest.mark.heavy
def test_two_samples_of_one_decoder_seldom_raise_an_alarm(world: World) -> None:
    found = world.outcomes(world.margins(), share_cut=0.0)
    assert found["worse"] <= stats.binom.ppf(0.99, world.trials, ERROR_RATE), found
    assert found["pass"] >= 0.85 * world.trials, found


@pytest.mark.heavy
def test_a_drop_of_twice_the_margin_is_caught(world: World) -> None:
    """Texts that end halfway, in as many examples as it takes for ROUGE-L to lose twice its margin: of fewer than 430 images
    not even all would do."""
    margins = world.margins()
    whole, cut = (
        float(load_metric(world.run.suite, "rouge-l").finalise(rows["rouge-l"].sum(axis=(0, 1)))[0])
        for rows in (world.whole, world.cut)
    )
    share = 2 * margins["rouge-l"] / (whole - cut)
    assert 0 < share < 1
    found = world.outcomes({"rouge-l": margins["rouge-l"], "cider": None}, share)
    assert found["worse"] >= 0.95 * world.trials, found
    assert found["pass"] == 0, found
