"""The annotator's side of a study: every call that a rating screen makes. It knows texts and images, never who wrote a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, undefer

from harness.errors import InviteRefused, NotYours, SeatUnknown, TooManyTries
from harness.study.rating import claims, seats, submit, work
from harness.study.rating.views import Anchor, Feedback, PracticeItem, Progress, Protocol, Rated, Receipt, Seat, SlotView, Work
from harness.study.rating.views import Aspect as AspectView
from harness.study.tables.base import token_sha256, utc_now
from harness.study.tables.database import Database
from harness.study.tables.schema import Annotator, Aspect, AspectAnchor, Campaign, Media

T = TypeVar("T")


# Built once: building a query takes longer than running it.
_CAMPAIGN = select(Campaign)


_CAMPAIGN_HELD = _CAMPAIGN.with_for_update(read=True)


_ANNOTATOR = select(Annotator).where(Annotator.public_id == bindparam("annotator"))


_ANNOTATOR_LOCKED = _ANNOTATOR.with_for_update()


class StudyService:
    """One study, as annotators meet it. Every call is one short transaction; objects may be shared by threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

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
        return cls(Database.open(where), clock)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # getting in

    def join(self, invite: str, pseudonym: str, *, address: str = "") -> Seat:
        """Take a seat with an invitation.

        An invitation that exists is never held back. Tokens are 128 random bits, so a limit on tries protects none of them; it
        only keeps one address from filling the table of tries, and must not lock out others who share that address.

        Raises:
            InviteRefused: `reason` is unknown, expired, revoked, used-up, name-missing, name-taken or closed.
            TooManyTries: the invitation is unknown, and so were too many others from this address.
        """
        now = self._clock()
        try:
            return self._database.write(lambda session: seats.join(session, _campaign(session), invite, pseudonym, now))
        except InviteRefused as error:
            if error.reason != "unknown":
                raise
            wait = self._database.write(lambda session: seats.count_failure(session, _campaign(session), address, now))
            if wait:
                raise TooManyTries(wait) from error
            raise

    def seat(self, key: str) -> Seat:
        """Who sits at a browser, from its key.

        Raises:
            SeatUnknown: nobody.
        """
        return self._database.read(lambda session: seats.by_key(session, key))

    def sign_out(self, key: str) -> None:
        """Make a browser's key worthless."""
        self._database.write(lambda session: seats.sign_out(session, key, self._clock()))

    def consent(self, seat: Seat, version: str) -> Seat:
        """Keep that this version of the consent text was agreed to.

        Raises:
            NotAllowed: another version counts now.
        """
        return self._as(seat, lambda session, me: seats.consent(session, me, version, self._clock()))

    def set_language(self, seat: Seat, language: str) -> Seat:
        """Remember in which language an annotator wants the screens."""

        def keep(session: Session, me: Annotator) -> None:
            me.language = language[:16]

        return self._as(seat, keep)

    def protocol(self) -> Protocol:
        """What annotators read before they start."""
        return self._database.read(_protocol)

    def practice(self, seat: Seat) -> tuple[PracticeItem, ...]:
        """Texts to practise on; none if the study has no practice."""
        return self._read(seat, lambda session, me: seats.practice(session))

    def answer_practice(self, seat: Seat, item: str, values: Mapping[str, int]) -> Feedback:
        """Answer one; it may be answered again.

        Raises:
            StudyError: no such practice text, or values other than 1 to 5 for every aspect.
        """
        return self._write(seat, lambda session, me: seats.answer_practice(session, me, item, values, self._clock()))

    def practised(self, seat: Seat) -> bool:
        """Whether practice is passed, so that `begin` will go through; True if the study has none."""
        return self._read(seat, seats.practised)

    def begin(self, seat: Seat) -> Seat:
        """Start rating.

        Raises:
            NotAllowed: without consent, or before practice is passed.
        """
        return self._as(seat, lambda session, me: seats.begin(session, me, self._clock()))

    # rating

    def claim(self, seat: Seat, *, ahead: int = 2) -> Work:
        """The annotator's live block, claimed if there is none, its lease renewed; at least `ahead` more slots if there are."""

        def look(session: Session, me: Annotator) -> Work | None:
            """Mostly nothing has to be claimed, and reading makes nobody wait."""
            if me.status != "active" or _campaign(session).status != "open":
                return None
            slots = claims.holds_enough(session, me, self._clock(), ahead)
            return Work(work.views(session, me, slots), False) if slots else None

        def take(session: Session, me: Annotator) -> Work:
            campaign = _campaign(session)
            if campaign.status != "open":
                return Work((), True, "frozen")
            if me.status not in ("active", "done"):
                return Work((), me.status == "withdrawn", "training" if me.status == "invited" else me.status)
            slots = claims.take(session, campaign, me, self._clock(), ahead)
            if slots:
                me.status = "active"
                return Work(work.views(session, me, slots), False)
            if later := claims.outlook(session, me, self._clock()):
                return Work((), False, later)
            me.status = "done"
            return Work((), True, "finished")

        return self._read(seat, look) or self._write(seat, take)

    def submit(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Keep a form. The same form again changes nothing; never raises for anything a browser can send."""
        return self._write(
            seat, lambda session, me: submit.submit(session, _campaign(session, hold=True), me, form, self._clock())
        )

    def skip(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Skip a slot: `event_id`, `slot`, `reason` (one of the protocol's), `note`. Somebody else will be given it."""
        return self._write(
            seat, lambda session, me: submit.note(session, _campaign(session, hold=True), me, form, "skip", self._clock())
        )

    def flag(self, seat: Seat, form: Mapping[str, Any]) -> Receipt:
        """Flag a slot, as `skip`; it stays to be rated."""
        return self._write(
            seat, lambda session, me: submit.note(session, _campaign(session, hold=True), me, form, "flag", self._clock())
        )

    # looking

    def progress(self, seat: Seat) -> Progress:
        """How far this annotator is."""
        return self._read(seat, work.progress)

    def history(self, seat: Seat, *, limit: int = 200) -> tuple[Rated, ...]:
        """This annotator's forms, the latest first."""
        return self._read(seat, lambda session, me: work.history(session, me, limit))

    def slot(self, seat: Seat, slot: str) -> SlotView:
        """One slot that this annotator holds or has rated.

        Raises:
            NotYours: any other.
        """
        view = self._read(seat, lambda session, me: work.slot_view(session, me, slot))
        if view is None:
            raise NotYours(f"slot {slot!r} was never given to {seat.pseudonym!r}")
        return view

    def image(self, seat: Seat, media: str) -> tuple[bytes, str]:
        """Content and media type of one of the study's images.

        Raises:
            NotYours: no image of the study.
        """

        def find(session: Session, me: Annotator) -> Media | None:
            wanted = select(Media).where(Media.public_id == media).options(undefer(Media.content))
            return session.scalars(wanted).first()

        image = self._read(seat, find)
        if image is None:
            raise NotYours(f"the study has no image {media!r}")
        return image.content, image.mime

    def _write(self, seat: Seat, action: Callable[[Session, Annotator], T]) -> T:
        """Write as an annotator, whose row is locked meanwhile: two tabs of one person take turns."""
        return self._database.write(lambda session: action(session, _annotator(session, seat, lock=True)))

    def _as(self, seat: Seat, action: Callable[[Session, Annotator], None]) -> Seat:
        """Change something about an annotator."""

        def change(session: Session, me: Annotator) -> Seat:
            action(session, me)
            return seats.view(session, me, seat.key)

        return self._write(seat, change)

    def _read(self, seat: Seat, action: Callable[[Session, Annotator], T]) -> T:
        return self._database.read(lambda session: action(session, _annotator(session, seat)))


def _campaign(session: Session, *, hold: bool = False) -> Campaign:
    """The study; with `hold` it is not frozen before this transaction is over, so that no form slips in behind the freeze."""
    return session.scalars(_CAMPAIGN_HELD if hold else _CAMPAIGN).one()


def _annotator(session: Session, seat: Seat, *, lock: bool = False) -> Annotator:
    annotator = session.scalars(_ANNOTATOR_LOCKED if lock else _ANNOTATOR, {"annotator": seat.annotator}).first()
    if annotator is None:
        raise SeatUnknown("this browser's seat is of another study; open your invitation link again")
    return annotator


def _protocol(session: Session) -> Protocol:
    campaign = _campaign(session)
    anchors: dict[int, list[Anchor]] = {}
    rows = session.execute(
        select(AspectAnchor, Media.public_id)
        .outerjoin(Media, Media.id == AspectAnchor.media_id)
        .order_by(AspectAnchor.aspect_id, AspectAnchor.value)
    )
    for anchor, media in rows:
        anchors.setdefault(anchor.aspect_id, []).append(Anchor(anchor.value, anchor.text, anchor.example, media))
    aspects = tuple(
        AspectView(aspect.code, aspect.label, aspect.definition, tuple(anchors.get(aspect.id, ())))
        for aspect in session.scalars(select(Aspect).order_by(Aspect.position))
    )
    guidelines, consent = seats.latest(session, "guidelines"), seats.latest(session, "consent")
    return Protocol(
        token_sha256(f"study:{campaign.salt}")[:16],
        campaign.title,
        campaign.task,  # type: ignore[arg-type]  # the database's CHECK holds it to these
        aspects,
        guidelines.text,
        guidelines.version,
        consent.text,
        consent.version,
    )
