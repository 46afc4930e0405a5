"""What outputs of others are called in tables: after their file, and after its folders where two files share a name."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.decode.imported.read import Outputs
from harness.errors import StoreError, SuiteError
from harness.store.runs import Results


def label_of(name: str) -> str:
    """A name as a label: lower case, with hyphens for what the name of a folder cannot hold."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return plain[:48].rstrip("-") or "system"


def with_names(systems: Sequence[Outputs], paths: Sequence[Path], labels: Sequence[str]) -> list[Outputs]:
    """The systems with the names that each may get in tables.

    Args:
        systems: as they were read.
        paths: the file of each. Where several have one name, names with that of the folder are better.
        labels: what the user calls each; empty where nothing was said.
    """
    shared = Counter(label_of(system.name) for system in systems)
    named = []
    for system, path, label in zip(systems, paths, labels, strict=True):
        names = [system.name]
        for folder in path.resolve().parents:
            if folder.name:
                names.append(f"{folder.name}-{names[-1]}"[-48:])
        if shared[label_of(system.name)] > 1:
            names = [*names[1:], names[0]]
        named.append(replace(system, names=(label,) if label else tuple(names), label=label))
    return named


def choose_label(system: Outputs, suite: str, config: Mapping[str, Any], results: Results, taken: Collection[str] = ()) -> str:
    """The label of a system's run: never that of other texts in the same suite.

    Args:
        system: from `with_names`, or without names: its file's name is taken then.
        suite: the suite that the run is in.
        config: what tells its texts from others, as it is in the run's specification.
        results: where runs are kept; a run of the same texts keeps its name.
        taken: labels that are in use already.

    Raises:
        SuiteError: the name that the user gave is taken, or has other texts.
    """
    stored = _stored(results, suite)
    candidates = [label_of(name) for name in system.names or (system.name,)]
    if system.label:
        [label] = candidates
        if label in taken:
            raise SuiteError(f"two files are to be called {label!r}; give one of them another name")
        if label in stored and config not in stored[label]:
            raise SuiteError(
                f"--name {system.label}: {results.root / 'runs' / suite} has other texts of that name; give another name, or "
                f"delete the folder {label}-... there"
            )
        return label
    free = [label for label in candidates if label not in taken]
    for label in free:
        if config in stored.get(label, []):
            return label
    for label in itertools.chain(free, _numbered(candidates[0])):
        if label not in taken and label not in stored:
            return label
    raise AssertionError("numbers do not end")


def _numbered(label: str) -> Iterator[str]:
    return (f"{label[:44]}-{number}" for number in itertools.count(2))


def _stored(results: Results, suite: str) -> dict[str, list[Mapping[str, Any]]]:
    """The labels of a suite's runs, and what was decoded by which settings under each."""
    stored: dict[str, list[Mapping[str, Any]]] = {}
    for run in results.runs(suite):
        try:
            spec = run.describe()["spec"]
        except StoreError:  # named where runs are shown; it keeps its label
            stored.setdefault(run.path.name.rpartition("-")[0], [])
            continue
        stored.setdefault(spec["label"], []).append(spec["config"])
    return stored
