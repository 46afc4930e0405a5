"""Read a suite's data: its examples, checked, and the captions that retrieval chooses from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from decoders.models.images import ImageLike
from harness.datasets.digests import _hash, data_digest, image_digest, load_dataset, resolve_model
from harness.datasets.images import AbsentImage
from harness.datasets.known import check_count
from harness.datasets.overlap import refuse_shared
from harness.datasets.paths import is_text
from harness.errors import DataError, SuiteError
from harness.store.durable import Progress, no_progress
from harness.suites.examples import Example
from harness.suites.spec import ModelPin, Suite

if TYPE_CHECKING:  # reading data needs no torch
    from decoders.models.names import Role


def load_examples(suite: Suite, *, progress: Progress = no_progress) -> list[Example]:
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
    lost = [example.image for example in examples if isinstance(example.image, AbsentImage) and example.image.nowhere]
    if len(lost) == len(examples):
        raise DataError(
            f"the images of suite {suite.name!r} are not there: {lost[0].where}. Put them there, or change `images` under "
            "[data]; `seetell data check SUITE` says how to get them"
        )
    _check_examples(suite, examples)
    if suite.images is None:
        return examples
    from harness.datasets.index.for_titles import with_images

    retrieved = with_images(suite, examples, progress=progress)
    _check_examples(suite, retrieved)
    return retrieved


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
        captions = tuple(dataset.captions())
    else:
        offered = dataset.texts()
        refuse_shared(tested, offered, suite.name)
        captions = tuple(text for example in offered for text in example.references)
    if not captions:
        raise SuiteError("the data named under [captions] has no captions; CLIPRe needs some to choose from")
    return captions


def _check_examples(suite: Suite, examples: Sequence[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if not example.id or not is_text(example.id):
            raise SuiteError(f"the data of suite {suite.name!r} has the id {example.id!r}; expected a text that UTF-8 can write")
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


class Digests:
    """The content hashes of a suite's data and models, each computed once and only if asked for."""

    def __init__(self, suite: Suite, examples: Sequence[Example]) -> None:
        self._suite = suite
        self._examples = examples
        self._models: dict[str, ModelPin] = {}
        self._images: dict[ImageLike, str] = {}
        self._data = ""
        self._captions: tuple[str, ...] | None = None

    @property
    def data(self) -> str:
        """Hash of all examples: ids, prompts, references, meta and the bytes of every image."""
        if not self._data:
            self._data = data_digest(self._examples, self.image)
        return self._data

    def image(self, image: ImageLike) -> str:
        """SHA-256 of an image's bytes as they were when it was read first; empty if it could not be."""
        if image not in self._images:
            self._images[image] = image_digest(image)
        return self._images[image]

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
        from decoders.models.names import model_digest

        assert name is not None  # `_check_needs` has seen to it  # noqa: S101
        resolved = resolve_model(name, self._suite.folder)
        if resolved not in self._models:
            self._models[resolved] = ModelPin(name=resolved, digest=model_digest(resolved, role))
        return self._models[resolved]
