"""The files and models that a suite needs, and where files of the packaged suites come from (`sources.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from harness.datasets.base import Dataset
from harness.datasets.digests import load_dataset, place_model
from harness.datasets.paths import find_paths
from harness.metrics.evaluate import due_metrics
from harness.suites.places import data_folder
from harness.suites.sections import Section
from harness.suites.spec import Suite


class Source(Section):
    """Where one file of the data folder is fetched from."""

    url: str
    """The file, or the archive that it is in."""
    member: str = ""
    """Its name in the archive, if that is what the address leads to."""
    size: int
    """Bytes to fetch, roughly; used where the server does not tell."""


@cache
def sources() -> dict[str, Source]:
    """Files that a program may fetch, by their path in the data folder."""
    content = (resources.files("harness.fetch") / "sources.toml").read_text("utf-8")
    return {path: Source.model_validate(fields) for path, fields in tomllib.loads(content).items()}


def data_paths(suite: Suite) -> dict[str, str]:
    """The paths in the data folder that a suite reads, each with the option that names it.

    Files elsewhere are the user's own; images beside an index of captions are not read.
    """
    return _paths([load_dataset(suite.data, suite.folder, "[data]"), *_captions(suite)])


def text_paths(suite: Suite) -> dict[str, str]:
    """The same without images: what training a language model reads."""
    return _paths([load_dataset(suite.data, suite.folder, "[data]").without_images(), *_captions(suite)])


def _captions(suite: Suite) -> list[Dataset]:
    ref = suite.captions
    return [] if ref is None else [load_dataset(ref, suite.folder, "[captions]").without_images()]


def _paths(parts: Sequence[Dataset]) -> dict[str, str]:
    home = data_folder()
    keys: dict[str, str] = {}
    for part in parts:
        for key, pattern in part.inputs():
            present, missing = find_paths(part.folder, pattern)
            for path in (*present, *missing):
                if path.is_relative_to(home):
                    keys.setdefault(path.relative_to(home).as_posix(), key)
    return keys


def model_names(suite: Suite) -> list[str]:
    """The models that decoders and metrics of a suite use, each once; relative folders start at the suite's file."""
    named = [suite.models.language_model, suite.models.image_text]
    named += [name for due in due_metrics(suite) for name in due.config.own_models().values()]
    return list(dict.fromkeys(place_model(name, suite.folder) for name in named if name))
