"""A number with how sure it is, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Coverage of every interval of a study."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One statistic. Exactly one of `value` and `reason` says something."""

    value: float | None
    """None where it is not defined."""
    low: float | None = None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None = None
    reason: str = ""
    """Why there is no value; empty where there is one."""
    n: int = 0
    """What it rests on, counted; the field that holds the estimate says of what."""

    def __post_init__(self) -> None:
        if (self.value is None) is (self.reason == ""):
            raise ValueError(f"value {self.value} came with reason {self.reason!r}; expected a value or a reason")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is not a value; expected a finite number, or None with a reason")

    @classmethod
    def undefined(cls, reason: str, n: int = 0) -> Estimate:
        """No value, and why."""
        return cls(None, reason=reason, n=n)

    @classmethod
    def within(cls, value: float, replicates: NDArray[np.float64], n: int = 0) -> Estimate:
        """A value with the percentile interval of its bootstrap replicates, `[draws]`; NaN replicates are left out."""
        low, high = percentiles(replicates)
        return cls(float(value), low, high, n=n)


def percentiles(replicates: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Both ends of the percentile interval of `[draws]` replicates; None without at least two that are numbers."""
    usable = replicates[np.isfinite(replicates)]
    if len(usable) < 2:
        return None, None
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
