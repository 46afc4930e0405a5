"""The side of those who run a study. Its functions know the systems; they want the study's admin secret or its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.study.ratings import RatingTable
from harness.study.service import utc_now
from harness.study.views import Role


@dataclass(frozen=True, slots=True)
class Overview:
    """A study at a glance."""

    name: str
    title: str
    task: str
    status: str
    created_at: datetime
    systems: tuple[str, ...]
    """Names, in name order; which text is whose is not told here."""
    aspects: tuple[str, ...]
    items: int
    ratings_per_item: int
    planned_annotators: int
    seed: int
    blocks: Mapping[str, int]
    """How many are open, leased, done, void."""
    forms_done: int
    forms_planned: int
    """Forms that count; controls included."""
    annotators: Mapping[str, int]
    """How many of each status."""
    surplus: int
    refused: int
    flags: int
    exclusions: int
    forms_last_hour: int
    seconds_left: float
    """Of work in all, at the median pace so far."""


@dataclass(frozen=True, slots=True)
class AnnotatorRow:
    """One annotator, for those who run the study."""

    annotator: str
    pseudonym: str
    status: str
    lane: int
    forms: int
    skips: int
    flags: int
    median_seconds: float
    last_at: datetime | None
    excluded: bool
    open_signals: int


@dataclass(frozen=True, slots=True)
class SignalRow:
    """Something about an annotator that a person should look at."""

    id: int
    annotator: str
    pseudonym: str
    rule: str
    value: float
    threshold: float
    evidence: Mapping[str, Any]
    at: datetime
    decision: str
    """Empty while nobody has looked; else `dismissed` or `excluded`."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item and how far apart its raters are."""

    item: str
    media: str | None
    prompt: str
    ratings: int
    planned: int
    disagreement: float
    """Mean over its texts and aspects of the ratings' standard deviation; NaN under two ratings a text."""
    flags: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InviteRow:
    """One invitation; its token is not kept."""

    id: str
    role: Role
    uses: int
    max_uses: int
    expires_at: datetime
    revoked: bool
    annotator: str | None
    """Public id of the annotator whom it brings back; None for newcomers."""
    note: str


@dataclass(frozen=True, slots=True)
class ExclusionRow:
    """A decision that ratings do not count."""

    id: int
    target: str
    """`annotator:PUBLIC-ID` or `submission:EVENT-ID`."""
    rule: str
    reason: str
    by: str
    at: datetime
    reverted_at: datetime | None
    reverted_by: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a study found."""

    entries: int
    """Of the audit chain."""
    forms: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


class StudyAdmin:
    """One study, for those who run it."""

    @classmethod
    def open(
        cls, where: str | Path, *, secret: str | None = None, clock: Callable[[], datetime] = utc_now
    ) -> StudyAdmin:
        """Open a study.

        Args:
            where: its folder, its SQLite file, or a URL: whoever has that may do everything already.
            secret: what a person at a browser typed; None where the caller has the file (the command line).
            clock: for tests.

        Raises:
            NotAllowed: the secret is wrong.
        """
        raise NotImplementedError

    def overview(self) -> Overview:
        """The study at a glance."""
        raise NotImplementedError

    def annotators(self) -> tuple[AnnotatorRow, ...]:
        """Everybody who joined."""
        raise NotImplementedError

    def items(self, *, limit: int = 200) -> tuple[ItemRow, ...]:
        """Items, those with most disagreement first."""
        raise NotImplementedError

    def signals(self, *, decided: bool = False) -> tuple[SignalRow, ...]:
        """The review queue, computed anew; with `decided`, also what was decided."""
        raise NotImplementedError

    def dismiss(self, signal: int, *, by: str, reason: str) -> None:
        """A signal was looked at and is no reason to exclude."""
        raise NotImplementedError

    def invites(self) -> tuple[InviteRow, ...]:
        """All invitations."""
        raise NotImplementedError

    def invite(
        self,
        *,
        uses: int = 1,
        lasts: timedelta = timedelta(days=30),
        role: Role = "annotator",
        annotator: str | None = None,
        note: str = "",
        by: str = "admin",
    ) -> str:
        """A new invitation's token (128 bits); only its hash is kept. `annotator`: who is let in again, on another device."""
        raise NotImplementedError

    def revoke(self, invite: str, *, by: str) -> None:
        """An invitation (its id, or its token) lets nobody in any more."""
        raise NotImplementedError

    def pause(self, annotator: str, *, by: str, reason: str) -> None:
        """Give an annotator no more work."""
        raise NotImplementedError

    def resume(self, annotator: str, *, by: str) -> None:
        """Give work again."""
        raise NotImplementedError

    def exclude(self, target: str, rule: str, reason: str, by: str) -> int:
        """Ratings of `annotator:ID` or `submission:EVENT` do not count; the id of that decision. Nothing is deleted."""
        raise NotImplementedError

    def revert(self, exclusion: int, by: str) -> None:
        """Take an exclusion back."""
        raise NotImplementedError

    def exclusions(self) -> tuple[ExclusionRow, ...]:
        """Every decision, reverted ones too."""
        raise NotImplementedError

    def void(self, block: str, *, by: str, reason: str) -> None:
        """Take a block from whoever holds it; what was rated of it becomes surplus, and a fresh one opens."""
        raise NotImplementedError

    def freeze(self, by: str) -> None:
        """Close the ratings for good: later forms are kept as surplus, systems may be revealed."""
        raise NotImplementedError

    def ratings(self, *, excluded: bool = False, surplus: bool = False) -> RatingTable:
        """Current ratings; with those that do not count, if asked."""
        raise NotImplementedError

    def verify(self) -> Verified:
        """Check the audit chain, the hash of every form, and the counts."""
        raise NotImplementedError

    def backup(self, path: Path) -> Path:
        """A copy made while people rate."""
        raise NotImplementedError

    def export(
        self, folder: Path, formats: Sequence[str] = ("csv", "jsonl", "parquet"), *, by: str = "admin"
    ) -> tuple[Path, ...]:
        """Write ratings, codebook and datasheet."""
        raise NotImplementedError
