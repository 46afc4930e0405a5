"""CLIPRe: say of an image the caption, written about some other image, that lies nearest to it (Su et al. 2022, section 4.1)."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from typing import ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import images_of

_SHORTLIST = 16
_BLOCK = 16 * 2**20
"""Bytes of features that are looked at together."""
_RESCORED = 4096
"""Rows that are scored again together."""
_ROUNDING = 1e-5
"""More than float32 rounding can move a cosine."""
PUBLISHED_INDEX = 128
"""Captions in the index behind the published results, whose builder encoded its first batch over and over."""


class CaptionIndex:
    """Captions and their text features, searched exhaustively by inner product.

    Features that are memory-mapped stay on disk: a search goes through them block by block and lets go of each. No second
    copy is made, so an index may be larger than the memory.

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
            raise ValueError(
                f"{len(captions)} captions with features of shape {features.shape}; expected one row a caption"
            )
        if features.dtype != np.float32:
            raise ValueError(f"features are {features.dtype}; expected float32")
        self.captions = tuple(captions)
        self._features = features
        self._mapping = _mapping(features)

    def __len__(self) -> int:
        return len(self.captions)

    def first(self, n: int) -> CaptionIndex:
        """An index over the first `n` captions alone."""
        return CaptionIndex(self.captions[:n], self._features[:n])

    def nearest(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best caption of each query.

        A shortlist is scored again in double precision one row at a time, so neither the batch nor the order decides among
        captions whose features are equal: the lowest row does.

        Args:
            queries: `[m, d]` float32 of unit length.

        Returns:
            Row numbers, `[m]` int64, and cosines, `[m]` float64.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        found = [self._best(query, *near) for query, *near in zip(queries, *self._shortlist(queries), strict=True)]
        rows, cosines = zip(*found, strict=True) if found else ((), ())
        return np.asarray(rows, dtype=np.int64), np.asarray(cosines, dtype=np.float64)

    def _shortlist(
        self, queries: NDArray[np.float32], size: int = _SHORTLIST
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows of the best captions of each query, `[m, size]`, best first; all captions if there are fewer."""
        scores = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        block = max(1, _BLOCK // self._features[0].nbytes)
        for start in range(0, len(self), block) if len(queries) else ():
            part = self._features[start : start + block]
            more, where = faiss.knn(queries, part, min(size, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            scores, rows = np.hstack([scores, more]), np.hstack([rows, where + start])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :size]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
            self._let_go()
        return scores, rows

    def _best(
        self, query: NDArray[np.float32], scores: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[int, float]:
        # Where even the last of the shortlist is as good as the first, a better one may stand behind it.
        while len(rows) < len(self) and scores[-1] > scores[0] - _ROUNDING:
            longer = self._shortlist(query[None], 8 * len(rows))
            scores, rows = longer[0][0], longer[1][0]
        rows = np.sort(rows)
        exact = query.astype(np.float64)
        parts = [
            (self._features[rows[start : start + _RESCORED]].astype(np.float64) * exact).sum(axis=1)
            for start in range(0, len(rows), _RESCORED)
        ]
        self._let_go()
        cosines = np.concatenate(parts)
        best = int(cosines.argmax())
        return int(rows[best]), float(cosines[best])

    def _let_go(self) -> None:
        """Pages of the file that were looked at need not stay in this process; the system may keep them for the next."""
        if self._mapping is not None and sys.platform != "win32":
            self._mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(features: NDArray[np.float32]) -> mmap.mmap | None:
    """What a read-only memory-mapped array is a view of; None for arrays in memory or with changes of their own."""
    if not isinstance(features, np.memmap) or features.mode != "r":
        return None
    base: object = features
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


class ClipReConfig(DecoderConfig):
    """Settings of CLIPRe."""

    first128: bool = Field(default=False)
    """Choose among the first 128 captions only, which is what the published results did by mistake."""


class ClipRe(Decoder):
    """Retrieves the caption whose text feature has the highest cosine to the image's feature, and repeats it unedited."""

    Config: ClassVar[type[DecoderConfig]] = ClipReConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.CLIP, Need.IMAGE, Need.INDEX})
    config: ClipReConfig

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; the prompts' words are not looked at, `trace` holds the cosine."""
        if not prompts:
            return []
        index = self.models.index
        if self.config.first128:
            index = index.first(PUBLISHED_INDEX)
        queries = self.models.clip.image_features(images_of(prompts)).cpu().numpy()
        rows, cosines = index.nearest(queries)
        return [
            Generation(text=index.captions[row], tokens=(), finish="retrieved", trace={"cosine": float(cosine)})
            for row, cosine in zip(rows, cosines, strict=True)
        ]
