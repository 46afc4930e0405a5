"""The files of a model: a local folder, or a snapshot of a hub repository in the local cache, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from decoders.errors import ModelNotFound

_fetched: dict[tuple[str, str], Path] = {}


def use_fetched(repository: str, revision: str, folder: Path) -> None:
    """Take a hub repository from a folder from now on, instead of from the hub or its cache.

    Args:
        repository: `org/name`.
        revision: as names have it behind `@`; empty for names without.
        folder: its files, in a folder that is called by its commit.
    """
    _fetched[repository, revision] = folder


def forget_fetched() -> None:
    """Go to the hub and its cache again."""
    _fetched.clear()


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where on the hub a model lies."""

    repository: str
    revision: str
    """Branch, tag or commit; empty for whatever `main` points to."""
    patterns: tuple[str, ...]
    """Glob patterns of the files that it takes; nothing else is fetched."""


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
        patterns: glob patterns of the files that decide what the model computes.
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


def hub_folder(source: HubSource, name: str, *, config: str | None) -> Files:
    """Find a repository of the Hugging Face hub: as fetched, else in the hub's local cache, downloading it if possible.

    Args:
        source: which repository, revision and files.
        name: what the user calls the model, for messages.
        config: the file that must be there, if any.

    Raises:
        ModelNotFound: not in the cache and not available, or it lacks the configuration or safetensors.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository, revision = source.repository, source.revision
    fetched = _fetched.get((repository, revision))
    if fetched is not None:
        return Files(fetched, _complete(fetched, name, config), fetched.name)
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(source.patterns)))
    except (OSError, HFValidationError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelNotFound(
            f"{name} is neither in the local cache nor could it be downloaded ({reason}); check the name, or fetch it on a "
            f"machine with a network: hf download {repository}" + (f" --revision {revision}" if revision else "")
        ) from error
    return Files(folder, _complete(folder, name, config), folder.name)


def hub_source(rest: str, patterns: Sequence[str], name: str) -> HubSource:
    """What `org/name` or `org/name@revision` stands for.

    Raises:
        ModelNotFound: an @ with nothing behind it.
    """
    repository, at, revision = rest.partition("@")
    if at and not revision:
        raise ModelNotFound(
            f"{name!r} ends in @ without a revision; write a branch, tag or commit behind it, or drop the @"
        )
    return HubSource(repository, revision, tuple(patterns))


def _complete(folder: Path, name: str, config: str | None) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise ModelNotFound(f"{name}: there is no folder {folder}; give the folder that the model was saved to")
    if config is not None and not (folder / config).is_file():
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFound(f"{name}: the folder {folder} lacks {config} (it holds {names})")
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
