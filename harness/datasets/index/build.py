"""From a source to a whole index, in steps that a kill between any two of them does not undo.

plan.json         what is being built, and from what: the same command must find the same
features, journal block by block (features.py)
rows.arrow        name, content hash and meta of each row
KIND.faiss        for IVF and HNSW
manifest.json     last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from decoders.errors import UnreadableImage
from decoders.nearest import FeatureRows
from harness.datasets.index import kinds
from harness.datasets.index.features import JOURNAL, Block, FeatureWriter, Row, blocks, open_features
from harness.datasets.index.inputs import ImageSource, Item, stamps
from harness.datasets.index.manifest import (
    FEATURES,
    MANIFEST,
    ROWS,
    Kind,
    Manifest,
    Model,
    Skipped,
    Source,
    What,
    check_files,
    read_manifest,
    stored,
)
from harness.errors import DataError, Interrupted, RunLocked, StoreError
from harness.store.runs import replacing, write_json
from harness.suites.provenance import seetell_version

if sys.platform != "win32":
    import fcntl

PLAN = "plan.json"
IMAGES_A_BLOCK = 512
CAPTIONS_A_BLOCK = 8192

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it, and of how much."""


class Encoder(Protocol):
    """What an index needs of an image-text model; `decoders.models.image_text.ImageTextModel` is one."""

    name: str
    digest: str
    dtype: str

    def image_features(self, images: Sequence[Path | bytes]) -> Any:
        """Features of images, `[n, d]` of unit length."""

    def text_features(self, texts: Sequence[str]) -> Any:
        """Features of texts, `[n, d]` of unit length."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A thing to index: items in order, and how a stretch of them becomes rows with features."""

    what: What
    name: str
    items: Sequence[Item]
    model: Model
    a_block: int
    encode: Callable[[Sequence[Item], int], tuple[Block, NDArray[np.float32]]]
    """Given items and where the next block starts."""


def image_corpus(source: ImageSource, model: Encoder, batch_size: int) -> Corpus:
    """The images of a source.

    Raises:
        DataError: the source cannot be read.
    """

    def encode(items: Sequence[Item], stop: int) -> tuple[Block, NDArray[np.float32]]:
        rows: list[Row] = []
        parts: list[NDArray[np.float32]] = []
        skipped = [(item.name, item.refused) for item in items if item.refused]
        readable = [item for item in items if not item.refused]
        for start in range(0, len(readable), batch_size):
            contents = []
            for item in readable[start : start + batch_size]:
                try:
                    contents.append((item, source.read(item.name)))
                except UnreadableImage as error:
                    skipped.append((item.name, str(error)))
            good, features, bad = _encode_images(model, contents)
            rows += [Row(item.name, hashlib.sha256(content).hexdigest(), item.meta) for item, content in good]
            parts += features
            skipped += bad
        stacked = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
        return Block(stop, tuple(rows), tuple(sorted(skipped))), stacked

    stamp = Model(name=model.name, digest=model.digest, dtype=model.dtype)
    return Corpus("images", source.name, source.items(), stamp, IMAGES_A_BLOCK, encode)


def caption_corpus(name: str, captions: Sequence[str], model: Encoder) -> Corpus:
    """Captions in their own order, duplicates included: a frequent caption may be retrieved often."""

    def encode(items: Sequence[Item], stop: int) -> tuple[Block, NDArray[np.float32]]:
        texts = [item.name for item in items]
        return Block(stop, tuple(Row(text) for text in texts)), _numbers(model.text_features(texts))

    stamp = Model(name=model.name, digest=model.digest, dtype=model.dtype)
    return Corpus("captions", name, [Item(text, "") for text in captions], stamp, CAPTIONS_A_BLOCK, encode)


def build_index(
    corpus: Corpus,
    folder: Path,
    *,
    kind: Kind | None = None,
    wait: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Manifest:
    """Build an index, resume an unfinished one, or return one that is complete.

    What was encoded is never encoded again. On a whole index of the same source and model only another `kind` does
    anything: its file is made from the features that are there.

    Args:
        corpus: from `image_corpus` or `caption_corpus`.
        folder: where to; made if missing.
        kind: flat, ivf or hnsw; by size if None.
        wait: for another process that builds there, rather than complain.
        progress: called while it runs.

    Raises:
        StoreError: the folder holds something else, or the disk is full.
        DataError: there is nothing to index.
        RunLocked: another process builds there.
        Interrupted: Ctrl-C; the same command goes on.
    """
    plan = {
        "what": corpus.what,
        "model": {"digest": corpus.model.digest, "dtype": corpus.model.dtype},
        "items": len(corpus.items),
        "stamps": stamps(corpus.items),
    }
    if not corpus.items:
        raise DataError(f"{corpus.name} holds nothing to index; expected {corpus.what}")
    with _clear_errors(folder), _locked(folder, wait):
        _claim(folder, plan)
        if not (folder / MANIFEST).exists():
            _encode_missing(corpus, folder, progress)
            _write_rows(folder)
        return _finish(corpus, folder, kind, progress)


def _claim(folder: Path, plan: dict[str, Any]) -> None:
    """Make sure that the folder is empty, or has the same plan."""
    path = folder / PLAN
    if path.is_file():
        try:
            before = json.loads(path.read_bytes())
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}); delete the folder and build again") from error
        for key, difference in (("what", "it indexes other things"), ("model", "it was begun with another model"),
                          ("items", "its source has changed since"), ("stamps", "its source has changed since")):  # fmt: skip
            if before.get(key) != plan[key]:
                raise StoreError(
                    f"{folder} holds another index: {difference}. Choose another --out, or delete the folder to start again"
                )
        return
    if any(not file.name.startswith(".") for file in folder.iterdir()):
        raise StoreError(f"{folder} is not empty and holds no index; choose another --out")
    write_json(path, plan)


def _encode_missing(corpus: Corpus, folder: Path, progress: Progress) -> None:
    writer = FeatureWriter(folder)
    try:
        total = len(corpus.items)
        progress("encoding", writer.items, total)
        while writer.items < total:
            stop = min(total, writer.items + corpus.a_block)
            block, features = corpus.encode(corpus.items[writer.items : stop], stop)
            writer.append(block, features)
            progress("encoding", stop, total)
        if not writer.rows:
            first = next((reason for block in blocks(folder) for _, reason in block.skipped), "")
            raise DataError(f"none of the {total} {corpus.what} in {corpus.name} can be read, such as: {first}")
    finally:
        writer.close()


def _write_rows(folder: Path) -> None:
    """The rows as an Arrow file, a batch a block; it is read by mapping it, so that millions of names cost nothing."""
    import pyarrow as pa

    schema = pa.schema([("name", pa.string()), ("sha256", pa.string()), ("meta", pa.string())])
    with replacing(folder / ROWS) as file, pa.ipc.new_file(file, schema) as sink:
        for block in blocks(folder):
            names = [row.name.encode("utf-8", "replace").decode() for row in block.rows]
            columns = [names, [row.sha256 for row in block.rows], [row.meta for row in block.rows]]
            sink.write_batch(pa.record_batch(columns, schema=schema))


def _finish(corpus: Corpus, folder: Path, kind: Kind | None, progress: Progress) -> Manifest:
    before = read_manifest(folder) if (folder / MANIFEST).exists() else None
    rows, dimensions = (before.rows, before.dimensions) if before else _shape(folder)
    kind = kind or (before.kind if before else kinds.choose(rows))
    wanted = kinds.parameters(kind, rows)
    if before and before.kind == kind and dict(before.parameters) == wanted:
        return before
    if before:
        check_files(folder, before)
    features = FeatureRows(open_features(folder / FEATURES, rows, dimensions))
    names = [FEATURES, ROWS]
    if kind != "flat":
        index = kinds.build(kind, features, wanted, lambda done, total: progress(f"{kind} index", done, total))
        kinds.write(index, folder / f"{kind}.faiss")
        names.append(f"{kind}.faiss")
    source, skipped = (before.source, before.skipped) if before else _account(corpus, folder)
    manifest = Manifest(
        what=corpus.what,
        rows=rows,
        dimensions=dimensions,
        kind=kind,
        parameters=wanted,
        model=corpus.model,
        source=source,
        skipped=skipped,
        files={name: stored(folder / name) for name in names},
        seetell=seetell_version(),
    )
    manifest.write(folder)
    for file in folder.iterdir():
        left_over = file.suffix == ".tmp" and file.name.startswith(".")  # of a process that was killed
        if left_over or file.name == JOURNAL or (file.suffix == ".faiss" and file.name not in names):
            file.unlink()
    return manifest


def _shape(folder: Path) -> tuple[int, int]:
    rows = 0
    for block in blocks(folder):
        rows += len(block.rows)
    return rows, (folder / FEATURES).stat().st_size // (4 * rows)


def _account(corpus: Corpus, folder: Path) -> tuple[Source, tuple[Skipped, ...]]:
    """What was indexed, by content, and what was left out."""
    digest = hashlib.sha256()
    skipped = []
    for block in blocks(folder):
        for row in block.rows:
            for part in (row.name, row.sha256, row.meta):
                content = part.encode("utf-8", "replace")
                digest.update(len(content).to_bytes(8, "big") + content)
        skipped += [Skipped(name=name, reason=reason) for name, reason in block.skipped]
    return Source(name=corpus.name, items=len(corpus.items), digest=digest.hexdigest()), tuple(skipped)


def _encode_images(
    model: Encoder, contents: list[tuple[Item, bytes]]
) -> tuple[list[tuple[Item, bytes]], list[NDArray[np.float32]], list[tuple[str, str]]]:
    """Images that could be read, their features, and the others with reasons. A bad batch is halved to find out which."""
    if not contents:
        return [], [], []
    try:
        features = model.image_features([content for _, content in contents])
    except UnreadableImage as error:
        if len(contents) == 1:
            return [], [], [(contents[0][0].name, str(error))]
        middle = len(contents) // 2
        first, second = _encode_images(model, contents[:middle]), _encode_images(model, contents[middle:])
        return first[0] + second[0], first[1] + second[1], first[2] + second[2]
    return contents, [_numbers(features)], []


def _numbers(features: Any) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = features.float().cpu().numpy()
    return numbers


@contextlib.contextmanager
def _locked(folder: Path, wait: bool) -> Iterator[None]:
    """Lock the folder for writing; the system releases the lock when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+b") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise RunLocked(f"another process is building {folder}; wait for it, or stop it") from error
        yield


@contextlib.contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """Turn system errors and Ctrl-C into errors of one sentence."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what was encoded is kept in {folder}. Run the same command again to resume") from None
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror or error}); the index is not finished. Free disk space, or make "
            "the folder writable, and run the same command again: what was encoded is kept"
        ) from error
