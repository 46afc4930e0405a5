"""A scored run in memory: what comparisons and gates work on, wherever it comes from (the store, or an accepted baseline)."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.decode.imported.keep import IMPORTED
from harness.errors import RunIncomplete, SeeTellError, StoreError, SuiteError, did_you_mean
from harness.metrics.evaluate import stored_scores
from harness.metrics.score import Score
from harness.store.runs import Record, Results, RunFolder
from harness.store.sealed import file_sha256
from harness.suites.examples import title_of
from harness.suites.settings import as_flags
from harness.suites.spec import RunSpec, Suite, packaged_suites


@dataclass(frozen=True, slots=True)
class ScoredMetric:
    """The scores of one metric for a run."""

    scores: tuple[Score, ...]
    rows: NDArray[np.float64] | None
    """`[n, k]` in the order of the run's answers; None where the metric was unavailable."""
    joint: bool = False
    """Whether the rows were made together with those of the run it is compared with; see `harness.compare.joint`."""
    failed: int = 0
    """Answers without a score that count as the worst value; see `harness.compare.same_examples`."""
    not_ranked: str = ""
    """Why these numbers are not ranked; empty where they may be."""


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A complete run with its scores and the rows behind them."""

    spec: RunSpec
    suite: Suite
    """As it was when the run was made; names the metrics and their options."""
    environment: Mapping[str, Any]
    example_ids: tuple[str, ...]
    """The example of each answer."""
    digest: str
    """Hash of all answers, from `digest_answers`."""
    metrics: Mapping[str, ScoredMetric]
    """By their label in the suite."""
    answers: tuple[Record, ...] = ()
    """The texts; none for a baseline, which keeps only their digest."""

    @property
    def name(self) -> str:
        """Such as `toybox-plain/magic-1f0c33ab`."""
        return f"{self.spec.suite}/{self.spec.label}-{self.spec.identity()[:8]}"

    @property
    def clusters(self) -> tuple[str, ...]:
        """What each answer belongs to when answers are exchanged: its example, or its title where that has several images."""
        if self.suite.images is None or self.suite.images.top == 1:
            return self.example_ids
        return tuple(title_of(example_id) for example_id in self.example_ids)

    @classmethod
    def load(cls, folder: RunFolder, called: str = "") -> ScoredRun:
        """Read a run from the store; `StoredRun.scored` says with which errors."""
        return StoredRun.read(folder).scored(called)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is in the store, complete and scored or not. Each of its files is read once."""

    folder: RunFolder
    content: Mapping[str, Any]
    """What run.json says."""
    spec: RunSpec
    suite: Suite
    """As it was when the run was made."""
    complete: bool
    records: tuple[Record, ...]
    digest: str
    """SHA-256 of samples.parquet; empty for an incomplete run."""
    stored: Mapping[str, Any] | None
    """What scores.json says; None before the run is scored."""

    @classmethod
    def read(cls, folder: RunFolder) -> StoredRun:
        """Read everything but the rows of metrics.

        Raises:
            StoreError: a file is damaged.
        """
        content = folder.describe()
        spec, suite = RunSpec.model_validate(content["spec"]), folder.suite()
        complete, records = folder.complete, tuple(folder.records())
        digest = file_sha256(folder.path / "samples.parquet") if complete else ""
        return cls(folder, content, spec, suite, complete, records, digest, folder.scores(of_other_samples=True))

    @property
    def scores(self) -> tuple[Score, ...]:
        """The stored scores, in the suite's order; none where they are of other answers or cannot be read."""
        if self.stored is None or (self.complete and self.stored["samples"] != self.digest):
            return ()
        try:
            return tuple(stored_scores(self.stored))
        except DAMAGE:
            return ()

    def scored(self, called: str = "") -> ScoredRun:
        """The run with its scores and the rows behind them.

        Args:
            called: how the user calls its suite, with the flags that it was changed by; the suite's name by default.

        Raises:
            RunIncomplete: not every example has its answer.
            StoreError: it is not scored, the scores are of other samples, or rows are damaged.
        """
        path, again = self.folder.path, command("score", self.spec, self.suite, called)
        if not self.complete:
            raise RunIncomplete(
                f"{path} has {len(self.records)} of {self.content['answers']} answers, and part of a run compares with "
                f"nothing; finish it with `{command('run', self.spec, self.suite, called)}`"
            )
        if self.stored is None:
            raise StoreError(f"{path} is not scored yet; run `{again}`")
        try:
            if self.stored["samples"] != self.digest:
                raise StoreError(f"the scores in {path} are of other samples; run `{again} --fresh`")
            metrics = {
                label: ScoredMetric(
                    tuple(Score.from_json(score) for score in entry["scores"]),
                    _rows(self.folder, entry["rows"], again) if entry["rows"] else None,
                )
                for label, entry in self.stored["metrics"].items()
            }
        except DAMAGE as error:
            raise StoreError(
                f"{path / 'scores.json'} is damaged ({_first_line(error)}); `{again} --fresh` rewrites it"
            ) from error
        for label, metric in metrics.items():
            if metric.rows is not None and len(metric.rows) != len(self.records):
                raise StoreError(
                    f"{path} has {len(metric.rows)} rows of {label!r} for {len(self.records)} answers; "
                    f"`{again} --fresh` scores again"
                )
        ids = tuple(record.example_id for record in self.records)
        digest = digest_answers(self.records)
        return ScoredRun(self.spec, self.suite, self.content["environment"], ids, digest, metrics, self.records)


DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What files raise that hold something else than what was written: other types, other keys, nesting without end."""


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def command(verb: str, spec: RunSpec, suite: Suite, called: str = "") -> str:
    """What runs or scores a run once more, such as `seetell run toybox-plain --set 'magic.beta=1.5'`."""
    if spec.decoder == IMPORTED:
        return "seetell score FILE..."
    return f"seetell {verb} {called or f'{spec.suite}{as_flags(suite.settings_of(spec.label))}'}"


def current_runs(
    results: Results, name: str, only: Sequence[str] = (), settings: Sequence[str] = ()
) -> dict[str, ScoredRun | SeeTellError]:
    """The runs of a suite as it is now, by decoder label; an error says why one is not available.

    The suite decides which run is meant, not the age of a folder: after a setting was changed and changed back, the run of
    the old setting counts again. Suites that live in the store alone (imported outputs) are taken from there.

    Args:
        results: where the runs are.
        name: a packaged suite, a TOML file, or a suite of the store.
        only: labels; all by default.
        settings: what to change of the suite, as for `--set`.

    Raises:
        SeeTellError: no such suite or label, or its data is not there.
    """
    from harness.decode.experiment import Experiment
    from harness.decode.plan import labels
    from harness.decode.run import other_code

    if not Path(name).is_file() and name not in packaged_suites() and results.runs(name):
        if settings:
            raise SuiteError(f"{name} is known from its results alone, so --set cannot change it; give the suite's file")
        return _stored_runs(results.runs(name), only)
    suite = Suite.load(name, settings)
    experiment = Experiment(suite)
    imported = _imported_runs(results.runs(suite.name), experiment.digests.data)
    known = [*labels(suite), *imported]
    for label in only:
        if label not in known:
            raise SuiteError(f"suite {suite.name!r} has no decoder {label!r}{did_you_mean(label, known)}")
    runs_by_label: dict[str, ScoredRun | SeeTellError] = {}
    called = f"{shlex.quote(name)}{as_flags(suite.settings)}"
    for label in only or known:
        try:
            if label in imported:
                runs_by_label[label] = ScoredRun.load(imported[label])
                continue
            planned = experiment.plan(label)
            folder = results.run(planned.spec)
            if not folder.path.exists():
                changed = other_code(planned, results)
                now = f"today's code ({changed})" if changed else "these settings"
                raise StoreError(f"{suite.name}/{label} was not run with {now}; `seetell run {called}` does it")
            runs_by_label[label] = ScoredRun.load(folder, called)
        except SeeTellError as error:
            runs_by_label[label] = error
    return runs_by_label


def _imported_runs(folders: Sequence[RunFolder], data_digest: str) -> dict[str, RunFolder]:
    """Other people's outputs for a suite's examples, by label; of one label the newest."""
    described = sorted(((folder, folder.describe()) for folder in folders), key=lambda pair: str(pair[1]["created"]))
    return {
        content["spec"]["label"]: folder
        for folder, content in described
        if content["spec"]["decoder"] == IMPORTED and content["spec"]["data_digest"] == data_digest
    }


def _stored_runs(folders: Sequence[RunFolder], only: Sequence[str]) -> dict[str, ScoredRun | SeeTellError]:
    runs_by_label: dict[str, ScoredRun | SeeTellError] = {}
    for folder in folders:
        label = RunSpec.model_validate(folder.describe()["spec"]).label
        if only and label not in only:
            continue
        if label in runs_by_label:
            raise StoreError(
                f"{folder.path.parent} holds several runs of {label!r}, and nothing says which is meant; move the others away"
            )
        try:
            runs_by_label[label] = ScoredRun.load(folder)
        except SeeTellError as error:
            runs_by_label[label] = error
    return runs_by_label


def digest_answers(answers: Iterable[Record]) -> str:
    """SHA-256 over answers as they would be in a part file: the same for the same texts and tokens.

    Not over samples.parquet, whose bytes another version of the parquet library may write differently.
    """
    digest = hashlib.sha256()
    for record in sorted(answers, key=lambda record: record.key):
        digest.update(record.to_line())
    return digest.hexdigest()


def _rows(folder: RunFolder, name: str, again: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        return folder.rows(name)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"the rows {name!r} of {folder.path} cannot be read ({error}); run `{again} --fresh` to write them again"
        ) from error
