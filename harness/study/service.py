"""The annotator's side of a study: everything a rating screen may ask. It knows texts and images, never who wrote a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.study.views import Feedback, PracticeItem, Progress, Protocol, Rated, Receipt, Seat, SlotView, Work


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class StudyService:
    """One study, as annotators meet it. Every call is one short transaction; objects may be shared by threads."""

    @classmethod
    def open(cls, where: str | Path, *, clock: Callable[[], datetime] = utc_now) -> StudyService:
        """Open a study.

        Args:
            where: its folder, its SQLite file, or a `postgresql+psycopg://` URL.
            clock: for tests.

        Raises:
            StudyError: there is no study.
            StudyOutdated: its layout is older or newer than this SeeTell's.
        """
        raise NotImplementedError

    def join(self, invite: str, pseudonym: str, *, address: str = "") -> Seat:
        """Take a seat with an invitation.

        Raises:
            InviteRefused: `reason` is unknown, expired, revoked, used-up, name-missing, name-taken or closed.
            TooManyTries: too many failures from this address.
        """
        raise NotImplementedError

    def seat(self, key: str) -> Seat:
        """Who sits at a browser, from its key.

        Raises:
            SeatUnknown: nobody.
        """
        raise NotImplementedError

    def consent(self, seat: Seat, version: str) -> Seat:
        """Keep that this version of the consent text was agreed to."""
        raise NotImplementedError

    def protocol(self) -> Protocol:
        """What annotators are told."""
        raise NotImplementedError

    def practice(self, seat: Seat) -> tuple[PracticeItem, ...]:
        """Texts to practise on; none if the study has no practice."""
        raise NotImplementedError

    def answer_practice(self, seat: Seat, item: str, values: Mapping[str, int]) -> Feedback:
        """Answer one; it may be answered again."""
        raise NotImplementedError

    def begin(self, seat: Seat) -> Seat:
        """Start rating.

        Raises:
            NotAllowed: without consent, or before practice is passed.
        """
        raise NotImplementedError

    def claim(self, seat: Seat, *, ahead: int = 2) -> Work:
        """The annotator's live block, claimed if there is none, its lease renewed; at least `ahead` more slots if there are."""
        raise NotImplementedError

    def submit(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Keep a form. The same form again changes nothing; never raises for anything a browser can send."""
        raise NotImplementedError

    def skip(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Skip a slot: `event_id`, `slot`, `reason` (one of the protocol's), `note`."""
        raise NotImplementedError

    def flag(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Flag a slot, as `skip`; it stays to be rated."""
        raise NotImplementedError

    def progress(self, seat: Seat) -> Progress:
        """How far this annotator is."""
        raise NotImplementedError

    def history(self, seat: Seat, *, limit: int = 200) -> tuple[Rated, ...]:
        """This annotator's forms, the latest first."""
        raise NotImplementedError

    def slot(self, seat: Seat, slot: str) -> SlotView:
        """One slot that this annotator holds or has rated.

        Raises:
            NotYours: any other.
        """
        raise NotImplementedError

    def image(self, seat: Seat, media: str) -> tuple[bytes, str]:
        """Content and media type of one of the study's images.

        Raises:
            NotYours: no image of the study.
        """
        raise NotImplementedError
