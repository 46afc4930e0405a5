"""Decoding speed as a result: `results/speed/SUITE.json`, a line a decoder and batch size, each saying how it was measured.

Speed is a property of a machine. The signature names the device, the arithmetic and the batch size, so figures of two machines
are never ranked against each other, as with any other number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import StoreError
from harness.store.durable import write_json
from harness.store.runs import Results
from harness.store.sealed import read_document, sealed
from harness.suites.provenance import Signature
from harness.suites.sections import Section, Slug, checked

FORMAT = "seetell-speed-1"


class Speed(Section):
    """How fast one run's decoder is, image encoding included. Numbers are per image, whatever the batch."""

    decoder: Slug
    """Its label in the suite."""
    identity: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the run that was measured: other settings have other speeds."""
    images_per_second: float = Field(gt=0)
    """Median of the repeats."""
    low: float = Field(gt=0)
    """Images a second of the slowest repeat."""
    high: float = Field(gt=0)
    """Images a second of the fastest repeat."""
    relative: float | None = Field(default=None, gt=0)
    """Times as fast as ZeroCap in the same session, batch size and device; None where ZeroCap was not measured."""
    peak_memory: int | None = Field(default=None, ge=0)
    """Bytes at most held at once; None where not measured."""
    flops_per_image: float | None = Field(default=None, ge=0)
    """Floating-point operations counted for an image; None where not counted."""
    share_of_peak: float | None = Field(default=None, ge=0)
    """Operations a second as a fraction of what the device's matrix product reaches; None where not measured."""
    batch_size: int = Field(ge=1)
    device: str = Field(min_length=1)
    """Such as the processor's name, or the GPU's."""
    threads: int = Field(ge=1)
    """Of torch, on the host."""
    signature: str
    """`str(harness.suites.provenance.Signature)`: device, arithmetic, batch size, whatever else moves the figure."""
    seetell: str = Field(min_length=1)
    """Version that measured it."""

    @field_validator("images_per_second", "low", "high", "relative", "flops_per_image", "share_of_peak", mode="after")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return value

    @field_validator("signature")
    @classmethod
    def _readable(cls, text: str) -> str:
        Signature.parse(text)
        return text

    @model_validator(mode="after")
    def _ordered(self) -> Speed:
        if not self.low <= self.images_per_second <= self.high:
            raise ValueError(
                f"{self.decoder}: {self.images_per_second} images a second are not between {self.low} and {self.high}"
            )
        return self


class SpeedFile(Section):
    """The content of one file: the first line of a run is the one that tables show, the rest are its other batch sizes."""

    format: Literal["seetell-speed-1"]
    suite: Slug
    speeds: tuple[Speed, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> SpeedFile:
        seen: set[tuple[str, str]] = set()
        for speed in self.speeds:
            key = speed.identity, speed.signature
            if key in seen:
                raise ValueError(f"{speed.decoder} is listed twice with the signature {speed.signature}")
            seen.add(key)
        return self


def write_speed(results: Results, suite: str, speeds: Iterable[Speed]) -> Path:
    """Keep a suite's figures, whole or not at all; what was there before is replaced.

    Raises:
        StoreError: no figures, or the same run twice with one signature.
    """
    path = results.speed(suite)
    values = {"format": FORMAT, "suite": suite, "speeds": tuple(speeds)}
    content = checked(SpeedFile, values, f"the figures for {path} cannot be kept", error=StoreError)
    write_json(path, sealed(content.model_dump(mode="json")))
    return path


def read_speed(results: Results, suite: str) -> tuple[Speed, ...]:
    """A suite's figures; none where nobody measured.

    Raises:
        StoreError: the file is damaged, or of another suite.
    """
    path = results.speed(suite)
    remedy = f"measure again with `seetell bench decoders {suite}`, or move the file away"
    try:
        content = checked(SpeedFile, read_document(path, remedy), str(path), error=StoreError, remedy=remedy)
    except FileNotFoundError:
        return ()
    if content.suite != suite:
        raise StoreError(f"{path} holds the speeds of {content.suite!r}, not of {suite!r}; move it to where it belongs")
    return content.speeds
