"""Adapted models beside each other: how likely validation texts are, how alike hidden states, what decoders make of them.

All of it on validation data, so that a choice made here has not seen the test split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError, SuiteError, did_you_mean
from harness.metrics.score import Score
from harness.store.runs import Results
from harness.suites.spec import MetricRef, Suite, TestedRef
from harness.training.corpus import Pair, encode, prepare_tokenizer, read_corpus
from harness.training.losses import Measured, measure
from harness.training.recipe import Recipe

MARGIN = 0.5
"""ρ at which every model's contrastive loss is reported, whatever it was trained with."""
COLUMNS = ("cider", "grounding-f1", "mauve", "rep-4")
"""Scores that are reported where the suite has them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One model with one decoder."""

    folder: Path
    margin: float
    updates: int
    """After which the weights were kept."""
    measured: Measured
    """On the validation texts."""
    decoder: str
    scores: dict[str, Score]
    """By output, of `COLUMNS`."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": str(self.folder),
            "margin": self.margin,
            "updates": self.updates,
            "perplexity": self.measured.perplexity,
            "contrast": self.measured.contrast,
            "anisotropy": self.measured.anisotropy,
            "decoder": self.decoder,
            "scores": {name: score.to_json() for name, score in self.scores.items()},
        }


def compare_models(
    folders: Sequence[Path],
    suite: Suite,
    only: Sequence[str],
    results: Results,
    *,
    size: int | None = None,
    device: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> list[Line]:
    """Measure models, decode the suite's validation split with each, and score that.

    Args:
        folders: as `train_lm` made them.
        suite: whose data, decoders and metrics.
        only: labels of the decoders.
        results: where the runs go; what is there is not decoded again.
        size: examples, where the data set has such an option.
        device: `auto`, `cpu`, `cuda`, ...
        progress: prints what is running.

    Raises:
        SuiteError: no folder, a decoder that is not there, no validation split.
        StoreError: a folder without a finished training.
        SeeTellError: as decoding and scoring.
    """
    if not folders:
        raise SuiteError("no model was named; give folders that `seetell train lm` made")
    records = [_record(folder) for folder in folders]
    pairs = read_corpus(suite, None, None, suite.task).val
    lines = []
    for folder, record in zip(folders, records, strict=True):
        progress(f"{folder}: measuring {len(pairs)} validation texts")
        measured = _measured(folder, pairs, Recipe.model_validate(record["recipe"]), device)
        for label, scores in _scores(_validation_suite(suite, folder, only, size), results, device, progress):
            margin, updates = record["recipe"]["margin"], record["losses"]["best"]
            lines.append(Line(folder, margin, updates, measured, label, scores))
    return lines


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "training.json").read_bytes())
        if record["state"] != "complete":
            raise StoreError(f"the training in {folder} is not over; run its `seetell train lm` again to finish it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder / 'training.json'} cannot be read ({error}); give a folder that `seetell train lm` made"
        ) from error
    return record


def _measured(folder: Path, pairs: Sequence[Pair], recipe: Recipe, device: str) -> Measured:
    from decoders.models.devices import pick_device
    from decoders.models.load import load_for_training

    model, tokenizer, _ = load_for_training(f"local:{folder}", device=pick_device(device))
    prepare_tokenizer(tokenizer, recipe.task)
    context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return measure(model, encode(tokenizer, pairs, recipe, context)[0], MARGIN)


def _validation_suite(suite: Suite, folder: Path, only: Sequence[str], size: int | None) -> Suite:
    """The suite on its validation split, with another language model, some decoders and the reported metrics."""
    from harness.datasets.digests import load_dataset

    for label in only:
        if label not in suite.decoders:
            raise SuiteError(f"--only {label}: suite {suite.name!r} has no such decoder{did_you_mean(label, suite.decoders)}")
    options = load_dataset(suite.data, suite.folder, "[data]").part("val")
    if options is None:
        raise SuiteError(f"[data] of suite {suite.name!r} has no validation split, so models cannot be compared on it")
    chosen = options.model_dump(mode="json", exclude_none=True)
    if size is not None:
        if "size" not in type(options).model_fields:
            raise SuiteError(f"--size: the data set {suite.data.dataset!r} of suite {suite.name!r} has no size to set")
        chosen["size"] = size
    metrics: dict[str, MetricRef] = {
        label: ref
        for label, ref in suite.metrics.items()
        if (ref.metric or label) in ("cider", "grounding", "mauve", "repetition")
    }
    return suite.model_copy(
        update={
            "name": f"{suite.name}-val",
            "data": TestedRef.model_validate({"dataset": suite.data.dataset, "options": chosen}),
            "models": suite.models.model_copy(update={"language_model": f"local:{folder.resolve()}"}),
            "decoders": {label: suite.decoders[label] for label in only},
            "metrics": metrics,
        }
    )


def _scores(suite: Suite, results: Results, device: str, progress: Callable[[str], None]) -> list[tuple[str, dict[str, Score]]]:
    from harness.decode.experiment import Experiment
    from harness.decode.run import decode

    experiment = Experiment(suite)
    evaluator = experiment.evaluator(device)
    scored = []
    for label in suite.decoders:
        progress(f"{suite.models.language_model}: {label} on {len(experiment.examples)} validation examples")
        outcome = decode(experiment.plan(label), suite, results, device=device)
        scores = {score.output: score for score in evaluator.score(outcome.folder)}
        scored.append((label, {name: scores[name] for name in COLUMNS if name in scores}))
    return scored
