"""`compare` and `gate`: run against run, candidate against baseline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.flags import check_positive, deliver
from harness.cli.suggested import runnable
from harness.errors import SeeTellError, SuiteError
from harness.store.runs import Results
from harness.suites.spec import Suite

if TYPE_CHECKING:  # what they import would make `seetell list` slow
    from harness.compare.corrections import Correction
    from harness.compare.runs import Comparison


def compare(
    first: str,
    second: str,
    correction: Correction,
    by: str | None,
    common: bool,
    permutations: int,
    seed: int,
    format: str,
    out: Path | None,
    device: str,
    settings: Sequence[str],
    results: Path,
) -> int:
    """`seetell compare`."""
    check_positive({"--permutations": permutations})
    _check_seed(seed)
    from decoders.models.load import pick_device
    from harness.compare import views
    from harness.compare.runs import compare_runs, on_common_examples
    from harness.compare.scored import ScoredRun
    from harness.store.find import find_run

    writers = {"json": views.to_json_text, "html": views.to_html, "md": views.to_markdown}
    if out is not None and format == "table":
        format = out.suffix.lstrip(".").lower()
        if format not in writers:
            raise SuiteError(f"--out {out} does not tell the format by its name; expected one of: {', '.join(writers)}")
    store = Results(results)
    pair = ScoredRun.load(find_run(store, first)), ScoredRun.load(find_run(store, second, settings))
    if common:
        pair = on_common_examples(*pair, device=pick_device(device))
    found = compare_runs(*pair, correction=correction, by=by, permutations=permutations, seed=seed, device=device)
    if format == "table":
        _show_comparison(found)
        return DONE
    deliver(writers[format](found), out)
    return DONE


def gate(
    name: str,
    baseline: Path | None,
    margins: Sequence[str],
    only: Sequence[str],
    accept: bool,
    seed: int,
    format: str,
    junit: Path | None,
    settings: Sequence[str],
    results: Path,
) -> int:
    """`seetell gate`. Whatever goes wrong here means that nothing was judged, so it must not look like `worse`."""
    from harness.compare.gate import COULD_NOT_JUDGE

    try:
        return _gate(name, baseline, margins, only, accept, seed, format, junit, settings, Results(results))
    except SeeTellError as error:
        console.complain(str(error))
        return COULD_NOT_JUDGE


def _gate(
    name: str,
    path: Path | None,
    margins: Sequence[str],
    only: Sequence[str],
    accept: bool,
    seed: int,
    format: str,
    junit: Path | None,
    settings: Sequence[str],
    store: Results,
) -> int:
    from harness.compare import gate_reports as reports
    from harness.compare.baseline import Baseline
    from harness.compare.gate import gate as judge
    from harness.compare.gate import parse_margins
    from harness.compare.scored import current_runs
    from harness.store.runs import write_bytes

    _check_seed(seed)
    given = parse_margins(margins)
    suite = name if not Path(name).is_file() else Suite.load(name).name
    path = path or store.baseline(suite)
    runs = current_runs(store, name, only, settings)
    if accept:
        accepted = Baseline.accept(path, runs, given, keep_others=bool(only))
        console.say(f"accepted {', '.join(accepted.runs)} of {suite} in {path}")
        return DONE
    report = judge(runs, Baseline.read(path).limited_to(only), given, seed=seed)
    if junit is not None:
        write_bytes(junit, reports.to_junit(report).encode("utf-8", "replace"))
    if format == "json":
        console.emit(reports.to_json(report))
    elif format == "md":
        sys.stdout.write(reports.to_markdown(report))
    else:
        rows = [[runnable(cell) for cell in row] for row in reports.table(report)]
        right = [index for index in range(len(reports.HEADER)) if index not in reports.LEFT]
        console.show_table(reports.headline(report), reports.HEADER, rows, right=right)
        for note in reports.notes(report):
            console.say(note)
    return report.exit_code


def _show_comparison(found: Comparison) -> None:
    from harness.compare import views

    right = [index for index in range(len(views.HEADER)) if index not in views.LEFT]
    rows = [[runnable(cell) for cell in row] for row in views.table(found)]
    console.show_table(f"{found.second} against {found.first}", views.HEADER, rows, right=right)
    for title, changes in (("Settings that differ", found.changes), ("Environment", found.environment)):
        if changes:
            fields = [(each.field, views.plain(each.first), views.plain(each.second)) for each in changes]
            console.show_table(title, ("field", "first", "second"), fields)
    if found.moved:
        moved = [
            (each.example_id, f"{each.first:.4g}", f"{each.second:.4g}", each.first_text, each.second_text)
            for each in found.moved
        ]
        header = ("example", "first", "second", "first said", "second said")
        console.show_table(f"Examples that moved most, by {found.moved_by}", header, moved, right=(1, 2))
    for note in views.notes(found):
        console.say(note)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise SuiteError(f"--seed is {seed}; expected 0 or more")
