"""What a gate found, for people (a table, Markdown for a pull request) and for machines (JSON, JUnit XML)."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

from harness.compare.gate import DEFAULT_MARGIN, GateReport, RunVerdict, Verdict
from harness.store.markdown import markdown_table
from harness.store.numbers import finite
from harness.store.text import markdown, one_line, printable

HEADER = ("decoder", "metric", "baseline", "candidate", "difference", "90 % interval", "margin", "examples", "verdict", "why")
LEFT = (0, 1, 8, 9)
"""Columns of text; the others are numbers."""
_TITLES = {"pass": "passes", "worse": "is worse", "undecided": "could not be judged"}


def headline(report: GateReport) -> str:
    """One line: the suite and the outcome."""
    return f"{report.suite} {_TITLES.get(report.outcome, 'could not be judged')}"


def table(report: GateReport) -> list[tuple[str, ...]]:
    """Cells in the order of `HEADER`, unescaped. A run without any number judged is one row."""
    rows: list[tuple[str, ...]] = []
    for run in report.runs:
        if not run.verdicts:
            rows.append((run.label, *[""] * 7, run.outcome, run.reason))
        rows += [_row(run, verdict) for verdict in run.verdicts]
    return rows


def _row(run: RunVerdict, verdict: Verdict) -> tuple[str, ...]:
    difference = verdict.difference
    numbers = [""] * 4
    examples = ""
    if difference is not None and difference.compared:
        scale, digits = (100, 2) if difference.percent else (1, 3)
        first, second = (f"{scale * value:.{digits}f}" for value in (difference.first, difference.second))
        change = f"{scale * difference.difference:+.{digits}f}"
        ends = [difference.low, difference.high]
        interval = "–" if math.isnan(ends[0]) else " to ".join(f"{scale * end:+.{digits}f}" for end in ends)
        numbers = [first, second, change, interval]
        counts = [f"{difference.lost} lost" if difference.lost else "",
                  f"{difference.left_out} left out" if difference.left_out else ""]  # fmt: skip
        examples = f"{difference.n}" + (f" ({', '.join(filter(None, counts))})" if any(counts) else "")
    margin = "–" if verdict.margin is None else f"{verdict.margin:g}"
    return run.label, verdict.output, *numbers, margin, examples, verdict.outcome, verdict.reason


def notes(report: GateReport) -> list[str]:
    """How to read the table, a sentence each, unescaped."""
    return [
        f"Baseline accepted {report.accepted}. Percent metrics are shown times 100; margins are fractions "
        f"({DEFAULT_MARGIN} where none was set).",
        "pass: the one-sided 95 % bound of the loss is within the margin. worse: it is not, although the examples suffice to see "
        f"the margin, or the loss is surely beyond it. undecided: too few examples, or not comparable. Seed {report.seed}.",
        "The bound is the largest of the bootstrap's, Student's, and one that allows for losses too rare to be in the sample. "
        "lost: answers that the baseline has a score for and the candidate has not; they count as the worst value.",
    ]


def to_json(report: GateReport) -> dict[str, Any]:
    """`{"outcome": ..., "exit_code": ..., "runs": [...]}`; fractions, null for what is not a number."""
    return {
        "suite": report.suite,
        "outcome": report.outcome,
        "exit_code": report.exit_code,
        "accepted": report.accepted,
        "seed": report.seed,
        "runs": [
            {
                "decoder": run.label,
                "outcome": run.outcome,
                "reason": run.reason,
                "baseline": run.baseline or None,
                "candidate": run.candidate or None,
                "metrics": {verdict.output: _verdict(verdict) for verdict in run.verdicts},
            }
            for run in report.runs
        ],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    content: dict[str, Any] = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "margin": verdict.margin,
        "needed": verdict.needed or None,
    }
    if (difference := verdict.difference) is not None:
        numbers = {
            "baseline": difference.first,
            "candidate": difference.second,
            "difference": difference.difference,
            "low": difference.low,
            "high": difference.high,
        }
        content |= {name: finite(value) for name, value in numbers.items()}
        content |= {
            "n": difference.n,
            "left_out": difference.left_out,
            "lost": difference.lost,
            "signature": difference.signature,
        }
    return content


def to_markdown(report: GateReport) -> str:
    """A comment for a pull request, GitHub's dialect: what is not a pass first, the whole table folded away."""
    mark = {"pass": "✅", "worse": "❌"}.get(report.outcome, "⚠️")
    parts = [f"## {mark} {markdown(headline(report))}"]
    rows = table(report)
    noted = [row for row in rows if row[8] in ("worse", "undecided")]
    if noted:
        parts.append(markdown_table(HEADER, noted, LEFT))
    details = f"<details><summary>All {len(rows)} numbers</summary>\n\n{markdown_table(HEADER, rows, LEFT)}\n\n</details>"
    parts += [details, "\n".join(f"- {markdown(note)}" for note in notes(report))]
    return "\n\n".join(parts) + "\n"


def to_junit(report: GateReport) -> str:
    """JUnit XML: a test suite a decoder, a test case a number; worse is a failure, undecided an error."""
    root = ElementTree.Element("testsuites", name=f"seetell gate {printable(report.suite)}")
    for run in report.runs:
        verdicts = run.verdicts or (Verdict("run", run.outcome, run.reason),)
        counts = {kind: str(sum(judged.outcome == kind for judged in verdicts)) for kind in ("worse", "undecided", "not gated")}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{printable(report.suite)}/{printable(run.label)}",
            tests=str(len(verdicts)),
            failures=counts["worse"],
            errors=counts["undecided"],
            skipped=counts["not gated"],
        )
        for verdict in verdicts:
            _case(suite, f"{report.suite}.{run.label}", verdict)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, group: str, verdict: Verdict) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=printable(group), name=printable(verdict.output))
    tag = {"worse": "failure", "undecided": "error", "not gated": "skipped"}.get(verdict.outcome)
    if tag:
        ElementTree.SubElement(case, tag, message=one_line(verdict.reason))
