"""A study's analysis as Markdown, JSON, LaTeX, and as tables for a terminal.

Names come from outside and are escaped for the format at hand. The same analysis gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from harness.store.latex import HEAD, latex, number
from harness.store.markdown import markdown_table
from harness.store.numbers import finite
from harness.store.text import markdown
from harness.store.text import to_json as json_text
from harness.study.analysis.analyze import Agreement, Analysis, HumanDifference, Summary
from harness.study.analysis.exclusions import Effect
from harness.study.analysis.meta import MetaEvaluation
from harness.study.analysis.panel import Estimate
from harness.study.analysis.power import PARTS, Components
from harness.study.tables.scale import FEW, Scale

FORMATS = ("table", "md", "json", "tex")
DIGITS = 9
"""Decimals of JSON: beyond them the order of a sum would show, which differs between machines."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `seetell study analyze` tells."""

    analysis: Analysis
    excluded: str
    """`exclude`: ratings that were excluded do not count; `include`: they do."""
    effect: Effect
    """Of the exclusions, whichever way the analysis counts."""
    frozen: bool
    metas: tuple[MetaEvaluation, ...] = ()
    """Metrics against people, an aspect each; none before the study is frozen."""
    no_metas: str = ""
    """Why there are none."""

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before believing any of it."""
        blind = (
            ()
            if self.frozen
            else (
                "the study is not frozen: systems have stand-in names, and ratings may come in unless they were imported; "
                "`seetell study freeze` closes it and reveals them",
            )
        )
        return (*blind, *self.analysis.cautions)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of the report, unescaped."""

    title: str
    note: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    """Columns aligned left."""


def sheets(report: Report) -> list[Sheet]:
    """The report as tables, in the order they are read."""
    analysis = report.analysis
    tables = [_ratings(analysis), _differences(analysis), _agreement(analysis), _kappas(analysis), _components(analysis)]
    if report.effect.ratings:
        tables.append(_exclusions(report.effect))
    tables += [_meta(meta) for meta in report.metas]
    return [sheet for sheet in tables if sheet.rows]


def to_markdown(report: Report) -> str:
    """The whole report."""
    analysis = report.analysis
    parts = [f"# {markdown(analysis.study or 'Study')}: human ratings", markdown(_counts(analysis))]
    if report.cautions:
        parts.append("\n".join(f"- ⚠ {markdown(_sentence(caution))}" for caution in report.cautions))
    for sheet in sheets(report):
        parts += [f"## {markdown(sheet.title)}", markdown_table(sheet.heads, sheet.rows, sheet.left), markdown(sheet.note)]
    parts += ["## Exclusions", markdown(report.effect.sentence)] if not report.effect.ratings else []
    if report.no_metas:
        parts += ["## Metrics against people", markdown(_sentence(report.no_metas))]
    parts += ["## How it was made", "\n".join(f"- {markdown(line)}" for line in _provenance(report))]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_latex(report: Report) -> str:
    """The tables for a paper (booktabs)."""
    head = HEAD[0].replace("leaderboard", "human ratings")
    return "\n\n".join(["\n".join([head, *HEAD[1:]]), *map(_latex_table, sheets(report))]) + "\n"


def to_json(report: Report) -> str:
    """Everything, for programs: what has no value is null, with the reason beside it."""
    return json_text(
        {
            "study": report.analysis.study,
            "frozen": report.frozen,
            "excluded": report.excluded,
            "cautions": list(report.cautions),
            "analysis": _plain(report.analysis),
            "differences_found": [
                {
                    "aspect": difference.aspect,
                    "first": difference.first,
                    "second": difference.second,
                    "spans_zero": difference.spans_zero,
                }
                for difference in report.analysis.differences
                if difference.significant
            ],
            "exclusions": {**_plain(report.effect), "says": report.effect.sentence},
            "metrics": {meta.aspect: _plain(meta) for meta in report.metas},
            "no_metrics": report.no_metas,
        }
    )


def _plain(value: Any) -> Any:
    """Frozen values as JSON knows them; numbers rounded, NaN null."""
    if isinstance(value, Scale):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return None if finite(value) is None else round(value, DIGITS) + 0.0
    return value


def _ratings(analysis: Analysis) -> Sheet:
    """Means in points: a line a system, a column an aspect."""
    own = {(summary.system, summary.aspect, summary.reference): summary for summary in analysis.summaries}
    ranked = sorted(analysis.systems, key=lambda system: -_overall(analysis, system))
    lines = [_line(system, [own[system, aspect, False] for aspect in analysis.aspects]) for system in ranked]
    people = [own.get(("reference", aspect, True)) for aspect in analysis.aspects]
    if any(people):
        lines.append(_line("people's texts (not compared)", people))
    values = "/".join(label for label, _, _ in analysis.scale.parts())
    heads = tuple(head for aspect in analysis.aspects for head in (aspect, values))
    note = (
        "Mean over items with its 95 % interval over other items and other annotators (two-way bootstrap), median in brackets, "
        "letters: systems that share one cannot be told apart on that aspect (paired permutation test over items, Holm over all "
        f"pairs and aspects). Then how many ratings were {values if analysis.scale.count > FEW else analysis.scale}."
    )
    return Sheet("Ratings", note, ("System", *heads, "Ratings"), tuple(lines))


def _overall(analysis: Analysis, system: str) -> float:
    means = [summary.mean.value for summary in analysis.summaries if summary.system == system and not summary.reference]
    known = [value for value in means if value is not None]
    return sum(known) / len(known) if known else 0.0


def _line(name: str, cells: Sequence[Summary | None]) -> tuple[str, ...]:
    texts: list[str] = []
    for cell in cells:
        if cell is None or cell.mean.value is None:
            texts += ["n/a", "–"]
            continue
        letters = f" {cell.letters}" if cell.letters else ""
        texts += [f"{_ranged(cell.mean)} ({cell.median:g}){letters}", "/".join(map(str, cell.distribution))]
    return (name, *texts, str(sum(cell.ratings for cell in cells if cell is not None)))


def _differences(analysis: Analysis) -> Sheet:
    rows = tuple(
        (
            difference.aspect,
            f"{difference.second} − {difference.first}",
            _ranged(difference.delta, signed=True),
            _ranged(difference.superiority),
            f"{difference.sign.better}/{difference.sign.ties}/{difference.sign.worse}",
            _p(difference.sign_adjusted),
            _p(difference.wilcoxon_adjusted),
            _p(difference.permutation_adjusted),
            _verdict(difference),
        )
        for difference in analysis.differences
    )
    heads = ("Aspect", "Pair", "Difference", "P(higher)", "+/=/−", "sign", "Wilcoxon", "permutation", "Verdict")
    note = (
        "Differences in points with two-way intervals; P(higher): chance that the first named of the pair is rated higher, ties "
        f"counting half; p-values two-sided, paired over items, Holm over all {len(rows)} pairs and aspects. No difference found "
        "is not equality: the smallest true difference that this study would have found with 80 % power is named."
    )
    return Sheet("Differences", note, heads, rows, frozenset({0, 1, 8}))


def _verdict(difference: HumanDifference) -> str:
    if not difference.significant:
        least = "" if difference.detectable is None else f"; it would have to be {difference.detectable:.2f}"
        return f"no difference found{least}"
    better = difference.second if (difference.delta.value or 0) > 0 else difference.first
    return f"{better} is better{', but not surely with other annotators' if difference.spans_zero else ''}"


def _agreement(analysis: Analysis) -> Sheet:
    rows = tuple(_agreement_row(agreement) for agreement in analysis.agreement)
    heads = ("Aspect", "alpha, ordinal", "alpha, interval", "kappa, pairs", "without one", "itself", "Fleiss")
    note = (
        "alpha: Krippendorff, 95 % interval over items. kappa: quadratically weighted, mean of the pairs of annotators (least to "
        "most). Without one: ordinal alpha when the annotator is left out without whom it is lowest and highest. Itself: "
        "ordinal alpha of two looks at one text. Fleiss' kappa ignores the order of the scale; it is here to compare with papers "
        "that report it."
    )
    return Sheet("Agreement", note, heads, rows)


def _agreement_row(agreement: Agreement) -> tuple[str, ...]:
    kappas = agreement.kappas.defined
    pairs = f"{sum(kappas) / len(kappas):.2f} ({min(kappas):.2f} to {max(kappas):.2f})" if kappas else "n/a"
    alternatives = sorted(estimate.value for estimate in agreement.without.values() if estimate.value is not None)
    spread = f"{alternatives[0]:.3f} to {alternatives[-1]:.3f}" if alternatives else "n/a"
    return (
        agreement.aspect,
        _ranged(agreement.ordinal, 3),
        _ranged(agreement.interval, 3),
        pairs,
        spread,
        _ranged(agreement.repeats.alpha, 3),
        _ranged(agreement.fleiss, 3),
    )


def _kappas(analysis: Analysis) -> Sheet:
    """Each annotator's mean kappa with the others, an aspect a column, and alpha without them."""
    people = list(dict.fromkeys(name for agreement in analysis.agreement for name in agreement.kappas.annotators))
    rows = []
    for person in people:
        cells = []
        for agreement in analysis.agreement:
            index = agreement.kappas.annotators.index(person)
            own = [estimate.value for estimate in agreement.kappas.values[index] if estimate.value is not None]
            left = agreement.without[person]
            cells.append(f"{sum(own) / len(own):.2f}" if own else "n/a")
            cells.append("n/a" if left.value is None else f"{left.value:.3f}")
        rows.append((person, *cells))
    heads = tuple(head for agreement in analysis.agreement for head in (agreement.aspect, "alpha without"))
    note = "Mean weighted kappa of each annotator with the others, and ordinal alpha of the others without them."
    return Sheet("Annotators", note, ("Annotator", *heads), tuple(rows))


def _components(analysis: Analysis) -> Sheet:
    rows = []
    for aspect, parts in analysis.components.items():
        if isinstance(parts, Components):
            rows.append((aspect, *(f"{getattr(parts, name):.3f}" for name in PARTS)))
        else:
            rows.append((aspect, *["n/a"] * len(PARTS)))
    reasons = dict.fromkeys(parts for parts in analysis.components.values() if isinstance(parts, str))
    note = " ".join(["Variance components in squared points: what a power plan for the next study starts from.", *reasons])
    heads = ("Aspect", *(name.replace("_", " x ") for name in PARTS))
    return Sheet("Where ratings vary", note, heads, tuple(rows))


def _exclusions(effect: Effect) -> Sheet:
    rows = tuple(
        (
            shift.aspect,
            shift.system,
            "–" if shift.mean_with is None else f"{shift.mean_with:.2f} (rank {shift.rank_with})",
            "–" if shift.mean_without is None else f"{shift.mean_without:.2f} (rank {shift.rank_without})",
            "moved" if shift.moved else "",
        )
        for shift in effect.shifts
    )
    heads = ("Aspect", "System", "with excluded ratings", "without", "")
    return Sheet("Exclusions", effect.sentence, heads, rows, frozenset({0, 1, 4}))


def _meta(meta: MetaEvaluation) -> Sheet:
    rows = tuple(
        (
            verdict.metric,
            f"{_ranged(verdict.segment, 3)} {verdict.segment_letters}".strip(),
            _ranged(verdict.pooled, 3),
            _ranged(verdict.ranks, 3),
            f"{_ranged(verdict.system)} {verdict.system_letters}".strip(),
        )
        for verdict in meta.verdicts
    )
    missing = "; ".join(f"{name}: {reason}" for name, reason in meta.left_out.items())
    note = " ".join(
        filter(
            None,
            [
                meta.verdict,
                f"{meta.items} items. Segment: Kendall's tau-b within items; pooled: over all texts; ranks: Spearman's "
                "over all single ratings; systems: share of pairs of systems in which the metric's corpus scores and people name "
                "the same winner. Metrics that share a letter cannot be told apart (segment: exchanging their taus item by item; "
                "systems: resampling items; Holm). Annotators are taken as given.",
                f"Left out: {missing}." if missing else "",
            ],
        )
    )
    title = f"Which metric should I believe? {meta.aspect}"
    if not rows:
        rows = (("none", "n/a", "n/a", "n/a", "n/a"),)
    return Sheet(title, note, ("Metric", "segment", "pooled", "ranks", "systems"), rows)


def _counts(analysis: Analysis) -> str:
    return (
        f"{analysis.ratings:,} ratings of {len(analysis.systems)} systems on {analysis.items:,} items by {analysis.annotators} "
        f"annotators, on {', '.join(analysis.aspects)}, from {analysis.scale}."
    )


def _provenance(report: Report) -> Iterator[str]:
    analysis = report.analysis
    counted = "do not count" if report.excluded == "exclude" else "count"
    yield f"Ratings: sha256 {analysis.sha256}; excluded ratings {counted}."
    yield f"Two-way bootstrap: {analysis.draws:,} draws; permutation tests: {analysis.permutations:,}; seed {analysis.seed}."
    yield from dict.fromkeys(summary.signature for summary in analysis.summaries if not summary.reference)
    yield from dict.fromkeys(verdict.signature for meta in report.metas for verdict in meta.verdicts if verdict.signature)


def _ranged(estimate: Estimate, digits: int = 2, *, signed: bool = False) -> str:
    """A value with its interval: `3.42 [3.20, 3.61]`."""
    if estimate.value is None:
        return "n/a"
    sign = "+" if signed else ""
    ends = [] if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
    texts = [f"{number_:{sign}.{digits}f}" for number_ in (estimate.value, *ends)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if ends else texts[0]


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _latex_table(sheet: Sheet) -> str:
    align = "".join("l" if index in sheet.left else "r" for index in range(len(sheet.heads)))
    body = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in sheet.rows]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_latex_text(f'{sheet.title}. {sheet.note}')}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(_latex_text(head) for head in sheet.heads) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
        ]
    )


def _latex_cell(text: str) -> str:
    return number(text) if text.startswith("-") else _latex_text(text)


def _latex_text(text: str) -> str:
    return latex(text).replace("−", "$-$")
