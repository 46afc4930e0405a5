"""`study analyze` and `study power`: what a study's ratings say, which metric agrees with them, and what a plan would find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import (
    DONE,
    RESULTS,
    SEVERAL,
    AsJson,
    Format,
    OutFile,
    ResultsFolder,
    Switch,
    check_seed,
    deliver,
    format_of,
)
from harness.cli.study.shared import Name, opened
from harness.errors import SuiteError

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.study.analysis.reports import Report


def analyze(
    name: Name,
    /,
    *,
    format: Annotated[Literal["table", "md", "json", "tex"], Format] = "table",
    out: OutFile = None,
    excluded: Literal["exclude", "include"] = "exclude",
    seed: int = 0,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Say what the ratings show: means, agreement, which systems can be told apart, and which metric agrees with people.

    Intervals are over other items and other annotators; every "no difference found" says how large a difference would have been
    found. Until the study is frozen, systems have stand-in names; afterwards `seetell leaderboard` shows the means beside the
    metrics. The same ratings and seed give the same bytes. docs/human-statistics.md explains every number.

    For example: `seetell study analyze pilot --out pilot.tex`.

    Args:
        format: How to show it: tables, Markdown, JSON or LaTeX (booktabs).
        out: File to write instead of standard output; its suffix tells the format.
        excluded: Whether ratings that were excluded count; the report shows the ranking with them and without either way.
        seed: Of every bootstrap and permutation.
    """
    check_seed(seed)
    from harness.store.runs import Results
    from harness.study.analysis import reports
    from harness.study.analysis.findings import publish, study_report

    writers: dict[str, Callable[[Report], str]] = {"md": reports.to_markdown, "json": reports.to_json, "tex": reports.to_latex}
    chosen = format_of("json" if as_json else format, out, writers, ", or --format")
    store = Results(results)
    with console.err.status("analysing the ratings"), opened(name, results) as study:
        report = study_report(study, store, scores=study.given_scores(), excluded=excluded, seed=seed)
        runs = study.runs()
    if chosen == "table":
        _show(report)
    else:
        deliver(writers[chosen](report), out)
    if report.frozen and excluded == "exclude":
        path = publish(report, runs, store)
        console.say(f"wrote {path}; `seetell leaderboard` shows its columns beside the metrics")
    return DONE


def _show(report: Report) -> None:
    from harness.study.analysis import reports

    for sheet in reports.sheets(report):
        console.show_table(sheet.title, sheet.heads, sheet.rows, left=sheet.left)
        console.say(f"{sheet.note}\n")
    if not report.effect.ratings:
        console.say(report.effect.sentence)
    for caution in (*report.cautions, *filter(None, [report.no_metas])):
        console.say(f"note: {caution}")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The plans that are compared."""

    items: Annotated[tuple[int, ...], SEVERAL] = (100, 200, 400)
    """Numbers of items to compare."""
    ratings_per_item: Annotated[tuple[int, ...], SEVERAL] = (3, 5)
    """Numbers of ratings an item to compare."""
    annotators: int = 12
    """How many people will rate."""
    systems: int | None = None
    """How many systems will be compared; the pilot's, or 6."""
    aspects: int | None = None
    """How many aspects are rated; the pilot's, or 4."""
    differences: Annotated[tuple[float, ...], SEVERAL] = (0.1, 0.2, 0.3, 0.5)
    """True differences in points whose chance is shown."""
    seconds: float | None = None
    """To rate one text on all aspects; the pilot's median, or 25."""
    stories: Switch = False
    """One text a visit, instead of all of an image's texts together; as in the pilot."""


USUAL_PLANS = Plans()


def power(
    name: str | None = None, /, *, plans: Plans = USUAL_PLANS, results: ResultsFolder = RESULTS, as_json: AsJson = False
) -> int:
    """Show what plans of several sizes would find, and what they cost: before a study, or after a pilot.

    The chance of finding a true difference between two systems, with Holm's correction over all pairs and aspects; the smallest
    difference found with 80 % power; hours of work. More items help more than more ratings of the same items.

    For example: `seetell study power --items 100 200 400 --ratings-per-item 3 5 --systems 6`, or, with the variances and the
    pace of a pilot: `seetell study power pilot`.

    Args:
        name: A study to take variances, pace, systems, aspects and the way of showing from; typical ones are assumed without.
    """
    from dataclasses import asdict

    import numpy as np

    from harness.study.analysis.analyze import panels
    from harness.study.analysis.power import ASSUMED, SECONDS_A_TEXT, StudyPlan, compare_plans, mean_components

    components, stories = ASSUMED, plans.stories
    systems, aspects, seconds = plans.systems, plans.aspects, plans.seconds
    if name is not None:
        with opened(name, results) as study:
            table = study.ratings()
            stories = stories or study.overview().task == "story"
        components = mean_components(list(panels(table).values()))
        systems, aspects = systems or max(2, len(table.systems)), aspects or len(table.aspects)
        seconds = seconds or float(np.median(table.seconds))
    plan = StudyPlan(2, 1, plans.annotators, systems or 6, aspects or 4, not stories)
    forecasts = compare_plans(
        plans.items, plans.ratings_per_item, plan, components,
        differences=plans.differences, seconds=seconds or SECONDS_A_TEXT,
    )  # fmt: skip
    if not forecasts:
        raise SuiteError(
            f"{min(plans.ratings_per_item, default=0)} ratings an item need as many annotators, and --annotators is "
            f"{plans.annotators}; expected more annotators or fewer --ratings-per-item"
        )
    if as_json:
        console.emit([asdict(forecast) for forecast in forecasts])
        return DONE
    rows = [
        (
            f"{forecast.plan.items}",
            f"{forecast.plan.ratings_per_item}",
            *(f"{chance:.2f}" for chance in forecast.power.values()),
            f"{forecast.detectable:.2f}",
            f"{forecast.texts:,}",
            f"{forecast.hours:.0f}",
            f"{forecast.hours_each:.1f}",
        )
        for forecast in forecasts
    ]
    first = forecasts[0]
    heads = ("items", "ratings", *(f"finds {size:g}" for size in first.power), "80 % at", "forms", "hours", "each")
    title = f"{plan.systems} systems, {plan.aspects} aspects, {plan.annotators} annotators; variances: {components.source}"
    console.show_table(title, heads, rows, left=())
    if first.caution:
        console.say(f"note: {first.caution}")
    return DONE
