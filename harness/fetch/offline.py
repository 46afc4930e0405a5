"""`--offline`: no network, and of what was fetched only what the lock says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import DataError
from harness.store.durable import Progress, no_progress
from harness.suites.places import data_folder
from harness.suites.spec import Suite

VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def cut_off() -> None:
    """Keep the libraries that know a network from using it, in this process and those it starts; to be called early."""
    for name in VARIABLES:
        os.environ[name] = "1"
    if "huggingface_hub" in sys.modules:  # it reads the variable once, when it is imported
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True


def check_fetched(suite: Suite, *, progress: Progress = no_progress) -> str:
    """Check everything that was fetched for a suite against the lock.

    Args:
        suite: whose.
        progress: called with megabytes checked and due.

    Returns:
        One sentence about what was checked.

    Raises:
        DataError: a model that was never fetched, or a file that is missing or not what the lock says.
    """
    from harness.fetch.needs import data_paths, model_names

    models = dict.fromkeys(model_names(suite), f"`seetell prefetch {suite.name}`")
    return _check(f"suite {suite.name}", models, data_paths(suite), suite.name, progress)


def check_parts(
    what: str, models: Iterable[str], paths: Iterable[str] = (), suite: str = "SUITE", *, progress: Progress = no_progress
) -> str:
    """Check some models and data files against the lock.

    Args:
        what: needs them, in words.
        models: names of models, which need not be those of a suite.
        paths: files and folders in the data folder.
        suite: whose files they are.
        progress: called with megabytes checked and due.

    Returns, raises: as `check_fetched`.
    """
    commands = {
        name: f"`seetell prefetch {suite} --set models.{'language_model' if name.startswith('hf:') else 'image_text'}={name}`"
        for name in models
    }
    return _check(what, commands, paths, suite, progress)


def _check(label: str, models: Mapping[str, str], paths: Iterable[str], suite: str, progress: Progress) -> str:
    """As `check_parts`, with the command that fetches each model; embedded models and models in folders are not checked."""
    from decoders.models.names import hub_sources_of
    from harness.fetch.origins import lock_name
    from harness.store.durable import MB
    from harness.store.lock import LOCK, Content, Lock, content_of, model_path, use_fetched_models

    folder = data_folder()
    lock = Lock.read(folder)
    due: list[tuple[Path, Content, str]] = []
    checked_models = checked_files = 0
    use_fetched_models()
    for name, command in models.items():
        sources = hub_sources_of(name)
        if not sources:
            continue
        for source in sources:
            locked = lock.models.get(lock_name(source))
            if locked is not None:
                home = folder / model_path(lock_name(source), locked.commit)
                due += [(home / path, content, command) for path, content in locked.files.items()]
                continue
            label = name if source is sources[0] else f"{source.repository}, the text side of {name},"
            raise DataError(
                f"{label} is not in {folder / LOCK}, so it was not fetched; {command} brings it, where there is a network or a "
                "--mirror"
            )
        checked_models += 1
    command = f"`seetell prefetch {suite}`"
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
        actual = content_of(place)
        if actual.sha256 != content.sha256:
            raise DataError(
                f"{place} is not what {folder / LOCK} says: SHA-256 {actual.sha256}, expected {content.sha256}. "
                f"{command} brings it again; if it was changed on purpose, add --update"
            )
        done += content.size
        progress(done // MB, total // MB)
    if not due:
        return f"offline: {label} needs nothing from elsewhere"
    return f"offline: {checked_models} models and {checked_files} data files ({total / MB:.0f} MB) are what {folder / LOCK} says"
