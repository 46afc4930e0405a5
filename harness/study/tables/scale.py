"""The scale of a study's ratings: its two ends and the step between neighbouring values.

The database keeps a value as the number of its step, from 1: whole numbers are compared and hashed without rounding, and on the
scale from 1 to 5, which studies made here have, the number of the step is the value itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import StudyError

MOST_VALUES = 1001
"""Values that a scale may have: 0 to 100 in tenths."""
_ROUNDED = Fraction(1, 50)
"""Of a step: how far a value may lie from one that no decimal number is, as 1.33 does from one and a third."""
FEW = 11
"""Up to so many values are counted one by one; more are counted in ten equal parts."""
_WRITTEN = re.compile(r"(-?\d+(?:\.\d+)?)\s*(?:-|to|\.\.)\s*(-?\d+(?:\.\d+)?)(?::(\d+(?:\.\d+|/[1-9]\d*)?))?")
_EXAMPLES = "expected the lowest and the highest value, and the step where it is not 1, as in 1-7, 0-100, 1-5:0.5 or 1-4:1/3"


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` in steps."""

    low: Fraction
    high: Fraction
    step: Fraction = Fraction(1)

    @classmethod
    def of(cls, low: object, high: object, step: object = 1) -> Scale:
        """A scale from numbers, or from texts that are numbers.

        Raises:
            StudyError: no scale, or one of more than `MOST_VALUES` values.
        """
        try:
            scale = cls(*(Fraction(str(number)) for number in (low, high, step)))
        except (ValueError, ZeroDivisionError) as error:
            raise StudyError(f"a scale from {low!r} to {high!r} in steps of {step!r}: {_EXAMPLES}") from error
        steps = (scale.high - scale.low) / scale.step if scale.step > 0 else Fraction(0)
        if steps.denominator != 1 or not 1 <= steps < MOST_VALUES:
            raise StudyError(f"a scale from {low} to {high} in steps of {step}: {_EXAMPLES}, with 2 to {MOST_VALUES} values")
        return scale

    @classmethod
    def parse(cls, text: str) -> Scale:
        """A scale as people write it: `1-7`, `0-100`, `1-5:0.5`.

        Raises:
            StudyError: it is written in another way.
        """
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise StudyError(f"--scale {text}: {_EXAMPLES}")
        return cls.of(match[1], match[2], match[3] or 1)

    @classmethod
    def of_protocol(cls, protocol: Mapping[str, Any]) -> Scale:
        """The scale that a study's protocol names; from 1 to 5 where it names none.

        Raises:
            StudyError: what it names is no scale.
        """
        written = protocol.get("scale")
        if written is None:
            return FIVE
        if not isinstance(written, Mapping) or not {"low", "high"} <= written.keys() <= {"low", "high", "step"}:
            raise StudyError(f"the protocol's scale is {written!r}; expected low, high and step")
        return cls.of(**written)

    def to_json(self) -> dict[str, Any]:
        """As a protocol holds it."""
        return {name: _exact(number) for name, number in (("low", self.low), ("high", self.high), ("step", self.step))}

    @property
    def count(self) -> int:
        """How many values it has."""
        return int((self.high - self.low) / self.step) + 1

    @property
    def name(self) -> str:
        """Short, as in signatures: `1-5`, `0-100`, `1-5:0.5`."""
        step = "" if self.step == 1 else f":{_exact(self.step)}"
        return f"{_plain(self.low)}-{_plain(self.high)}{step}"

    def __str__(self) -> str:
        steps = "" if self.step == 1 else f" in steps of {_exact(self.step)}"
        return f"{_plain(self.low)} to {_plain(self.high)}{steps}"

    def code(self, value: float) -> int:
        """The number of a value's step, from 1.

        Raises:
            ValueError: the value is not on the scale.
        """
        steps = (Fraction(str(value)) - self.low) / self.step
        if not _is_decimal(self.step) and abs(steps - round(steps)) < _ROUNDED:
            steps = Fraction(round(steps))
        if steps.denominator != 1 or not 0 <= steps < self.count:
            raise ValueError(f"{value} is not on the scale from {self}")
        return int(steps) + 1

    def value(self, code: int) -> int | float:
        """The inverse of `code`."""
        return _plain(self.low + (code - 1) * self.step)

    def values(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The values of many codes, `[n]`: whole numbers of 8 bits on the scale from 1 to 5, else float64."""
        if self == FIVE:
            return np.asarray(codes, dtype=np.int8)
        every = np.array([float(self.value(code)) for code in range(1, self.count + 1)])
        return np.asarray(every[np.asarray(codes, dtype=np.int64) - 1])

    def codes(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The steps of many values, `[...]`, from 0; those of NaN mean nothing."""
        steps = (np.nan_to_num(values, nan=float(self.low)) - float(self.low)) / float(self.step)
        return np.asarray(np.rint(steps), dtype=np.int64)

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values are on the scale, `[...]`."""
        steps = (np.asarray(values, np.float64) - float(self.low)) / float(self.step)
        return np.asarray((steps > -0.5) & (steps < self.count - 0.5) & (np.abs(steps - np.rint(steps)) < 1e-6))

    def parts(self) -> list[tuple[str, float, float]]:
        """What a distribution counts: a label with the lowest and the highest value, each value by itself or ten equal parts."""
        if self.count <= FEW:
            every = [self.value(code) for code in range(1, self.count + 1)]
            return [(f"{value}", float(value), float(value)) for value in every]
        edges = [1 + math.ceil(part * self.count / 10) for part in range(11)]
        ends = [(self.value(first), self.value(after - 1)) for first, after in pairwise(edges)]
        return [(f"{low}-{high}", float(low), float(high)) for low, high in ends]


FIVE = Scale(Fraction(1), Fraction(5))
"""The scale of studies that are made here."""


def _exact(number: Fraction) -> int | float | str:
    """A number as JSON holds it without a loss: a third is no decimal number, and is written 1/3."""
    return _plain(number) if _is_decimal(number) else str(number)


def _is_decimal(number: Fraction) -> bool:
    return Fraction(str(float(number))) == number


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)
