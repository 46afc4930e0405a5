"""What a finished index says about itself. It is written last: a folder without it is not an index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.errors import StoreError
from harness.store.durable import write_json
from harness.store.sealed import check_seal, file_sha256, read_json, sealed, without_seal
from harness.suites.sections import Section, checked

MANIFEST = "manifest.json"
FEATURES = "features.f32"
ROWS = "rows.arrow"

What = Literal["images", "captions"]
Kind = Literal["flat", "ivf", "hnsw"]


class Model(Section):
    """The image-text model that made the features."""

    name: str
    digest: str
    """Hash of its content, which alone decides whether a query fits."""
    dtype: str


class Source(Section):
    """What was indexed."""

    name: str
    """The folder, archive, file or suite, as a path or a name; it may have moved since."""
    items: int = Field(ge=0)
    """How many there were, unreadable ones included."""
    digest: str
    """SHA-256 over every row's name and content hash, in order."""


class Skipped(Section):
    """An item that has no row."""

    name: str
    reason: str


class Stored(Section):
    """A file of the index."""

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Section):
    """Everything that a query needs to know before it opens the other files."""

    layout: Literal[1] = 1
    """Of the files; raised when older ones can no longer be read."""
    what: What
    rows: int = Field(ge=1)
    dimensions: int = Field(ge=1)
    kind: Kind
    parameters: Mapping[str, int] = Field(default_factory=dict)
    """Of the kind: lists and probes, or neighbours and efforts."""
    model: Model
    source: Source
    skipped: tuple[Skipped, ...] = ()
    files: Mapping[str, Stored]
    seetell: str

    def digest(self) -> str:
        """SHA-256 of what decides an answer: the model, the rows and the kind; not names of folders."""
        content = [self.what, self.model.digest, self.model.dtype, self.source.digest, self.rows, self.kind]
        content += [dict(self.parameters), {name: file.sha256 for name, file in self.files.items()}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Put it in place, which makes the index whole."""
        write_json(folder / MANIFEST, sealed(self.model_dump(mode="json")))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index whose files all have the size it says.

    Raises:
        StoreError: no index, one that is still being built, a damaged manifest, or files missing or of another size.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / "plan.json").is_file():
            raise StoreError(f"the index in {folder} is unfinished; run the same `seetell index` command again to finish it")
        raise StoreError(f"there is no index in {folder}; make one with `seetell index images` or `seetell index captions`")
    remedy = "it is damaged or of another version: delete the folder and build the index again"
    try:
        content = read_json(path, remedy)
        manifest = checked(Manifest, without_seal(content), str(path), error=StoreError, remedy=remedy)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error}); {remedy}") from error
    for name, stored in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise StoreError(f"{path} names the file {name!r}; expected names without folders. Build the index again")
        size = file.stat().st_size if file.is_file() else None
        if size != stored.bytes:
            problem = "is missing" if size is None else f"has {size} bytes"
            raise StoreError(f"{file} {problem}; expected {stored.bytes} bytes. Delete the folder and build the index again")
    if manifest.files[FEATURES].bytes != 4 * manifest.rows * manifest.dimensions:
        raise StoreError(
            f"{path} claims {manifest.rows} rows of {manifest.dimensions} numbers, which {FEATURES} does not hold; build the "
            "index again"
        )
    check_seal(content, str(path), remedy)
    return manifest


def check_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """One file of an index, its content compared with the manifest once a process.

    Raises:
        StoreError: it was changed or damaged since the index was built.
    """
    if file_sha256(folder / name) != manifest.files[name].sha256:
        raise StoreError(
            f"{folder / name} was changed or damaged (its SHA-256 is not the manifest's); delete the folder and build the "
            "index again"
        )
    return folder / name


def stored(path: Path) -> Stored:
    """Size and hash of a file as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Stored(bytes=path.stat().st_size, sha256=digest)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Read every byte and compare.

    Raises:
        StoreError: a file whose content is not what was built.
    """
    for name in manifest.files:
        check_file(folder, manifest, name)
