"""Find a stored run by the name a user types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import StoreError, did_you_mean
from harness.store.runs import Results, RunFolder
from harness.suites.settings import as_flags, canonical, parse_settings, settings_of


def find_run(results: Results, name: str, settings: Sequence[str] = ()) -> RunFolder:
    """The run that a user means.

    Args:
        results: where to look.
        name: the path of a run's folder, `suite/label-identity` with as many digits as needed, `suite/label`, or a label
            that only one suite has.
        settings: what `--set` changed of the suite when the run was made. Without, and where the name leaves a choice, the
            suite's own run is meant.

    Raises:
        StoreError: no such run, or several.
        SuiteError: settings that the run's suite does not have.
    """
    path = Path(name)
    if (path / "run.json").is_file():
        return RunFolder(path)
    runs = {f"{run.path.parent.name}/{run.path.name}": run for run in results.runs()}
    matches = [known for known in runs if name in _names(known)] or [known for known in runs if known.startswith(name)]
    if settings or len(matches) > 1:
        with_settings = [known for known in matches if _made_with(runs[known], settings)]
        if settings and matches and not with_settings:
            raise StoreError(
                f"{name!r} was not run with{as_flags(settings)}; "
                f"`seetell run {runs[matches[0]].path.parent.name}{as_flags(settings)}` does it"
            )
        matches = with_settings or matches
    if len(matches) > 1:
        raise StoreError(f"{name!r} may be any of {', '.join(sorted(matches))}; give one of these names in full")
    if not matches:
        hint = did_you_mean(name, {short for known in runs for short in _names(known)})
        raise StoreError(
            f"there is no run {name!r} under {results.root}{hint}; expected a run's folder or suite/label, as in "
            "toybox-plain/magic"
        )
    return runs[matches[0]]


def _made_with(run: RunFolder, settings: Sequence[str]) -> bool:
    content = run.describe()
    suite, label = content["suite"], content["spec"]["label"]
    wanted = canonical(parse_settings(settings, suite, f"suite {suite['name']}")) if settings else ()
    return settings_of(suite.get("settings", ()), label) == settings_of(wanted, label)


def _names(known: str) -> tuple[str, ...]:
    suite, _, folder = known.partition("/")
    label = folder.rpartition("-")[0]
    return known, f"{suite}/{label}", folder, label
