"""Indices at full size: what building and asking each kind costs, and what HNSW and IVF miss.

Features are made up and go through the same code as real ones, from the first block to the manifest. Two makings:
`random` (unit vectors in every direction: all rows are about equally far from a query, the worst case for any index) and
`clustered` (500 rows around each centre, queries from the same clusters: nearer to what texts and images do).
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.bench.memory import forget_peak, peak_bytes
from harness.datasets.index.build import CAPTIONS_A_BLOCK, Corpus, build_index
from harness.datasets.index.features import Block, Row
from harness.datasets.index.inputs import Item
from harness.datasets.index.manifest import Kind, Model, read_manifest
from harness.datasets.index.query import Index

Making = Literal["random", "clustered"]
TOP = 10
_A_CLUSTER = 500
_ALONE = 20
"""Queries that are also asked one at a time."""
HEADER = ("features", "kind", "parameters", "encode+write s", "index s", "disk MB", "peak MB", "ms a query", "ms alone",
          "query peak MB", "recall@1", "recall@10")  # fmt: skip
LEFT = (0, 1, 2)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind over one making."""

    making: Making
    kind: Kind
    parameters: dict[str, int]
    rows: int
    write_seconds: float
    """Until all features are on disk, their making included."""
    index_seconds: float
    disk: int
    """Bytes of all its files."""
    peak: int
    """Most memory while building the kind, bytes; mapped pages of files included."""
    batch_ms: float
    """A query, among all asked at once."""
    alone_ms: float
    """A query asked alone, median."""
    query_peak: int
    """Most memory of a process that only asks, libraries and mapped pages included."""
    recall_1: float
    """How often the nearest row was found, of flat's."""
    recall_10: float
    """How many of the ten nearest were found, of flat's."""

    def row(self) -> tuple[str, ...]:
        """Cells under `HEADER`."""
        settings = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        return (
            self.making, self.kind, settings, f"{self.write_seconds:.0f}", f"{self.index_seconds:.0f}", f"{self.disk / 1e6:.0f}",
            f"{self.peak / 1e6:.0f}", f"{self.batch_ms:.2f}", f"{self.alone_ms:.2f}", f"{self.query_peak / 1e6:.0f}",
            f"{self.recall_1:.3f}", f"{self.recall_10:.3f}",
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class MadeUp:
    """Features that follow from a seed, block by block."""

    def __init__(self, making: Making, rows: int, dimensions: int, seed: int) -> None:
        self.making, self.rows, self.dimensions, self.seed = making, rows, dimensions, seed
        self.centres = self._unit(np.random.default_rng([seed, 1]), max(1, rows // _A_CLUSTER))

    def block(self, start: int, rows: int) -> NDArray[np.float32]:
        """Some features, `[rows, d]` float32 of unit length."""
        return self._features(np.random.default_rng([self.seed, 2, start]), rows)

    def queries(self, rows: int) -> NDArray[np.float32]:
        """Features of the same making that are not in the index."""
        return self._features(np.random.default_rng([self.seed, 3]), rows)

    def corpus(self) -> Corpus:
        """All of them as something to index."""

        def encode(items: Sequence[Item], stop: int) -> tuple[Block, NDArray[np.float32]]:
            return Block(stop, tuple(Row(item.name) for item in items)), self.block(stop, len(items))

        model = Model(name="made-up", digest=f"{self.making}-{self.dimensions}-{self.seed}", dtype="float32")
        items = [Item(f"row {number}", "") for number in range(self.rows)]
        return Corpus("captions", f"{self.making} features", items, model, CAPTIONS_A_BLOCK, encode)

    def _features(self, rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
        if self.making == "random":
            return self._unit(rng, rows)
        # The noise is as long as the centre, so two rows of a cluster have a cosine of about a half.
        spread = rng.standard_normal((rows, self.dimensions), dtype=np.float32) / np.float32(self.dimensions**0.5)
        return _normalised(self.centres[rng.integers(len(self.centres), size=rows)] + spread)

    def _unit(self, rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
        return _normalised(rng.standard_normal((rows, self.dimensions), dtype=np.float32))


def measure(
    rows: int,
    dimensions: int,
    kinds: Sequence[Kind],
    makings: Sequence[Making],
    queries: int,
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> list[Figures]:
    """Build and ask every kind over every making.

    Args:
        rows: features in the index.
        dimensions: numbers a feature.
        kinds: which to measure.
        makings: see the module.
        queries: how many are asked.
        folder: an empty place for the indices, about 4.6 kB a row while it runs.
        seed: of the features.
        progress: called while it runs.
    """
    figures = []
    for making in makings:
        source = MadeUp(making, rows, dimensions, seed)
        query_features = source.queries(queries)
        making_folder = folder / making
        corpus = source.corpus()
        started = time.perf_counter()
        build_index(corpus, making_folder, kind="flat", progress=progress)
        written = time.perf_counter() - started
        truth, _ = Index(making_folder).search(query_features, TOP)
        for kind in kinds:
            forget_peak()
            started = time.perf_counter()
            build_index(corpus, making_folder, kind=kind, progress=progress)
            seconds, peak = time.perf_counter() - started, peak_bytes()
            figures.append(_figures(making, making_folder, written, seconds, peak, _alone(making_folder, query_features, truth)))
    return figures


@dataclass(frozen=True, slots=True)
class _Answers:
    """Measurements of queries: milliseconds a query, recalls, bytes."""

    batch_ms: float
    alone_ms: float
    recall_1: float
    recall_10: float
    peak: int


def _alone(folder: Path, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> _Answers:
    """Ask in a process of its own, so that its memory is that of asking."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_ask, folder, queries, truth).result()


def _ask(folder: Path, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> _Answers:
    index = Index(folder)
    started = time.perf_counter()
    rows, _ = index.search(queries, TOP)
    batch = (time.perf_counter() - started) / len(queries)
    alone = []
    for query in queries[:_ALONE]:
        started = time.perf_counter()
        index.search(query[None], TOP)
        alone.append(time.perf_counter() - started)
    hits = [len(set(ours) & set(theirs)) / len(theirs) for ours, theirs in zip(rows.tolist(), truth.tolist(), strict=True)]
    first = float(np.mean(rows[:, 0] == truth[:, 0]))
    return _Answers(1000 * batch, 1000 * float(np.median(alone)), first, float(np.mean(hits)), peak_bytes())


def _figures(making: Making, folder: Path, written: float, seconds: float, peak: int, answers: _Answers) -> Figures:
    manifest = read_manifest(folder)
    return Figures(
        making=making,
        kind=manifest.kind,
        parameters=dict(manifest.parameters),
        rows=manifest.rows,
        write_seconds=written,
        index_seconds=seconds,
        disk=sum(file.stat().st_size for file in folder.iterdir()),
        peak=peak,
        batch_ms=answers.batch_ms,
        alone_ms=answers.alone_ms,
        query_peak=answers.peak,
        recall_1=answers.recall_1,
        recall_10=answers.recall_10,
    )


def _normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (values / lengths).astype(np.float32)
    return unit
