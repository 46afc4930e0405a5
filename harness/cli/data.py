"""`data check`: what is there, what is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cli import console
from harness.cli.exits import DONE, USER_ERROR
from harness.cli.flags import cut_off_if
from harness.suites.settings import as_flags
from harness.suites.spec import Suite

_MARKS = {"ok": "[green]ok[/]     ", "note": "[yellow]note[/]   ", "problem": "[red]PROBLEM[/]"}


def check(name: str, deep: bool, offline: bool, settings: Sequence[str], as_json: bool) -> int:
    """`seetell data check`."""
    cut_off_if(True)  # a check must not download
    suite = Suite.load(name, settings)
    from harness.fetch.check import check_suite

    with console.progress_bar(f"{suite.name}: checking") as bar:
        report = check_suite(
            suite, deep=deep, locked=offline, called=name, progress=lambda _, done, total: bar(done, total)
        )
    if as_json:
        console.emit(report.to_json())
        return DONE if report.complete else USER_ERROR
    for finding in report.findings:
        found = console.shown(f"{finding.section} {finding.detail}")
        console.out.print(f"{_MARKS[finding.level]} {found}")
        for number, step in enumerate(finding.steps, start=1):
            bullet = f"{number}." if len(finding.steps) > 1 else "->"
            console.out.print(f"          {bullet} {console.shown(step)}")
    called = f"{name}{as_flags(suite.settings)}"
    problems = sum(finding.level == "problem" for finding in report.findings)
    if problems:
        things = "1 thing has" if problems == 1 else f"{problems} things have"
        console.say(f"{suite.name}: {things} to be put right; `seetell prefetch {called}` fetches what a program may")
    else:
        console.say(f"{suite.name}: everything is there; `seetell run {called}` decodes it")
    return DONE if report.complete else USER_ERROR
