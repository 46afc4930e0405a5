"""Values that a study returns to its callers: frozen, never rows of the database. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["annotator", "admin"]
Task = Literal["caption", "story"]
Status = Literal["invited", "training", "active", "paused", "withdrawn", "done"]
SKIP_REASONS = ("image-missing", "text-unreadable", "wrong-language", "offensive", "other")
"""Why a text may be skipped or flagged."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One annotator at one browser."""

    key: str | None
    """The browser's secret; only `join` returns it, the database keeps its hash."""
    annotator: str
    """Public id."""
    pseudonym: str
    role: Role
    status: Status
    consented: bool
    """To the consent text as it is now."""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What one value of an aspect means."""

    value: int
    text: str
    example: str = ""
    media: str | None = None


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that is rated from 1 to 5."""

    code: str
    label: str
    definition: str
    anchors: tuple[Anchor, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that is shown to an annotator."""

    study: str
    """What sets this study apart from others in a browser's storage. Not its name, which might name a system."""
    title: str
    task: Task
    aspects: tuple[Aspect, ...]
    guidelines: str
    """Markdown."""
    guidelines_version: str
    consent: str
    """Markdown."""
    consent_version: str
    skip_reasons: tuple[str, ...] = SKIP_REASONS
    minimum_dwell_ms: int = 400


@dataclass(frozen=True, slots=True)
class PracticeItem:
    """A text with known answers, for learning the scale."""

    id: str
    media: str | None
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class AspectFeedback:
    """How one practice answer compares with what was expected."""

    aspect: str
    given: int
    low: int
    high: int
    why: str

    @property
    def ok(self) -> bool:
        """Whether the answer is in the expected range."""
        return self.low <= self.given <= self.high


@dataclass(frozen=True, slots=True)
class Feedback:
    """What an annotator learns from a practice item."""

    values: tuple[AspectFeedback, ...]
    passed: bool
    """Whether every aspect of this item was in its range."""
    finished: bool
    """Whether practice as a whole is passed, so that `begin` will go through."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """One text to rate."""

    slot: str
    """Public id."""
    block: str
    """Public id; slots of one block come one after another."""
    number: int
    """Which of this annotator's forms it is, from 1."""
    of: int
    """How many forms this annotator has in all, as far as is known."""
    media: str | None
    prompt: str
    text: str
    values: Mapping[str, int] | None = None
    """What this annotator said, if so."""
    revision: int = -1
    """Of those values; the next form is to carry one more."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be rated now and next."""

    slots: tuple[SlotView, ...]
    """Still to rate, in order; the first is now."""
    done: bool
    """Nothing is left for this annotator."""
    message: str = ""
    """Why there is nothing: `finished`, `paused`, `frozen`, `withdrawn` or `training`; `wait`, if others hold something that they
    may lose within minutes; `reserved`, if what is left was begun by others or is planned for others who are here."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a form. Whatever the status, the form is kept and need not be sent again."""

    event_id: str
    status: Literal["saved", "duplicate", "surplus", "refused"]
    revision: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an annotator is."""

    done: int
    """Texts rated or skipped."""
    rated: int
    left: int
    median_seconds: float
    """A form, this annotator's own median drawn towards everybody's while there are few."""
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Rated:
    """One finished form, for the annotator who filled it in."""

    slot: str
    media: str | None
    prompt: str
    text: str
    values: Mapping[str, int]
    revision: int
    at: datetime
