"""Outputs of other people's systems as runs: scored by the same metrics, stored, compared and ranked like our own.

Systems that answered the same examples with the same references form one suite, named after its content, so that tables
never mix image sets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from decoders.models.images import ImageLike
from harness.datasets.digests import data_digest, image_digest
from harness.datasets.load import Digests
from harness.decode.imported.naming import choose_label, label_of
from harness.decode.imported.read import Outputs
from harness.errors import SuiteError
from harness.metrics.evaluate import Evaluator
from harness.metrics.score import Score
from harness.store.durable import Progress, no_progress
from harness.store.runs import Record, Results, RunFolder, write_bytes
from harness.suites.examples import Example, Sample
from harness.suites.provenance import environment
from harness.suites.spec import DecoderRef, MetricRef, ModelNames, RunSpec, Suite, TestedRef, TextRules

if TYPE_CHECKING:  # it can plan what is decoded, which loads torch; counting words does without
    from harness.decode.experiment import Experiment

IMPORTED = "imported"
"""Stands where a decoder's name would; no decoder has it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One system's outputs in the store."""

    name: str
    suite: Suite
    examples: Sequence[Example]
    folder: RunFolder
    others: Mapping[str, MetricRef]
    """What the same outputs were scored with before, and are not asked for now."""

    @property
    def judged_by(self) -> tuple[str, str | None]:
        """The suite and the image-text model: what is alike in these is scored together."""
        return self.suite.name, self.suite.models.image_text


def store_outputs(
    systems: Sequence[Outputs], results: Results, metrics: Mapping[str, MetricRef], image_text: str | None = None
) -> list[Imported]:
    """Write each system as a complete run.

    Args:
        systems: from `imported.read.read_outputs`, with images from `imported.images` or without, with names from
            `imported.naming` or without.
        results: where to.
        metrics: what the runs are to be scored with; kept with them.
        image_text: the image-text model that metrics are given, named as in a suite; the one of before if none is named.
    """
    known: dict[ImageLike, str] = {}

    def read_once(image: ImageLike) -> str:  # systems share their images
        if image not in known:
            known[image] = image_digest(image)
        return known[image]

    stored: list[Imported] = []
    for system in systems:
        taken = [before.name for before in stored]
        stored.append(_store(system, results, metrics, image_text, taken=taken, of_image=read_once))
    return stored


def score_imported(
    imported: Sequence[Imported], *, fresh: bool = False, device: str = "cpu", progress: Progress = no_progress
) -> dict[str, list[Score]]:
    """Score runs from `store_outputs`; references of a suite are tokenised once for all its systems.

    Scores of metrics that are not asked for now stay with the runs, if nothing that moves them has changed.
    """
    scores: dict[str, list[Score]] = {}
    evaluators: dict[tuple[str, str | None], Evaluator] = {}
    for system in imported:
        if system.judged_by not in evaluators:
            # An `Experiment` would load torch, because it can plan what is decoded; counting words does without.
            digests = Digests(system.suite, system.examples)
            evaluators[system.judged_by] = Evaluator(system.suite, system.examples, digests, device)
    for judged_by, evaluator in evaluators.items():
        evaluator.expect([system.folder for system in imported if system.judged_by == judged_by], fresh=fresh)
    for done, system in enumerate(imported):
        progress(done, len(imported))
        scores[system.name] = evaluators[system.judged_by].score(system.folder, fresh=fresh, others=system.others)
    progress(len(imported), len(imported))
    return scores


def _store(
    system: Outputs,
    results: Results,
    metrics: Mapping[str, MetricRef],
    image_text: str | None,
    *,
    taken: Sequence[str],
    of_image: Callable[[ImageLike], str],
) -> Imported:
    examples = sorted(system.examples, key=lambda example: example.id)
    digest = data_digest(examples, of_image)
    title = f"imported: {len(examples)} examples{' with their images' if system.images else ''}"
    suite_name = f"imported-{digest[:8]}"
    name = choose_label(system, suite_name, _config(system), results, taken)
    folder = results.root / "runs" / suite_name
    names = system.images.names if system.images else {}
    write_bytes(folder / "examples.jsonl", b"".join(_line(example, names.get(example.id)) for example in examples))
    story = system.format.startswith("stories")
    where = {"images": [str(place) for place in system.images.where]} if system.images else {}
    suite = Suite(
        name=suite_name,
        title=title,
        task="story" if story else "caption",
        data=TestedRef(dataset="jsonl", options={"file": "examples.jsonl", **where}),
        text=TextRules(max_new_tokens=1),
        decoders={name: DecoderRef(decoder=IMPORTED)},
        metrics=dict(metrics),
        folder=folder.resolve(),
    )
    spec = _spec(suite, name, system, digest)
    run = results.run(spec)
    with run.lock():
        known = Suite.model_validate(run.describe()["suite"]) if run.complete else suite
        before = known.metrics if run.complete else {}
        suite = suite.model_copy(update={"models": ModelNames(image_text=image_text or known.models.image_text)})
        _write(run, spec, suite.model_copy(update={"metrics": {**before, **metrics}}), system)
    return Imported(name, suite, examples, run, {label: ref for label, ref in before.items() if label not in metrics})


def store_in_suite(
    system: Outputs, experiment: Experiment, results: Results, name: str = "", *, taken: Sequence[str] = ()
) -> Imported:
    """Write a system's answers to a suite's examples as a run of that suite, beside those of its decoders.

    Args:
        system: from `imported.read.read_for_suite`.
        experiment: the suite.
        results: where to.
        name: the system's label in tables; one of its own names if empty.
        taken: labels of other systems that are stored with it.

    Raises:
        SuiteError: the suite has a decoder of that label, or other texts of it.
    """
    from harness.decode.plan import labels  # torch with it

    suite = experiment.suite
    if name:
        system = replace(system, names=(name,), label=name)
    if system.label and label_of(system.label) in labels(suite):
        raise SuiteError(
            f"suite {suite.name!r} has a decoder {label_of(system.label)!r}; give the imported outputs another --name"
        )
    label = choose_label(system, suite.name, _config(system), results, [*labels(suite), *taken])
    spec = _spec(suite, label, system, experiment.digests.data)
    run = results.run(spec)
    with run.lock():
        _write(run, spec, suite, system)
    return Imported(label, suite, experiment.examples, run, {})


def _spec(suite: Suite, label: str, system: Outputs, digest: str) -> RunSpec:
    """The identity of imported outputs: their texts and the data. Nothing is known of models and limits."""
    return RunSpec(
        suite=suite.name,
        label=label,
        task=suite.task,
        decoder=IMPORTED,
        decoder_version=1,
        config=_config(system),
        language_model=None,
        image_text=None,
        data_digest=digest,
        captions_digest=None,
        prompt="{prompt}",
        max_new_tokens=1,
        max_length=None,
        seed=0,
        draws=1 + max(sample.draw for sample in system.samples),
        dtype="float32",
    )


def _config(system: Outputs) -> dict[str, Any]:
    """What tells a system's texts from others."""
    content = hashlib.sha256(b"".join(_record(sample).to_line() for sample in system.samples)).hexdigest()
    return {"format": system.format, "content": content}


def _write(run: RunFolder, spec: RunSpec, suite: Suite, system: Outputs) -> None:
    """Write the answers, unless they are there; the run is locked."""
    answers = [_record(sample) for sample in system.samples]
    run.open(spec, len(answers), suite.document(), environment())
    if not run.complete:
        with run.part() as part:
            part.append(answers)
        run.finish([record.key for record in answers])


def _record(sample: Sample) -> Record:
    if sample.failure:
        return Record(sample.example.id, sample.draw, failure=sample.failure)
    return Record(sample.example.id, sample.draw, sample.text, finish="imported")


def _line(example: Example, image: str | None) -> bytes:
    fields: dict[str, Any] = {"id": example.id, "prompt": example.prompt, "references": list(example.references)}
    if image is not None:
        fields["image"] = image
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
