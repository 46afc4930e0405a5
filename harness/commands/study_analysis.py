"""`study analyze`: what a study's ratings say, and which metric agrees with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import console
from harness.cli import DONE
from harness.commands.flags import deliver
from harness.errors import SuiteError
from harness.store import Results

if TYPE_CHECKING:
    from harness.study.reports import Report


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
    from harness.study import reports
    from harness.study.admin import StudyAdmin
    from harness.study.findings import publish, study_report

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
    folder = results / "studies" / name
    study = StudyAdmin.open(folder if folder.exists() else name)
    report = study_report(study, store, excluded=excluded, seed=seed)
    if suffix == "table":
        show(report)
    else:
        deliver(writers[suffix](report), out)
    if report.frozen and excluded == "exclude":
        path = publish(report, study.runs(), store)
        console.say(f"wrote {path}; `seetell leaderboard` shows its columns beside the metrics")
    return DONE


def show(report: Report) -> None:
    """The report on a terminal."""
    from harness.study import reports

    for sheet in reports.sheets(report):
        right = [index for index in range(len(sheet.heads)) if index not in sheet.left]
        console.show_table(sheet.title, sheet.heads, sheet.rows, right=right)
        console.say(f"{sheet.note}\n")
    if not report.effect.ratings:
        console.say(report.effect.sentence)
    for caution in (*report.cautions, *filter(None, [report.no_metas])):
        console.say(f"note: {caution}")
