"""`prefetch`: what suites need from elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from harness.cli import console
from harness.cli.exits import DONE, USER_ERROR
from harness.errors import SuiteError
from harness.suites.settings import as_flags
from harness.suites.spec import Suite

SPICE = "spice"


def prefetch(wanted: Sequence[str], mirror: str | None, update: bool, settings: Sequence[str], as_json: bool) -> int:
    """`seetell prefetch`."""
    if not wanted:
        raise SuiteError("nothing to fetch was named; expected suites, or spice")
    suites = {name: Suite.load(name, settings) for name in wanted if name != SPICE}  # all, before anything is fetched
    report: dict[str, Any] = {}
    if SPICE in wanted:
        from harness.fetch.spice import fetch_spice

        report[SPICE] = str(fetch_spice(mirror, say=console.say, progress_bar=console.progress_bar))
    complete = True
    for name, suite in suites.items():
        report[suite.name] = _prefetch(suite, shlex.quote(name), mirror, update)
        complete = complete and not report[suite.name]["missing"]
    if as_json:
        console.emit(report)
    return DONE if complete else USER_ERROR


def _prefetch(suite: Suite, called: str, mirror: str | None, update: bool) -> dict[str, Any]:
    from harness.fetch.prefetch import prefetch_suite
    from harness.metrics.coco.java import CORENLP_JARS
    from harness.metrics.coco.spice import spice_folder
    from harness.store.lock import LOCK

    flags = as_flags(suite.settings)
    found = prefetch_suite(suite, mirror=mirror, update=update, say=console.say, progress_bar=console.progress_bar)
    for missing in found.missing:
        console.say(f"{suite.name}: {missing.path} cannot be fetched by a program:")
        for number, step in enumerate(
            (*missing.steps, f"run `seetell prefetch {called}{flags}` again, which pins it"), 1
        ):
            console.say(f"  {number}. {step}")
    said = f"{suite.name}: {len(found.models)} models and {len(found.files)} data files are pinned in {found.folder / LOCK}"
    console.say(said + ("" if found.missing else f"; `seetell run {called} --offline{flags}` needs no network"))
    spice = any((ref.metric or label) == SPICE for label, ref in suite.metrics.items())
    if spice and not all((spice_folder() / jar).is_file() for jar in CORENLP_JARS):
        console.say(f"{suite.name} asks for SPICE, whose parser is not here; `seetell prefetch spice` brings it")
    return {
        "folder": str(found.folder),
        "lock": str(found.folder / LOCK),
        "models": found.models,
        "files": found.files,
        "missing": [{"path": str(each.path), "steps": list(each.steps)} for each in found.missing],
        "fetched_bytes": found.fetched,
    }
