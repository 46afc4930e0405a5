"""Features on their way to disk: blocks of rows, each with a checksum in a journal.

    features.f32      rows of little-endian float32, one after the other
    journal.jsonl     a line a block: which items it covers, its rows, what was skipped, the SHA-256 of its bytes

Both only grow. A block counts once its line is whole and its bytes are those that the line names; whatever follows
the last such block is cut off when the build goes on. So a kill, a power cut or a full disk costs one block.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.datasets.index.manifest import FEATURES

JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """The item of one row of features."""

    name: str
    """An image's name within its source, or a caption."""
    sha256: str = ""
    """Of the image's bytes; a caption is its own content."""
    meta: str = ""
    """JSON of what else the source knows; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some items in a row, encoded."""

    stop: int
    """The first item that belongs to the next block."""
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason."""


class FeatureWriter:
    """Appends blocks to a folder; a new writer continues after the last complete block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = self.items = self.dimensions = self.skipped = 0
        whole = self._recover()
        self._features = (folder / FEATURES).open("r+b" if (folder / FEATURES).exists() else "w+b")
        self._features.truncate(4 * self.rows * self.dimensions)
        self._features.seek(0, os.SEEK_END)
        self._journal = (folder / JOURNAL).open("r+b" if (folder / JOURNAL).exists() else "w+b")
        self._journal.truncate(whole)
        self._journal.seek(0, os.SEEK_END)

    def append(self, block: Block, features: NDArray[np.float32]) -> None:
        """Write a block; on return it survives a power cut.

        Args:
            block: what was encoded.
            features: `[rows, d]` float32, the block's rows.
        """
        content = np.ascontiguousarray(features, dtype="<f4").tobytes()
        self._features.write(content)
        _sync(self._features)
        line = {
            "stop": block.stop,
            "dimensions": int(features.shape[1]) if len(block.rows) else self.dimensions,
            "rows": [[row.name, row.sha256, row.meta] for row in block.rows],
            "skipped": block.skipped,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self._journal.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
        _sync(self._journal)
        self._count(block, line["dimensions"])

    def close(self) -> None:
        """Close both files, whatever state they are in."""
        for file in (self._features, self._journal):
            try:
                file.close()
            except OSError:  # what could not be flushed was never counted
                continue

    def _count(self, block: Block, dimensions: Any) -> None:
        self.items = block.stop
        self.rows += len(block.rows)
        self.skipped += len(block.skipped)
        self.dimensions = int(dimensions)

    def _recover(self) -> int:
        """Count the whole blocks; the bytes of the journal that they take."""
        # Features are written before their journal line, so a kill leaves bytes without a line, or half a line. A line counts
        # only if all lines before it count and its bytes are there with its hash; the constructor truncates both files behind it.
        features, whole = self.folder / FEATURES, 0
        if not features.is_file():
            return 0
        with features.open("rb") as file:
            for line, end in _lines(self.folder / JOURNAL):
                parsed = _parse(line)
                if parsed is None:
                    break
                block, dimensions, digest = parsed
                content = file.read(4 * len(block.rows) * dimensions)
                if hashlib.sha256(content).hexdigest() != digest or block.stop <= self.items:
                    break
                self._count(block, dimensions)
                whole = end
        return whole


def blocks(folder: Path) -> Iterator[Block]:
    """The whole blocks of a journal, in order, one at a time."""
    for line, _ in _lines(folder / JOURNAL):
        parsed = _parse(line)
        if parsed is not None:
            yield parsed[0]


def open_features(path: Path, rows: int, dimensions: int) -> NDArray[np.float32]:
    """Features left on disk, `[rows, d]` float32, read-only."""
    return np.memmap(path, dtype="<f4", mode="r", shape=(rows, dimensions))


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines and where each ends."""
    if not path.is_file():
        return
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                yield line, end


def _parse(line: bytes) -> tuple[Block, int, str] | None:
    """A block, its dimensions and the hash of its features; None for a torn line."""
    try:
        fields = json.loads(line)
        rows = tuple(Row(*row) for row in fields["rows"])
        skipped: Sequence[Any] = fields["skipped"]
        block = Block(int(fields["stop"]), rows, tuple((str(name), str(reason)) for name, reason in skipped))
        return block, int(fields["dimensions"]), str(fields["sha256"])
    except (ValueError, KeyError, TypeError):
        return None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
