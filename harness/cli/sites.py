"""`leaderboard` as a site to open."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.cli import console
from harness.cli.exits import DONE, USER_ERROR
from harness.errors import SuiteError
from harness.store.runs import Results


def is_site(format: str | None, out: Path | None, reproducible: bool, check: bool) -> bool:
    """Whether a site is meant: no format is named, neither by --format nor by the ending of --out.

    Raises:
        SuiteError: a flag that is for sites, with a format.
    """
    if format is None and (out is None or not out.suffix or out.is_dir()):
        return True
    if reproducible or check:
        flag = "--check" if check else "--reproducible"
        raise SuiteError(f"{flag} is for the site; leave out --format and --json, and let --out name a folder")
    return False


def site(
    suites: Sequence[str],
    out: Path | None,
    reproducible: bool,
    check: bool,
    settings: Sequence[str],
    results: Path,
) -> int:
    """`seetell leaderboard` without a format."""
    from harness.cli.board import show
    from harness.leaderboard.collect import materials
    from harness.leaderboard.site import manifest, write_site

    store = Results(results)
    folder = out or store.site
    before = manifest.read(folder) if check else None
    with console.progress_bar("reading runs"):
        found = materials(store, suites, settings, shown=0)
    if before is not None:
        with tempfile.TemporaryDirectory() as other, console.progress_bar("building the site") as progress:
            write_site(found, Path(other), reproducible=bool(before.get("reproducible")), progress=progress)
            changes = manifest.differences(before, manifest.read(Path(other)), folder)
        for change in changes:
            console.say(change)
        how = " --reproducible" if before.get("reproducible") else ""
        console.say(
            f"{folder} is current"
            if not changes
            else f"{folder} is not current; `seetell leaderboard{how} --out {folder}` writes it anew"
        )
        return USER_ERROR if changes else DONE
    for material in found:
        show(material.board)
    with console.progress_bar("building the site") as progress:
        made = write_site(found, folder, reproducible=reproducible, progress=progress)
    console.say(f"The leaderboard to open: {made.start.resolve()} ({made.files} files, {made.size / 1e6:.1f} MB)")
    return DONE
