"""A whole index, left on disk, and the nearest of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoders.nearest import FeatureRows
from harness.datasets.index import kinds
from harness.datasets.index.build import Encoder
from harness.datasets.index.features import Row, open_features
from harness.datasets.index.manifest import FEATURES, ROWS, Manifest, check_file, read_manifest
from harness.errors import ModelMismatch, StoreError


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found."""

    row: int
    cosine: float
    name: str
    sha256: str
    meta: str


class Index:
    """An index in a folder. Nothing of it is read before it is needed, and its vectors never as a whole.

    Attributes:
        folder: where it is.
        manifest: what it says about itself.
    """

    def __init__(self, folder: Path) -> None:
        """Open an index.

        Raises:
            StoreError: missing, unfinished, or damaged as far as that shows without reading all of it.
        """
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)

    def __len__(self) -> int:
        return self.manifest.rows

    def check_model(self, model: Encoder) -> None:
        """Refuse a model whose features have nothing to do with those of the index.

        Raises:
            ModelMismatch: another model, or another dtype.
        """
        own = self.manifest.model
        if (model.digest, model.dtype) != (own.digest, own.dtype):
            raise ModelMismatch(
                f"the index in {self.folder} was made with {own.name} ({own.digest[:12]}, {own.dtype}); {model.name} "
                f"({model.digest[:12]}, {model.dtype}) has other features. Use that model, or build another index"
            )

    @cached_property
    def features(self) -> FeatureRows:
        """All features, memory-mapped, `[n, d]` float32."""
        own = self.manifest
        return FeatureRows(open_features(check_file(self.folder, own, FEATURES), own.rows, own.dimensions))

    @cached_property
    def _faiss(self) -> Any:
        kind = self.manifest.kind
        return kinds.read(kind, check_file(self.folder, self.manifest, f"{kind}.faiss"), self.manifest.parameters)

    def search(
        self, queries: NDArray[np.float32], top: int, *, exact: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The nearest rows of each query, best first; among equal ones the lower row comes first.

        Args:
            queries: `[m, d]` float32 of unit length.
            top: how many; all rows if there are fewer.
            exact: look at every row, whatever the kind.

        Returns:
            Row numbers and cosines, `[m, top]`. Cosines are exact for every kind. Where HNSW or IVF found fewer rows, the last
            ones are -1 with a cosine of minus infinity.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.manifest.dimensions:
            raise ValueError(f"queries of shape {queries.shape}; expected rows of {self.manifest.dimensions} numbers")
        if exact or self.manifest.kind == "flat":
            return self.features.search(queries, top)
        # The kind proposes a shortlist from its eight-bit copies; exact features order it. A longer shortlist finds more of the
        # true neighbours and costs one read of a row each.
        top = min(top, len(self))
        nearest = np.full((len(queries), top), -1, dtype=np.int64)
        cosines = np.full((len(queries), top), -np.inf)
        size = min(len(self), max(self.manifest.parameters["shortlist"], 2 * top))
        for place, (query, near) in enumerate(zip(queries, kinds.near(self._faiss, queries, size), strict=True)):
            near = near[near >= 0]
            if len(near):
                rows, scores = self.features.rescored(query, near, top)
                nearest[place, : len(rows)], cosines[place, : len(rows)] = rows, scores
        self.features.let_go()
        return nearest, cosines

    def hits(self, queries: NDArray[np.float32], top: int, *, exact: bool = False) -> list[list[Hit]]:
        """As `search`, with the item of each row."""
        rows, cosines = self.search(queries, top, exact=exact)
        wanted = sorted({int(row) for row in rows.ravel() if row >= 0})
        behind = dict(zip(wanted, self.rows(wanted), strict=True))
        return [
            [
                Hit(int(row), float(cosine), behind[row].name, behind[row].sha256, behind[row].meta)
                for row, cosine in zip(*answer, strict=True)
                if row >= 0
            ]
            for answer in zip(rows.tolist(), cosines.tolist(), strict=True)
        ]

    def rows(self, numbers: Sequence[int]) -> list[Row]:
        """The items of some rows."""
        table = self._table
        records = table.take(np.asarray(numbers, dtype=np.int64)).to_pylist() if len(numbers) else []
        return [Row(record["name"], record["sha256"], record["meta"]) for record in records]

    def names(self) -> list[str]:
        """The names (or captions) of all rows, in order."""
        names: list[str] = self._table.column("name").to_pylist()
        return names

    @cached_property
    def _table(self) -> Any:
        import pyarrow as pa

        path = check_file(self.folder, self.manifest, ROWS)
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete the folder and build the index again") from error
        if table.num_rows != len(self):
            raise StoreError(f"{path} has {table.num_rows} rows, the features {len(self)}; build the index again")
        return table


def meta_of(row: Row | Hit) -> dict[str, Any]:
    """The meta data of a row; empty where the source had none."""
    meta: dict[str, Any] = json.loads(row.meta) if row.meta else {}
    return meta
