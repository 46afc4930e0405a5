"""Score stored runs: which metrics are due, with which models, and back into the store.

A metric's result is kept under a hash of all that moves it (its options, the samples, the data, the models), so scoring
again costs nothing until one of them changes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from decoders.models.arithmetic import pinned_arithmetic
from decoders.models.loaded import Models
from harness.datasets.load import Digests
from harness.errors import (
    MetricError,
    ModelMismatch,
    ModelNotFound,
    NeedMissing,
    RunIncomplete,
    SeeTellError,
    StoreError,
    SuiteError,
)
from harness.metrics import registry as metrics_registry
from harness.metrics.base import Metric, MetricConfig
from harness.metrics.score import Score, ScoreSheet, score_samples, unavailable
from harness.store.durable import Progress, no_progress
from harness.store.runs import RunFolder, samples
from harness.store.sealed import file_sha256
from harness.suites.examples import Example, Sample
from harness.suites.provenance import seetell_version
from harness.suites.sections import checked
from harness.suites.spec import MetricRef, ModelPin, Suite


@dataclass(frozen=True, slots=True)
class Due:
    """A metric of a suite, checked but without its models."""

    label: str
    name: str
    plugin: type[Metric]
    config: MetricConfig
    code: str = ""
    """Hash of a plug-in's code; empty for SeeTell's own metrics."""

    def blank(self) -> Metric:
        """The metric without its models: enough to name its outputs and to finalise rows."""
        return self.plugin(self.config, Models())

    def named(self, scores: Sequence[Score]) -> list[Score]:
        """Scores under the names that tables have for them: one metric may be in a suite twice, under two labels.

        Signatures of plug-ins name their code, so that numbers made before and after an edit are not ranked together.
        """
        code = f"|code:{self.code[:8]}" if self.code else ""
        return [
            replace(score, output=self.output(score.output), signature=score.signature and score.signature + code)
            for score in scores
        ]

    def output(self, name: str) -> str:
        """`rep-2` where the metric stands under its own name, `rep-2:simctg` under the label `simctg`."""
        return name if self.label == self.name else f"{name}:{self.label}"


def due_metrics(suite: Suite) -> list[Due]:
    """The metrics a suite names, their options checked.

    Raises:
        SuiteError: an option that cannot be, or two metrics that report a number under one name.
        UnknownPlugin, BrokenPlugin, ClashingPlugins: as for decoders.
    """
    due: list[Due] = []
    plugins = metrics_registry()
    for label, ref in suite.metrics.items():
        name = ref.metric or label
        plugin, code = plugins.load(name), plugins.code(name)
        config = checked(plugin.Config, ref.options, f"[metrics.{label}]")
        due.append(Due(label, name, plugin, _located(config, suite.folder), code.digest() if code else ""))
    claimed: dict[str, str] = {}
    for metric in due:
        for output in metric.blank().outputs:
            name = metric.output(output.name)
            if (owner := claimed.setdefault(name, metric.label)) != metric.label:
                raise SuiteError(
                    f"[metrics.{owner}] and [metrics.{metric.label}] both report {name!r}, so one hides the other; write one "
                    f'of them under another label, with metric = "{metric.name}"'
                )
    return due


def _located(config: MetricConfig, folder: Path) -> MetricConfig:
    """The config with its relative paths made absolute."""
    paths = {name: folder / value for name, value in config if isinstance(value, Path)}
    return config.model_copy(update=paths) if paths else config


RowMaker = Callable[[str, MetricConfig, Mapping[Need, ModelPin], str, Sequence[Sample]], NDArray[np.float64]]
"""Makes the rows of a metric: its name, config, models and device, and the samples."""


def metric_with_models(name: str, config: MetricConfig, models: Mapping[Need, ModelPin], device: str) -> Metric:
    """A metric with its models, in float32.

    Raises:
        ModelNotFound, ModelMismatch: a model that is not available.
    """
    plugin = metrics_registry().load(name)
    if not models:
        return plugin(config, Models())
    from decoders.models import load  # torch with it: a second that metrics of texts alone do not cost
    from decoders.models.devices import pick_device

    where = {"dtype": "float32", "device": pick_device(device)}
    lm, clip, encoder = (models.get(need) for need in (Need.LM, Need.CLIP, Need.ENCODER))
    with pinned_arithmetic():
        return plugin(
            config,
            Models(
                language_model=load.load_language_model(lm.name, **where) if lm else None,
                image_text=load.load_image_text(clip.name, **where) if clip else None,
                sentence_encoder=load.load_sentence_encoder(encoder.name, **where) if encoder else None,
            ),
        )


class Evaluator:
    """Scores the runs of one suite; models are loaded when a metric first needs them."""

    def __init__(
        self, suite: Suite, examples: Sequence[Example], digests: Digests, device: str, *, make_rows: RowMaker | None = None
    ) -> None:
        self.suite = suite
        self.examples = examples
        self.digests = digests
        self.device = device
        self.make_rows = make_rows
        """Who makes the rows of metrics whose rows can be made apart; this process by default."""
        self.due = due_metrics(suite)

    def expect(self, folders: Sequence[RunFolder], *, fresh: bool = False) -> None:
        """Tell each metric which runs it will score, so that it starts Java, or what else is slow to start, once for all runs."""
        folders = [folder for folder in folders if folder.complete]
        missing = [self._missing(folder, fresh) for folder in folders]
        if len(missing) < 2:
            return
        answers = [samples(folder, self.examples) if due else [] for folder, due in zip(folders, missing, strict=True)]
        for due in self.due:
            runs = [run for run, wanted in zip(answers, missing, strict=True) if due in wanted]
            if len(runs) > 1:
                # What is wrong it will say when it is asked for rows.
                with contextlib.suppress(MetricError, NeedMissing, ModelNotFound, ModelMismatch):
                    self.metric(due).expect(runs)

    def _missing(self, folder: RunFolder, fresh: bool) -> list[Due]:
        before = {} if fresh else folder.sound_scores()[0]
        content = file_sha256(folder.path / "samples.parquet")
        return [due for due in self.due if not _still_good(before.get(due.label), self._key(due, content))]

    def score(
        self,
        folder: RunFolder,
        *,
        fresh: bool = False,
        others: Mapping[str, MetricRef] | None = None,
        progress: Progress = no_progress,
    ) -> list[Score]:
        """Score one complete run and store the scores.

        Args:
            folder: the run.
            fresh: compute metrics again that are stored already.
            others: metrics beside the suite's, whose stored scores stay where nothing that moves them has changed.
            progress: called with metrics done and due.

        Raises:
            RunIncomplete: not every example has its answer yet.
        """
        if not folder.complete:
            raise RunIncomplete(
                f"{folder.path} is not complete, and part of a run has no score; finish it with `seetell run {self.suite.name}`"
            )
        folder.records()  # raises where the stored answers were changed
        content = file_sha256(folder.path / "samples.parquet")
        stored, sound = folder.sound_scores()
        before = {} if fresh else stored
        # A stored result counts as long as its key, a hash of all that moves it, is what it would be now. Those of metrics that
        # are not asked for now (`others`) stay beside the ones that are, under the same rule.
        keys = {due.label: self._key(due, content) for due in self.due}
        beside = {
            label: entry
            for label, entry in stored.items()
            if label not in keys and entry["key"] == self._key_beside(label, others or {}, content)
        }
        kept = {label: entry for label, entry in before.items() if _still_good(entry, keys.get(label))}
        rows = {**self._sound_rows(folder, kept), **self._sound_rows(folder, beside)}
        missing = [due for due in self.due if due.label not in kept]
        progress(len(kept), len(self.due))
        entries: dict[str, Any] = dict(kept)
        columns: dict[str, list[str]] = {}
        answers = samples(folder, self.examples) if missing else []
        for done, due in enumerate(missing, start=len(kept) + 1):
            sheet = self._sheet(due, answers)
            name = f"{due.label}-{keys[due.label][:8]}" if due.label in sheet.rows else None
            if name:
                rows[name] = sheet.rows[due.label]
                columns[name] = due.blank().columns_of(rows[name].shape[1])
            entries[due.label] = {"key": keys[due.label], "rows": name, "scores": [score.to_json() for score in sheet.scores]}
            progress(done, len(self.due))
        ordered = {due.label: entries[due.label] for due in self.due}
        if missing or not sound or set(before) != {*ordered, *beside}:
            together = ordered | beside
            labels = [*stored, *ordered] if beside else list(ordered)  # columns stay where they were
            whole = {label: together[label] for label in labels if label in together}
            folder.write_scores({"samples": content, "metrics": whole}, rows, columns)
        return stored_scores({"metrics": ordered})

    def _sound_rows(self, folder: RunFolder, entries: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
        """The rows behind stored entries, by their name; an entry whose rows are damaged or give other values is taken out."""
        rows: dict[str, NDArray[np.float64]] = {}
        blank = {due.label: due.blank() for due in self.due}
        for label, entry in list(entries.items()):
            if not entry["rows"]:
                continue
            try:
                stored_rows = folder.rows(entry["rows"])
            except StoreError:
                del entries[label]
                continue
            if label in blank and not gives_values(blank[label], stored_rows, [score["value"] for score in entry["scores"]]):
                del entries[label]
            else:
                rows[entry["rows"]] = stored_rows
        return rows

    def measure(self, answers: Sequence[Sample]) -> dict[str, ScoreSheet]:
        """Score samples with each metric, by its label, and keep nothing: for subsets that are no run of their own."""
        return {due.label: self._sheet(due, answers) for due in self.due}

    def metric(self, due: Due) -> Metric:
        """A metric with its models.

        Raises:
            ModelNotFound, ModelMismatch: a model that is not available.
        """
        pins, device = self._pins(due), self.device
        if pins and self.make_rows is not None:  # a cluster's device, which this machine need not have
            from decoders.models.devices import device_here

            device = device_here(device)
        return metric_with_models(due.name, due.config, pins, device)

    def _pins(self, due: Due) -> dict[Need, ModelPin]:
        return {need: self.digests.model(name) for need, name in self._models_of(due).items()}

    def _sheet(self, due: Due, answers: Sequence[Sample]) -> ScoreSheet:
        try:
            metric = self.metric(due)
        except (ModelNotFound, ModelMismatch) as error:
            return ScoreSheet(due.named(unavailable(due.blank(), len(answers), str(error))))
        rows = None
        if self.make_rows is not None and due.plugin.per_sample:
            rows = functools.partial(self.make_rows, due.name, due.config, self._pins(due), self.device)
        with pinned_arithmetic():
            sheet = score_samples(answers, {due.label: metric}, seed=self.suite.run.seed, rows=rows)
        return replace(sheet, scores=due.named(sheet.scores))

    def _models_of(self, due: Due) -> dict[Need, str]:
        """The models that a metric is to be given, by need: its own, else the suite's."""
        models = self.suite.models
        named = {Need.LM: models.language_model, Need.CLIP: models.image_text, **due.config.own_models()}
        return {need: name for need, name in named.items() if name and need in due.plugin.needs}

    def _digest(self, name: str) -> str:
        try:
            return self.digests.model(name).digest
        except (ModelNotFound, ModelMismatch):
            return "not to be had"  # part of stored keys, so it keeps its words

    def _key_beside(self, label: str, others: Mapping[str, MetricRef], samples_digest: str) -> str:
        """The key that a metric beside the suite's would have; empty if it is not available any more."""
        if label not in others:
            return ""
        try:
            [due] = due_metrics(self.suite.model_copy(update={"metrics": {label: others[label]}}))
            return self._key(due, samples_digest)
        except SeeTellError:
            return ""

    def _key(self, due: Due, samples_digest: str) -> str:
        content = [
            due.name,
            due.config.model_dump(mode="json"),
            due.blank().variant(),
            samples_digest,
            self.digests.data,
            [self._digest(name) for name in self._models_of(due).values()],
            self.suite.run.seed,
            seetell_version(),
            *filter(None, [due.code]),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def gives_values(metric: Metric, rows: NDArray[np.float64], values: Sequence[float | None]) -> bool:
    """Whether the metric's finaliser turns rows into these values; None stands for a value that is not defined."""
    try:
        values_now = metric.finalise(rows[~np.isnan(rows).any(axis=1)].sum(axis=0))
    except (IndexError, ValueError):  # rows of another width than the finaliser takes
        return False
    return len(values_now) >= len(values) and all(
        value is None or bool(np.isclose(values_now[place], value, rtol=1e-9, atol=1e-12)) for place, value in enumerate(values)
    )


def _still_good(entry: Mapping[str, Any] | None, key: str | None) -> bool:
    """Whether a stored result need not be computed again. What was not available is tried again: it may be there by now."""
    return entry is not None and entry["key"] == key and entry["rows"] is not None


def stored_scores(content: Mapping[str, Any]) -> list[Score]:
    """The scores in a scores.json, in the suite's order."""
    return [Score.from_json(score) for entry in content["metrics"].values() for score in entry["scores"]]
