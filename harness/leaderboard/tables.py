"""Which runs of a suite are in one table: those of one data digest, one set of models, one arithmetic and one decoder version.

A run on other images, with other weights, in bfloat16 or by an older version of its decoder answers another question. Such runs
stand apart, in tables of their own that say what differs, and have no part in ranks, tests and letters of the main one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.compare.scored import StoredRun
from harness.datasets.load import Digests
from harness.decode.imported.keep import IMPORTED
from harness.decode.plan import labels
from harness.errors import SeeTellError
from harness.suites import registry
from harness.suites.examples import Example
from harness.suites.settings import as_flags
from harness.suites.spec import ModelPin, RunSpec, Suite


@dataclass(frozen=True, slots=True)
class Table:
    """Runs that may be ranked against each other."""

    runs: tuple[StoredRun, ...]
    apart: str = ""
    """What differs from the main table, such as `other data (1f0c33ab)`; empty for the main table."""
    remedy: str = ""
    """The command that runs these decoders as the main table has them, and the one that removes these runs."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Something in which runs of one table must agree."""

    name: str
    value: Callable[[RunSpec], str | None]
    """None where a run does not depend on it, and so agrees with every run."""
    current: Callable[[], str]
    """The value that the suite has now; may raise, or give one that no run has."""


def tables(runs: Sequence[StoredRun], suite: Suite, examples: Sequence[Example]) -> list[Table]:
    """The main table, then the others.

    The main table has the suite's data and models as they are now, and float32. Where that cannot be told (the data or a model is
    not here any more) or no run has it, it is the largest group, of equal ones the newest.

    Args:
        runs: of one suite.
        suite: as its newest run has it.
        examples: its data as it is now; none if it cannot be read.
    """
    digests = Digests(suite, examples)
    main = list(runs)
    preferred: dict[str, str] = {}
    for part in _parts(digests, suite, bool(examples)):
        values = {run.folder: part.value(run.spec) for run in main}
        if len({value for value in values.values() if value is not None}) > 1:
            preferred[part.name] = _preferred(part, main)
        else:
            preferred[part.name] = next((value for value in values.values() if value is not None), "")
        main = [run for run in main if values[run.folder] in (None, preferred[part.name])]
    versions = _newest_versions(main)
    chosen = {run.folder for run in main if run.spec.decoder_version == versions[run.spec.decoder]}
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        if run.folder not in chosen:
            groups.setdefault(_differences(run.spec, digests, suite, preferred, versions), []).append(run)
    apart = [Table(tuple(group), words, _remedy(group)) for words, group in sorted(groups.items())]
    return [Table(tuple(run for run in runs if run.folder in chosen)), *apart]


def _parts(digests: Digests, suite: Suite, readable: bool) -> list[_Part]:
    def data() -> str:
        return digests.data if readable else ""

    def model(name: str | None) -> Callable[[], str]:
        return lambda: digests.model(name).digest if name else ""

    return [
        _Part("data", lambda spec: spec.data_digest, data),
        _Part("language model", lambda spec: _digest(spec.language_model), model(suite.models.language_model)),
        _Part("image-text model", lambda spec: _digest(spec.image_text), model(suite.models.image_text)),
        _Part("arithmetic", lambda spec: spec.dtype, lambda: "float32"),
    ]


def _digest(pin: ModelPin | None) -> str | None:
    return None if pin is None else pin.digest


def _preferred(part: _Part, runs: Sequence[StoredRun]) -> str:
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        if (value := part.value(run.spec)) is not None:
            groups.setdefault(value, []).append(run)
    with contextlib.suppress(SeeTellError):
        if (current := part.current()) in groups:
            return current
    return max(groups, key=lambda value: (len(groups[value]), max(run.content["created"] for run in groups[value])))


def _newest_versions(runs: Sequence[StoredRun]) -> dict[str, int]:
    """The version of each decoder that its runs in the main table have: the installed one's, else the newest."""
    versions: dict[str, int] = {}
    for run in runs:
        name = run.spec.decoder
        versions[name] = max(versions.get(name, run.spec.decoder_version), run.spec.decoder_version)
    for name, newest in versions.items():
        known = {run.spec.decoder_version for run in runs if run.spec.decoder == name}
        if len(known) > 1:
            with contextlib.suppress(SeeTellError):
                installed = registry.decoders().load(name).version
                versions[name] = installed if installed in known else newest
    return versions


def _differences(spec: RunSpec, digests: Digests, suite: Suite, preferred: Mapping[str, str], versions: Mapping[str, int]) -> str:
    """What a run has that the main table has not, in words."""
    words = []
    for part in _parts(digests, suite, readable=False):
        value = part.value(spec)
        if value is None or value == preferred[part.name]:
            continue
        words.append(value if part.name == "arithmetic" else f"other {part.name} ({value[:8]})")
    version = versions.get(spec.decoder, spec.decoder_version)
    if version != spec.decoder_version:
        words.append(f"version {spec.decoder_version} of {spec.decoder}, not {version}")
    return ", ".join(words)


def _remedy(runs: Sequence[StoredRun]) -> str:
    remove = removal(runs)
    again = list(dict.fromkeys(run.spec.label for run in runs if run.spec.decoder != IMPORTED))
    if not again:
        return remove
    name, flags = runs[0].spec.suite, as_flags(runs[0].suite.settings)
    only = "" if set(again) >= set(labels(runs[0].suite)) else "".join(f" --only {label}" for label in again)
    return f"`seetell run {name}{flags}{only}` makes what the main table has; {remove}"


def removal(runs: Sequence[StoredRun]) -> str:
    """The command that removes runs, as part of a sentence."""
    names = " ".join(f"{run.spec.suite}/{run.folder.path.name}" for run in runs)
    return f"`seetell runs {names} --remove` removes {'it' if len(runs) == 1 else 'them'}"


def abandoned(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Incomplete runs after which another run of the same label was started: what changed in between left them behind."""
    newest: dict[str, str] = {}
    for run in runs:
        newest[run.spec.label] = max(newest.get(run.spec.label, ""), str(run.content["created"]))
    return [run for run in runs if not run.complete and str(run.content["created"]) < newest[run.spec.label]]


def shown_path(path: Path) -> str:
    """A path as it is shown: from here where it lies below, else its end alone, so that no page tells where somebody works."""
    inside = os.path.relpath(path)
    return Path(inside).as_posix() if not inside.startswith("..") else f"RESULTS/{'/'.join(path.parts[-3:])}"


def told_apart(runs: Sequence[StoredRun]) -> set[str]:
    """The labels that more than one of the runs has."""
    names = [run.spec.label for run in runs]
    return {name for name in names if names.count(name) > 1}
