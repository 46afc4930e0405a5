"""From a suite to answers on disk: plan, find what is missing, decode it, store it.

A run that was killed, interrupted or limited to some examples is gone on with by running it again. Nothing here depends
on what was decoded before, only on what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoders.base import ImageLike, Need, Prompt
from harness import registry
from harness.datasets.base import Dataset
from harness.datasets.counts import check_count
from harness.datasets.images import AbsentImage
from harness.datasets.places import is_text
from harness.errors import DataError, Interrupted, NeedMissing, SuiteError, UnreadableImage
from harness.examples import Example, Sample, read_image, seed_for
from harness.executor import Executor, InlineExecutor, Job, Task, pick_device
from harness.overlap import refuse_shared
from harness.provenance import environment
from harness.registry import did_you_mean
from harness.spec import DataRef, DecoderRef, ModelPin, RunSpec, Suite, checked
from harness.store import Key, Record, Results, RunFolder, cache_folder

if TYPE_CHECKING:  # reading data needs no torch
    from decoders.models.load import Role

CONSTANT = "constant"
"""The row that stands in every captioning table: one sentence, whatever the image."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One decoder of a suite, ready to run."""

    spec: RunSpec
    examples: Sequence[Example]
    captions: tuple[str, ...] | None
    captions_index: Path | None = None
    """Where their features are already."""

    @property
    def keys(self) -> list[Key]:
        """Everything that has to be answered, in the data set's order."""
        return [(example.id, draw) for example in self.examples for draw in range(self.spec.draws)]

    def tasks(self, answered: set[Key], limit: int | None = None) -> list[Task]:
        """What is still missing among the first `limit` examples."""
        identity = self.spec.identity()
        chosen = self.examples if limit is None else self.examples[:limit]
        return [
            Task(
                (example.id, draw),
                Prompt(example.id, self.spec.prompt.replace("{prompt}", example.prompt), example.image),
                seed_for(identity, example.id, draw),
            )
            for example in chosen
            for draw in range(self.spec.draws)
            if (example.id, draw) not in answered
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run stands after `decode`."""

    label: str
    identity: str
    folder: RunFolder
    total: int
    decoded: int
    """Answers with a text."""
    failures: Sequence[Record] = field(default_factory=tuple)
    fresh: int = 0
    """How many were decoded just now."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; a failed example is not missing."""
        return self.decoded + len(self.failures) == self.total

    def sentence(self) -> str:
        """Such as `997 of 1000 decoded, 3 failed: UnreadableImage img7 (...), ...`."""
        text = f"{self.decoded} of {self.total} decoded"
        if self.failures:
            shown = "; ".join(
                f"{each.failure.kind}: {each.failure.message}" for each in self.failures[:3] if each.failure
            )
            text += f", {len(self.failures)} failed: {shown}" + ("; ..." if len(self.failures) > 3 else "")
        missing = self.total - self.decoded - len(self.failures)
        return text + (f", {missing} still to do" if missing else "")


def load_dataset(ref: DataRef, folder: Path, where: str) -> Dataset:
    """The data set a suite names.

    Raises:
        SuiteError: options it does not know.
        UnknownPlugin, BrokenPlugin, ClashingPlugins: no such format.
    """
    plugin = registry.datasets().load(ref.dataset)
    return plugin(checked(plugin.Options, ref.options, where), folder)


def load_examples(suite: Suite) -> list[Example]:
    """The examples of a suite, checked, with the images that were found for their titles where `[images]` says so.

    Raises:
        SuiteError: none, or an id twice.
        DataError: files missing or malformed, or another number of examples than the suite expects.
    """
    examples = load_dataset(suite.data, suite.folder, "[data]").examples()
    if examples:
        check_count(len(examples), suite.data.expect, f"the data of suite {suite.name!r}")
    examples = counted(examples, suite)
    if not examples:
        raise SuiteError(f"the data of suite {suite.name!r} has no examples; check the options under [data]")
    lost = [each.image for each in examples if isinstance(each.image, AbsentImage) and each.image.nowhere]
    if len(lost) == len(examples):
        raise DataError(
            f"the images of suite {suite.name!r} are not there: {lost[0].where}. Put them there, or change `images` under "
            "[data]; `seetell data check SUITE` says how to get them"
        )
    _check_examples(suite, examples)
    if suite.images is None:
        return examples
    from harness.image_index import with_images

    found = with_images(suite, examples)
    _check_examples(suite, found)
    return found


def captions_to_choose_from(suite: Suite, tested: Sequence[Example]) -> tuple[str, ...]:
    """The captions that a suite's retrieval chooses from, in order.

    Args:
        suite: one with a `[captions]` section.
        tested: its own examples, none of which may be among those of the captions. An index of captions knows no examples; it was
            looked at when it was built.

    Raises:
        SuiteError: no captions.
        DataError: they cannot be read, or hold what is tested.
    """
    assert suite.captions is not None  # the callers have seen to it  # noqa: S101
    dataset = load_dataset(suite.captions, suite.folder, "[captions]")
    if dataset.index_folder() is not None:
        found = tuple(dataset.captions())
    else:
        offered = dataset.texts()
        refuse_shared(tested, offered, suite.name)
        found = tuple(text for example in offered for text in example.references)
    if not found:
        raise SuiteError("the data named under [captions] has no captions; CLIPRe needs some to choose from")
    return found


def _check_examples(suite: Suite, examples: Sequence[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if not example.id or not is_text(example.id):
            raise SuiteError(
                f"the data of suite {suite.name!r} has the id {example.id!r}; expected a text that UTF-8 can write"
            )
        if not is_text(example.prompt):
            raise SuiteError(
                f"the prompt of {example.id!r} in the data of suite {suite.name!r} holds half of a surrogate pair "
                f"({example.prompt[:60]!r}); expected a text that UTF-8 can write"
            )
        if example.id in seen:
            raise SuiteError(
                f"the data of suite {suite.name!r} has the id {example.id!r} twice; ids join results and must be unique"
            )
        seen.add(example.id)


def counted(examples: list[Example], suite: Suite) -> list[Example]:
    """Those that `exclude` and `first` under `[data]` leave."""
    excluded = set(suite.data.exclude)
    if unknown := excluded - {example.id for example in examples}:
        raise SuiteError(
            f"[data] exclude of suite {suite.name!r} names {len(unknown)} examples that the data does not have, such as "
            f"{min(unknown)!r}; expected ids of examples"
        )
    return [example for example in examples if example.id not in excluded][: suite.data.first]


def labels(suite: Suite) -> dict[str, DecoderRef]:
    """The suite's decoders, with the constant row that every captioning suite gets."""
    named = dict(suite.decoders)
    if (
        suite.task == "caption"
        and suite.models.language_model
        and all((ref.decoder or label) != CONSTANT for label, ref in named.items())
    ):
        named[CONSTANT] = DecoderRef()
    return named


def plan(suite: Suite, label: str, examples: Sequence[Example], *, digests: Digests | None = None) -> Plan:
    """Pin one decoder of a suite down.

    Raises:
        SuiteError: no such label, unknown hyper-parameters.
        NeedMissing: the decoder needs what the suite does not name.
        ModelNotFound: a model name that leads nowhere.
    """
    digests = digests or Digests(suite, examples)
    named = labels(suite)
    if label not in named:
        raise SuiteError(f"suite {suite.name!r} has no decoder {label!r}{did_you_mean(label, named)}")
    ref = named[label]
    name = ref.decoder or label
    plugin = registry.decoders().load(name)
    config = checked(plugin.Config, ref.options, f"[decoders.{label}]")
    _check_needs(suite, label, plugin.needs, examples)
    needs_clip = plugin.needs & {Need.CLIP, Need.INDEX}
    spec = RunSpec(
        suite=suite.name,
        label=label,
        task=suite.task,
        decoder=name,
        decoder_version=plugin.version,
        config=config.model_dump(mode="json"),
        language_model=digests.model(suite.models.language_model, "language_model")
        if Need.LM in plugin.needs
        else None,
        image_text=digests.model(suite.models.image_text, "image_text") if needs_clip else None,
        data_digest=digests.data,
        captions_digest=digests.captions_digest if Need.INDEX in plugin.needs else None,
        prompt=suite.text.prompt,
        max_new_tokens=ref.max_new_tokens or suite.text.max_new_tokens,
        max_length=None if ref.max_new_tokens else suite.text.max_length,
        sentences=suite.text.sentences,
        sentences_by=suite.text.sentences_by,
        seed=suite.run.seed,
        draws=(ref.draws or suite.run.draws) if plugin.seeded else 1,
        dtype=suite.run.dtype,
    )
    if Need.INDEX not in plugin.needs:
        return Plan(spec, examples, None)
    return Plan(spec, examples, digests.captions, digests.captions_index)


def decode(
    planned: Plan,
    suite: Suite,
    results: Results,
    *,
    executor: Executor | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Decode what is missing of one run and store it.

    Args:
        planned: from `plan`.
        suite: where it comes from; kept in run.json, so that a result explains itself.
        results: where to.
        executor: who decodes; this process by default.
        batch_size: examples at once; the suite's by default. It never changes a text.
        limit: only the first so many examples; the run stays incomplete and can be gone on with.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        progress: called with answers done and due after every batch.

    Raises:
        RunLocked: another process writes this run.
        Interrupted: Ctrl-C; everything up to the last batch is on disk.
    """
    folder = results.run(planned.spec)
    keys = planned.keys
    with folder.lock():
        folder.open(planned.spec, len(keys), suite.document(), environment())
        records = {record.key: record for record in folder.records()}
        tasks = [] if folder.complete else planned.tasks(set(records), limit)
        progress(len(records), len(keys))
        if tasks:
            job = Job(planned.spec, planned.captions, pick_device(device), cache_folder(), planned.captions_index)
            _decode_tasks(
                job,
                tasks,
                folder,
                records,
                executor or InlineExecutor(),
                batch_size or suite.run.batch_size,
                len(keys),
                progress,
            )
        if len(records) == len(keys):
            folder.finish(keys)
    failures = [record for record in records.values() if record.failure]
    return Outcome(
        planned.spec.label,
        planned.spec.identity(),
        folder,
        len(keys),
        len(records) - len(failures),
        failures,
        len(tasks),
    )


def _decode_tasks(
    job: Job,
    tasks: Sequence[Task],
    folder: RunFolder,
    records: dict[Key, Record],
    executor: Executor,
    batch_size: int,
    total: int,
    progress: Callable[[int, int], None],
) -> None:
    try:
        with folder.part() as part:
            for batch in executor.run(job, tasks, batch_size):
                part.append(batch)
                records.update({record.key: record for record in batch})
                progress(len(records), total)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped: {len(records)} of {total} answers of {job.spec.suite}/{job.spec.label} are on disk. Run the same command "
            "again to go on from there"
        ) from None


def samples(folder: RunFolder, examples: Sequence[Example]) -> list[Sample]:
    """The stored answers of a run, joined with their examples by id, sorted by id and draw."""
    by_id = {example.id: example for example in examples}
    return [
        Sample(by_id[record.example_id], record.draw, record.text, record.tokens, record.finish, record.failure)
        for record in folder.records()
        if record.example_id in by_id
    ]


class Digests:
    """The content hashes of a suite's data and models, each computed once and only if asked for."""

    def __init__(self, suite: Suite, examples: Sequence[Example]) -> None:
        self._suite = suite
        self._examples = examples
        self._models: dict[str, ModelPin] = {}
        self._data = ""
        self._captions: tuple[str, ...] | None = None

    @property
    def data(self) -> str:
        """Hash of all examples: ids, prompts, references, meta and the bytes of every image."""
        if not self._data:
            self._data = data_digest(self._examples)
        return self._data

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions that retrieval chooses from."""
        if self._captions is None:
            self._captions = captions_to_choose_from(self._suite, self._examples)
        return self._captions

    @property
    def captions_index(self) -> Path | None:
        """The folder of a built index of `captions`, if that is where they come from."""
        assert self._suite.captions is not None  # noqa: S101
        return load_dataset(self._suite.captions, self._suite.folder, "[captions]").index_folder()

    @property
    def captions_digest(self) -> str:
        """Hash of `captions`."""
        return _hash(self.captions)

    def model(self, name: str | None, role: Role | None = None) -> ModelPin:
        """A model with the hash of its content; `role` is what it has to be."""
        from decoders.models.load import model_digest

        assert name is not None  # `_check_needs` has seen to it  # noqa: S101
        resolved = resolve_model(name, self._suite.folder)
        if resolved not in self._models:
            self._models[resolved] = ModelPin(name=resolved, digest=model_digest(resolved, role))
        return self._models[resolved]


def image_digest(image: ImageLike) -> str:
    """SHA-256 of an image's bytes, the same however it is packed; empty if it cannot be read."""
    try:
        return hashlib.sha256(read_image(image)).hexdigest()
    except UnreadableImage:
        return ""


def data_digest(examples: Sequence[Example], of_image: Callable[[ImageLike], str] = image_digest) -> str:
    """SHA-256 over the content of examples, order included; a file that cannot be read counts as missing."""
    digest = hashlib.sha256()
    for example in examples:
        image = None if example.image is None else of_image(example.image) or "missing"
        digest.update(_canonical([example.id, example.prompt, example.references, dict(example.meta), image]))
    return digest.hexdigest()


def _hash(content: Any) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def resolve_model(name: str, folder: Path) -> str:
    """A model's name as the loaders take it: relative folders start at the suite's file, what was fetched is taken from there."""
    from harness.fetch.lock import use_fetched_models

    scheme, colon, rest = name.partition(":")
    if colon and scheme in {"hf", "hf-hub", "open_clip"}:
        use_fetched_models()
    if colon and scheme in {"local", "local-dir"} and not Path(rest).is_absolute():
        return f"{scheme}:{(folder / rest).resolve()}"
    return name


def _check_needs(suite: Suite, label: str, needs: frozenset[Need], examples: Sequence[Example]) -> None:
    wants: Mapping[Need, tuple[bool, str]] = {
        Need.LM: (suite.models.language_model is not None, "a language model; add language_model under [models]"),
        Need.CLIP: (suite.models.image_text is not None, "an image-text model; add image_text under [models]"),
        Need.INDEX: (suite.captions is not None, "captions to choose from; add a [captions] table"),
    }
    for need, (given, remedy) in wants.items():
        if need in needs and not given:
            raise NeedMissing(f"the decoder {label!r} of suite {suite.name!r} needs {remedy}")
    if Need.IMAGE in needs:
        blind = next((example.id for example in examples if example.image is None), None)
        if blind is not None:
            raise NeedMissing(
                f"the decoder {label!r} needs an image for every example, and {blind!r} of suite {suite.name!r} has none"
            )
