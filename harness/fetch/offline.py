"""`seetell run --offline`: no network, and nothing but what the lock says was fetched."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from harness.errors import DataError
from harness.places import data_folder
from harness.spec import Suite

VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def cut_off() -> None:
    """Keep the libraries that know a network from using it, in this process and those it starts; to be called early."""
    for name in VARIABLES:
        os.environ[name] = "1"
    if "huggingface_hub" in sys.modules:  # it looks at the variable once, when it is imported
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True


def check_fetched(suite: Suite, *, progress: Callable[[int, int], None] = lambda done, total: None) -> str:
    """Check everything that was fetched for a suite against the lock.

    Args:
        suite: whose.
        progress: called with megabytes checked and due.

    Returns:
        One sentence about what was checked.

    Raises:
        DataError: a model that was never fetched, or a file that is missing or not what the lock says.
    """
    from decoders.models.load import hub_source_of
    from harness.fetch.download import MB
    from harness.fetch.lock import LOCK, Content, Lock, content_of, model_path
    from harness.fetch.origins import lock_name
    from harness.fetch.sources import data_paths, model_names

    folder = data_folder()
    lock = Lock.read(folder)
    remedy = f"`seetell prefetch {suite.name}` brings it, where there is a network or a --mirror"
    due: list[tuple[Path, Content]] = []
    models = files = 0
    for name in model_names(suite):
        source = hub_source_of(name)
        if source is None:
            continue
        locked = lock.models.get(lock_name(source))
        if locked is None:
            raise DataError(f"{name} is not in {folder / LOCK}, so it was not fetched; {remedy}")
        home = folder / model_path(lock_name(source), locked.commit)
        due += [(home / path, content) for path, content in locked.files.items()]
        models += 1
    for path in data_paths(suite):
        if path in lock.files:
            due.append((folder / path, lock.files[path]))
            files += 1
        elif not (folder / path).exists():
            raise DataError(f"{folder / path} is not there; {remedy}, or says how to get it")
    total, done = sum(content.size for _, content in due), 0
    for place, content in due:
        if not place.exists():
            raise DataError(f"{place} is in {folder / LOCK} and not on this disk; {remedy}")
        found = content_of(place)
        if found.sha256 != content.sha256:
            raise DataError(
                f"{place} is not what {folder / LOCK} says: SHA-256 {found.sha256}, expected {content.sha256}. "
                f"`seetell prefetch {suite.name}` brings it again; if it was changed on purpose, add --update"
            )
        done += content.size
        progress(done // MB, total // MB)
    if not due:
        return f"offline: suite {suite.name} needs nothing from elsewhere"
    return f"offline: {models} models and {files} data files ({total / MB:.0f} MB) are what {folder / LOCK} says"
