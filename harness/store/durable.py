"""Files that are there whole or not at all, and still there after a power cut: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it is put in place once all is written, and otherwise what was there is left.

    Raises:
        OSError: with the name of the file, whatever went wrong.
    """
    make_folder(path.parent)
    # A name of its own even where two containers on one disk give their processes the same id.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            # A write does not say where it was, such as on which disk there is no room.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Put a JSON file in place, readable and with NaN refused."""
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, so that they survive a power cut."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for created in new:
        sync_folder(created.parent)


def sync_folder(folder: Path) -> None:
    """A rename or a new file is durable only once its folder is."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


Progress = Callable[[int, int], None]
"""Called with what is done and what is due, in whatever the caller counts."""


def no_progress(done: int, total: int) -> None:
    """Where nobody watches."""


BLOCK = 1 << 20


MB = 10**6


def hashed(path: Path, progress: Progress = no_progress) -> str:
    """SHA-256 of a file in hexadecimal digits; `progress` gets megabytes."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress(done // MB, total // MB)
    return digest.hexdigest()
