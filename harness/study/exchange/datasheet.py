"""Two documents that go with exported ratings: a codebook of every column, and a datasheet of how they were made.

The datasheet follows the sections of the Human Evaluation Datasheet (HEDS, Shimorina and Belz 2022; version 3.0 is arXiv
2412.07940). What the database knows is filled in; what only people know stands as a question to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from harness.compare.paired import SIGNIFICANCE
from harness.store.markdown import markdown_table
from harness.study.analysis import collect
from harness.study.oversight import decisions
from harness.study.tables.base import PRACTICE_SHARE, from_ms, pairs
from harness.study.tables.identity import Origin
from harness.study.tables.scale import Scale
from harness.study.tables.schema import (
    Annotator,
    Audit,
    Campaign,
    Item,
    Media,
    Output,
    Practice,
    Refused,
    SkipFlag,
    Slot,
    Submission,
)
from harness.suites.provenance import seetell_version

OPEN = "**To be filled in:**"
"""Marks what a person has to answer."""
_KINDS = {
    "swap": "a caption of another image (relevance has to fall, fluency must not)",
    "scramble": "the words of a text out of order (fluency has to fall)",
    "repeat": "a text that the annotator had rated at least 20 forms earlier",
    "reference": "what a person wrote about the image",
}


def codebook(described: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    """Every column of every file, and what each value of each aspect means. Markdown."""
    suite = f" of the suite `{described['suite']}`" if described["suite"] else ""
    scale = Scale.of_protocol(described["protocol"])
    lines = [
        f"# Codebook: {_md(described['name'])}",
        "",
        f"{_md(described['title'])} Ratings from {scale} of texts{suite}; written by SeeTell {seetell_version()}.",
        "",
        "Times are UTC: ISO 8601, and timestamps in Parquet. In CSV a text that begins with one of `= + - @ '`, a "
        "tab or a line break has an apostrophe in front, so that no spreadsheet runs it; `seetell study import` takes it away.",
    ]
    for name, (columns, rows) in tables.items():
        lines += [
            "",
            f"## {name} ({len(rows):,} rows)",
            "",
            markdown_table(
                ("column", "type", "meaning", "empty means"),
                [(f"`{c.name}`", c.type, _cell(c.meaning), _cell(c.missing) or "never empty") for c in columns],
                range(4),
                escape=False,
            ),
        ]
    lines += ["", "## Aspects"]
    for code, aspect in described["aspects"].items():
        lines += ["", f"### `{code}`: {_md(aspect['label'])}", "", _md(aspect["definition"]), ""]
        for value, meaning in enumerate(aspect["anchors"], start=1):
            example = aspect["examples"][value - 1] if value <= len(aspect["examples"]) else ""
            lines.append(f"- **{value}** {_md(meaning)}" + (f" *For example: {_md(example)}*" if example else ""))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Study:
    """What the parts of a datasheet are written from."""

    session: Session
    campaign: Campaign
    described: Mapping[str, Any]
    imported: bool
    """Whether the ratings came from files: what happened around them is known only as far as the files say."""

    @property
    def protocol(self) -> Mapping[str, Any]:
        """What was decided before the first rating; empty where nothing is recorded of it."""
        protocol: Mapping[str, Any] = self.described["protocol"]
        return {} if protocol.get("imported") else protocol

    def count(self, column: Any, *conditions: Any) -> int:
        """Rows with a value in a column."""
        return int(self.session.scalar(select(func.count(column)).where(*conditions)) or 0)


def datasheet(session: Session, described: Mapping[str, Any]) -> str:
    """How the ratings were made. Markdown. What the database does not know is called not recorded, never guessed."""
    query = select(Audit.action).where(Audit.action.in_(("create", "import"))).order_by(Audit.seq).limit(1)
    study = _Study(session, session.scalars(select(Campaign)).one(), described, session.scalar(query) == "import")
    head = [
        f"# Human evaluation datasheet: {_md(described['name'])}",
        "",
        f"Sections as in HEDS 3.0. Written by SeeTell {seetell_version()} from the study's database. {OPEN} marks what only "
        "the people who ran it know.",
    ]
    if study.imported:
        head += ["", "The ratings were imported from files; what those do not say is called not recorded."]
    sections = (_resources, _systems, _sample, _people, _design, _criteria, _ethics)
    return "\n".join(line for part in (head, *(section(study) for section in sections)) for line in [*part, ""])


def _resources(study: _Study) -> list[str]:
    protocol = f"fixed before the first rating: sha256 `{study.described['protocol_sha256']}`"
    return [
        "## 1. Paper and resources",
        "",
        f"- Paper: {OPEN} title, link, contact",
        "- Ratings: `ratings.*` beside this file, explained in `codebook.md`",
        f"- Protocol, {protocol}" if study.protocol else "- Protocol: not recorded",
        f"- Preset: {_md(study.protocol.get('preset') or 'none')}" if study.protocol else "- Preset: not recorded",
    ]


def _systems(study: _Study) -> list[str]:
    described = study.described
    task = "tell a story from an image and a title" if described["task"] == "story" else "describe an image"
    suite = f"suite `{described['suite']}`" if described["suite"] else "suite not recorded"
    lines = [
        "## 2. Evaluated systems, task and language",
        "",
        f"- Task: {task if study.protocol else 'not recorded'}; {suite}",
        f"- Language of the texts: {OPEN}",
        "",
    ]
    runs = collect.runs(study.session)
    rows = [
        (_md(name), _md(system["decoder"]) or "not recorded", _md(runs.get(name, "")) or "none")
        for name, system in described["systems"].items()
    ]
    return [*lines, markdown_table(("system", "decoder", "run"), rows, range(3), escape=False)]


def _sample(study: _Study) -> list[str]:
    counts = pairs(study.session.execute(select(Origin.kind, func.count()).group_by(Origin.kind)))
    items, texts = study.count(Item.id), counts.get("system", 0)
    images = "images not recorded" if study.imported else f"{study.count(Media.id)} images"
    chosen = (
        f"drawn at random with seed {study.campaign.seed} among those that every system answered"
        if study.protocol
        else "how they were chosen: not recorded"
    )
    per_item = "one a system and item; " if texts == items * len(study.described["systems"]) else ""
    return [
        "## 3. Sample, evaluators, design",
        "",
        "### 3.1 Sample of outputs",
        "",
        f"- {items} items ({images}), {chosen}",
        f"- {texts} texts of systems: {per_item}{study.count(Output.id)} texts with controls",
        f"- Why this many: {OPEN} (`seetell study analyze` tells the smallest difference that could be found)",
    ]


def _people(study: _Study) -> list[str]:
    statuses = study.session.execute(select(Annotator.status, func.count()).group_by(Annotator.status).order_by(Annotator.status))
    listed = ", ".join(f"{number} {status}" for status, number in statuses)
    forms = study.session.scalars(
        select(func.count()).select_from(Submission).where(Submission.status == "current").group_by(Submission.annotator_id)
    ).all()
    spread = f"{min(forms)} to {max(forms)} forms each" if forms else "no forms yet"
    people = study.count(Annotator.id)
    return [
        "### 3.2 Evaluators",
        "",
        f"- {people} people rated; {spread}" if study.imported else f"- {people} people joined ({listed or 'nobody'}); {spread}",
        f"- Who they are, how they were found and what they were paid: {OPEN}",
        f"- Training: {_training(study)}",
    ]


def _training(study: _Study) -> str:
    if study.imported:
        return "not recorded"
    guidelines = "guidelines with an anchored example for each value"
    practice = study.count(Practice.id)
    if not practice:
        return f"{guidelines}; there were no practice texts"
    return (
        f"{guidelines}, then {practice} practice texts with feedback; {PRACTICE_SHARE:.0%} of the answers had to be in the "
        "expected range, with as many tries as wanted"
    )


def _design(study: _Study) -> list[str]:
    kinds = {kind: number for kind, number in _control_kinds(study.session).items() if number}
    standing = [exclusion for exclusion in decisions.exclusions(study.session) if exclusion.reverted_at is None]
    late = study.count(Submission.event_id, Submission.status == "surplus")
    # A skip of a text that was rated after all is superseded.
    skips = study.count(SkipFlag.event_id, SkipFlag.kind == "skip", SkipFlag.status == "current")
    flags = study.count(SkipFlag.slot_id.distinct(), SkipFlag.kind == "flag")
    shapeless = f", {study.count(Refused.id)} messages that were no forms" if not study.imported else ""
    return [
        "### 3.3 Design",
        "",
        *_shape(study),
        f"- Controls, mixed in unmarked: {', '.join(f'{number} {kind}' for kind, number in kinds.items()) or 'none'}",
        *(f"    - {kind}: {_KINDS[kind]}" for kind in kinds),
        f"- Collected {_times(study)}",
        f"- Not counted: {late} forms that came late, {skips} skips{shapeless}",
        f"- Flagged by annotators, and counted: {flags} texts",
        f"- Exclusions that stand: {len(standing) or 'none'}",
        *(
            f"    - {exclusion.target.split(':')[0]}, rule {_md(exclusion.rule)}: {_md(exclusion.reason)}"
            for exclusion in standing
        ),
    ]


def _shape(study: _Study) -> list[str]:
    """How texts were given out."""
    campaign = study.campaign
    if not study.protocol:
        counts = _ratings_a_text(study.session)
        number = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        return [
            f"- {number} ratings a text and aspect, by different people",
            "- How texts were given out, in which order, and what annotators could see: not recorded",
        ]
    shape = (
        "as many stories as there are systems, each by another one"
        if study.protocol.get("spread")
        else "one image with every system's text"
    )
    lines = [
        f"- {campaign.k} ratings a text and aspect, by different people; planned for {campaign.lanes} annotators",
        f"- A block is {shape}; order within it by a Williams design, balanced within each annotator's plan and over all",
        "- Annotators see a text by itself, do not know its system, have no default value, and can change answers later",
    ]
    blocks = ", ".join(f"{number} {state}" for state, number in collect.planned_blocks(study.session).items())
    return lines if study.imported else [*lines, f"- Blocks: {blocks}"]


def _criteria(study: _Study) -> list[str]:
    described = study.described
    anchored = all(any(aspect["anchors"]) for aspect in described["aspects"].values())
    meaning = (
        "with every value described beside the scale (all of them in `codebook.md`)"
        if anchored
        else "what the values mean: not recorded"
    )
    scale = Scale.of_protocol(described["protocol"])
    lines = ["## 4. Quality criteria", "", f"Each is rated from {scale} by itself, {meaning}.", ""]
    lines += [
        f"- **{_md(aspect['label'])}** (`{code}`): {_md(aspect['definition']) or 'definition not recorded'}"
        for code, aspect in described["aspects"].items()
    ]
    analysis = study.protocol.get("analysis", {})
    named = {"sign": "sign test", "wilcoxon": "Wilcoxon signed-rank test"}.get(analysis.get("test", ""), "none")
    level = f", level {analysis['level']}" if "level" in analysis else ""
    return [
        *lines,
        "",
        f"- Test used by `seetell study analyze` for its letters and verdicts: paired permutation test over items, two-sided, "
        f"level {SIGNIFICANCE:g} after Holm's correction over all pairs of systems and aspects",
        f"- Test that the protocol names: {named}{level}; p-values of the sign test and Wilcoxon's are reported beside the others"
        if study.protocol
        else "- Test fixed beforehand: not recorded",
    ]


def _ethics(study: _Study) -> list[str]:
    if study.imported:
        return [
            "## 5. Ethics",
            "",
            "- Consent of the annotators: not recorded",
            "- Kept about people: their names as the imported files have them, answers, and times where the files have them",
            f"- Ethics board, payment, risks: {OPEN}",
        ]
    agreed = study.count(Annotator.id, Annotator.consent_at.is_not(None))
    return [
        "## 5. Ethics",
        "",
        f"- {agreed} people agreed to the consent text before they saw anything to rate",
        "- Kept about people: a name of their own choice (not exported), answers, times. No address, no e-mail",
        f"- Ethics board, payment, risks: {OPEN}",
    ]


def _ratings_a_text(session: Session) -> list[int]:
    """How many ratings that count each text of a system has, on one aspect."""
    return list(
        session.scalars(
            select(func.count(Submission.event_id.distinct()))
            .join(Slot, Slot.id == Submission.slot_id)
            .join(Origin, Origin.output_id == Slot.output_id)
            .where(Submission.status == "current", Slot.repeats_id.is_(None), Origin.kind == "system")
            .group_by(Slot.output_id)
        )
    ) or [0]


def _control_kinds(session: Session) -> dict[str, int]:
    repeats = session.scalar(select(func.count()).select_from(Slot).where(Slot.repeats_id.is_not(None))) or 0
    rows = session.execute(
        select(Origin.kind, func.count())
        .join(Slot, Slot.output_id == Origin.output_id)
        .where(Slot.repeats_id.is_(None), Origin.kind != "system")
        .group_by(Origin.kind)
        .order_by(Origin.kind)
    )
    return pairs(rows) | {"repeat": repeats}


def _times(study: _Study) -> str:
    """When forms came and how long they took, from those of which it is recorded."""
    # What was imported without a time has that of the import.
    at = func.coalesce(Submission.sent_at, Submission.received_at) if study.imported else Submission.received_at
    known = [at != study.campaign.created_at] if study.imported else []
    first, last = study.session.execute(select(func.min(at), func.max(at)).where(*known)).one()
    timed = select(Submission.active_ms).where(Submission.status == "current", ~collect.is_untimed())
    times = sorted(study.session.scalars(timed))
    period = "at times that are not recorded" if first is None else f"from {_day(first)} to {_day(last)}"
    took = f"{times[len(times) // 2] / 1000:.1f} s (median)" if times else "a time that is not recorded"
    return f"{period}; a form took {took}"


def _day(time: Any) -> str:
    return f"{time if isinstance(time, datetime) else from_ms(time):%Y-%m-%d}"


def _md(text: Any) -> str:
    """Text from people as Markdown that says the same: nothing in it is a tag, a link or a heading."""
    plain = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", plain)


def _cell(text: Any) -> str:
    """Our own sentences in a table: only bars would break it."""
    return " ".join(str(text).split()).replace("|", "\\|")
