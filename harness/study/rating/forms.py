"""Rating forms, skips and flags as browsers send them. Reading one never fails on odd details: what somebody typed is kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.study.rating.views import SKIP_REASONS
from harness.study.tables.base import canonical, from_ms, plain_text, to_ms
from harness.study.tables.schema import Submission

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
MOST_MS = 2**31 - 1
"""What a column of whole numbers holds on every database."""
_LATEST_MS = 253_402_300_799_000  # the last second of the year 9999
LONGEST_KEPT = 65_536
"""Characters kept of a message that is not a form."""


class NoForm(ValueError):
    """A message that is not a valid form; the text is the reason, in one word."""


@dataclass(frozen=True, slots=True)
class Form:
    """A rating, checked."""

    event_id: str
    slot: str
    revision: int
    values: Mapping[str, int]
    shown_at: datetime | None
    first_at: datetime | None
    sent_at: datetime | None
    active_ms: int
    hidden_ms: int
    changes: int
    input: str
    client: str

    @classmethod
    def read(cls, form: Any, aspects: Sequence[str]) -> Form:
        """Check a payload. Odd times are left out rather than used against anyone.

        Raises:
            NoForm: no event id, no slot, or values other than 1 to 5 for every aspect.
        """
        event_id, slot = _head(form)
        values = form.get("values")
        if not isinstance(values, Mapping) or set(values) != set(aspects):
            raise NoForm("values")
        if not all(type(value) is int and 1 <= value <= 5 for value in values.values()):
            raise NoForm("values")
        kept: dict[str, Any] = {name: _when(form.get(name)) for name in TIMES}
        kept |= {name: _count(form.get(name), MOST_MS) for name in COUNTS}
        kept |= {name: _word(form.get(name)) for name in WORDS}
        revision = _count(form.get("revision"), 1_000_000)
        return cls(event_id, slot, revision, {aspect: values[aspect] for aspect in aspects}, **kept)

    @classmethod
    def of(cls, row: Submission, slot: str, values: Mapping[str, int]) -> Form:
        """The form that a row of the database keeps.

        Args:
            row: one submission.
            slot: public id of its slot.
            values: its ratings, by aspect in the order of the protocol: the hash depends on nothing else's order.
        """
        return cls(slot=slot, revision=row.client_revision, values=values, **{name: getattr(row, name) for name in KEPT})

    def kept(self) -> dict[str, Any]:
        """The fields that are columns of `Submission` under the same name."""
        return {name: getattr(self, name) for name in KEPT}

    def sha256(self) -> str:
        """Hash of every field; the database keeps all of them, so it can be computed again."""
        times = [None if time is None else to_ms(time) for time in (getattr(self, name) for name in TIMES)]
        counts, words = ([getattr(self, name) for name in names] for names in (COUNTS, WORDS))
        content = [self.event_id, self.slot, self.revision, dict(self.values), times, counts, words]
        return hashlib.sha256(canonical(content).encode()).hexdigest()


TIMES, COUNTS, WORDS = ("shown_at", "first_at", "sent_at"), ("active_ms", "hidden_ms", "changes"), ("input", "client")
KEPT = ("event_id", *TIMES, *COUNTS, *WORDS)
"""Fields that the database keeps under the same name."""


@dataclass(frozen=True, slots=True)
class Note:
    """A skip or a flag, checked."""

    event_id: str
    slot: str
    reason: str
    note: str

    @classmethod
    def read(cls, form: Any) -> Note:
        """Check a payload.

        Raises:
            NoForm: no event id, no slot, or another reason than the protocol's.
        """
        event_id, slot = _head(form)
        if form.get("reason") not in SKIP_REASONS:
            raise NoForm("reason")
        note = form.get("note") or ""
        return cls(event_id, slot, form["reason"], plain_text(str(note))[:LONGEST_KEPT])

    def sha256(self, kind: str) -> str:
        """Hash of all that it says."""
        return hashlib.sha256(canonical([kind, self.event_id, self.slot, self.reason, self.note]).encode()).hexdigest()


def as_text(form: Any) -> str:
    """Anything at all as text, to be kept."""
    try:
        text = canonical(form)
    except (TypeError, ValueError, RecursionError):
        text = repr(form)
    return plain_text(text)[:LONGEST_KEPT]


def event_id_of(form: Any) -> str:
    """Its event id if it has one, for the answer."""
    event_id = form.get("event_id") if isinstance(form, Mapping) else None
    return plain_text(event_id)[:64] if isinstance(event_id, str) else ""


def _head(form: Any) -> tuple[str, str]:
    if not isinstance(form, Mapping):
        raise NoForm("no-form")
    event_id, slot = form.get("event_id"), form.get("slot")
    if not isinstance(event_id, str) or not _UUID.fullmatch(event_id):
        raise NoForm("event-id")
    if not isinstance(slot, str) or not 1 <= len(slot) <= 64 or not slot.isascii() or not slot.isprintable():
        raise NoForm("slot")
    return event_id.lower(), slot


def _when(value: Any) -> datetime | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LATEST_MS
    return from_ms(int(value)) if usable else None


def _count(value: Any, most: int) -> int:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return int(min(value, most)) if usable else 0


def _word(value: Any) -> str:
    return plain_text(value)[:200] if isinstance(value, str) else ""
