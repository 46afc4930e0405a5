"""Ratings as flat rows, the same from every database: what exports hold, what imports read, what their hash is over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from harness.study.analysis import collect
from harness.study.analysis.collect import REFERENCE
from harness.study.rating.forms import COUNTS
from harness.study.tables.base import canonical, to_ms
from harness.study.tables.identity import Exclusion, Origin, System
from harness.study.tables.scale import FIVE, Scale
from harness.study.tables.schema import Annotator, Aspect, Block, Item, Output, Rating, SkipFlag, Slot, Submission

Type = Literal["text", "number", "whole number", "time"]
Row = dict[str, Any]
"""By column name: a text, a number, or None; times are milliseconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and what the codebook says of it."""

    name: str
    type: Type
    meaning: str
    missing: str = ""
    """What an empty cell means; empty if there is none."""
    needed: bool = False
    """Whether ratings from elsewhere must have it."""


RATINGS = (
    Column("event_id", "text", "The form: a UUID made in the browser. A form has one row an aspect."),
    Column("system", "text", f"Who wrote the text (a person: `{REFERENCE}`); of a control, whose text was changed.", needed=True),
    Column("item", "text", "What the text is about: the example's id in its data set.", needed=True),
    Column("annotator", "text", "Who rated it, under a random number.", needed=True),
    Column("aspect", "text", "What was rated.", needed=True),
    Column("value", "whole number", "1 (worst) to 5 (best); what each value means stands under Aspects.", needed=True),
    Column(
        "kind", "text",
        "system, reference (a person's text), swap (a caption of another image), scramble (the words out of order) or repeat "
        "(a text that the annotator had rated before).",
    ),
    Column(
        "status", "text",
        "current; superseded (the annotator changed it later); surplus (came after its place had gone to somebody else, or after "
        "the end); withdrawn. Only `current` counts.",
    ),
    Column("excluded", "text", "By which rule somebody decided that it does not count.", "it counts, if its status is `current`"),
    Column("revision", "whole number", "0 for a first answer, 1 or more for changes."),
    Column("output", "text", "The text's random id."),
    Column("text", "text", "The text as it was shown.", "the text was empty"),
    Column("prompt", "text", "The title or words that the text continues.", "there was none"),
    Column("source", "text", "Of a swap: the item that the text was written for.", "no swap, or an item outside the study"),
    Column("slot", "text", "The place in which the text was shown; a place is one annotator's, unless status is surplus."),
    Column("repeat_of", "text", "Of a repeat: the slot in which the same text was rated first.", "no repeat"),
    Column("block", "text", "What was given out at once: texts of one block were rated one after another."),
    Column("position", "whole number", "In its block, from 0."),
    Column("shown_at", "time", "When the text appeared, by the browser's clock.", "the browser did not say"),
    Column("first_at", "time", "When the first value was given, by the browser's clock.", "the browser did not say"),
    Column("sent_at", "time", "When the form was finished, by the browser's clock.", "the browser did not say"),
    Column("received_at", "time", "When the server had it."),
    Column("active_ms", "whole number", "Milliseconds with the page in sight until the form was finished.", "not recorded"),
    Column("hidden_ms", "whole number", "Milliseconds with the page out of sight meanwhile.", "not recorded"),
    Column("changes", "whole number", "How often a value was changed before the form was finished.", "not recorded"),
    Column("input", "text", "keys, mouse, touch or form.", "the browser did not say"),
    Column("client", "text", "Version of the page.", "the browser did not say"),
)  # fmt: skip
AS_READ = tuple(replace(column, type="number") if column.name == "value" else column for column in RATINGS)
"""The same columns for reading: a value may be any number, until it is known on which scale it is."""
NOTES = (
    Column("event_id", "text", "The note: a UUID made in the browser."),
    Column("kind", "text", "skip (could not be rated) or flag (rated, and pointed at)."),
    Column("reason", "text", "image-missing, text-unreadable, wrong-language, offensive or other."),
    Column("note", "text", "In the annotator's words.", "nothing was added"),
    Column("status", "text", "current; superseded (rated after all); surplus (came late)."),
    Column("annotator", "text", "Whose note, under a random number."),
    Column("slot", "text", "Where."),
    Column("output", "text", "About which text."),
    Column("item", "text", "About which item."),
    Column("received_at", "time", "When the server had it."),
)
_ORDER = ("event_id", "aspect")


def rating_columns(scale: Scale) -> tuple[Column, ...]:
    """The columns of ratings on a scale."""
    if scale == FIVE:
        return RATINGS
    low, high = scale.value(1), scale.value(scale.count)
    whole = all(isinstance(scale.value(code), int) for code in (1, 2))
    meaning = f"{low} (worst) to {high} (best), on the scale {scale}."
    value = Column("value", "whole number" if whole else "number", meaning, needed=True)
    return tuple(value if column.name == "value" else column for column in RATINGS)


def ratings(session: Session) -> list[Row]:
    """Every rating there is, whatever its status, sorted by form and aspect."""
    first, source = aliased(Slot), aliased(Item)
    excluded = _exclusions(session)
    scale = collect.scale_of(session)
    query = (
        select(
            Submission, Rating.value, Aspect.code, Annotator.public_id.label("annotator"),
            Annotator.id.label("annotator_id"), System.name.label("system"), Origin.kind, Item.source_id, Item.prompt,
            source.source_id.label("source"), Output.public_id.label("output"), Output.text, Slot.public_id.label("slot"),
            Slot.position, first.public_id.label("repeat_of"), Block.public_id.label("block"),
            collect.is_untimed().label("untimed"),
        )
        .select_from(Rating)
        .join(Submission, Submission.event_id == Rating.event_id)
        .join(Aspect, Aspect.id == Rating.aspect_id)
        .join(Annotator, Annotator.id == Submission.annotator_id)
        .join(Slot, Slot.id == Submission.slot_id)
        .join(Block, Block.id == Slot.block_id)
        .join(Output, Output.id == Slot.output_id)
        .join(Item, Item.id == Output.item_id)
        .join(Origin, Origin.output_id == Output.id)
        .outerjoin(System, System.id == Origin.system_id)
        .outerjoin(source, source.id == Origin.from_item_id)
        .outerjoin(first, first.id == Slot.repeats_id)
    )  # fmt: skip
    rows = []
    for rating in session.execute(query):
        form = rating.Submission
        rules = excluded.get(("form", form.event_id), []) + excluded.get(("annotator", rating.annotator_id), [])
        rows.append(
            {
                "event_id": form.event_id,
                "system": rating.system or REFERENCE,
                "item": rating.source_id,
                "annotator": rating.annotator,
                "aspect": rating.code,
                "value": scale.value(rating.value),
                "kind": "repeat" if rating.repeat_of else rating.kind,
                "status": form.status,
                "excluded": "; ".join(sorted(set(rules))) or None,
                "revision": form.revision,
                "output": rating.output,
                "text": rating.text or None,
                "prompt": rating.prompt or None,
                "source": rating.source,
                "slot": rating.slot,
                "repeat_of": rating.repeat_of,
                "block": rating.block,
                "position": rating.position,
                "shown_at": _ms(form.shown_at),
                "first_at": _ms(form.first_at),
                "sent_at": _ms(form.sent_at),
                "received_at": _ms(form.received_at),
                **{name: None if rating.untimed else getattr(form, name) for name in COUNTS},
                "input": form.input or None,
                "client": form.client or None,
            }
        )
    return in_order(rows)


def notes(session: Session) -> list[Row]:
    """Every skip and flag, sorted by id."""
    query = (
        select(
            SkipFlag, Annotator.public_id.label("annotator"), Slot.public_id.label("slot"), Output.public_id.label("output"),
            Item.source_id,
        )
        .join(Annotator, Annotator.id == SkipFlag.annotator_id)
        .join(Slot, Slot.id == SkipFlag.slot_id)
        .join(Output, Output.id == Slot.output_id)
        .join(Item, Item.id == Output.item_id)
    )  # fmt: skip
    rows = [
        {
            "event_id": note.SkipFlag.event_id,
            "kind": note.SkipFlag.kind,
            "reason": note.SkipFlag.reason,
            "note": note.SkipFlag.note or None,
            "status": note.SkipFlag.status,
            "annotator": note.annotator,
            "slot": note.slot,
            "output": note.output,
            "item": note.source_id,
            "received_at": _ms(note.SkipFlag.received_at),
        }
        for note in session.execute(query)
    ]
    return sorted(rows, key=lambda row: str(row["event_id"]))


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order that every export has."""
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in _ORDER))


def sha256(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column] = RATINGS) -> str:
    """Hash of rows: the same whatever file or database they come from."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical([row.get(column.name) for column in columns]).encode() + b"\n")
    return digest.hexdigest()


def _exclusions(session: Session) -> dict[tuple[str, Any], list[str]]:
    rules: dict[tuple[str, Any], list[str]] = {}
    for row in session.scalars(select(Exclusion).where(Exclusion.reverted_at.is_(None))):
        key = ("form", row.event_id) if row.event_id else ("annotator", row.annotator_id)
        rules.setdefault(key, []).append(row.rule or "excluded")
    return rules


def _ms(when: Any) -> int | None:
    return None if when is None else to_ms(when)
