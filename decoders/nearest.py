"""Exact nearest neighbours among rows of features that may be larger than the memory."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SHORTLIST = 16
"""Rows that are looked at again for each query, at least."""
_BLOCK = 16 * 2**20
"""Bytes of features that are looked at together."""
_COSINES = 2**20
"""Cosines that are computed together, at most."""
_RESCORED = 4096
"""Rows that are scored again together."""
_RESIDENT = 8
"""Features that take at most this part of the machine's memory stay in it between searches, an eighth."""
_ROUNDING = 1e-5
"""More than float32 rounding can move a cosine."""


class FeatureRows:
    """Features searched exhaustively by inner product.

    Features that are memory-mapped are read block by block, and no second copy is made. Where they take much of the machine's
    memory, each block is released again, so there may be more of them than memory; fewer stay there for the next search.

    Attributes:
        features: `[n, d]` float32 of unit length.
    """

    def __init__(self, features: NDArray[np.float32]) -> None:
        """Take features as they are.

        Args:
            features: `[n, d]` float32 of unit length; may be memory-mapped (`np.load(..., mmap_mode="r")`).

        Raises:
            ValueError: no rows, or another dtype.
        """
        if features.ndim != 2 or len(features) == 0:
            raise ValueError(f"features of shape {features.shape}; expected one row each, and at least one")
        if features.dtype != np.float32:
            raise ValueError(f"features are {features.dtype}; expected float32")
        self._features = features
        self._mapping = _mapping(features)
        self._stays = _RESIDENT * features.nbytes <= _memory()

    def __len__(self) -> int:
        return len(self._features)

    @property
    def features(self) -> NDArray[np.float32]:
        """All rows, on disk where they came from disk."""
        return self._features

    def search(self, queries: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best rows of each query, best first; among equal ones the lower row comes first.

        A shortlist is scored again in double precision one row at a time, so neither the batch nor the order decides among
        rows whose features are equal.

        Args:
            queries: `[m, d]` float32 of unit length.
            top: how many; all rows if there are fewer.

        Returns:
            Row numbers, `[m, top]` int64, and cosines, `[m, top]` float64.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        top = min(top, len(self))
        scores, near = self._shortlist(queries, max(_SHORTLIST, 2 * top))
        rows = np.empty((len(queries), top), dtype=np.int64)
        cosines = np.empty((len(queries), top), dtype=np.float64)
        for place, query in enumerate(queries):
            rows[place], cosines[place] = self._best(query, scores[place], near[place], top)
        return rows, cosines

    def rescored(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], top: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best of some rows by their exact cosines, best first, `[top]` each; the lower row first among equals."""
        rows = np.sort(rows)
        exact = query.astype(np.float64)
        parts = [
            (self._features[rows[start : start + _RESCORED]].astype(np.float64) * exact).sum(axis=1)
            for start in range(0, len(rows), _RESCORED)
        ]
        cosines = np.concatenate(parts)
        best = np.argsort(-cosines, kind="stable")[:top]
        return rows[best], cosines[best]

    def let_go(self) -> None:
        """Drop the file's pages from this process where they would take much memory; the system may keep them for the next."""
        if not self._stays and self._mapping is not None and sys.platform != "win32":
            self._mapping.madvise(mmap.MADV_DONTNEED)

    def _shortlist(self, queries: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows of the best rows of each query, `[m, size]`, best first; all rows if there are fewer."""
        scores = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        block = max(1, min(_BLOCK // self._features[0].nbytes, _COSINES // max(1, len(queries))))
        for start in range(0, len(self), block) if len(queries) else ():
            part = self._features[start : start + block]
            cosines, most = queries @ part.T, min(size, len(part))
            near = np.argpartition(cosines, -most, axis=1)[:, -most:]
            scores = np.hstack([scores, np.take_along_axis(cosines, near, axis=1)])
            rows = np.hstack([rows, near + start])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :size]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
            self.let_go()
        return scores, rows

    def _best(
        self, query: NDArray[np.float32], scores: NDArray[np.float32], rows: NDArray[np.int64], top: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Where even the last of the shortlist is as good as the last one wanted, a better one may follow it.
        while len(rows) < len(self) and scores[-1] > scores[top - 1] - _ROUNDING:
            longer = self._shortlist(query[None], 8 * len(rows))
            scores, rows = longer[0][0], longer[1][0]
        best = self.rescored(query, rows, top)
        self.let_go()
        return best


def _memory() -> int:
    """Bytes of memory of this machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _mapping(features: NDArray[np.float32]) -> mmap.mmap | None:
    """What a read-only memory-mapped array is a view of; None for arrays in memory or with changes of their own."""
    if not isinstance(features, np.memmap) or features.mode != "r":
        return None
    base: object = features
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


class CaptionIndex(FeatureRows):
    """Captions and their text features, searched exhaustively by inner product; see `FeatureRows` for memory.

    Attributes:
        captions: the texts.
    """

    def __init__(self, captions: Sequence[str], features: NDArray[np.float32]) -> None:
        """Take features as an index.

        Args:
            captions: n texts.
            features: `[n, d]` float32 of unit length, row by row those of the captions; may be memory-mapped
                (`np.load(..., mmap_mode="r")`).

        Raises:
            ValueError: no captions, or features that do not belong to them.
        """
        if len(captions) == 0 or features.ndim != 2 or len(features) != len(captions):
            raise ValueError(f"{len(captions)} captions with features of shape {features.shape}; expected one row a caption")
        super().__init__(features)
        self.captions = tuple(captions)

    def first(self, n: int) -> CaptionIndex:
        """An index over the first `n` captions alone."""
        return CaptionIndex(self.captions[:n], self._features[:n])

    def nearest(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best caption of each query; the lowest row among captions whose features are equal.

        Args:
            queries: `[m, d]` float32 of unit length.

        Returns:
            Row numbers, `[m]` int64, and cosines, `[m]` float64.
        """
        rows, cosines = self.search(queries, 1)
        return rows[:, 0], cosines[:, 0]
