"""Where a plug-in's code comes from, and a hash of it: edited code makes other texts and numbers, so it has another identity."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from weakref import WeakKeyDictionary

BUILT_IN = "seetell"
"""The distribution whose plug-ins are identified by their `version` and the package's."""
_SUFFIXES = {".py", ".so", ".pyd"}


@dataclass(frozen=True, slots=True)
class Code:
    """The code behind one plug-in."""

    distribution: str
    version: str
    """Of the distribution."""
    source: str
    """SHA-256 over the files of the package that the class is in, and of its distribution."""

    def digest(self) -> str:
        """SHA-256 of all three, in hexadecimal digits."""
        return hashlib.sha256("\0".join((self.distribution, self.version, self.source)).encode()).hexdigest()

    def to_json(self) -> dict[str, str]:
        """Plain JSON values, for run.json."""
        return asdict(self)


def code_changes(before: Mapping[str, str] | None, now: Code) -> str:
    """What differs between recorded code and that of today, in a few words; empty if nothing does."""
    if before is None:
        return "its code was not recorded then"
    if before.get("distribution") != now.distribution:
        return f"it comes from {now.distribution}, before from {before.get('distribution')}"
    if before.get("version") != now.version:
        return f"{now.distribution} is {now.version}, before {before.get('version')}"
    if before.get("source") != now.source:
        return f"the source of {now.distribution} {now.version} was edited"
    return ""


_KNOWN: WeakKeyDictionary[type, Code] = WeakKeyDictionary()
"""By class: a file that is edited while the process runs does not change what it has imported."""


def code_of(plugin: type, module: str, distribution: str, version: str) -> Code | None:
    """The code of a plug-in's class; None for SeeTell's own.

    Args:
        plugin: the class.
        module: of its entry point, such as `package.module`.
        distribution: that registers it.
        version: of the distribution.
    """
    if distribution == BUILT_IN:
        return None
    if plugin not in _KNOWN:
        files = dict(_files_of_package(module)) | dict(_files_of_distribution(distribution))
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
        _KNOWN[plugin] = Code(distribution, version, digest.hexdigest())
    return _KNOWN[plugin]


def _files_of_package(module: str) -> Iterator[tuple[str, Path]]:
    """The source files of the topmost package that is one; a namespace that distributions share is passed over."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:depth]))
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        if not spec.submodule_search_locations:
            yield ("/".join(parts[:depth]) + origin.suffix), origin
            return
        for folder in map(Path, spec.submodule_search_locations):
            for file in folder.rglob("*"):
                if file.suffix in _SUFFIXES and file.is_file():
                    yield "/".join((*parts[:depth], *file.relative_to(folder).parts)), file
        return


def _files_of_distribution(name: str) -> Iterator[tuple[str, Path]]:
    """The source files that a distribution says it installed; none for one in a checkout."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.distribution(name).files or ():
            place = Path(str(file.locate()))
            if file.suffix in _SUFFIXES and place.is_file():
                yield file.as_posix(), place
