"""Flat, IVF, HNSW: three ways to find near rows, chosen by how many rows there are.

    up to 500,000 rows      flat    looks at every row: exact, no file of its own
    up to 1,000,000 rows    hnsw    a graph of neighbours (Malkov and Yashunin 2018): fast, slow to build
    above                   ivf     lists around centroids (Sivic and Zisserman 2003; Johnson et al. 2017): quick to build

HNSW and IVF keep each number in eight bits and only draw up a shortlist, which is then scored by the exact features on disk.
They may miss a row, but never return rows in a wrong order. Docs: docs/stories.md gives recall, times and memory as measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from decoders.nearest import FeatureRows
from harness.datasets.index.manifest import Kind
from harness.errors import StoreError
from harness.store.runs import replacing

FLAT_UP_TO = 500_000
HNSW_UP_TO = 1_000_000
KINDS: tuple[Kind, ...] = ("flat", "ivf", "hnsw")

Progress = Callable[[int, int], None]

_ADDED = 16_384
"""Rows that are added together."""
_TRAINING_ROWS = 64
"""Rows a centroid to learn from; faiss wants between 39 and 256."""
_SEED = 20210


def choose(rows: int) -> Kind:
    """The kind for a number of rows; see the module."""
    if rows <= FLAT_UP_TO:
        return "flat"
    return "hnsw" if rows <= HNSW_UP_TO else "ivf"


def parameters(kind: Kind, rows: int) -> dict[str, int]:
    """The parameters of a kind for building and searching, at a number of rows.

    IVF: about the square root of the rows as lists, and a sixteenth of them (at least 8) looked into. HNSW: 16 neighbours a row
    (32 on the lowest level), 80 candidates while building, 256 while asking.
    """
    if kind == "flat":
        return {}
    if kind == "hnsw":
        return {"neighbours": 16, "ef_construction": 80, "ef_search": 256, "shortlist": 100}
    lists = min(65_536, max(1, 2 ** round(np.log2(max(1.0, rows**0.5)))))
    return {"lists": lists, "probes": min(lists, max(8, lists // 16)), "shortlist": 100}


def build(kind: Kind, features: FeatureRows, wanted: Mapping[str, int], progress: Progress) -> Any:
    """A faiss index of a kind over features, read block by block; the rows are those of the features.

    Args:
        kind: `ivf` or `hnsw`; `flat` needs none.
        features: of unit length.
        wanted: from `parameters`.
        progress: called with rows done and due.
    """
    # Inner product over unit vectors is the cosine. Both kinds store eight bits a number: a quarter of the memory, and the error
    # does not matter because the shortlist is scored again with the float32 features.
    table = features.features
    rows, dimensions = table.shape
    index: Any  # faiss' annotations know little of its classes
    eight_bits = faiss.ScalarQuantizer.QT_8bit
    if kind == "ivf":
        coarse = faiss.IndexFlatIP(dimensions)
        index = faiss.IndexIVFScalarQuantizer(coarse, dimensions, wanted["lists"], eight_bits, faiss.METRIC_INNER_PRODUCT)
        # A fixed seed makes k-means repeatable; at least one point a centroid silences faiss' warning for small corpora.
        index.cp.seed, index.cp.min_points_per_centroid = _SEED, 1
        index.cp.max_points_per_centroid = 256
        learn_from = _TRAINING_ROWS * wanted["lists"]
    else:
        library: Any = faiss
        index = library.IndexHNSWSQ(dimensions, eight_bits, wanted["neighbours"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = wanted["ef_construction"]
        learn_from = 65_536
    # Centroids and the quantizer's ranges are trained on rows taken at equal distances, not on the first ones: sources are
    # sorted by name, so their beginning is not a fair sample.
    index.train(np.ascontiguousarray(table[:: max(1, rows // learn_from)][:learn_from]))
    features.let_go()
    for start in range(0, rows, _ADDED):
        index.add(np.ascontiguousarray(table[start : start + _ADDED]))
        features.let_go()
        progress(min(rows, start + _ADDED), rows)
    return index


def write(index: Any, path: Path) -> None:
    """Write an index atomically: the complete file, or none.

    Raises:
        OSError: the disk is full or refuses.
    """
    library: Any = faiss
    with replacing(path) as file:
        library.write_index(index, library.PyCallbackIOWriter(file.write, 1 << 20))


def read(kind: Kind, path: Path, wanted: Mapping[str, int]) -> Any:
    """An index on disk; its lists or vectors are memory-mapped, not read.

    Raises:
        StoreError: faiss cannot read it.
    """
    # faiss maps inverted lists and flat storage by two different flags; with the other one it would read the file into memory.
    flag = faiss.IO_FLAG_MMAP if kind == "ivf" else faiss.IO_FLAG_MMAP_IFC
    try:
        index: Any = faiss.read_index(str(path), flag)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be read ({reason}); delete the folder and build the index again") from error
    if kind == "ivf":
        index.nprobe = wanted["probes"]
    else:
        index.hnsw.efSearch = wanted["ef_search"]
    return index


def near(index: Any, queries: NDArray[np.float32], size: int) -> NDArray[np.int64]:
    """A shortlist of rows for each query, `[m, size]` int64, in any order; -1 where fewer were found."""
    _, rows = index.search(queries, size)
    shortlist: NDArray[np.int64] = rows
    return shortlist
