"""The files of a model: a local folder, or a snapshot of a hub repository in the local cache, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from decoders.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class Files:
    """Where a model lies."""

    folder: Path
    weights: tuple[Path, ...]
    """Its safetensors files."""
    digest: str
    """SHA-256 over names and content of its files, or the commit of its repository."""


def local_folder(folder: Path, patterns: Sequence[str], name: str, *, config: str) -> Files:
    """Check a folder and hash those of its files that matter.

    Args:
        folder: the folder.
        patterns: glob patterns of the files that have a say in what the model computes.
        name: what the user calls the model, for messages.
        config: the file that must be there.

    Raises:
        ModelNotFound: no such folder, no configuration, or no safetensors.
    """
    weights = _complete(folder, name, config)
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path.name}\0{_content_hash(path.resolve(), stat.st_mtime_ns, stat.st_size)}\n".encode())
    return Files(folder.resolve(), weights, digest.hexdigest())


def hub_folder(rest: str, patterns: Sequence[str], name: str, *, config: str | None) -> Files:
    """Find a repository of the Hugging Face hub in the local cache, downloading it if need be and possible.

    Args:
        rest: `org/name` or `org/name@revision`; without a revision, the commit that `main` points to.
        patterns: glob patterns of the files to fetch; nothing else is.
        name: what the user calls the model, for messages.
        config: the file that must be there, if any.

    Raises:
        ModelNotFound: not in the cache and not to be had, or it lacks the configuration or safetensors.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository, at, revision = rest.partition("@")
    if at and not revision:
        raise ModelNotFound(
            f"{name!r} ends in @ without a revision; write a branch, tag or commit behind it, or drop the @"
        )
    allowed = [*patterns, *([config] if config else [])]
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=allowed))
    except (OSError, HFValidationError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelNotFound(
            f"{name} is neither in the local cache nor could it be downloaded ({reason}); check the name, or fetch it on a "
            f"machine with a network: hf download {repository}" + (f" --revision {revision}" if revision else "")
        ) from error
    return Files(folder, _complete(folder, name, config), folder.name)


def _complete(folder: Path, name: str, config: str | None) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise ModelNotFound(f"{name}: there is no folder {folder}; give the folder that the model was saved to")
    if config is not None and not (folder / config).is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFound(f"{name}: the folder {folder} lacks {config} (it holds {found})")
    weights = tuple(sorted(folder.glob("*.safetensors")))
    if not weights:
        pickles = [path.name for suffix in ("*.bin", "*.pt", "*.pth") for path in folder.glob(suffix)]
        held = f" (it holds {pickles[0]}, a pickle, which is never loaded)" if pickles else ""
        raise ModelNotFound(f"{name}: the folder {folder} lacks *.safetensors{held}; save the weights with safetensors")
    return weights


@lru_cache(maxsize=1024)
def _content_hash(path: Path, mtime_ns: int, size: int) -> str:
    """SHA-256 of a file; change time and size are in the key so that a file that changes is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
