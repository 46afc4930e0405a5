"""Decoders that say wrong things of themselves, or give answers that are not what they claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from decoders import Generation, Need, Prompt
from tests.contract.broken.keepers import Keeper, breaks

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


# No prompts


@breaks("empty-batch")
class TakesTheLongest(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        max(len(prompt.text) for prompt in prompts)
        return super().decode(prompts, seeds)


@breaks("empty-batch")
class NoneForNothing(Keeper):
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Any:
        return super().decode(prompts, seeds) if prompts else None
