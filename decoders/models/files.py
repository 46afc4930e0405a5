"""The files of a model: a local folder, or a snapshot of a hub repository in the local cache, and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from decoders.errors import ModelMismatch, ModelNotFound

_POINTER = b"version https://git-lfs.github.com/spec/"
_fetched: dict[tuple[str, str], Path] = {}


def use_fetched(repository: str, revision: str, folder: Path) -> None:
    """Take a hub repository from a folder from now on, instead of from the hub or its cache.

    Args:
        repository: `org/name`.
        revision: as names have it behind `@`; empty for names without.
        folder: its files, in a folder that is called by its commit.
    """
    _fetched[repository, revision] = folder


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where on the hub a model lies."""

    repository: str
    revision: str
    """Branch, tag or commit; empty for whatever `main` points to."""
    patterns: tuple[str, ...]
    """Glob patterns of the files that it takes; nothing else is fetched."""
    weights: bool = True
    """Whether there must be safetensors; a text tower's configuration and a tokenizer have none."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a model is."""

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
        digest.update(f"{path.name}\0{content_hash(path)}\n".encode())
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
        return Files(fetched, _complete(fetched, name, config, needs_weights=source.weights), fetched.name)
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(source.patterns)))
    except (OSError, HFValidationError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelNotFound(
            f"{name} is neither in the local cache nor could it be downloaded ({reason}); check the name, or fetch it on a "
            f"machine with a network: hf download {repository}" + (f" --revision {revision}" if revision else "")
        ) from error
    return Files(folder, _complete(folder, name, config, needs_weights=source.weights), folder.name)


def folder_here(source: HubSource) -> Path | None:
    """The folder of a hub repository as far as it is on this machine; None where it is not. Nothing is downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    fetched = _fetched.get((source.repository, source.revision))
    if fetched is not None:
        return fetched
    try:
        return Path(snapshot_download(source.repository, revision=source.revision or None, local_files_only=True))
    except (OSError, HFValidationError, ValueError):
        return None


@contextmanager
def no_network() -> Iterator[None]:
    """Keep the hub's client from its network for a while; everything a model needs has been found before."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def hub_source(rest: str, patterns: Sequence[str], name: str) -> HubSource:
    """What `org/name` or `org/name@revision` stands for.

    Raises:
        ModelNotFound: an @ with nothing behind it.
    """
    repository, at, revision = rest.partition("@")
    if at and not revision:
        raise ModelNotFound(f"{name!r} ends in @ without a revision; write a branch, tag or commit behind it, or drop the @")
    return HubSource(repository, revision, tuple(patterns))


def _complete(folder: Path, name: str, config: str | None, *, needs_weights: bool = True) -> tuple[Path, ...]:
    """A folder's safetensors, each looked at from outside: whole, and no pointer to something else."""
    if not folder.is_dir():
        raise ModelNotFound(f"{name}: there is no folder {folder}; give the folder that the model was saved to")
    if config is not None and not (folder / config).is_file():
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFound(f"{name}: the folder {folder} lacks {config} (it holds {names})")
    for path in (*folder.glob("*.json"), *folder.glob("*.model")):
        _check_pointer(path, name)
    weights = tuple(sorted(folder.glob("*.safetensors")))
    for path in weights:
        check_safetensors(path, name)
    for index in folder.glob("*.safetensors.index.json"):
        parts = set(_json(index.read_bytes()).get("weight_map", {}).values())
        if lost := sorted(str(part) for part in parts if not (folder / str(part)).is_file()):
            raise ModelNotFound(
                f"{name}: {index.name} names {len(parts)} files of weights and {', '.join(lost[:3])} of them "
                f"{'is' if len(lost) == 1 else 'are'} not in {folder}; download the model again"
            )
    if not weights and needs_weights:
        pickles = [path.name for suffix in ("*.bin", "*.pt", "*.pth") for path in folder.glob(suffix)]
        held = f" (it holds {pickles[0]}, a pickle, which is never loaded)" if pickles else ""
        raise ModelNotFound(f"{name}: the folder {folder} lacks *.safetensors{held}; save the weights with safetensors")
    return weights


def _check_pointer(path: Path, name: str) -> None:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ModelMismatch(
                f"{name}: {path} is a Git LFS pointer of {path.stat().st_size} bytes, not the file that it stands for; run "
                "`git lfs pull` where it was cloned, or download the file itself"
            )


def check_safetensors(path: Path, name: str) -> None:
    """Refuse a weights file that is a pointer, cut short or something else; only its header is read.

    Raises:
        ModelMismatch: which file, what it is, and the remedy.
    """
    _check_pointer(path, name)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = _json(file.read(length)) if 8 + length <= size else {}
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"] if header else []
    whole = 8 + length + max(ends, default=0)
    if not header:
        raise ModelMismatch(
            f"{name}: {path} ({size:,} bytes) does not begin as a safetensors file does, or is cut short; download or "
            "save it again"
        )
    if size < whole:
        raise ModelMismatch(f"{name}: {path} is cut short: it has {size:,} of {whole:,} bytes; download or copy it again")


def _json(content: bytes) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def content_hash(path: Path) -> str:
    """SHA-256 of a file, computed once while its change time and size stay."""
    stat = path.stat()
    return _content_hash(path.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _content_hash(path: Path, mtime_ns: int, size: int) -> str:
    """SHA-256 of a file; change time and size are in the key so that a file that changes is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
