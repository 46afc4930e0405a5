"""What is to be run: suites as people write them (TOML), run specs as the machine pins them down, and their identity.

A suite says which data, which models, which decoders with which settings, which metrics. Planning turns each of its
decoders into one `RunSpec`, in which every default is spelled out and every model and data set is named by its content.
The hash of that is the run's identity: equal identity means equal text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from harness.errors import SuiteError
from harness.suites.places import data_folder
from harness.suites.sections import Section, Slug, checked
from harness.suites.settings import settings_of
from harness.suites.tables import DATA_VARIABLE, find_suite, suite_table
from harness.suites.tables import packaged_suites as packaged_suites
from harness.suites.wording import Cleaner, Rule

Task = Literal["caption", "story"]
Dtype = Literal["float32", "tf32", "bfloat16", "float16"]


class PluginSection(Section):
    """A section that names a plug-in and holds that plug-in's own options beside SeeTell's keys."""

    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "options" in values:
            return values
        own = {key: value for key, value in values.items() if key in cls.model_fields}
        return {**own, "options": {key: value for key, value in values.items() if key not in own}}


class DataRef(PluginSection):
    """Where retrieval's captions come from: a data set format and its options."""

    dataset: str
    """The format, such as `coco`, `jsonl` or `karpathy`; the options of each format are keys beside it."""
    expect: int | None = Field(default=None, ge=1)
    """How many examples there must be (5,000 in Karpathy's test split of MS-COCO); another number is refused."""
    how: str = ""
    """How to get the data, shown by `seetell data check` where some of it is missing."""


class TestedRef(DataRef):
    """What is described: a data set format and its options, and which of the examples count."""

    exclude: tuple[str, ...] = ()
    """Ids of examples to leave out."""
    first: int | None = Field(default=None, ge=1)
    """Only so many examples, from the beginning; all by default."""


class ImagesRef(PluginSection):
    """Images for the titles of stories, found in an index or among a data set's images (then with its options)."""

    index: Path | None = None
    """Folder of an image index (`seetell index images`)."""
    source: Path | None = None
    """Where the images of that index are now, if they have moved."""
    dataset: str = ""
    """Instead of an index: a data set whose images are indexed the first time."""
    top: int = Field(default=1, ge=1, le=100)
    """Images a title. Each makes an example of its own: rank 0 has the title's id, rank n the id and `#n`."""
    cleaner: Cleaner = "proper"
    """How a title becomes a query; `as-published` eats first letters."""

    @model_validator(mode="after")
    def _one_place(self) -> ImagesRef:
        if (self.index is None) == (not self.dataset):
            raise ValueError("[images] needs either index = a folder, or dataset = a format and its options")
        if self.index is not None and self.options:
            raise ValueError(f"unknown key {next(iter(self.options))!r} beside index; known are index, source, top, cleaner")
        return self


class DecoderRef(PluginSection):
    """One decoder under a label of its own; the rest of its keys are the decoder's settings (docs/decoders.md)."""

    decoder: str = ""
    """Which decoder; the label itself if left out."""
    draws: int | None = Field(default=None, ge=1, le=1000)
    """Texts an example, where the decoder samples; the suite's `[run] draws` if left out."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """The limit of this decoder alone, in place of those under `[text]`."""


class MetricRef(PluginSection):
    """One metric under a label of its own; the rest of its keys are the metric's options."""

    metric: str = ""
    """Which metric; the label itself if left out."""


class ModelNames(Section):
    """The models of the suite, by name (docs/models.md lists the schemes)."""

    language_model: str | None = None
    """`hf:org/name@revision`, `local:folder` or `toybox:plain|ornate|stories`."""
    image_text: str | None = None
    """`open_clip:NAME@tag`, `local-dir:folder`, `hf-hub:org/name` or `toybox:clip`."""


class TextRules(Section):
    """What the language model continues, and how far."""

    prompt: str = "{prompt}"
    """`{prompt}` stands for the example's own prompt; special tokens are spelled out."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """New tokens, end token included."""
    max_length: int | None = Field(default=None, ge=2)
    """Prompt plus new tokens."""
    sentences: int | None = Field(default=None, ge=1)
    """Sentences that a stored text has at most; None leaves texts as they were decoded."""
    sentences_by: Rule = "splitter"
    """What a sentence is: by a real splitter, or by dots alone as the published stories were cut."""

    @model_validator(mode="after")
    def _usable(self) -> TextRules:
        if self.max_new_tokens is None and self.max_length is None:
            raise ValueError("[text] needs max_new_tokens or max_length, or a text might never end")
        wrong = [name for name in re.findall(r"\{\w*\}", self.prompt) if name != "{prompt}"]
        if wrong:  # the language model would be given it letter by letter
            raise ValueError(f"[text] prompt = {self.prompt!r} has {wrong[0]} in it; only {{prompt}} is replaced")
        return self


class RunRules(Section):
    """How the suite is decoded."""

    seed: int = 0
    """Everything random follows from it."""
    draws: int = Field(default=1, ge=1, le=1000)
    """Texts an example from decoders that sample; one from those that do not."""
    batch_size: int = Field(default=32, ge=1)
    """Examples decoded together. It changes the speed, never the text."""
    dtype: Dtype = "float32"
    """Arithmetic of the models. Only float32 results are ranked against each other."""


class Sweep(Section):
    """Settings for `seetell sweep` to try, on other data than the suite is judged by."""

    data: Mapping[str, Any]
    """What to change of `[data]`, such as `split = "val"`; no example may be among the suite's own."""
    grid: Mapping[Slug, Mapping[str, tuple[Any, ...]]]
    """`[sweep.grid.LABEL]`: for a decoder, the values to try of each setting; all combinations are run."""
    metric: str = "cider"
    """The number that ranks them, such as `cider` or `bleu-4`."""


class Suite(Section):
    """A whole experiment, as one TOML file."""

    name: Slug
    """Names the suite in commands, tables and the results folder."""
    title: str = ""
    """One line that tables show beside the name."""
    task: Task = "caption"
    """Captions get a `constant` row that describes every image by the same sentence."""
    data: TestedRef
    """What is described: `[data]`."""
    models: ModelNames = ModelNames()
    """Language model and image-text model: `[models]`."""
    captions: DataRef | None = None
    """Where CLIPRe's captions come from."""
    images: ImagesRef | None = None
    """Where images for titles come from; they take the place of the data's own."""
    text: TextRules
    """Prompt and length: `[text]`."""
    run: RunRules = RunRules()
    """Seed, draws, batch size, arithmetic: `[run]`."""
    decoders: Mapping[Slug, DecoderRef]
    """What is compared, a table a decoder: `[decoders.LABEL]`."""
    metrics: Mapping[Slug, MetricRef] = Field(default_factory=dict)
    """What the texts are scored with, a table a metric: `[metrics.LABEL]`."""
    sweep: Sweep | None = None
    """What `seetell sweep` tries."""
    folder: Path = Path()
    """Relative paths in the suite start here: the folder of its file."""
    settings: tuple[str, ...] = ()
    """What `--set` changed of the suite, from `harness.suites.settings.canonical`."""

    @classmethod
    def load(cls, name: str, settings: Sequence[str] = ()) -> Suite:
        """Read a suite: a path to a TOML file, or the name of a packaged one.

        Args:
            name: which.
            settings: what to change of it, as for `--set`, such as `magic.beta=1.5`.

        Raises:
            SuiteError: no such suite, not TOML, unknown keys (with the nearest one), values out of range.
        """
        return cls.parse(*find_suite(name), settings)

    @classmethod
    def parse(cls, content: bytes, where: str, folder: Path, settings: Sequence[str] = ()) -> Suite:
        """Read a suite from the bytes of its file; `where` is how messages call it."""
        table = suite_table(content, where, folder, settings)
        for key in ("folder", "settings"):
            if key in table.content:
                raise SuiteError(f"{where}: unknown key {key!r}; it is not for a suite's file")
        shown = f"{where} with {', '.join(f'--set {setting}' for setting in settings)}" if settings else where
        suite = checked(cls, table.content, shown)
        if not suite.decoders:
            raise SuiteError(f"{where} names no decoder; add a table such as [decoders.magic]")
        return suite.model_copy(update={"folder": folder, "settings": table.settings})

    def settings_of(self, label: str) -> tuple[str, ...]:
        """What `--set` changed that bears on one of its decoders."""
        return settings_of(self.settings, label)

    def document(self) -> dict[str, Any]:
        """Everything in it as plain JSON values, for run.json."""
        return self.model_dump(mode="json")


class ModelPin(Section):
    """A model and the hash of its content; the content decides."""

    name: str
    digest: str


class RunSpec(Section):
    """One decoder on one data set, pinned down to the last default."""

    suite: str
    label: str
    task: Task
    decoder: str
    decoder_version: int
    config: Mapping[str, Any]
    """The full dump of the decoder's config."""
    language_model: ModelPin | None
    image_text: ModelPin | None
    data_digest: str
    captions_digest: str | None
    prompt: str
    max_new_tokens: int | None
    max_length: int | None
    sentences: int | None = None
    sentences_by: Rule = "splitter"
    seed: int
    draws: int
    dtype: Dtype
    code: str | None = None
    """Hash of the code of a plug-in's decoder, `harness.suites.code.Code.digest`; None for SeeTell's own."""

    def as_written(self, suite: Suite) -> RunSpec:
        """The spec with its models named as the suite's author wrote them, for pages: a folder's full path says who runs it."""
        names = {part: getattr(suite.models, part) for part in ("language_model", "image_text")}
        pins = {
            part: pin.model_copy(update={"name": name.replace(str(data_folder()), DATA_VARIABLE)})
            for part, name in names.items()
            if name and (pin := getattr(self, part))
        }
        return self.model_copy(update=pins)

    @model_serializer(mode="wrap")
    def _without_empty_code(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        if content.get("code", "") is None:  # as before there were fingerprints: the same documents, the same identity
            del content["code"]
        return content

    def identity(self) -> str:
        """SHA-256 over all that decides the text: 64 hex digits.

        Names (of the suite, the label, a model's folder) are left out on purpose: the same weights in another folder say
        the same. Batch size and device are no part of a spec at all.
        """
        content = self.model_dump(mode="json", exclude={"suite", "label", "task"})
        for model in ("language_model", "image_text"):
            content[model] = content[model] and content[model]["digest"]
        if self.sentences is None:  # nothing is cut, by no rule: the identity of before there were any
            del content["sentences"], content["sentences_by"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()
