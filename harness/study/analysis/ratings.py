"""Ratings as arrays: what statistics work on, wherever they were kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.study.tables.scale import FIVE, Scale

KINDS = ("system", "reference", "swap", "scramble", "repeat")
"""What a text is: a system's, a person's, a caption of another image, the words out of order, or shown once before."""


@dataclass(frozen=True)
class RatingTable:
    """One row a value: who gave which value to which text, on which aspect. All arrays have shape `[n]`."""

    system: NDArray[np.str_]
    """Name of the system that wrote the text; `reference` for a person's. Of controls: whose text was changed."""
    item: NDArray[np.str_]
    """The example's id in its data set."""
    annotator: NDArray[np.str_]
    """Public id."""
    aspect: NDArray[np.str_]
    value: NDArray[Any]
    """On the scale: whole numbers of 8 bits from 1 to 5, else float64."""
    kind: NDArray[np.str_]
    """One of `KINDS`."""
    position: NDArray[np.int64]
    """In its block, from 0."""
    seconds: NDArray[np.float64]
    """Active time on the form, without hidden tabs; NaN where it was not recorded."""
    at: NDArray[np.float64]
    """When it was sent, in seconds since 1970, UTC."""
    repeat_of: NDArray[np.str_]
    """Of a repeat: the `output` that was rated before; else empty."""
    revision: NDArray[np.int64]
    """0 for a first answer, more for edits."""
    output: NDArray[np.str_]
    """Public id of the text."""
    scale: Scale = FIVE

    def __post_init__(self) -> None:
        lengths = {name: getattr(self, name).shape for name in COLUMNS}
        if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
            raise ValueError(f"a rating table needs equal-length columns, not {lengths}")
        if not self.scale.holds(self.value).all():
            raise ValueError(f"ratings are {self.scale}, not {self.value.min()} to {self.value.max()}")

    def __len__(self) -> int:
        return int(self.value.shape[0])

    @property
    def aspects(self) -> tuple[str, ...]:
        """In name order."""
        return tuple(str(name) for name in np.unique(self.aspect))

    @property
    def systems(self) -> tuple[str, ...]:
        """Those that are compared, in name order; controls and references apart."""
        return tuple(str(name) for name in np.unique(self.system[self.kind == "system"]))

    @property
    def annotators(self) -> tuple[str, ...]:
        """In name order."""
        return tuple(str(name) for name in np.unique(self.annotator))

    @property
    def items(self) -> tuple[str, ...]:
        """In name order."""
        return tuple(str(name) for name in np.unique(self.item))

    @cached_property
    def sha256(self) -> str:
        """Hash of the content; the order of rows does not matter."""
        rows = sorted(
            "\x1f".join(repr(value) for value in row) for row in zip(*(getattr(self, n).tolist() for n in COLUMNS), strict=True)
        )
        if self.scale != FIVE:  # a hash of ratings from 1 to 5 is what it was before there were others
            rows.append(self.scale.name)
        return hashlib.sha256("\x1e".join(rows).encode("utf-8", "backslashreplace")).hexdigest()

    def where(self, **wanted: Any) -> RatingTable:
        """Rows with the given value, or one of those given: `where(kind="system", aspect=("fluency", "relevance"))`."""
        keep = np.ones(len(self), dtype=bool)
        for name, value in wanted.items():
            wanted_values = [value] if isinstance(value, (str, int, float)) else list(value)
            keep &= np.isin(getattr(self, name), wanted_values)
        return self.rows(keep)

    def rows(self, keep: NDArray[Any]) -> RatingTable:
        """Rows by a mask or by their numbers."""
        return RatingTable(**{name: getattr(self, name)[keep] for name in COLUMNS}, scale=self.scale)


COLUMNS = tuple(field.name for field in fields(RatingTable) if field.name != "scale")
"""The arrays of a table."""
