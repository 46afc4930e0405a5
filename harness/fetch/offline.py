"""`--offline`: no network, and of what was fetched only what the lock says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.errors import DataError
from harness.places import data_folder
from harness.spec import Suite

Progress = Callable[[int, int], None]

VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def cut_off() -> None:
    """Keep the libraries that know a network from using it, in this process and those it starts; to be called early."""
    for name in VARIABLES:
        os.environ[name] = "1"
    if "huggingface_hub" in sys.modules:  # it looks at the variable once, when it is imported
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True


def check_fetched(suite: Suite, *, progress: Progress = lambda done, total: None) -> str:
    """Check everything that was fetched for a suite against the lock.

    Args:
        suite: whose.
        progress: called with megabytes checked and due.

    Returns:
        One sentence about what was checked.

    Raises:
        DataError: a model that was never fetched, or a file that is missing or not what the lock says.
    """
    from harness.fetch.sources import data_paths, model_names

    return check_parts(f"suite {suite.name}", model_names(suite), data_paths(suite), suite.name, progress=progress)


def check_parts(
    what: str,
    models: Iterable[str],
    paths: Iterable[str] = (),
    suite: str = "",
    *,
    progress: Progress = lambda done, total: None,
) -> str:
    """Check models and data files against the lock.

    Args:
        what: needs them, in words.
        models: names of models; those in folders of the user's, or of SeeTell's own, are not looked at.
        paths: files and folders in the data folder.
        suite: which suite's prefetch brings them; empty for none.
        progress: called with megabytes checked and due.

    Returns, raises: as `check_fetched`.
    """
    from decoders.models.load import hub_source_of
    from harness.fetch.download import MB
    from harness.fetch.lock import LOCK, Content, Lock, content_of, model_path
    from harness.fetch.origins import lock_name

    folder = data_folder()
    lock = Lock.read(folder)
    due: list[tuple[Path, Content, str]] = []
    checked_models = checked_files = 0
    for name in models:
        source = hub_source_of(name)
        if source is None:
            continue
        command = _prefetch(suite, name)
        locked = lock.models.get(lock_name(source))
        if locked is None:
            raise DataError(
                f"{name} is not in {folder / LOCK}, so it was not fetched; {command} brings it, where there is a network or a "
                "--mirror"
            )
        home = folder / model_path(lock_name(source), locked.commit)
        due += [(home / path, content, command) for path, content in locked.files.items()]
        checked_models += 1
    command = _prefetch(suite, "")
    for path in paths:
        if path in lock.files:
            due.append((folder / path, lock.files[path], command))
            checked_files += 1
        elif not (folder / path).exists():
            raise DataError(f"{folder / path} is not there; {command} brings it, or says how to get it")
    total, done = sum(content.size for _, content, _ in due), 0
    for place, content, command in due:
        if not place.exists():
            raise DataError(f"{place} is in {folder / LOCK} and not on this disk; {command} brings it again")
        found = content_of(place)
        if found.sha256 != content.sha256:
            raise DataError(
                f"{place} is not what {folder / LOCK} says: SHA-256 {found.sha256}, expected {content.sha256}. "
                f"{command} brings it again; if it was changed on purpose, add --update"
            )
        done += content.size
        progress(done // MB, total // MB)
    if not due:
        return f"offline: {what} needs nothing from elsewhere"
    return f"offline: {checked_models} models and {checked_files} data files ({total / MB:.0f} MB) are what {folder / LOCK} says"


def _prefetch(suite: str, model: str) -> str:
    """The command that brings something: the suite's own, or any suite's that is told to use the model."""
    if suite:
        return f"`seetell prefetch {suite}`"
    role = "language_model" if model.startswith("hf:") else "image_text"
    return f"`seetell prefetch SUITE --set models.{role}={model}`"
