"""Something to index that needs no model, for processes that are killed or run out of room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.bench.index import MadeUp
from harness.datasets.index.build import Corpus
from harness.datasets.index.features import Block
from harness.datasets.index.inputs import Item


def blocks_of_four(rows: int, seen: list[str] | None = None) -> Corpus:
    """Made-up features of 24 numbers, in blocks of four rows; names go into `seen` as they are encoded."""
    corpus = MadeUp("random", rows, 24, 0).corpus()

    def encode(items: Sequence[Item], stop: int) -> tuple[Block, NDArray[np.float32]]:
        if seen is not None:
            seen.extend(item.name for item in items)
        return corpus.encode(items, stop)

    return replace(corpus, a_block=4, encode=encode)
