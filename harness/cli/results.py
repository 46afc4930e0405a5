"""`leaderboard`, `compare` and `gate`: ranked tables and the site, run against run, candidate against baseline."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.console import runnable
from harness.cli.flags import (
    DONE,
    RESULTS,
    USER_ERROR,
    AsJson,
    Format,
    Named,
    OutFile,
    OwnSettings,
    ResultsFolder,
    Settings,
    Several,
    Switch,
    check_positive,
    check_seed,
    deliver,
    format_of,
)
from harness.errors import SuiteError

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.compare.gate import GateReport
    from harness.compare.runs import Comparison
    from harness.store.runs import Results


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How the leaderboard's site is written."""

    reproducible: Switch = False
    """Leave times, machines and package versions out of the site: equal results give equal bytes anywhere."""
    check: Switch = False
    """Write nothing; say whether the site in --out is what would be written, and exit with 1 if it is not."""


PLAIN_SITE = Site()


def leaderboard(
    suites: Named = (),
    /,
    *,
    format: Annotated[Literal["table", "html", "md", "csv", "json", "tex"] | None, Format] = None,
    matrix: Several = (),
    out: OutFile = None,
    settings: Settings = (),
    site: Site = PLAIN_SITE,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Rank the scored runs: a table here and a site to open, or one page, Markdown, CSV, JSON or LaTeX.

    Without --format it shows the table and writes a static site into the results folder's `site/`: sortable tables, drawn
    intervals and groups, quality against speed, every example with every system's text, a page per run. The site needs no
    network and no server: open its `index.html`. docs/leaderboard.md says how to read it. Runs that were made with --set are
    shown with the same --set, and left out otherwise.

    For example: `seetell leaderboard toybox-plain --format md --out table.md`.

    Args:
        suites: Suites to show, by name; every one that has runs by default.
        format: Print this format on standard output, or into --out.
        matrix: Instead: these metrics across the suites, such as cider,grounding-f1, a table each, in Markdown.
        out: File to write instead of standard output; or, without --format, the folder of the site.
    """
    from harness.store.runs import Results

    store = Results(results)
    format = "json" if as_json else format
    if matrix:
        if format not in (None, "md") or site.reproducible or site.check:
            raise SuiteError("--matrix writes Markdown; leave out --format, --json, --reproducible and --check")
        from harness.leaderboard.collect import boards
        from harness.leaderboard.matrix import to_matrix

        deliver(to_matrix(boards(store, suites, settings), matrix), out)
        return DONE
    if format is None and (out is None or not out.suffix or out.is_dir()):
        return (_check_site if site.check else _write_site)(store, suites, settings, out or store.site, site)
    if site.reproducible or site.check:
        flag = "--check" if site.check else "--reproducible"
        raise SuiteError(f"{flag} is for the site; leave out --format and --json, and let --out name a folder")
    from harness.cli.board import show
    from harness.leaderboard import FORMATS, render
    from harness.leaderboard.collect import boards

    collected = boards(store, suites, settings)
    chosen = format_of(format or "table", out, FORMATS)
    if chosen == "table":
        for board in collected:
            show(board)
        return DONE
    deliver(render(collected, chosen), out)
    return DONE


def _check_site(store: Results, suites: Sequence[str], settings: Sequence[str], folder: Path, site: Site) -> int:
    from harness.leaderboard.collect import materials
    from harness.leaderboard.site import manifest, write_site

    before = manifest.read(folder)
    reproducible = bool(before.get("reproducible"))
    with console.progress_bar("reading runs"):
        collected = materials(store, suites, settings, shown=0)
    with tempfile.TemporaryDirectory() as new_site, console.progress_bar("building the site") as progress:
        write_site(collected, Path(new_site), reproducible=reproducible, progress=progress)
        changes = manifest.differences(before, manifest.read(Path(new_site)), folder)
    for change in changes:
        console.say(change)
    command = f"seetell leaderboard{' --reproducible' if reproducible else ''} --out {folder}"
    console.say(f"{folder} is not current; `{command}` rewrites it" if changes else f"{folder} is current")
    return USER_ERROR if changes else DONE


def _write_site(store: Results, suites: Sequence[str], settings: Sequence[str], folder: Path, site: Site) -> int:
    from harness.cli.board import show
    from harness.leaderboard.collect import materials
    from harness.leaderboard.site import write_site

    with console.progress_bar("reading runs"):
        collected = materials(store, suites, settings, shown=0)
    for material in collected:
        show(material.board)
    with console.progress_bar("building the site") as progress:
        written = write_site(collected, folder, reproducible=site.reproducible, progress=progress)
    size = f"{written.files} files, {written.size / 1e6:.1f} MB"
    console.say(f"The leaderboard to open: {written.start.resolve()} ({size})")
    return DONE


def compare(
    first: str,
    second: str,
    /,
    *,
    correction: Literal["benjamini-hochberg", "holm", "none"] = "benjamini-hochberg",
    by: str | None = None,
    common: Switch = False,
    permutations: int = 10_000,
    seed: int = 0,
    format: Annotated[Literal["table", "md", "html", "json"], Format] = "table",
    out: OutFile = None,
    device: str = "auto",
    settings: OwnSettings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Compare two scored runs example by example: differences, intervals, p-values, and what moved most.

    Only numbers that were made in the same way are compared; for the others the table says what differs.

    For example: `seetell compare toybox-plain/greedy toybox-plain/magic`.

    Args:
        first: A run's folder, or suite/label as in toybox-plain/magic.
        second: The run to compare with it; differences are second minus first.
        correction: Of the p-values, over all numbers of the table.
        by: The number whose largest moves are shown, such as cider; the first one by default.
        common: Compare only the examples that both runs have, scored again.
        permutations: Exchanges in a test.
        seed: Of the test and the intervals.
        format: How to show it.
        out: File to write instead of standard output.
        device: For --common, where metrics use a model: auto, cpu, cuda, ...
        settings: What the second run was made with, such as magic.beta=1.5; the first is the suite's own. So
            `seetell compare mscoco/magic mscoco/magic --set magic.beta=1.5` says what the setting changes.
    """
    check_positive({"--permutations": permutations})
    check_seed(seed)
    from decoders.models.devices import pick_device
    from harness.compare import views
    from harness.compare.runs import compare_runs, on_common_examples
    from harness.compare.scored import ScoredRun
    from harness.store.find import find_run
    from harness.store.runs import Results

    writers = {"json": views.to_json_text, "html": views.to_html, "md": views.to_markdown}
    chosen = format_of("json" if as_json else format, out, writers)
    store = Results(results)
    pair = ScoredRun.load(find_run(store, first)), ScoredRun.load(find_run(store, second, settings))
    if common:
        pair = on_common_examples(*pair, device=pick_device(device))
    comparison = compare_runs(*pair, correction=correction, by=by, permutations=permutations, seed=seed, device=device)
    if chosen == "table":
        _show_comparison(comparison)
    else:
        deliver(writers[chosen](comparison), out)
    return DONE


def _show_comparison(comparison: Comparison) -> None:
    from harness.compare import views

    rows = [[runnable(cell) for cell in row] for row in views.table(comparison)]
    console.show_table(f"{comparison.second} against {comparison.first}", views.HEADER, rows, left=views.LEFT)
    for title, changes in (("Settings that differ", comparison.changes), ("Environment", comparison.environment)):
        if changes:
            fields = [(change.field, views.plain(change.first), views.plain(change.second)) for change in changes]
            console.show_table(title, ("field", "first", "second"), fields)
    if comparison.moved:
        moved = [
            (move.example_id, f"{move.first:.4g}", f"{move.second:.4g}", move.first_text, move.second_text)
            for move in comparison.moved
        ]
        header = ("example", "first", "second", "text of the first", "text of the second")
        console.show_table(f"Examples that moved most, by {comparison.moved_by}", header, moved, right=(1, 2))
    for note in views.notes(comparison):
        console.say(note)


def gate(
    suite: str,
    /,
    *,
    baseline: Path | None = None,
    margin: Several = (),
    only: Several = (),
    accept: Switch = False,
    seed: int = 0,
    markdown: Switch = False,
    junit: Path | None = None,
    settings: Settings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Is every decoder of a suite still as good as the accepted baseline? The exit code says it.

    0: yes, within the margins. 1: something is worse. 2: it could not be judged (not run, made differently, too few examples:
    the message says how many would do). Run the suite first, into a results folder of its own, so that nothing old is reused.

    For example: `seetell gate toybox-plain --margin clipscore=0.005`, after `seetell gate toybox-plain --accept` once.

    Args:
        suite: A packaged suite or the path of a TOML file.
        baseline: The baseline's file; results/baselines/SUITE.json by default.
        margin: The largest loss that is accepted, as in clipscore=0.005 (a fraction), or clipscore=off; 0.01 by default.
        only: Decoders to judge (or accept), by their label; all of the baseline's by default.
        accept: Write the runs as they are now into the baseline instead of judging them, with the margins given.
        seed: Of the intervals.
        markdown: Print Markdown on standard output, for a pull request.
        junit: Also write JUnit XML into this file.
    """
    check_seed(seed)
    from harness.compare.baseline import Baseline
    from harness.compare.gate import gate as judge
    from harness.compare.gate import parse_margins
    from harness.compare.gate_reports import to_junit
    from harness.compare.scored import current_runs
    from harness.store.runs import Results, write_bytes
    from harness.suites.spec import Suite

    margins = parse_margins(margin)
    name = suite if not Path(suite).is_file() else Suite.load(suite).name
    store = Results(results)
    path = baseline or store.baseline(name)
    runs = current_runs(store, suite, only, settings)
    if accept:
        accepted = Baseline.accept(path, runs, margins, keep_others=bool(only))
        console.say(f"accepted {', '.join(accepted.runs)} of {name} in {path}")
        return DONE
    report = judge(runs, Baseline.read(path).limited_to(only), margins, seed=seed)
    if junit is not None:
        write_bytes(junit, to_junit(report).encode("utf-8", "replace"))
    _show_judgement(report, "json" if as_json else "md" if markdown else "table")
    return report.exit_code


def _show_judgement(report: GateReport, format: str) -> None:
    from harness.compare import gate_reports

    if format == "json":
        console.emit(gate_reports.to_json(report))
    elif format == "md":
        console.write(gate_reports.to_markdown(report))
    else:
        rows = [[runnable(cell) for cell in row] for row in gate_reports.table(report)]
        console.show_table(gate_reports.headline(report), gate_reports.HEADER, rows, left=gate_reports.LEFT)
        for note in gate_reports.notes(report):
            console.say(note)
