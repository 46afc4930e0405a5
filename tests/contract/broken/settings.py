"""Decoders whose config is no identity."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from torch import Tensor

from decoders import DecoderConfig, Step
from tests.contract.broken.keepers import Keeper, breaks


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
