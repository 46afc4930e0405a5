"""Where files are fetched from: the hub and the addresses of data sets, or a mirror.

A mirror is a copy of a data folder, lock and all: a folder on this machine, or the address of one. Its lock is its table of
contents, and says what each file must hash to.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from decoders.models.files import HubSource
from harness.errors import DataError
from harness.fetch.download import UNREACHABLE, check_address, download, opened
from harness.fetch.needs import sources
from harness.store.durable import MB, Progress
from harness.store.lock import LOCK, Lock, LockedModel, model_path

SAFE = (".safetensors", ".json", ".txt", ".model")
"""Endings of files that are taken from a model's repository; no pickle is among them, and no code."""
_LARGEST_LOCK = 50 * MB


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file for the data folder."""

    path: str
    """In the data folder."""
    size: int
    """Bytes; roughly, where nobody knows."""
    sha256: str = ""
    """Empty where it is not known yet."""
    address: str = ""
    """What to fetch: an address, a path for a mirror that is a folder, or, for the hub, `org/name@commit`."""
    member: str = ""
    """Of the archive at the address, where that is no file itself."""


@dataclass(frozen=True, slots=True)
class WantedModel:
    """One hub repository, at the commit that it will be pinned to."""

    name: str
    """As the lock calls it."""
    commit: str
    files: tuple[Wanted, ...] = field(default_factory=tuple)


class Origin(Protocol):
    """Tells what there is, and fetches it."""

    def model(self, source: HubSource, pinned: str) -> WantedModel:
        """The files of a model; at the commit it is pinned to, unless that is empty."""
        ...

    def file(self, path: str) -> Wanted | None:
        """A file of the data folder; None if it is not available here."""
        ...

    def fetch(self, wanted: Wanted, part: Path, progress: Progress) -> None:
        """Fetch an address into `part`, resuming after the bytes it already holds."""
        ...


def lock_name(source: HubSource) -> str:
    """What the lock calls a repository: `org/name`, with `@revision` where the suite asks for one."""
    return f"{source.repository}@{source.revision}" if source.revision else source.repository


class Internet:
    """The Hugging Face hub, and the places that `sources.toml` names."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def model(self, source: HubSource, pinned: str) -> WantedModel:
        """See `Origin.model`.

        A repository without safetensors is taken from the conversion that the hub's own converter has proposed for it, as
        transformers does; where there is none, the error says how to convert it.

        Raises:
            DataError: not available, or only pickles.
        """
        name = lock_name(source)
        try:
            model = self._files(name, source, pinned or source.revision)
            if source.weights and not any(file.path.endswith(".safetensors") for file in model.files):
                proposed = self._conversion(source.repository)
                if proposed:
                    self._say(f"{name} has no safetensors; taking the hub's own conversion of it, {proposed}")
                    model = self._files(name, source, proposed)
        except _hub_errors() as error:
            raise _refused(name, error) from error
        if source.weights and not any(file.path.endswith(".safetensors") for file in model.files):
            raise DataError(
                f"{name} holds no safetensors, and pickles are never loaded. Convert it once, where you trust it: "
                f"AutoModelForCausalLM.from_pretrained({source.repository!r}).save_pretrained('FOLDER'), and its tokenizer too; "
                "then `seetell run SUITE --set models.language_model=local:FOLDER`. Or train one: `seetell train lm --help`"
            )
        return model

    def _files(self, name: str, source: HubSource, revision: str) -> WantedModel:
        from huggingface_hub import HfApi

        info = HfApi().model_info(source.repository, revision=revision or None, files_metadata=True)
        commit = str(info.sha)
        files = []
        for sibling in info.siblings or []:
            if "/" in sibling.rfilename or not sibling.rfilename.endswith(SAFE):
                continue  # loaders read the top folder only, and onnx/config.json would be taken for config.json
            if any(fnmatch.fnmatch(sibling.rfilename, pattern) for pattern in source.patterns):
                path = f"{model_path(name, commit)}/{sibling.rfilename}"
                sha256 = sibling.lfs.sha256 if sibling.lfs else ""
                files.append(Wanted(path, sibling.size or 0, sha256, f"{source.repository}@{commit}"))
        return WantedModel(name, commit, tuple(files))

    def _conversion(self, repository: str) -> str:
        from huggingface_hub import get_repo_discussions

        for discussion in get_repo_discussions(repository):
            if discussion.is_pull_request and discussion.author == "SFconvertbot" and discussion.status in ("open", "merged"):
                return str(discussion.git_reference)
        return ""

    def file(self, path: str) -> Wanted | None:
        """See `Origin.file`."""
        source = sources().get(path)
        if source is None:
            return None
        try:
            with opened(source.url, method="HEAD") as answer:
                size = int(answer.headers.get("Content-Length") or source.size)
        except (*UNREACHABLE, ValueError):
            size = source.size
        return Wanted(path, size, "", source.url, source.member)

    def fetch(self, wanted: Wanted, part: Path, progress: Progress) -> None:
        """See `Origin.fetch`."""
        if wanted.address.startswith(("http://", "https://")):
            download(wanted.address, part, size=wanted.size, progress=progress)
            return
        from huggingface_hub import hf_hub_download

        repository, _, commit = wanted.address.partition("@")
        file = wanted.path.partition(f"/{commit}/")[2]
        beside = part.parent / ".hub"  # where the hub's client keeps what it has of a file
        try:
            downloaded = hf_hub_download(repository, file, revision=commit, local_dir=beside)
        except _hub_errors() as error:
            raise _refused(f"{repository}, {file}", error) from error
        Path(downloaded).replace(part)


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises for a network or an unknown host."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    return *HfHubHTTPError.__bases__, EntryNotFoundError, OSError, ValueError


def _refused(origin: str, error: Exception) -> DataError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return DataError(
        f"the hub does not give {origin} ({reason}); check the name and the network, or take it from a copy with --mirror. The "
        "same command resumes where it stopped"
    )


class Mirror:
    """A copy of a data folder: a folder, or its address."""

    def __init__(self, place: str) -> None:
        """Read its lock.

        Raises:
            DataError: there is none.
        """
        self.place = place.rstrip("/")
        self._local = not place.startswith(("http://", "https://"))
        if self._local and "://" in place:
            check_address(place, "--mirror")
        self.lock = Lock.parse(self._read(LOCK), self._address(LOCK))

    def _address(self, path: str) -> str:
        return str(Path(self.place, path)) if self._local else f"{self.place}/{quote(path)}"

    def _read(self, path: str) -> bytes:
        address = self._address(path)
        try:
            if self._local:
                return Path(address).read_bytes()
            with opened(address) as answer:
                return bytes(answer.read(_LARGEST_LOCK))
        except (OSError, *UNREACHABLE) as error:
            raise DataError(
                f"{address} cannot be read ({error}); a mirror is a copy of a data folder that `seetell prefetch` has filled, "
                f"with its {LOCK}"
            ) from error

    def model(self, source: HubSource, pinned: str) -> WantedModel:
        """See `Origin.model`.

        Raises:
            DataError: the mirror does not have it, or at another commit than it is pinned to.
        """
        name = lock_name(source)
        locked = self.lock.models.get(name)
        if locked is None:
            locked = next(
                (
                    candidate
                    for locked_name, candidate in self.lock.models.items()
                    if locked_name.partition("@")[0] == source.repository and candidate.commit == (pinned or source.revision)
                ),
                None,
            )
        if locked is None:
            known = ", ".join(self.lock.models) or "no model"
            raise DataError(f"the mirror {self.place} does not have {name}; it has {known}. Prefetch the suite there first")
        if pinned and locked.commit != pinned:
            raise DataError(
                f"{name} is pinned to {pinned}, and the mirror {self.place} has {locked.commit}; take that with --update"
            )
        return WantedModel(name, locked.commit, tuple(self._files(name, locked)))

    def _files(self, name: str, locked: LockedModel) -> list[Wanted]:
        # The mirror's own name for it may have a revision or none; the folder is the same.
        folder = model_path(name, locked.commit)
        return [
            Wanted(f"{folder}/{file}", content.size, content.sha256, self._address(f"{folder}/{file}"))
            for file, content in locked.files.items()
            if file.endswith(SAFE)
        ]

    def file(self, path: str) -> Wanted | None:
        """See `Origin.file`."""
        content = self.lock.files.get(path)
        if content is None or (content.files and not self._local):  # a folder cannot be asked for what is in it
            return None
        return Wanted(path, content.size, content.sha256, self._address(path))

    def fetch(self, wanted: Wanted, part: Path, progress: Progress) -> None:
        """See `Origin.fetch`."""
        if not self._local:
            download(wanted.address, part, size=wanted.size, progress=progress)
            return
        source = Path(wanted.address)
        try:
            if source.is_dir():
                shutil.copytree(source, part, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, part)
        except OSError as error:
            if error.filename2 or not str(error.filename or "").startswith(str(source)):
                raise  # of the place it goes to
            raise DataError(f"the mirror lacks {source} ({error.strerror}), though its lock names it") from error
