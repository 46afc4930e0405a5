"""`[sweep]`: settings tried on a dev split, ranked, and never on what a suite is judged by.

Every combination of the grid is an ordinary run, on disk and resumed like any other, in a place where no leaderboard,
comparison or gate of the suite looks.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from harness.compare.corrections import correct
from harness.compare.paired import PERMUTATIONS, SIGNIFICANCE, Clusters, Floats, align, permutation_test
from harness.compare.same_examples import on_same_examples, unreadable_images
from harness.compare.scored import ScoredMetric, ScoredRun
from harness.datasets.digests import image_digest
from harness.datasets.load import Digests, load_examples
from harness.decode.executor import InlineExecutor
from harness.decode.experiment import Experiment
from harness.decode.plan import Plan, labels, plan
from harness.decode.run import decode
from harness.errors import SuiteError, did_you_mean
from harness.metrics import registry as metrics_registry
from harness.metrics.evaluate import Due, due_metrics
from harness.metrics.score import Score
from harness.store.numbers import finite
from harness.store.runs import Results, RunFolder
from harness.store.toml import to_toml, toml_value
from harness.suites.examples import Example
from harness.suites.sections import checked
from harness.suites.spec import DecoderRef, MetricRef, Suite, TestedRef
from harness.suites.tables import merged

ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
SEED = 0
"""Of the permutations."""
_COUNTED = TestedRef.model_fields.keys() - {"dataset", "options"}
"""Keys of `[data]` that say how much of it counts, not what it is."""


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of settings, before it is run."""

    label: str
    values: Mapping[str, Any]
    """Of the settings that the grid varies."""
    suite: Suite
    """The suite on its dev data, with this decoder alone."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class Result:
    """One combination of settings and how it did."""

    label: str
    values: Mapping[str, Any]
    ref: DecoderRef
    """The decoder's whole table with them."""
    score: Score
    p: float
    """Of the difference to the best one, after Holm's correction over those of its decoder; NaN for the best itself and where
    the metric's rows cannot be exchanged."""
    failed: int
    folder: RunFolder

    @property
    def apart(self) -> bool:
        """Whether it is surely not as good as the best."""
        return self.p <= SIGNIFICANCE

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "decoder": self.label,
            "values": dict(self.values),
            "output": self.score.output,
            "value": self.score.value,
            "low": finite(self.score.low),
            "high": finite(self.score.high),
            "n": self.score.n,
            "failed": self.failed,
            "p": finite(self.p),
            "worse_than_best": self.apart,
            "folder": str(self.folder.path),
        }


def dev_suite(suite: Suite) -> Suite:
    """The suite on the data that its `[sweep.data]` names.

    Raises:
        SuiteError: it has no `[sweep]`, or one that stays on the suite's own data.
    """
    if suite.sweep is None:
        raise SuiteError(
            f"suite {suite.name!r} has no [sweep]; add [sweep.data] with another split, and the values to try under "
            "[sweep.grid.LABEL]"
        )
    own = {"dataset": suite.data.dataset, **suite.data.options}
    table = merged(own, suite.sweep.data)
    if all(table.get(key) == value for key, value in own.items()) and set(table) <= {*own, *_COUNTED}:
        raise SuiteError(
            f"[sweep.data] of suite {suite.name!r} names the suite's own data ({shown(own)}). Settings that were chosen on what "
            'they are judged by look better than they are; name another split, as in split = "val"'
        )
    return suite.model_copy(update={"data": checked(TestedRef, table, "[sweep.data]"), "sweep": None})


def check_apart(suite: Suite, dev: Sequence[Example], test: Sequence[Example]) -> None:
    """Refuse a dev split that holds an example of the test data, by its id or by its content.

    Raises:
        SuiteError: naming one that both have.
    """
    ids = {example.id for example in test}
    shared = [f"the id {example.id!r}" for example in dev if example.id in ids]
    if not shared:
        known = {_content(example): example.id for example in test}
        shared = [
            f"{example.id!r}, which is {known[content]!r} of the test data"
            for example in dev
            if (content := _content(example)) in known
        ]
    if shared:
        raise SuiteError(
            f"the data under [sweep.data] of suite {suite.name!r} has {len(shared)} examples of its test data, such as "
            f"{shared[0]}. Settings must not be chosen on what a suite is judged by; take a split that is apart from it"
        )


def points(suite: Suite, only: Sequence[str], examples: Sequence[Example], digests: Digests) -> list[Point]:
    """Every combination of the grid, planned.

    Args:
        suite: with its `[sweep]`.
        only: decoders of the grid, by label; all by default.
        examples: of the dev data.
        digests: of the dev suite.

    Raises:
        SuiteError: a decoder that the suite or the grid does not have, a setting that a decoder does not have, no values.
    """
    assert suite.sweep is not None  # `dev_suite` has seen to it  # noqa: S101
    dev, grid = dev_suite(suite), suite.sweep.grid
    for label in only:
        if label not in grid:
            raise SuiteError(f"--only {label}: [sweep.grid] of suite {suite.name!r} has no {label!r}{did_you_mean(label, grid)}")
    trials = []
    for label in only or grid:
        if label not in labels(suite):
            raise SuiteError(
                f"[sweep.grid.{label}]: suite {suite.name!r} has no such decoder{did_you_mean(label, labels(suite))}"
            )
        for values in _combinations(label, grid[label]):
            ref = _with_values(label, labels(suite)[label], values)
            point_suite = dev.model_copy(update={"decoders": {label: ref}})
            trials.append(Point(label, values, point_suite, plan(point_suite, label, examples, digests=digests)))
    if not trials:
        raise SuiteError(f"[sweep.grid] of suite {suite.name!r} is empty; name a decoder and the values to try")
    return trials


def sweep(
    suite: Suite,
    results: Results,
    *,
    only: Sequence[str] = (),
    metric: str | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
    progress_bar: ProgressBar,
) -> list[Result]:
    """Run the grid on the dev data and score it; what is on disk is not run again.

    Args:
        suite: with its `[sweep]`.
        results: where to; runs go into its `sweeps`.
        only: decoders, by label; all of the grid by default.
        metric: the number that ranks; that of the suite's `[sweep]` by default.
        batch_size: examples decoded together.
        device: `auto`, `cpu`, `cuda`, ...
        say: for what the user should know.
        progress_bar: from `harness.cli.console`.

    Returns:
        Decoder by decoder, the best first.

    Raises:
        SuiteError: no grid, a dev split that is not apart from the test data, or a metric that cannot rank.
    """
    dev = dev_suite(suite)
    assert suite.sweep is not None  # noqa: S101 - `dev_suite` has seen to it
    due, output = _ranking(suite, metric or suite.sweep.metric)
    dev = dev.model_copy(update={"metrics": {due.label: _ref(suite, due)}})
    with progress_bar(f"reading {suite.name}, dev and test"):
        experiment = Experiment(dev)
        check_apart(suite, experiment.examples, load_examples(suite))
    planned = points(suite, only, experiment.examples, experiment.digests)
    store = results.sweeps
    failures: list[int] = []
    for number, point in enumerate(planned):
        name = f"{suite.name}/{point.label} {shown(point.values)}"
        with progress_bar(f"{number + 1} of {len(planned)}: {name}") as progress:
            scored = point.suite.model_copy(update={"metrics": dev.metrics})
            outcome = decode(
                point.plan, scored, store, executor=InlineExecutor(say), batch_size=batch_size, device=device, progress=progress
            )  # fmt: skip
        failures.append(len(outcome.failures))
        say(f"{number + 1} of {len(planned)}: {name}: {outcome.sentence()}" + ("" if outcome.fresh else " (already on disk)"))
    evaluator = experiment.evaluator(device)
    folders = [store.run(point.plan.spec) for point in planned]
    evaluator.expect(folders)
    with progress_bar(f"{suite.name}: scoring") as progress:
        for done, folder in enumerate(folders, start=1):
            evaluator.score(folder)
            progress(done, len(folders))
    stored = {str(folder.path): ScoredRun.load(folder) for folder in folders}
    records = (record for run in stored.values() for record in run.answers)
    runs = on_same_examples(stored, unreadable_images(records, experiment.examples))
    trials = [
        _Trial(point, folder, runs[str(folder.path)], failed)
        for point, folder, failed in zip(planned, folders, failures, strict=True)
    ]
    return [
        result
        for label in dict.fromkeys(point.label for point in planned)
        for result in _ranked([trial for trial in trials if trial.point.label == label], due, output)
    ]


@dataclass(frozen=True, slots=True)
class _Trial:
    point: Point
    folder: RunFolder
    run: ScoredRun
    failed: int


def _ranked(trials: Sequence[_Trial], due: Due, output: str) -> list[Result]:
    """The points of one decoder, best first, each tested against the best."""
    scored = [trial.run.metrics[due.label] for trial in trials]
    column = next(index for index, score in enumerate(scored[0].scores) if score.output == output)
    values = []
    for trial, measured in zip(trials, scored, strict=True):
        score = measured.scores[column]
        if math.isnan(score.value) or measured.not_ranked:
            reason = measured.not_ranked or score.unavailable or "no text could be scored"
            raise SuiteError(
                f"{output} has no value that ranks {trial.point.label} with {shown(trial.point.values)} ({reason}); correct "
                "that, or choose another number with --metric"
            )
        values.append(score.value if score.higher_is_better else -score.value)
    order = sorted(range(len(trials)), key=lambda place: -values[place])
    p = dict.fromkeys(order, math.nan)
    blank = due.blank()
    if blank.resampling == "bootstrap" and len(order) > 1:
        rows = [
            Clusters.of(trial.run.example_ids, _rows(scored_metric)) for trial, scored_metric in zip(trials, scored, strict=True)
        ]
        draws = max(PERMUTATIONS, math.ceil(5 * (len(order) - 1) / SIGNIFICANCE))
        pairs = [(order[0], rival) for rival in order[1:]]
        raw = permutation_test(align(rows).rows, blank.finalise, pairs, draws=draws, seed=SEED)[:, column]
        p |= dict(zip(order[1:], map(float, correct(raw, "holm")), strict=True))
    return [
        Result(
            trials[place].point.label,
            trials[place].point.values,
            trials[place].point.suite.decoders[trials[place].point.label],
            scored[place].scores[column],
            p[place],
            trials[place].failed,
            trials[place].folder,
        )
        for place in order
    ]


def _rows(scored: ScoredMetric) -> Floats:
    assert scored.rows is not None  # what has a value has rows  # noqa: S101
    return scored.rows


def _ranking(suite: Suite, name: str) -> tuple[Due, str]:
    """The metric that reports a number, and the number's name: one of the suite's metrics, or any that is installed.

    Raises:
        SuiteError: there is no such number, or neither of its ends is better.
    """
    own = due_metrics(suite)
    directed = [(due, due.output(metric_output.name)) for due in own for metric_output in due.blank().outputs
                if metric_output.higher_is_better is not None]  # fmt: skip
    for due, output in sorted(directed, key=lambda named: named[1] != name):  # a number's own name before its metric's
        if name in (output, due.label):
            return due, output
    if name in metrics_registry().entries and not any(due.name == name for due in own):
        return _ranking(suite.model_copy(update={"metrics": {name: MetricRef()}}), name)
    known = [output for _, output in directed]
    raise SuiteError(f"--metric {name}: suite {suite.name!r} has no number of this name that can rank{did_you_mean(name, known)}")


def _ref(suite: Suite, due: Due) -> MetricRef:
    return suite.metrics.get(due.label, MetricRef())


def _combinations(label: str, grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    for key, values in grid.items():
        if not values:
            raise SuiteError(f"[sweep.grid.{label}] {key} = []: expected at least one value to try")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())] if grid else []


def _with_values(label: str, ref: DecoderRef, values: Mapping[str, Any]) -> DecoderRef:
    return checked(DecoderRef, {**_table(ref), **values}, f"[sweep.grid.{label}]")


def _content(example: Example) -> str:
    """What makes an example what it is: its prompt with its references, else its image, else its references."""
    texts = [example.prompt, *example.references]
    if example.prompt or example.image is None:
        return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
    return image_digest(example.image) or f"missing: {example.id}"


def shown(values: Mapping[str, Any]) -> str:
    """Settings on one line, such as `k = 8, beta = 1.0`."""
    return ", ".join(f"{key} = {toml_value(value)}" for key, value in values.items())


def to_paste(result: Result) -> str:
    """The decoder's table with the settings of a result, as TOML."""
    return to_toml({"decoders": {result.label: _table(result.ref)}})


def _table(ref: DecoderRef) -> dict[str, Any]:
    """A decoder's table as a suite would have it."""
    own = ref.model_dump(exclude={"options"}).items()
    return {**{key: value for key, value in own if value not in (None, "")}, **ref.options}
