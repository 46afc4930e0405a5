"""Pin one decoder of a suite down: its settings, its models, its data, and what is missing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decoders.base import Need, Prompt
from decoders.models.images import ImageLike
from harness.datasets.load import Digests
from harness.decode.executor import Task
from harness.decode.planned_image import PlannedImage
from harness.errors import NeedMissing, SuiteError, did_you_mean
from harness.store.runs import Key
from harness.suites import registry
from harness.suites.code import Code
from harness.suites.examples import Example, seed_for
from harness.suites.sections import checked
from harness.suites.spec import DecoderRef, RunSpec, Suite

CONSTANT = "constant"
"""The row of every captioning table: one sentence, whatever the image."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One decoder of a suite, ready to run."""

    spec: RunSpec
    examples: Sequence[Example]
    captions: tuple[str, ...] | None
    captions_index: Path | None = None
    """Where their features are already."""
    image_digests: Mapping[ImageLike, str] = field(default_factory=dict)
    """SHA-256 of the images that could be read when the run was planned."""
    code: Code | None = None
    """Where a plug-in's decoder comes from."""

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
                Prompt(example.id, self.spec.prompt.replace("{prompt}", example.prompt), self._image(example.image)),
                seed_for(identity, example.id, draw),
            )
            for example in chosen
            for draw in range(self.spec.draws)
            if (example.id, draw) not in answered
        ]

    def _image(self, image: ImageLike | None) -> ImageLike | None:
        digest = "" if image is None else self.image_digests.get(image, "")
        return PlannedImage(image, digest) if image is not None and digest else image


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
        ModelNotFound: a model name that cannot be resolved.
    """
    digests = digests or Digests(suite, examples)
    named = labels(suite)
    if label not in named:
        raise SuiteError(f"suite {suite.name!r} has no decoder {label!r}{did_you_mean(label, named)}")
    ref = named[label]
    name = ref.decoder or label
    plugins = registry.decoders()
    plugin, code = plugins.load(name), plugins.code(name)
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
        language_model=digests.model(suite.models.language_model, "language_model") if Need.LM in plugin.needs else None,
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
        code=code and code.digest(),
    )
    looked_at = [example.image for example in examples if example.image is not None and Need.IMAGE in plugin.needs]
    images = {image: digests.image(image) for image in looked_at}
    if Need.INDEX not in plugin.needs:
        return Plan(spec, examples, None, None, images, code)
    return Plan(spec, examples, digests.captions, digests.captions_index, images, code)


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
