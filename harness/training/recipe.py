"""Everything that decides an adapted model but the texts and the base: the recipe, and the published values of it.

Su et al. 2022 ("Language Models Can See", and "A Contrastive Framework for Neural Text Generation" for stories) and their code.
What their code got wrong is put right here; docs/training.md has the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.errors import SuiteError, did_you_mean
from harness.suites.sections import Section
from harness.suites.spec import Task
from harness.training.loop import Adaptation

Precision = Literal["float32", "bfloat16"]


class Recipe(Section):
    """What is done to a model. Every field is part of what a resumed training must agree on."""

    model: str
    """What is adapted: `hf:org/name@revision`, `local:folder` or `toybox:plain|ornate|stories`."""
    from_scratch: bool = False
    """Keep only the model's architecture and tokenizer, and draw new weights."""
    task: Task = "caption"
    """How texts are laid out: captions between a start and an end token, or stories after their title."""
    steps: int = Field(ge=1)
    """Updates."""
    batch_size: int = Field(ge=1)
    """Texts an update."""
    micro_batch_size: int = Field(ge=1)
    """Texts in one forward pass. It changes speed, memory and last digits."""
    learning_rate: float = Field(gt=0)
    """At its highest, after the warm-up."""
    margin: float = Field(default=0.5, ge=0, le=1)
    """ρ of the contrastive loss; 0 leaves plain maximum likelihood."""
    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the updates over which the rate grows; then it falls linearly to 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm, once an update."""
    max_tokens: int = Field(ge=2)
    """Longest text: of a caption without its start and end token, of a story with its title."""
    end_token: bool = True
    """Whether stories end with the end token; captions always do."""
    eval_every: int = Field(ge=1)
    """Updates between two evaluations on the validation texts; each evaluation also writes a checkpoint."""
    patience: int | None = Field(default=None, ge=1)
    """Looks without a new best after which training stops; None: never before its last update."""
    precision: Precision = "float32"
    """Of the matrix products. Weights, losses and optimizer are float32 in any case."""
    seed: int = 0
    """Everything random follows from it."""

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.micro_batch_size > self.batch_size:
            raise ValueError(f"a micro-batch of {self.micro_batch_size} is larger than the batch of {self.batch_size}")
        return self

    def adaptation(self) -> Adaptation:
        """The part that the loop wants to know."""
        return Adaptation(
            steps=self.steps,
            batch_size=self.batch_size,
            micro_batch_size=self.micro_batch_size,
            learning_rate=self.learning_rate,
            margin=self.margin,
            warm_up=self.warm_up,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
        )


_GPT2: Mapping[str, Any] = {"model": "hf:gpt2", "learning_rate": 2e-5, "margin": 0.5}
_CAPTIONS: Mapping[str, Any] = {**_GPT2, "task": "caption", "batch_size": 128, "micro_batch_size": 32, "max_tokens": 64}
_TOYBOX: Mapping[str, Any] = {
    "from_scratch": True, "learning_rate": 2e-3, "steps": 500, "batch_size": 48, "micro_batch_size": 48, "eval_every": 50,
}  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mscoco": {**_CAPTIONS, "steps": 20_000, "eval_every": 500},
    "flickr30k": {**_CAPTIONS, "steps": 10_000, "eval_every": 250},
    "rocstories": {
        **_GPT2, "task": "story", "batch_size": 256, "micro_batch_size": 16, "max_tokens": 128, "steps": 8_000,
        "eval_every": 500,
    },
    "toybox": {**_TOYBOX, "model": "toybox:plain", "task": "caption", "max_tokens": 64},
    "toybox-stories": {
        **_TOYBOX, "model": "toybox:stories", "task": "story", "max_tokens": 128, "batch_size": 24, "micro_batch_size": 24,
        "steps": 900, "eval_every": 100,
    },
}  # fmt: skip
"""Three as published (one GPU's micro-batch, all of them accumulated), two for the embedded world."""


def preset_for(suite: str | None, task: Task) -> str:
    """The preset of a suite by its name, or the first of its task: `flickr30k-to-mscoco` has a language model of Flickr30k."""
    name = suite or ""
    if name.startswith("toybox"):
        return "toybox" if task == "caption" else "toybox-stories"
    if task == "story":
        return "rocstories"
    return "flickr30k" if name.startswith("flickr30k") else "mscoco"


def recipe(preset: str, changes: Mapping[str, Any]) -> Recipe:
    """A preset with some of its values changed; a change to None is none.

    A batch smaller than the preset's micro-batch makes the micro-batch as small, unless that is given too.

    Raises:
        SuiteError: no such preset, or a value out of range.
    """
    from harness.suites.sections import checked

    if preset not in PRESETS:
        raise SuiteError(f"there is no preset {preset!r}{did_you_mean(preset, PRESETS)}; there are {', '.join(PRESETS)}")
    given = {name: value for name, value in changes.items() if value is not None}
    values = {**PRESETS[preset], **given}
    if "micro_batch_size" not in given:
        values["micro_batch_size"] = min(values["micro_batch_size"], values["batch_size"])
    if "eval_every" not in given and values["steps"] > 0:
        values["eval_every"] = min(values["eval_every"], values["steps"])
    return checked(Recipe, values, f"training with preset {preset}")
