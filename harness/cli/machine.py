"""`list`, `doctor`, `prefetch` and `data check`: what is installed, what is missing, what can be fetched."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.flags import DONE, USER_ERROR, AsJson, Named, Settings, Switch, cut_off_if
from harness.errors import SuiteError, did_you_mean
from harness.suites.settings import as_flags

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.suites.registry import Registry
    from harness.suites.spec import Suite

SPICE = "spice"
"""What `prefetch` takes beside suites."""
_DOCTOR_MARKS = {True: "[green]ok[/]     ", None: "[yellow]without[/]", False: "[red]MISSING[/]"}
_DATA_MARKS = {"ok": "[green]ok[/]     ", "note": "[yellow]note[/]   ", "problem": "[red]PROBLEM[/]"}


def list_(names: Named = (), /, *, as_json: AsJson = False) -> int:
    """Show the suites, decoders, metrics and data sets that are installed, plug-ins included; of one of them, its settings.

    For example: `seetell list`, or `seetell list magic cider` for what can be set of these two.

    Args:
        names: Decoders, metrics or data sets whose settings are shown, with meaning and default; the defaults of decoders are
            the published values. Without names everything is listed.
    """
    from harness import datasets, metrics
    from harness.suites.registry import decoders

    kinds: Mapping[str, Registry[Any]] = {"decoders": decoders(), "metrics": metrics.registry(), "datasets": datasets.registry()}
    if names:
        return _list_settings(kinds, names, as_json=as_json)
    from harness.suites.spec import Suite, packaged_suites

    suites = [Suite.load(name) for name in packaged_suites()]
    listing: dict[str, list[dict[str, Any]]] = {
        "suites": [{"name": suite.name, "title": suite.title or suite.task} for suite in suites]
    }
    for kind, plugins in kinds.items():
        listing[kind] = [
            {
                "name": claim.name,
                "from": f"{claim.distribution} {claim.version}",
                "description": claim.describe() if len(claims) == 1 else f"CLASH: {len(claims)} distributions claim this name",
            }
            for claims in plugins.entries.values()
            for claim in claims
        ]
    if as_json:
        console.emit(listing)
        return DONE
    for kind, entries in listing.items():
        columns = ("suite", "what") if kind == "suites" else (kind.removesuffix("s"), "from", "what")
        console.show_table(kind.capitalize(), columns, [tuple(entry.values()) for entry in entries])
    return DONE


def _list_settings(kinds: Mapping[str, Registry[Any]], names: Sequence[str], *, as_json: bool) -> int:
    """Show what can be set of each name; one name may be a decoder's and a metric's."""
    from dataclasses import asdict

    from harness.suites.described import keys_of

    known = [name for plugins in kinds.values() for name in plugins.entries]
    described: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        if name not in known:
            raise SuiteError(
                f"there is no decoder, metric or data set {name!r}{did_you_mean(name, known)}; `seetell list` lists all"
            )
        for kind, plugins in kinds.items():
            if name not in plugins.entries:
                continue
            plugin, entry = plugins.load(name), plugins.find(name)
            keys = keys_of(plugin.Options if kind == "datasets" else plugin.Config)
            described.setdefault(kind, []).append(
                {"name": name, "description": entry.describe(), "settings": [asdict(key) for key in keys]}
            )
    if as_json:
        console.emit(described)
        return DONE
    for kind, plugins_shown in described.items():
        for shown in plugins_shown:
            title = f"[bold]{console.shown(shown['name'])}[/] ({kind.removesuffix('s')})"
            console.out.print(f"{title}: {console.shown(shown['description'])}")
            rows = [(key["name"], key["values"], key["default"] or "required", key["meaning"]) for key in shown["settings"]]
            if rows:
                console.show_table("", ("setting", "values", "default", "meaning"), rows)
            else:
                console.out.print("It has no settings.")
    return DONE


def doctor(*, as_json: AsJson = False) -> int:
    """Check this machine: one line per check, and the command that repairs what is wrong.

    For example: `seetell doctor`, before anything else if something does not work.
    """
    from harness.cli.doctor import check

    checks = check()
    if as_json:
        console.emit({"checks": [result.to_json() for result in checks]})
    else:
        for result in checks:
            console.out.print(f"{_DOCTOR_MARKS[result.ok]} {console.shown(result.name)}: {console.shown(result.detail)}")
            if result.remedy and not result.ok:
                console.out.print(f"          {console.shown(result.remedy)}")
    return USER_ERROR if any(result.ok is False for result in checks) else DONE


def prefetch(
    what: Named, /, *, mirror: str | None = None, update: Switch = False, settings: Settings = (), as_json: AsJson = False
) -> int:
    """Download once what a suite needs: models (safetensors only) and data. A download that was stopped is resumed.

    It goes into $SEETELL_DATA, by default `data` in SeeTell's cache folder. The disk space it takes is printed first, and
    nothing is fetched where the disk has less. Commits and SHA-256 are pinned in seetell.lock.toml there; `seetell run SUITE
    --offline` checks them and needs no network. That folder, copied or served by any web server, is a --mirror for others. What
    needs a form is not fetched: the command says what to do, and pins it once it is there.

    For example: `seetell prefetch mscoco`.

    Args:
        what: Suites, packaged or the paths of TOML files; or spice: Stanford CoreNLP 3.6.0, the parser that SPICE uses.
        mirror: A folder, or its address, that holds the same, instead of the original sources. For spice, the address of a
            folder with the archive and its .sha256.
        update: Forget what was pinned for these suites and take what there is now.
    """
    if not what:
        raise SuiteError("nothing to fetch was named; expected suites, or spice")
    from harness.suites.spec import Suite

    suites = {name: Suite.load(name, settings) for name in what if name != SPICE}  # all, before anything is fetched
    report: dict[str, Any] = {}
    if SPICE in what:
        from harness.fetch.spice import fetch_spice

        report[SPICE] = str(fetch_spice(mirror, say=console.say, progress_bar=console.progress_bar))
    complete = True
    for name, suite in suites.items():
        report[suite.name] = _prefetch_suite(suite, shlex.quote(name), mirror, update)
        complete = complete and not report[suite.name]["missing"]
    if as_json:
        console.emit(report)
    return DONE if complete else USER_ERROR


def _prefetch_suite(suite: Suite, called: str, mirror: str | None, update: bool) -> dict[str, Any]:
    from harness.fetch.prefetch import prefetch_suite
    from harness.metrics.coco.java import CORENLP_JARS
    from harness.metrics.coco.spice import spice_folder
    from harness.store.lock import LOCK

    flags = as_flags(suite.settings)
    fetched = prefetch_suite(suite, mirror=mirror, update=update, say=console.say, progress_bar=console.progress_bar)
    lock = fetched.folder / LOCK
    for missing in fetched.missing:
        console.say(f"{suite.name}: {missing.path} cannot be fetched by a program:")
        steps = (*missing.steps, f"run `seetell prefetch {called}{flags}` again, which pins it")
        for number, step in enumerate(steps, start=1):
            console.say(f"  {number}. {step}")
    pinned = f"{suite.name}: {len(fetched.models)} models and {len(fetched.files)} data files are pinned in {lock}"
    console.say(pinned + ("" if fetched.missing else f"; `seetell run {called} --offline{flags}` needs no network"))
    spice = any((ref.metric or label) == SPICE for label, ref in suite.metrics.items())
    if spice and not all((spice_folder() / jar).is_file() for jar in CORENLP_JARS):
        console.say(f"{suite.name} asks for SPICE, whose parser is not here; `seetell prefetch spice` fetches it")
    return {
        "folder": str(fetched.folder),
        "lock": str(lock),
        "models": fetched.models,
        "files": fetched.files,
        "missing": [{"path": str(missing.path), "steps": list(missing.steps)} for missing in fetched.missing],
        "fetched_bytes": fetched.fetched,
    }


def check_data(
    suite: str, /, *, deep: Switch = False, offline: Switch = False, settings: Settings = (), as_json: AsJson = False
) -> int:
    """Say what of a suite's data and models is there, what is missing, and the exact steps to get it. Downloads nothing.

    Also checked: the number of examples against what the suite expects, ids that repeat, images that are missing, what the data
    shares with the captions that retrieval chooses from, and the index in which stories find their images. Exit code 0: complete.
    1: something has to be put right.

    For example: `seetell data check mscoco --set data.images=/data/coco`.

    Args:
        suite: A packaged suite (`seetell list`) or the path of a TOML file.
        deep: Open every image: names those that are broken, and finds equal ones under different names. Takes minutes for
            thousands of images.
        offline: Also check the files that `seetell prefetch` fetched against its lock file, as `run --offline` will.
    """
    cut_off_if(True)  # a check must not download
    from harness.fetch.check import check_suite
    from harness.suites.spec import Suite

    loaded = Suite.load(suite, settings)
    with console.step_bar(f"{loaded.name}: checking") as progress:
        report = check_suite(loaded, deep=deep, locked=offline, called=suite, progress=progress)
    code = DONE if report.complete else USER_ERROR
    if as_json:
        console.emit(report.to_json())
        return code
    for finding in report.findings:
        console.out.print(f"{_DATA_MARKS[finding.level]} {console.shown(f'{finding.section} {finding.detail}')}")
        _show_steps(finding.steps)
    called = f"{suite}{as_flags(loaded.settings)}"
    problems = sum(finding.level == "problem" for finding in report.findings)
    if problems:
        things = "1 thing has" if problems == 1 else f"{problems} things have"
        console.say(f"{loaded.name}: {things} to be put right; `seetell prefetch {called}` fetches what a program may")
    else:
        console.say(f"{loaded.name}: everything is there; `seetell run {called}` decodes it")
    return code


def _show_steps(steps: Sequence[str]) -> None:
    for number, step in enumerate(steps, start=1):
        bullet = f"{number}." if len(steps) > 1 else "->"
        console.out.print(f"          {bullet} {console.shown(step)}")
