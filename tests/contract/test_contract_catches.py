"""A decoder that breaks the contract is caught by the rule that it breaks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from decoders import (
    Decoder,
    DecoderConfig,
    Generation,
    Limits,
    Models,
    Need,
    NeedMissing,
    Prompt,
    PromptTooLong,
    Step,
    StepDecoder,
    UnreadableImage,
)
from decoders.loop import images_of
from decoders.testing import CONTRACT, ContractBroken, check_decoder

BROKEN: list[tuple[str, type[Decoder], dict[str, Any]]] = []
"""Rule, decoder and the settings that it is tried with."""


def breaks(rule: str, **config: Any) -> Callable[[type[Decoder]], type[Decoder]]:
    """Note that a decoder breaks a rule."""

    def note(kind: type[Decoder]) -> type[Decoder]:
        BROKEN.append((rule, kind, config))
        return kind

    return note


class Keeper(StepDecoder):
    """Keeps the contract: greedy search. The broken ones below differ from it in one thing each."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})

    def select(self, step: Step) -> Tensor:
        return step.logits.argmax(dim=-1)

    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        return generations

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        return self.altered(super().decode(prompts, seeds), prompts)


class Looker(Keeper):
    """Keeps the contract: of the two likeliest tokens, the one that fits the image better."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM, Need.CLIP, Need.IMAGE})

    def select(self, step: Step) -> Tensor:
        two = step.candidates(2).ids
        best = step.image_text_logits(step.texts(two, 60)).argmax(dim=-1)
        return torch.where(step.log_probs.max(dim=-1).values > -0.1, two[:, 0], two.gather(1, best[:, None])[:, 0])


class Drawer(Keeper):
    """Keeps the contract: draws from the whole distribution."""

    seeded = True

    def select(self, step: Step) -> Tensor:
        return (step.log_probs + step.gumbel).argmax(dim=-1)


# What it says of itself


@breaks("declaration")
class NeedsAsList(Keeper):
    needs = [Need.LM]  # noqa: RUF012


@breaks("declaration")
class VersionAsText(Keeper):
    version = "2"


@breaks("declaration")
class SeededByOne(Keeper):
    seeded = 1


@breaks("declaration")
class ConfigIsADictionary(Keeper):
    Config = dict


# One generation a prompt


@breaks("one-each")
class SaysThingsOnce(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        return generations[:1]


@breaks("one-each")
class Generator(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return iter(generations)


@breaks("one-each")
class ListsOnly(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        return super().decode([] + prompts, seeds)  # noqa: RUF005


# What a generation is


@breaks("well-formed")
class PlainText(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [generation.text for generation in generations]


@breaks("well-formed")
class TokensInAList(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, tokens=list(g.tokens)) for g in generations]


@breaks("well-formed")
class TensorTrace(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, trace={"score": torch.tensor(1.0)}) for g in generations]


@breaks("well-formed")
class NotANumber(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, trace={"score": float("nan")}) for g in generations]


@breaks("well-formed")
class SpellsSpecialTokensOut(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        tokenizer = self.models.lm.tokenizer
        return [replace(g, text=" ".join(tokenizer.decode(list(g.tokens)).split())) for g in generations]


@breaks("well-formed")
class LooseSpace(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, text=g.text + "\n") for g in generations]


@breaks("well-formed")
class RepeatsThePrompt(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, text=f"{p.text} {g.text}".strip()) for g, p in zip(generations, prompts, strict=True)]


@breaks("well-formed")
class TokensWithThePrompt(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        lm = self.models.lm
        return [replace(g, tokens=(*lm.encode(p.text), *g.tokens)) for g, p in zip(generations, prompts, strict=True)]


@breaks("well-formed")
class OutsideTheVocabulary(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, tokens=(*g.tokens[:-1], -1)) for g in generations]


@breaks("well-formed")
class AlwaysEnds(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, finish="eos") for g in generations]


@breaks("well-formed")
class NeverEnds(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, finish="length") for g in generations]


@breaks("well-formed")
class DropsTheEndToken(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        return [replace(g, tokens=g.tokens[:-1]) if g.finish == "eos" else g for g in generations]


@breaks("well-formed")
class GivesUpEarly(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> Any:
        lm = self.models.lm
        return [
            Generation(" ".join(lm.decode(g.tokens[:3]).split()), g.tokens[:3], "length") if len(g.tokens) > 3 else g
            for g in generations
        ]


# The same again


@breaks("same-twice")
class Counts(Keeper):
    calls = 0

    def select(self, step: Step) -> Tensor:
        self.calls += 1
        return step.candidates(2).ids[:, self.calls // 9 % 2]


@breaks("same-twice")
class InstanceNumber(Keeper):
    made = 0

    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, limits)
        type(self).made += 1
        self.number = self.made

    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, self.number % 2]


# Neighbours


@breaks("batch-size")
class CountsNeighbours(Keeper):
    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, int(len(step.prompts) == 3)]


@breaks("subset")
class CompromisesWithNeighbours(Keeper):
    def select(self, step: Step) -> Tensor:
        return (step.logits + step.logits.mean(dim=0)).argmax(dim=-1)


@breaks("subset")
class SeesPadding(Keeper):
    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, int(step.history.shape[1] > 9)]


@breaks("order")
class FirstComesFirst(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        return torch.cat([ids[:1, 0], ids[1:, 1]])


@breaks("order")
class SortsByLength(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        return sorted(generations, key=lambda generation: len(generation.tokens))


@breaks("duplicates")
class NeverRepeatsItself(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        seen: set[str] = set()
        for place, prompt in enumerate(prompts):
            if prompt.text + str(prompt.image) in seen:
                generations[place] = Generation("as before", (), "retrieved")
            seen.add(prompt.text + str(prompt.image))
        return generations


@breaks("duplicates")
class OneSeedAPrompt(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        first = {prompt.text: seed for prompt, seed in reversed(list(zip(prompts, seeds, strict=True)))}
        return super().decode(prompts, [first[prompt.text] for prompt in prompts])


@breaks("ids")
class ReadsIds(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        return torch.stack([row[len(prompt.id) % 2] for row, prompt in zip(ids, step.prompts, strict=True)])


# Seeds


@breaks("seeds")
class SeededWithoutNoise(Keeper):
    seeded = True


@breaks("seeds")
class SecretlySeeded(Drawer):
    seeded = False


@breaks("seeds")
class HalfASeed(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        for seed in seeds:
            np.random.RandomState(seed)  # takes 32 bits
        return super().decode(prompts, seeds)


@breaks("seeds")
class CutsSeedsOff(Drawer):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        return super().decode(prompts, [seed % 2**32 for seed in seeds])


@breaks("global-randomness")
class TorchNoise(Drawer):
    def select(self, step: Step) -> Tensor:
        return (step.log_probs - torch.rand(step.logits.shape).log()).argmax(dim=-1)


@breaks("same-twice")
class NumpyNoise(Drawer):
    def select(self, step: Step) -> Tensor:
        return step.candidates(4).ids[:, np.random.randint(4)]  # noqa: NPY002


@breaks("global-randomness")
class SeedsEverything(Drawer):
    """Its texts are repeatable; whoever else draws numbers is not amused."""

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        random.seed(0)
        return super().decode(prompts, seeds)


@breaks("global-randomness")
class GradientsOff(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        torch.set_grad_enabled(False)
        return super().decode(prompts, seeds)


# Lengths


@breaks("length-limits")
class IgnoresLimits(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, Limits(6))


@breaks("length-limits")
class ForgetsMaxLength(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        super().__init__(config, models, replace(limits, max_length=None))


@breaks("length-limits")
class ForgetsThePrompt(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        both = [n for n in (limits.max_new_tokens, limits.max_length) if n is not None]
        super().__init__(config, models, Limits(min(both, default=None)))


@breaks("length-limits")
class OneTooFew(Keeper):
    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        fewer = None if limits.max_length is None else limits.max_length - 1
        super().__init__(config, models, replace(limits, max_length=fewer))


@breaks("no-room")
class SaysNothingWithoutRoom(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except PromptTooLong:
            return [Generation("", (), "length") for _ in prompts]


@breaks("no-room")
class ComplainsVaguely(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except PromptTooLong:
            raise PromptTooLong("some prompt is too long") from None


# Nothing to go on


@breaks("empty-prompt")
class LooksAtTheFirstLetter(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        assert all(prompt.text[0] for prompt in prompts)
        return super().decode(prompts, seeds)


@breaks("empty-prompt")
class StartsFromTheEnd(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        end = self.models.lm.tokenizer.eos_token
        return super().decode([replace(prompt, text=prompt.text or end) for prompt in prompts], seeds)


@breaks("empty-batch")
class TakesTheLongest(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        max(len(prompt.text) for prompt in prompts)
        return super().decode(prompts, seeds)


@breaks("empty-batch")
class NoneForNothing(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Any:
        return super().decode(prompts, seeds) if prompts else None


@breaks("end-at-once")
class MustSaySomething(Keeper):
    def select(self, step: Step) -> Tensor:
        if step.index == 0:
            step.logits[:, step.lm.end_id] = -torch.inf
        return step.logits.argmax(dim=-1)


@breaks("end-at-once")
class ChokesOnSilence(Keeper):
    def altered(self, generations: list[Generation], prompts: Sequence[Prompt]) -> list[Generation]:
        if not any(generation.text for generation in generations):
            raise ZeroDivisionError("no words to divide by")
        return generations


# Needs


@breaks("missing-needs")
class AsksNobody(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        self.models.language_model.encode("")  # type: ignore[union-attr]
        return super().decode(prompts, seeds)


@breaks("missing-needs")
class DoesWithoutQuietly(Looker):
    def select(self, step: Step) -> Tensor:
        return Keeper.select(self, step) if self.models.image_text is None else super().select(step)


@breaks("missing-needs")
class BlindToBlindness(Looker):
    def select(self, step: Step) -> Tensor:
        blind = any(prompt.image is None for prompt in step.prompts)
        return Keeper.select(self, step) if blind else super().select(step)


@breaks("missing-needs")
class NamesNoPrompt(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        if any(prompt.image is None for prompt in prompts):
            raise NeedMissing("there are images missing")
        return super().decode(prompts, seeds)


@breaks("unreadable-image")
class SwallowsBrokenImages(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        try:
            return super().decode(prompts, seeds)
        except UnreadableImage:
            return [Generation("", (), "retrieved") for _ in prompts]


@breaks("unreadable-image")
class OpensImagesItself(Looker):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        for image in images_of(prompts):
            if not isinstance(image, bytes):
                image.read_bytes()
        return super().decode(prompts, seeds)


@breaks("undeclared-needs")
class LooksInSecret(Looker):
    needs = frozenset({Need.LM})


@breaks("undeclared-needs")
class LooksIfThereIsSomethingToSee(Looker):
    needs = frozenset({Need.LM, Need.IMAGE})

    def select(self, step: Step) -> Tensor:
        return Keeper.select(self, step) if self.models.image_text is None else super().select(step)


@breaks("undeclared-needs")
class LooksAndDeniesIt(Keeper):
    def select(self, step: Step) -> Tensor:
        with suppress(Exception):
            self.models.clip.text_features(["a"])
        return super().select(step)


@breaks("undeclared-needs")
class WeighsTheImage(Keeper):
    def select(self, step: Step) -> Tensor:
        ids = step.candidates(2).ids
        heavy = [len(p.image) % 2 if isinstance(p.image, bytes) else 0 for p in step.prompts]
        return ids.gather(1, torch.tensor(heavy)[:, None])[:, 0]


# Config


class Loose(DecoderConfig):
    model_config = ConfigDict(frozen=False, extra="forbid")
    k: int = 1


@breaks("config")
class LooseConfig(Keeper):
    Config = Loose


class Open(DecoderConfig):
    model_config = ConfigDict(frozen=True, extra="ignore")


@breaks("config")
class TakesAnyKey(Keeper):
    Config = Open


class Bytes(DecoderConfig):
    key: bytes = b"\xff"


@breaks("config")
class BytesInTheConfig(Keeper):
    Config = Bytes


class Infinite(DecoderConfig):
    weight: float = float("inf")


@breaks("config")
class InfinityInTheConfig(Keeper):
    Config = Infinite


class Optional(DecoderConfig):
    prefix: str | None = "A"


@breaks("config")
class NoneInTheConfig(Keeper):
    Config = Optional


class Hidden(DecoderConfig):
    rank: int = Field(default=0, exclude=True)


@breaks("config", rank=1)
class HidesASetting(Keeper):
    Config = Hidden

    def select(self, step: Step) -> Tensor:
        return step.candidates(2).ids[:, self.config.rank]  # type: ignore[attr-defined]


# What it was given


@breaks("inputs")
class PopsPrompts(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        if isinstance(prompts, list):
            prompts.clear()
        return said


@breaks("inputs")
class SortsSeeds(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        if isinstance(seeds, list):
            seeds.sort()
        return super().decode(prompts, seeds)


@breaks("inputs")
class Trains(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        with torch.no_grad():
            self.models.lm.model.transformer.wte.weight[5] += 1e-3
        return said


@breaks("inputs")
class WantsGradients(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        self.models.lm.model.requires_grad_(True)
        return said


@breaks("inputs")
class AddsAToken(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        said = super().decode(prompts, seeds)
        self.models.lm.tokenizer.add_tokens(["<mine>"])
        return said


@breaks("inputs")
class WritesIntoItsConfig(Keeper):
    Config = Loose

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        self.config.k += 1  # type: ignore[attr-defined]
        return super().decode(prompts, seeds)


@pytest.mark.parametrize(
    ("rule", "kind", "config"), BROKEN, ids=[f"{rule}-{kind.__name__}" for rule, kind, _ in BROKEN]
)
def test_it_is_caught(rule: str, kind: type[Decoder], config: dict[str, Any]) -> None:
    with pytest.raises(ContractBroken) as caught:
        check_decoder(kind, config, rule=rule)
    assert caught.value.rule == rule
    assert kind.__name__ in str(caught.value)


def test_every_rule_catches_someone() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(CONTRACT)


@pytest.mark.parametrize("kind", [Keeper, Looker, Drawer])
def test_those_that_the_broken_ones_derive_from_keep_it(kind: type[Decoder]) -> None:
    check_decoder(kind)
