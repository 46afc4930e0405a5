"""Several tests at once: p-values corrected so that a table of many comparisons does not find differences by luck."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.errors import SuiteError, did_you_mean

Correction = Literal["benjamini-hochberg", "holm", "none"]
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)


def correct(p: NDArray[np.float64], correction: Correction) -> NDArray[np.float64]:
    """Adjusted p-values: compare them with the level one would use for a single test.

    Args:
        p: `[n]`, NaN where there was no test; those stay NaN and count as no test.
        correction: `benjamini-hochberg` bounds the share of false findings among the findings (Benjamini and Hochberg 1995),
            `holm` the chance of any false finding (Holm 1979), `none` leaves them.

    Raises:
        SuiteError: no such correction.
    """
    if correction not in CORRECTIONS:
        raise SuiteError(f"there is no correction {correction!r}{did_you_mean(correction, CORRECTIONS)}")
    adjusted = np.array(p, np.float64)
    tested = ~np.isnan(adjusted)
    if correction != "none" and tested.any():
        adjusted[tested] = holm(adjusted[tested]) if correction == "holm" else _benjamini_hochberg(adjusted[tested])
    return adjusted


def _benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy import stats  # takes a second to import, which whoever wants no correction need not wait for

    adjusted: NDArray[np.float64] = stats.false_discovery_control(p, method="bh")
    return adjusted


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values of `[n]` tests, without NaN."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
