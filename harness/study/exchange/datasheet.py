"""Two documents that go with exported ratings: a codebook of every column, and a datasheet of how they were made.

The datasheet follows the sections of the Human Evaluation Datasheet (HEDS, Shimorina and Belz 2022; version 3.0 is arXiv
2412.07940). What the database knows is filled in; what only people know stands as a question to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from harness.store.markdown import markdown_table
from harness.study.analysis import collect
from harness.study.oversight import decisions
from harness.study.tables.base import pairs
from harness.study.tables.identity import Origin
from harness.study.tables.schema import (
    Annotator,
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
    lines = [
        f"# Codebook: {_md(described['name'])}",
        "",
        f"{_md(described['title'])} Ratings from 1 to 5 of texts of the suite `{described['suite']}`; written by SeeTell "
        f"{seetell_version()}.",
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


def datasheet(session: Session, described: Mapping[str, Any]) -> str:
    """How the ratings were made. Markdown."""
    campaign = session.scalars(select(Campaign)).one()
    parts = [
        [
            f"# Human evaluation datasheet: {_md(described['name'])}",
            "",
            f"Sections as in HEDS 3.0. Written by SeeTell {seetell_version()} from the study's database. {OPEN} marks what only "
            "the people who ran it know.",
        ],
        _resources(described),
        _systems(session, described),
        _sample(session, campaign),
        _people(session),
        _design(session, campaign, described),
        _criteria(described),
        _ethics(session),
    ]
    return "\n".join(line for part in parts for line in [*part, ""])


def _resources(described: Mapping[str, Any]) -> list[str]:
    return [
        "## 1. Paper and resources",
        "",
        f"- Paper: {OPEN} title, link, contact",
        "- Ratings: `ratings.*` beside this file, explained in `codebook.md`",
        f"- Protocol, fixed before the first rating: sha256 `{described['protocol_sha256']}`",
        f"- Preset: {_md(described['protocol'].get('preset') or 'none')}",
    ]


def _systems(session: Session, described: Mapping[str, Any]) -> list[str]:
    task = "tell a story from an image and a title" if described["task"] == "story" else "describe an image"
    lines = [
        "## 2. Evaluated systems, task and language",
        "",
        f"- Task: {task}; suite `{described['suite']}`",
        f"- Language of the texts: {OPEN}",
        "",
    ]
    runs = collect.runs(session)
    rows = [
        (_md(name), _md(system["decoder"]) or "not recorded", _md(runs.get(name, "")) or "none")
        for name, system in described["systems"].items()
    ]
    return [*lines, markdown_table(("system", "decoder", "run"), rows, range(3), escape=False)]


def _sample(session: Session, campaign: Campaign) -> list[str]:
    counts = pairs(session.execute(select(Origin.kind, func.count()).group_by(Origin.kind)))
    items, pictures = _count(session, Item.id), _count(session, Media.id)
    return [
        "## 3. Sample, evaluators, design",
        "",
        "### 3.1 Sample of outputs",
        "",
        f"- {items} items ({pictures} images), drawn at random with seed {campaign.seed} among those that every system answered",
        f"- {counts.get('system', 0)} texts of systems: one a system and item; {_count(session, Output.id)} texts with controls",
        f"- Why this many: {OPEN} (`seetell study analyze` tells the smallest difference that could be found)",
    ]


def _people(session: Session) -> list[str]:
    statuses = [f"{number} {status}" for status, number in session.execute(
        select(Annotator.status, func.count()).group_by(Annotator.status).order_by(Annotator.status)
    )]  # fmt: skip
    forms = [
        number
        for (number,) in session.execute(
            select(func.count())
            .select_from(Submission)
            .where(Submission.status == "current")
            .group_by(Submission.annotator_id)
        )
    ]
    spread = f"{min(forms)} to {max(forms)} forms each" if forms else "no forms yet"
    practice = _count(session, Practice.id)
    return [
        "### 3.2 Evaluators",
        "",
        f"- {_count(session, Annotator.id)} people joined ({', '.join(statuses) or 'nobody'}); {spread}",
        f"- Who they are, how they were found and what they were paid: {OPEN}",
        f"- Training: guidelines with an anchored example for each value, then {practice} practice texts with feedback; three "
        "quarters of the answers had to be in the expected range, with as many tries as wanted",
    ]


def _design(session: Session, campaign: Campaign, described: Mapping[str, Any]) -> list[str]:
    protocol = described["protocol"]
    blocks = collect.planned_blocks(session)
    shape = (
        "as many stories as there are systems, each by another one"
        if protocol.get("spread")
        else "one image with every system's text"
    )
    kinds = {kind: number for kind, number in _control_kinds(session).items() if number}
    first, last, median = _times(session)
    standing = [exclusion for exclusion in decisions.exclusions(session) if exclusion.reverted_at is None]
    late = _count(session, Submission.event_id, Submission.status == "surplus")
    # A skip of a text that was rated after all is superseded.
    skips = _count(session, SkipFlag.event_id, SkipFlag.kind == "skip", SkipFlag.status == "current")
    flags = _count(session, SkipFlag.slot_id.distinct(), SkipFlag.kind == "flag")
    lines = [
        "### 3.3 Design",
        "",
        f"- {campaign.k} ratings a text and aspect, by different people; planned for {campaign.lanes} annotators",
        f"- A block is {shape}; order within it by a Williams design, balanced within each annotator's plan and over all",
        "- Annotators see a text by itself, do not know its system, have no default value, and can change answers later",
        f"- Blocks: {', '.join(f'{number} {state}' for state, number in blocks.items())}",
        f"- Controls, mixed in unmarked: {', '.join(f'{number} {kind}' for kind, number in kinds.items()) or 'none'}",
        *(f"    - {kind}: {_KINDS[kind]}" for kind in kinds),
        f"- Collected from {first} to {last}; a form took {median} (median)",
        f"- Not counted: {late} forms that came late, {skips} skips, {_count(session, Refused.id)} messages that were no forms",
        f"- Flagged by annotators, and counted: {flags} texts",
        f"- Exclusions that stand: {len(standing) or 'none'}",
    ]
    lines += [
        f"    - {exclusion.target.split(':')[0]}, rule {_md(exclusion.rule)}: {_md(exclusion.reason)}"
        for exclusion in standing
    ]
    return lines


def _criteria(described: Mapping[str, Any]) -> list[str]:
    analysis = described["protocol"].get("analysis", {})
    lines = [
        "## 4. Quality criteria",
        "",
        "Each is rated from 1 to 5 by itself, with every value described beside the scale (all of them in `codebook.md`).",
        "",
    ]
    lines += [
        f"- **{_md(aspect['label'])}** (`{code}`): {_md(aspect['definition'])}"
        for code, aspect in described["aspects"].items()
    ]
    test = {"sign": "exact sign test", "wilcoxon": "Wilcoxon signed-rank test"}.get(
        analysis.get("test", ""), "not fixed"
    )
    lines += ["", f"- Test fixed beforehand: {test}, level {analysis.get('level', 'not fixed')}"]
    return lines


def _ethics(session: Session) -> list[str]:
    agreed = _count(session, Annotator.id, Annotator.consent_at.is_not(None))
    return [
        "## 5. Ethics",
        "",
        f"- {agreed} people agreed to the consent text before they saw anything to rate",
        "- Kept about people: a name of their own choice (not exported), answers, times. No address, no e-mail",
        f"- Ethics board, payment, risks: {OPEN}",
    ]


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


def _times(session: Session) -> tuple[str, str, str]:
    first, last = session.execute(select(func.min(Submission.received_at), func.max(Submission.received_at))).one()
    times = sorted(session.scalars(select(Submission.active_ms).where(Submission.status == "current")))
    if first is None or not times:
        return "-", "-", "-"
    return f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}", f"{times[len(times) // 2] / 1000:.1f} s"


def _count(session: Session, column: Any, *conditions: Any) -> int:
    return int(session.scalar(select(func.count(column)).where(*conditions)) or 0)


def _md(text: Any) -> str:
    """Text from people as Markdown that says the same: nothing in it is a tag, a link or a heading."""
    plain = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", plain)


def _cell(text: Any) -> str:
    """Our own sentences in a table: only bars would break it."""
    return " ".join(str(text).split()).replace("|", "\\|")
