"""`seetell.lock.toml`: what was fetched for suites, pinned by commit and SHA-256.

It is in the data folder, beside what it is about, so that one folder holds everything and can be copied, or served to others
with `--mirror`:

    seetell.lock.toml
    models/<org>/<name>/<commit>/...        files of hub models
    karpathy/..., mscoco/..., ...           files of data sets

There is one lock for all suites, because they share models and files.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from harness.errors import DataError
from harness.store.durable import MB, Progress, hashed, no_progress, write_bytes
from harness.store.toml import to_toml
from harness.suites.places import data_folder
from harness.suites.sections import Section, checked

LOCK = "seetell.lock.toml"
HEADER = "# What `seetell prefetch` brought, and what `seetell run --offline` checks. Written by the machine.\n\n"


def _inside(path: str) -> str:
    """A path that stays in its folder, whoever wrote the lock."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0] or "\0" in path:
        raise ValueError("expected a path inside the folder")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Repository = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?$")]


class Content(Section):
    """Size and hash of a file; of a folder, those of all its files together."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: Digest
    """Of a folder: over the names, sizes and hashes of its files, in order."""


class LockedFile(Content):
    """One file of a data set."""

    source: str = ""
    """Where it came from; empty for what the user brought."""
    files: int = Field(default=0, ge=0)
    """How many files, where it is a folder."""


class LockedModel(Section):
    """One hub repository at one commit."""

    commit: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]
    files: Mapping[RelativePath, Content]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files.values())


class Lock(Section):
    """All that was fetched."""

    format: Literal["seetell-lock-1"] = "seetell-lock-1"
    models: Mapping[Repository, LockedModel] = Field(default_factory=dict)
    """By `org/name`, or `org/name@revision` where a suite asks for a revision."""
    files: Mapping[RelativePath, LockedFile] = Field(default_factory=dict)
    """By their path in the data folder."""

    @classmethod
    def parse(cls, content: bytes, where: str) -> Lock:
        """Read one.

        Raises:
            DataError: it is no lock file.
        """
        try:
            table = tomllib.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not TOML ({error}); delete it and run `seetell prefetch` again") from error
        return checked(cls, table, where, error=DataError, remedy="delete it and run `seetell prefetch` again")

    @classmethod
    def read(cls, folder: Path) -> Lock:
        """The lock of a data folder; an empty one if there is none.

        Raises:
            DataError: it is no lock file.
        """
        path = folder / LOCK
        return cls.parse(path.read_bytes(), str(path)) if path.exists() else cls()

    def write(self, folder: Path) -> None:
        """Put it in place, whole."""
        table = self.model_dump(mode="json")
        table["models"] = dict(sorted(table["models"].items()))
        table["files"] = dict(sorted(table["files"].items()))
        write_bytes(folder / LOCK, (HEADER + to_toml(table)).encode())

    def with_model(self, name: str, model: LockedModel) -> Lock:
        """The lock with one more model, or another commit of it."""
        return self.model_copy(update={"models": {**self.models, name: model}})

    def with_file(self, path: str, file: LockedFile) -> Lock:
        """The lock with one more file."""
        return self.model_copy(update={"files": {**self.files, path: file}})


def model_path(name: str, commit: str) -> str:
    """Where a model is in the data folder: `models/org/name/commit`."""
    return f"models/{name.partition('@')[0]}/{commit}"


def content_of(path: Path, progress: Progress = no_progress) -> Content:
    """Size and hash of a file, or of a folder and all that is in it."""
    if path.is_file():
        return Content(size=path.stat().st_size, sha256=hashed(path, progress))
    digest, size = hashlib.sha256(), 0
    files = sorted(file for file in path.rglob("*") if file.is_file())
    total = sum(file.stat().st_size for file in files)
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0{hashed(file)}\n".encode())
        size += file.stat().st_size
        progress(size // MB, total // MB)
    return Content(size=size, sha256=digest.hexdigest())


def use_fetched_models() -> None:
    """Let the loaders take what was fetched, at the commit that the lock pins, and leave the hub alone."""
    from decoders.models.files import use_fetched

    folder = data_folder()
    for name, model in Lock.read(folder).models.items():
        place = folder / model_path(name, model.commit)
        if place.is_dir():
            repository, _, revision = name.partition("@")
            use_fetched(repository, revision, place)
