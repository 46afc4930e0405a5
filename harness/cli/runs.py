"""`runs`: what is stored, and how it is removed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.flags import DONE, RESULTS, USER_ERROR, AsJson, Named, ResultsFolder, Switch
from harness.errors import RunLocked, StoreError, SuiteError

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.store.runs import RunFolder


@dataclass(frozen=True, slots=True)
class _Stored:
    """A run as the list shows it."""

    folder: RunFolder
    decoder: str
    settings: str
    answers: str
    state: str
    created: str
    megabytes: float

    @property
    def name(self) -> str:
        """As commands take it."""
        return f"{self.folder.path.parent.name}/{self.folder.path.name}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        fields = ("decoder", "settings", "answers", "state", "created", "megabytes")
        return {"run": self.name, "folder": str(self.folder.path)} | {key: getattr(self, key) for key in fields}


def runs(
    names: Named = (),
    /,
    *,
    remove: Switch = False,
    yes: Switch = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """List the stored runs, or remove some of them after asking.

    For example: `seetell runs toybox-plain`, then `seetell runs toybox-plain/magic-8992f8f2 --remove`.

    Args:
        names: Suites, or runs as in toybox-plain/magic-8992f8f2; every stored run by default.
        remove: Remove these runs with their texts and scores. It asks first; a run that is being written is refused.
        yes: Remove without asking.
    """
    from harness.store.find import find_run
    from harness.store.runs import Results

    store = Results(results)
    if remove and not names:
        raise SuiteError("--remove: expected the runs to remove, by suite or by name, as in toybox-plain/magic-8992f8f2")
    folders = {folder.path: folder for name in names for folder in (store.runs(name) or [find_run(store, name)])} or {
        folder.path: folder for folder in store.runs()
    }
    stored = [_stored(folder) for folder in folders.values()]
    if as_json and not remove:
        console.emit({"runs": [run.to_json() for run in stored]})
        return DONE
    if not stored:
        console.say(f"there are no runs under {results}; `seetell run toybox-plain` makes some")
        return DONE
    if not as_json:
        _show(stored)
    if not remove:
        return DONE
    inside = (store.root / "runs").resolve()
    for run in stored:
        if inside not in run.folder.path.resolve().parents:
            raise StoreError(
                f"{run.folder.path} is not in {inside}, where this removes runs; name its results folder with --results"
            )
    if not (yes or _agreed(stored)):
        console.say("nothing was removed")
        return USER_ERROR
    for run in stored:
        _remove(run.folder)
    if as_json:
        console.emit({"removed": [run.name for run in stored]})
    else:
        console.say(f"removed {', '.join(run.name for run in stored)}")
    return DONE


def _stored(folder: RunFolder) -> _Stored:
    from harness.suites.settings import as_flags, settings_of

    files = [path for path in folder.path.rglob("*") if path.is_file()]
    megabytes = round(sum(path.stat().st_size for path in files) / 1e6, 2)
    try:
        content = folder.describe()
        label = content["spec"]["label"]
        records = folder.records()
        failed = sum(record.failure is not None for record in records)
        answers = f"{len(records)} of {content['answers']}" + (f", {failed} failed" if failed else "")
        scored = folder.scores(of_other_samples=True) is not None
        state = "incomplete" if not folder.complete else "scored" if scored else "not scored"
        settings = as_flags(settings_of(content["suite"].get("settings", ()), label)).strip()
        return _Stored(folder, label, settings, answers, state, content["created"][:16].replace("T", " "), megabytes)
    except StoreError as error:  # it is listed, so that it can be removed
        console.complain(str(error))
        return _Stored(folder, folder.path.name.rpartition("-")[0], "", "–", "damaged", "–", megabytes)


def _show(stored: Sequence[_Stored]) -> None:
    rows = [(run.name, run.answers, run.state, run.created, f"{run.megabytes:.2f}", run.settings) for run in stored]
    console.show_table("Runs", ("run", "answers", "state", "started, UTC", "MB", "settings"), rows, right=(4,))


def _agreed(stored: Sequence[_Stored]) -> bool:
    """Whether somebody at the terminal says yes; nobody there counts as no."""
    if not sys.stdin.isatty():
        raise SuiteError("--remove asks before it removes, and nobody can answer here; add --yes")
    count = "this run" if len(stored) == 1 else f"these {len(stored)} runs"
    console.err.print(f"Remove {count}, texts and scores included? [y/N] ", end="")
    return input().strip().lower() in ("y", "yes")


def _remove(folder: RunFolder) -> None:
    """Remove a run that nobody is writing. It leaves the list at once, whatever becomes of the rest."""
    try:
        with folder.lock():
            (folder.path / "run.json").unlink(missing_ok=True)
            shutil.rmtree(folder.path)
    except RunLocked as error:
        raise RunLocked(f"{error}; it was not removed") from error
