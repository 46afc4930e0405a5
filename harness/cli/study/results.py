"""`study analyze`: what a study's ratings say, and which metric agrees with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.flags import deliver
from harness.cli.study.shared import opened
from harness.errors import SuiteError
from harness.store.runs import Results

if TYPE_CHECKING:
    from harness.study.analysis.reports import Report


def analyze(
    name: str,
    format: Literal["table", "md", "json", "tex"],
    out: Path | None,
    excluded: Literal["include", "exclude"],
    seed: int,
    results: Path,
) -> int:
    """`seetell study analyze`."""
    if seed < 0:
        raise SuiteError(f"--seed is {seed}; expected 0 or more")
    from harness.study.analysis import reports
    from harness.study.analysis.findings import publish, study_report

    writers: dict[str, Callable[[Report], str]] = {
        "md": reports.to_markdown,
        "json": reports.to_json,
        "tex": reports.to_latex,
    }
    if out is not None and format == "table":
        suffix = out.suffix.lstrip(".").lower()
        if suffix not in writers:
            raise SuiteError(
                f"--out {out} does not tell the format by its name; expected one of: {', '.join(writers)}, or --format"
            )
    else:
        suffix = format
    store = Results(results)
    with console.err.status("analysing the ratings"), opened(name, results) as study:
        report = study_report(study, store, excluded=excluded, seed=seed)
        runs = study.runs()
    if suffix == "table":
        show(report)
    else:
        deliver(writers[suffix](report), out)
    if report.frozen and excluded == "exclude":
        path = publish(report, runs, store)
        console.say(f"wrote {path}; `seetell leaderboard` shows its columns beside the metrics")
    return DONE


def power(
    name: str | None,
    items: Sequence[int],
    ratings_per_item: Sequence[int],
    annotators: int,
    systems: int | None,
    aspects: int | None,
    differences: Sequence[float],
    seconds: float | None,
    stories: bool,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell study power`."""
    from dataclasses import asdict

    import numpy as np

    from harness.study.analysis.analyze import panels
    from harness.study.analysis.power import (
        ASSUMED,
        SECONDS_A_TEXT,
        StudyPlan,
        compare_plans,
        mean_components,
    )

    components = ASSUMED
    if name is not None:
        with opened(name, results) as study:
            table = study.ratings()
            stories = stories or study.overview().task == "story"
        components = mean_components(list(panels(table).values()))
        systems, aspects = systems or max(2, len(table.systems)), aspects or len(table.aspects)
        seconds = seconds or float(np.median(table.seconds))
    plan = StudyPlan(2, 1, annotators, systems or 6, aspects or 4, not stories)
    found = compare_plans(
        items, ratings_per_item, plan, components, differences=differences, seconds=seconds or SECONDS_A_TEXT
    )
    if not found:
        raise SuiteError(
            f"{min(ratings_per_item, default=0)} ratings an item need as many annotators, and --annotators is {annotators}; "
            "expected more annotators or fewer --ratings-per-item"
        )
    if as_json:
        console.emit([asdict(each) for each in found])
        return DONE
    rows = [
        (
            f"{each.plan.items}",
            f"{each.plan.ratings_per_item}",
            *(f"{chance:.2f}" for chance in each.power.values()),
            f"{each.detectable:.2f}",
            f"{each.texts:,}",
            f"{each.hours:.0f}",
            f"{each.hours_each:.1f}",
        )
        for each in found
    ]
    heads = ("items", "ratings", *(f"finds {each:g}" for each in found[0].power), "80 % at", "forms", "hours", "each")
    title = f"{plan.systems} systems, {plan.aspects} aspects, {annotators} annotators; variances: {components.source}"
    console.show_table(title, heads, rows, right=range(len(heads)))
    if found[0].caution:
        console.say(f"note: {found[0].caution}")
    return DONE


def show(report: Report) -> None:
    """The report on a terminal."""
    from harness.study.analysis import reports

    for sheet in reports.sheets(report):
        right = [index for index in range(len(sheet.heads)) if index not in sheet.left]
        console.show_table(sheet.title, sheet.heads, sheet.rows, right=right)
        console.say(f"{sheet.note}\n")
    if not report.effect.ratings:
        console.say(report.effect.sentence)
    for caution in (*report.cautions, *filter(None, [report.no_metas])):
        console.say(f"note: {caution}")
