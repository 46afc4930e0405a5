"""`seetell prefetch SUITE`: fetch all that a suite needs into the data folder, once, and pin it in the lock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from decoders.models.files import HubSource
from harness.datasets.known import steps_for
from harness.errors import DataError
from harness.fetch.download import ProgressBar, extract, room_in
from harness.fetch.needs import data_paths, model_names
from harness.fetch.origins import Internet, Mirror, Origin, Wanted, WantedModel, lock_name
from harness.store.durable import MB
from harness.store.lock import LOCK, Content, Lock, LockedFile, LockedModel, content_of, model_path, use_fetched_models
from harness.suites.places import data_folder
from harness.suites.spec import Suite

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that only a person can fetch."""

    path: Path
    steps: tuple[str, ...]


@dataclass(slots=True)
class Fetched:
    """The outcome of `seetell prefetch`."""

    folder: Path
    models: dict[str, str] = field(default_factory=dict)
    """Models by name, with the commit they are pinned to."""
    files: list[str] = field(default_factory=list)
    """Files of data sets, by their path in the folder."""
    missing: list[Missing] = field(default_factory=list)
    fetched: int = 0
    """Bytes that had to be brought."""


def prefetch_suite(suite: Suite, *, mirror: str | None, update: bool, say: Say, progress_bar: ProgressBar) -> Fetched:
    """Fetch a suite's models and data files, check them, and pin them.

    Files that match the lock are kept, damaged files are fetched again, interrupted downloads are resumed.

    Args:
        suite: whose.
        mirror: a copy of a data folder, or its address; the hub and the data's own places if None.
        update: ignore what the lock pins for this suite, and take the current versions.
        say: prints a message for the user.
        progress_bar: from `harness.cli.console`.

    Raises:
        DataError: not available, too little disk space, or not what the lock or the mirror says.
    """
    return _Prefetch(suite, Mirror(mirror) if mirror else Internet(say), update, say, progress_bar).run()


class _Prefetch:
    def __init__(self, suite: Suite, origin: Origin, update: bool, say: Say, progress_bar: ProgressBar) -> None:
        self.suite = suite
        self.origin = origin
        self.update = update
        self.say = say
        self.progress_bar = progress_bar
        self.folder = data_folder()
        self.lock = Lock.read(self.folder)
        self.result = Fetched(self.folder)
        self._contents: dict[Path, Content] = {}

    def run(self) -> Fetched:
        """Plan all downloads, report the disk space they take, then fetch."""
        models = self._models()
        files = self._files()
        due = [wanted for model in models for wanted in model.files if not self._is_there(wanted)]
        due += [wanted for wanted in files if not self._is_there(wanted)]
        self._check_room(due)
        try:
            self._fetch_models(models, due)
            # A model's configuration may name a text tower or a tokenizer elsewhere; it can be read from here on.
            use_fetched_models()
            known = {model.name for model in models}
            beside = [model for model in self._models() if model.name not in known]
            due += (small := [wanted for model in beside for wanted in model.files if not self._is_there(wanted)])
            self._fetch_models(beside, small)
            for _, group in groupby(files, key=lambda wanted: wanted.address):
                together = list(group)
                self._fetch([wanted for wanted in together if wanted in due])
                for wanted in together:
                    self._pin_file(wanted)
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be written ({error}); make room, or set SEETELL_DATA to another folder. What was "
                "fetched is kept, and the same command resumes from there"
            ) from error
        self.result.fetched = sum(wanted.size for wanted in due)
        return self.result

    def _fetch_models(self, models: Sequence[WantedModel], due: Sequence[Wanted]) -> None:
        for model in models:
            self._fetch([wanted for wanted in model.files if wanted in due])
            self._pin_model(model)

    def _models(self) -> list[WantedModel]:
        """The repositories of all models, text towers and tokenizers included, as far as they are known yet."""
        from decoders.models.names import hub_sources_of

        sources = {lock_name(source): source for name in model_names(self.suite) for source in hub_sources_of(name)}
        models = []
        for key, source in sources.items():
            fresh = self.update and key not in self.result.models
            locked = None if fresh else self.lock.models.get(key)
            with self.progress_bar(f"asking for {key}"):
                models.append(self._complete(key, locked) or self._from_origin(source, locked))
        return models

    def _from_origin(self, source: HubSource, locked: LockedModel | None) -> WantedModel:
        """What the origin has of a model, each file with the hash that the lock pins, if it does."""
        model = self.origin.model(source, locked.commit if locked else "")
        pinned = {path: file.sha256 for path, file in locked.files.items()} if locked else {}
        files = [replace(file, sha256=pinned.get(_file(file), file.sha256)) for file in model.files]
        return replace(model, files=tuple(files))

    def _complete(self, name: str, locked: LockedModel | None) -> WantedModel | None:
        """What the lock says, if all of it is there: then nobody has to be asked."""
        if locked is None:
            return None
        folder = model_path(name, locked.commit)
        files = [Wanted(f"{folder}/{path}", content.size, content.sha256) for path, content in locked.files.items()]
        return WantedModel(name, locked.commit, tuple(files)) if all(map(self._is_there, files)) else None

    def _files(self) -> list[Wanted]:
        """What can be fetched, files of one archive side by side; the rest goes among the missing, or is pinned as it is."""
        fetchable = []
        for path, key in data_paths(self.suite).items():
            pinned = None if self.update else self.lock.files.get(path)
            place = self.folder / path
            if pinned is not None and self._is_there(Wanted(path, pinned.size, pinned.sha256)):
                self.result.files.append(path)
                continue
            wanted = self.origin.file(path)
            if wanted is not None:
                if pinned is not None:
                    wanted = replace(wanted, sha256=pinned.sha256)
                fetchable.append(wanted)
            elif not place.exists():
                self.result.missing.append(Missing(place, steps_for(place, key)))
            elif pinned is not None:
                raise DataError(
                    f"{place} is not what {self.folder / LOCK} pins (SHA-256 {pinned.sha256}). Put the file back; or, if it was "
                    "changed on purpose, pin what is there now with --update"
                )
            else:
                self._pin_own(path)
        return sorted(fetchable, key=lambda wanted: (wanted.address, wanted.path))

    def _is_there(self, wanted: Wanted) -> bool:
        """Whether a file is in place and what it should be, as far as anybody says what that is."""
        place = self.folder / wanted.path
        if not place.exists():
            return False
        if wanted.sha256:
            return self._content(place).sha256 == wanted.sha256
        if wanted.path.startswith("models/"):  # the hub has no hash of small files; their folder is one commit's
            return place.stat().st_size == wanted.size
        return not self.update  # the user's own copy

    def _content(self, place: Path) -> Content:
        if place not in self._contents:
            with self.progress_bar(f"checking {place.name} (MB)") as progress:
                self._contents[place] = content_of(place, progress)
        return self._contents[place]

    def _check_room(self, due: Sequence[Wanted]) -> None:
        """Say what it takes before anything is written; refuse where there is less."""
        archives = {wanted.address: wanted.size for wanted in due if wanted.member}
        plain = sum(wanted.size - self._begun(wanted) for wanted in due if not wanted.member)
        # Of what is packed nobody says the size before it is there; JSON packs to about a fifth.
        needed = plain + sum(8 * size for size in archives.values())
        free = room_in(self.folder)
        if not due:
            self.say(f"{self.suite.name}: all that can be fetched is in {self.folder}")
            return
        parts = ", ".join(f"{_shown(wanted.size)} {wanted.path}" for wanted in sorted(due, key=lambda wanted: -wanted.size)[:4])
        remainder = f", and {len(due) - 4} smaller" if len(due) > 4 else ""
        needs = f"{self.suite.name} needs {_shown(needed)} of room in {self.folder}: {parts}{remainder}"
        if needed > free:
            raise DataError(f"{needs}; {_shown(free)} are free. Make room, or set SEETELL_DATA to another folder")
        self.say(f"{needs}; {_shown(free)} are free")

    def _begun(self, wanted: Wanted) -> int:
        part = self._part(wanted)
        return min(part.stat().st_size, wanted.size) if part.is_file() else 0

    def _part(self, wanted: Wanted) -> Path:
        if wanted.member:  # one archive for all that is in it
            return self.folder / ".parts" / wanted.address.rpartition("/")[2]
        place = self.folder / wanted.path
        return place.with_name(f"{place.name}.part")

    def _fetch(self, due: Sequence[Wanted]) -> None:
        """Bring files, those of one archive together; each is put in place once its hash is right."""
        for number, wanted in enumerate(due):
            part = self._part(wanted)
            if not (wanted.member and number):
                part.parent.mkdir(parents=True, exist_ok=True)
                with self.progress_bar(f"fetching {part.name.removesuffix('.part')} (MB)") as progress:
                    self.origin.fetch(wanted, part, progress)
            self._put(wanted, self._unpacked(wanted, part) if wanted.member else part)
        if due and due[0].member:
            self._part(due[0]).unlink()

    def _put(self, wanted: Wanted, part: Path) -> None:
        """Put what was fetched in its place; refuse, and delete, what is not what it should be."""
        place = self.folder / wanted.path
        with self.progress_bar(f"checking {place.name} (MB)") as progress:
            content = content_of(part, progress)
        sha256 = content.sha256
        if wanted.sha256 and sha256 != wanted.sha256:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
            raise DataError(
                f"{wanted.address or wanted.path} has the SHA-256 {sha256}, and {wanted.sha256} was expected. It was deleted; "
                "run the same command again, or, if it is meant to have changed, with --update"
            )
        if place.is_dir():
            shutil.rmtree(place)
        part.replace(place)
        self._contents[place] = content

    def _unpacked(self, wanted: Wanted, archive: Path) -> Path:
        place = self.folder / wanted.path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f"{place.name}.part")
        remedy = "get it by hand (`seetell data check`)"
        extract(archive, {wanted.member: beside}, owner=wanted.address, remedy=remedy)
        return beside

    def _pin_model(self, model: WantedModel) -> None:
        locked = self.lock.models.get(model.name)
        if locked is None or locked.commit != model.commit or set(locked.files) != {_file(file) for file in model.files}:
            files = {_file(file): self._content(self.folder / file.path) for file in model.files}
            self.lock = self.lock.with_model(model.name, LockedModel(commit=model.commit, files=files))
            self.lock.write(self.folder)
        shutil.rmtree(self.folder / Path(model.files[0].path).parent / ".hub", ignore_errors=True)
        self.result.models[model.name] = model.commit

    def _pin_file(self, wanted: Wanted) -> None:
        content = self._content(self.folder / wanted.path)
        self._pin(wanted.path, content, wanted.address)

    def _pin_own(self, path: str) -> None:
        self._pin(path, self._content(self.folder / path), "")

    def _pin(self, path: str, content: Content, source: str) -> None:
        place = self.folder / path
        files = sum(file.is_file() for file in place.rglob("*")) if place.is_dir() else 0
        locked = LockedFile(size=content.size, sha256=content.sha256, source=source, files=files)
        if self.lock.files.get(path) != locked:
            self.lock = self.lock.with_file(path, locked)
            self.lock.write(self.folder)
        self.result.files.append(path)


def _file(wanted: Wanted) -> str:
    """The name of a model's file inside its folder."""
    return wanted.path.rpartition("/")[2]


def _shown(size: float) -> str:
    return f"{size / 1000 / MB:.1f} GB" if size >= 1000 * MB else f"{size / MB:.1f} MB"
