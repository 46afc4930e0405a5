"""Verbs that show, rank and judge the runs there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from harness.cli.flag_types import (
    RESULTS,
    AsJson,
    Named,
    OutFile,
    OwnSettings,
    ResultsFolder,
    Settings,
    Several,
    Switch,
)
from harness.errors import SuiteError


def leaderboard(
    suites: Named = (),
    /,
    *,
    format: Annotated[
        Literal["table", "html", "md", "csv", "json", "tex"] | None, Parameter(name=["--format", "-f"])
    ] = None,
    matrix: Several = (),
    out: OutFile = None,
    settings: Settings = (),
    reproducible: Switch = False,
    check: Switch = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Rank the scored runs: a table here and a site to open, or one page, Markdown, CSV, JSON or LaTeX.

    Without --format it shows the table and writes a static site into the results folder's `site/`: sortable tables, drawn
    intervals and groups, quality against speed, every example with every system's text, a page a run. It needs no network and
    no server: open its `index.html`. docs/leaderboard.md says how to read it. Runs that were made with
    --set are shown with the same --set, and left out otherwise.

    Args:
        suites: Suites to show, by name; every one that has runs by default.
        format: Print this format on standard output, or into --out.
        matrix: Instead: these metrics across the suites, such as cider,grounding-f1, a table each, in Markdown.
        out: File to write instead of standard output; or, without --format, the folder of the site.
        reproducible: Leave times, machines and package versions out of the site: equal results give equal bytes anywhere.
        check: Write nothing; say whether the site in --out is what would be written, and exit with 1 if it is not.
    """
    from harness.cli import run as running
    from harness.cli import sites

    format = "json" if as_json else format
    if matrix:
        if format not in (None, "md") or reproducible or check:
            raise SuiteError("--matrix writes Markdown; leave out --format, --json, --reproducible and --check")
        return running.matrix(suites, matrix, out, settings, results)
    if sites.is_site(format, out, reproducible, check):
        return sites.site(suites, out, reproducible, check, settings, results)
    return running.leaderboard(suites, format, out, settings, results)


def show(
    run: str,
    example: str | None = None,
    /,
    *,
    worst: Switch = False,
    differ: Switch = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show a run: what it was made from, its scores with intervals and signatures; or an example with every system's text.

    For example: `seetell show toybox-plain/magic`, `seetell show toybox-plain/magic --worst`.

    Args:
        run: A run's folder, or suite/label as in toybox-plain/magic.
        example: An example's id: what every system of the suite said to it, with its own scores.
        worst: Instead of an id: the example that this run is worst at.
        differ: Instead of an id: the example on which the systems of the suite differ most.
    """
    from harness.cli import showing

    return showing.show(run, example, worst, differ, results, as_json)


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
    format: Annotated[Literal["table", "md", "html", "json"], Parameter(name=["--format", "-f"])] = "table",
    out: OutFile = None,
    device: str = "auto",
    settings: OwnSettings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Compare two scored runs example by example: differences, intervals, p-values, and what moved most.

    Only numbers that were made in the same way are compared; for the others the table says what differs.

    Args:
        first: A run's folder, or suite/label as in toybox-plain/magic.
        second: The run to compare with it; differences are second minus first.
        correction: Of the p-values, over all numbers of the table.
        by: The number whose largest moves are shown, such as cider; the first one by default.
        common: Compare only the examples that both runs have, scored anew.
        permutations: Exchanges a test.
        seed: Of the test and the intervals.
        format: How to show it.
        out: File to write instead of standard output.
        device: For --common, where metrics use a model: auto, cpu, cuda, ...
        settings: What the second run was made with, such as magic.beta=1.5; the first is the suite's own. So
            `seetell compare mscoco/magic mscoco/magic --set magic.beta=1.5` says what the setting changes.
    """
    from harness.cli import results as judging

    format = "json" if as_json else format
    return judging.compare(
        first, second, correction, by, common, permutations, seed, format, out, device, settings, results
    )


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
    it says how many would do). Run the suite first, into a results folder of its own, so that nothing old is reused.

    Args:
        suite: A packaged suite or the path of a TOML file.
        baseline: The baseline's file; results/baselines/SUITE.json by default.
        margin: The largest loss put up with, as in clipscore=0.005 (a fraction), or clipscore=off; 0.01 where nothing is said.
        only: Decoders to judge (or accept), by their label; all of the baseline's by default.
        accept: Write the runs as they are now into the baseline instead of judging them, with the margins given.
        seed: Of the intervals.
        markdown: Print Markdown on standard output, for a pull request.
        junit: Also write JUnit XML into this file.
    """
    from harness.cli import results as judging

    format = "json" if as_json else "md" if markdown else "table"
    return judging.gate(suite, baseline, margin, only, accept, seed, format, junit, settings, results)
