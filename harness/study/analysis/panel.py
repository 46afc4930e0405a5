"""Ratings of one aspect as a cube of systems, items and annotators: what all statistics of a study work on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.metrics.intervals import CONFIDENCE
from harness.study.tables.scale import FIVE, Scale

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """Who gave what to which text, for one aspect."""

    systems: tuple[str, ...]
    items: tuple[str, ...]
    annotators: tuple[str, ...]
    values: Floats
    """`[systems, items, annotators]`, on the scale; NaN where an annotator did not rate a text."""
    scale: Scale = FIVE

    @classmethod
    def of(
        cls,
        system: Iterable[str],
        item: Iterable[str],
        annotator: Iterable[str],
        value: Iterable[float],
        *,
        systems: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
        annotators: Sequence[str] | None = None,
        scale: Scale = FIVE,
    ) -> Panel:
        """Make a panel from one entry a rating.

        Args:
            system: who wrote the rated text, `[n]`.
            item: its item, `[n]`.
            annotator: who rated it, `[n]`.
            value: ratings, `[n]`.
            systems: the first axis and its order; what occurs, sorted, by default.
            items: the second axis, so that panels of several aspects fit on each other.
            annotators: the third.
            scale: of the ratings.

        Raises:
            DataError: a value off the scale, a name that is on no axis, columns of different lengths, or two ratings of one
                text by one annotator.
        """
        columns = [np.asarray(list(names), np.str_) for names in (system, item, annotator)]
        values = np.asarray(list(value), np.float64)
        if {len(names) for names in columns} != {len(values)}:
            raise DataError(
                f"columns of {[len(names) for names in columns]} names came with {len(values)} ratings; expected one of each a "
                "rating"
            )
        if not (on_scale := scale.holds(values)).all():
            raise DataError(f"a rating is {values[~on_scale][0]:g}; expected {scale}")
        axes = [
            _names(np.unique(names)) if given is None else tuple(given)
            for names, given in zip(columns, (systems, items, annotators), strict=True)
        ]
        at = tuple(_places(names, axis) for names, axis in zip(columns, axes, strict=True))
        cube = np.full([len(axis) for axis in axes], np.nan)
        cells = np.ravel_multi_index(at, cube.shape) if len(values) else np.zeros(0, np.int64)
        _, first, counts = np.unique(cells, return_index=True, return_counts=True)
        if (counts > 1).any():
            twice = first[counts > 1][0]
            raise DataError(
                f"annotator {columns[2][twice]!s} has {counts.max()} ratings of {columns[0][twice]!s} on item "
                f"{columns[1][twice]!s}; expected the last revision only"
            )
        cube[at] = values
        return cls(axes[0], axes[1], axes[2], cube, scale)

    @property
    def rated(self) -> NDArray[np.bool_]:
        """Which cells hold a rating, `[systems, items, annotators]`."""
        return ~np.isnan(self.values)

    @property
    def item_means(self) -> Floats:
        """Mean rating of each system on each item, `[systems, items]`; NaN where nobody rated it."""
        rated = self.rated
        counts = rated.sum(axis=2)
        sums = np.where(rated, self.values, 0.0).sum(axis=2)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    @property
    def units(self) -> Floats:
        """Every text as one row, `[items * systems, annotators]`, the systems of an item together."""
        return self.values.transpose(1, 0, 2).reshape(-1, len(self.annotators))

    def common(self) -> Panel:
        """The items that every system has a rating on."""
        return self.on_items(np.asarray(~np.isnan(self.item_means).any(axis=0)))

    def on_items(self, keep: NDArray[np.bool_]) -> Panel:
        """The panel on some of its items; annotators stay, even those who then have no rating."""
        items = tuple(item for item, kept in zip(self.items, keep.tolist(), strict=True) if kept)
        return replace(self, items=items, values=self.values[:, keep])

    def on_systems(self, systems: Sequence[str]) -> Panel:
        """The panel of some of its systems, in the given order."""
        return replace(self, systems=tuple(systems), values=self.values[[self.systems.index(system) for system in systems]])

    def without(self, annotator: str) -> Panel:
        """The panel without one annotator."""
        keep = np.array([name != annotator for name in self.annotators])
        left = tuple(name for name in self.annotators if name != annotator)
        return replace(self, annotators=left, values=self.values[:, :, keep])


def _names(values: NDArray[np.str_]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _places(names: NDArray[np.str_], axis: Sequence[str]) -> NDArray[np.int64]:
    """The place of each name on an axis."""
    unique, inverse = np.unique(names, return_inverse=True)
    place = {name: index for index, name in enumerate(axis)}
    lacking = [str(name) for name in unique if str(name) not in place]
    if lacking:
        raise DataError(f"a rating belongs to {lacking[0]!r}, which is not among {', '.join(map(repr, axis[:5]))} ...")
    return np.array([place[str(name)] for name in unique], np.int64)[inverse]


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
    low, high = np.quantile(usable, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
