"""Documents that notice a change: JSON files that hold the hash of their own content, and files whose hash is kept elsewhere.

A seal is no signature: whoever edits a file on purpose can seal it again. It tells a damaged disk, a half-copied folder and a
number changed by hand from what SeeTell wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store.durable import hashed

SEAL = "sha256"
"""The key, last in a sealed document, of the hash over everything else in it."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its seal, as `write_json` is to write it."""
    return {**content, SEAL: seal_of(content)}


def check_seal(content: Mapping[str, Any], where: str, remedy: str, *, must_be_sealed: bool = False) -> None:
    """Refuse a document that does not fit its seal; those that were written before there were seals have none.

    Args:
        content: what was read.
        where: the file, as messages call it.
        remedy: what to do about a broken seal.
        must_be_sealed: whether one without a seal is refused too.

    Raises:
        StoreError: it does not fit.
    """
    body = without_seal(content)
    if (SEAL in content or must_be_sealed) and content.get(SEAL) != seal_of(body):
        raise StoreError(f"{where} was changed or damaged after it was written (its content does not fit its {SEAL}); {remedy}")


def read_document(path: Path, remedy: str, *, must_be_sealed: bool = False) -> dict[str, Any]:
    """A JSON object from a file, its seal checked and taken off.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it cannot be read, is no JSON object, or does not fit its seal.
    """
    content = read_json(path, remedy)
    check_seal(content, str(path), remedy, must_be_sealed=must_be_sealed)
    return without_seal(content)


def without_seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content alone."""
    return {key: value for key, value in content.items() if key != SEAL}


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object from a file, its seal not looked at; raises as `read_document`."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        raise StoreError(f"{path} cannot be read ({str(error)[:200] or type(error).__name__}); {remedy}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} cannot be read (it holds no JSON object); {remedy}")
    return content


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 over JSON values, in hexadecimal digits, however they are ordered and spaced."""
    # As it comes back from the file: half a surrogate pair is written as a question mark, a tuple as a list.
    written = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    canonical = json.dumps(json.loads(written), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits; read once a process as long as the file stays as it is."""
    stat = path.stat()
    return _file_sha256(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _file_sha256(path: Path, inode: int, mtime_ns: int, size: int) -> str:
    del inode, mtime_ns, size  # a file that changes is read again
    return hashed(path)
