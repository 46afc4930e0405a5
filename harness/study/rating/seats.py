"""Joining a study: seats, consent and practice."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from harness.errors import InviteRefused, NotAllowed, SeatUnknown, StudyError
from harness.study.rating.views import AspectFeedback, Feedback, PracticeItem, Seat
from harness.study.tables import audit
from harness.study.tables.base import PRACTICE_SHARE, pairs, plain_text, public_id, token_sha256
from harness.study.tables.schema import Annotator, Block, Campaign, Document, Invite, JoinTry, Practice, PracticeAnswer, SeatKey

MOST_TRIES, TRIES_WITHIN = 10, timedelta(minutes=10)
"""Unknown invitations from one address, before it has to wait."""
LONGEST_NAME = 40


def count_failure(session: Session, campaign: Campaign, address: str, now: datetime) -> int:
    """Count an unknown invitation from an address, unless it had too many; seconds to wait then, else 0."""
    session.execute(delete(JoinTry).where(JoinTry.at < now - TRIES_WITHIN))
    hashed = _address(campaign, address)
    tries = session.scalars(select(JoinTry.at).where(JoinTry.address_sha256 == hashed).order_by(JoinTry.at.desc())).all()
    if len(tries) < MOST_TRIES:
        session.add(JoinTry(address_sha256=hashed, at=now))
        return 0
    return max(1, int((tries[MOST_TRIES - 1] + TRIES_WITHIN - now).total_seconds()) + 1)


def join(session: Session, campaign: Campaign, token: str, pseudonym: str, now: datetime) -> Seat:
    """Take a seat.

    Raises:
        InviteRefused: see `StudyService.join`.
    """
    digest = token_sha256(token)
    invite = session.scalars(select(Invite).where(Invite.token_sha256 == digest).with_for_update()).first()
    if invite is None:
        raise InviteRefused("unknown", "this invitation is not known here; ask for a new link")
    _check_invite(campaign, invite, now)
    if invite.annotator_id is not None:
        annotator = session.get_one(Annotator, invite.annotator_id)
    else:
        annotator = _newcomer(session, invite, pseudonym, now)
    invite.uses += 1
    key = secrets.token_urlsafe(24)
    session.add(SeatKey(key_sha256=token_sha256(key), annotator_id=annotator.id, created_at=now))
    session.flush()
    audit.record(session, now, annotator.public_id, "join", invite.public_id, {"role": annotator.role})
    return view(session, annotator, key)


def by_key(session: Session, key: str) -> Seat:
    """Who sits there.

    Raises:
        SeatUnknown: nobody.
    """
    annotator = session.scalars(
        select(Annotator)
        .join(SeatKey, SeatKey.annotator_id == Annotator.id)
        .where(SeatKey.key_sha256 == token_sha256(key), SeatKey.revoked_at.is_(None))
    ).first()
    if annotator is None:
        raise SeatUnknown("this browser has no seat in the study (any more); open your invitation link again")
    return view(session, annotator, None)


def view(session: Session, annotator: Annotator, key: str | None) -> Seat:
    """A seat as callers see it."""
    consented = annotator.consent_version == latest(session, "consent").version
    return Seat(
        key,
        annotator.public_id,
        annotator.pseudonym,
        annotator.role,  # type: ignore[arg-type]  # the database's CHECK holds it to these
        annotator.status,  # type: ignore[arg-type]
        consented,
        annotator.language,
    )


def latest(session: Session, kind: str) -> Document:
    """The guidelines or the consent text as they are now."""
    return session.scalars(select(Document).where(Document.kind == kind).order_by(Document.id.desc()).limit(1)).one()


def consent(session: Session, annotator: Annotator, version: str, now: datetime) -> None:
    """Keep that a version was agreed to.

    Raises:
        NotAllowed: it is not the version that counts now.
    """
    current = latest(session, "consent").version
    if version != current:
        raise NotAllowed(f"consent to version {version!r} was given, but the text is now {current!r}; read it again")
    annotator.consent_version, annotator.consent_at = version, now
    if annotator.status == "invited":
        annotator.status = "training"
    session.flush()
    audit.record(session, now, annotator.public_id, "consent", version, {})


def practice(session: Session) -> tuple[PracticeItem, ...]:
    """The practice texts, in order."""
    from harness.study.tables.schema import Media

    rows = session.execute(
        select(Practice, Media.public_id).outerjoin(Media, Media.id == Practice.media_id).order_by(Practice.position)
    )
    return tuple(PracticeItem(item.public_id, media, item.prompt, item.text) for item, media in rows)


def answer_practice(session: Session, annotator: Annotator, public: str, values: Mapping[str, Any], now: datetime) -> Feedback:
    """Compare an answer with what was expected.

    Raises:
        StudyError: no such practice text, or values other than 1 to 5 for what it asks.
    """
    item = session.scalars(select(Practice).where(Practice.public_id == public)).first()
    if item is None:
        raise StudyError(f"there is no practice text {public!r}")
    for aspect in item.expected:
        if type(values.get(aspect)) is not int or not 1 <= values[aspect] <= 5:
            raise StudyError(f"{aspect} is {values.get(aspect)!r}; expected 1, 2, 3, 4 or 5")
    answers = tuple(
        AspectFeedback(aspect, values[aspect], want["low"], want["high"], want["why"]) for aspect, want in item.expected.items()
    )
    session.add(
        PracticeAnswer(
            practice_id=item.id,
            annotator_id=annotator.id,
            given={aspect: values[aspect] for aspect in item.expected},
            inside=sum(answer.ok for answer in answers),
            asked=len(answers),
            at=now,
        )
    )
    session.flush()
    return Feedback(answers, all(answer.ok for answer in answers), practised(session, annotator))


def practised(session: Session, annotator: Annotator) -> bool:
    """Whether every practice text is answered, and enough of the latest answers were in range."""
    newest = (
        select(func.max(PracticeAnswer.id))
        .where(PracticeAnswer.annotator_id == annotator.id)
        .group_by(PracticeAnswer.practice_id)
    )
    answers = session.execute(select(PracticeAnswer.inside, PracticeAnswer.asked).where(PracticeAnswer.id.in_(newest))).all()
    total = session.scalar(select(func.count()).select_from(Practice)) or 0
    inside, controls = sum(row.inside for row in answers), sum(row.asked for row in answers)
    return len(answers) == total and inside >= PRACTICE_SHARE * controls


def begin(session: Session, annotator: Annotator, now: datetime) -> None:
    """From practice to rating.

    Raises:
        NotAllowed: without consent, or before practice is passed.
    """
    if annotator.status not in ("invited", "training"):
        return
    if annotator.consent_version != latest(session, "consent").version:
        raise NotAllowed("nobody rates without having agreed to the consent text; read it first")
    if not practised(session, annotator):
        raise NotAllowed(f"practice comes first: {PRACTICE_SHARE:.0%} of its answers have to be in the expected range")
    annotator.status = "active"
    session.flush()
    audit.record(session, now, annotator.public_id, "begin", "", {})


def _check_invite(campaign: Campaign, invite: Invite, now: datetime) -> None:
    if invite.revoked_at is not None:
        raise InviteRefused("revoked", "this invitation was revoked; ask for a new link")
    if invite.expires_at <= now:
        raise InviteRefused("expired", f"this invitation expired on {invite.expires_at:%Y-%m-%d}; ask for a new link")
    if invite.uses >= invite.max_uses:
        raise InviteRefused("used-up", "this invitation has no uses left; ask for a new link")
    if campaign.status != "open" and invite.role == "annotator":
        raise InviteRefused("closed", "this study takes no more ratings")


def _newcomer(session: Session, invite: Invite, pseudonym: str, now: datetime) -> Annotator:
    name = " ".join(plain_text(pseudonym).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InviteRefused("name-missing", f"choose a name of 1 to {LONGEST_NAME} visible characters")
    if session.scalar(select(exists().where(Annotator.pseudonym_key == name.casefold()))):
        raise InviteRefused("name-taken", f"somebody here is called {name!r} already; choose another name")
    annotator = Annotator(
        public_id=public_id(),
        pseudonym=name,
        pseudonym_key=name.casefold(),
        role=invite.role,
        status="invited",
        language="en",
        lane=_free_lane(session),
        joined_at=now,
        last_at=now,
    )
    session.add(annotator)
    session.flush()
    return annotator


def _free_lane(session: Session) -> int:
    """The lane in which there is most to do for one more, the first of those."""
    lanes = session.scalars(select(Campaign.lanes)).one()
    people = pairs(
        session.execute(
            select(Annotator.lane, func.count())
            .where(Annotator.status.in_(("invited", "training", "active")))
            .group_by(Annotator.lane)
        )
    )
    blocks = pairs(session.execute(select(Block.lane, func.count()).where(Block.state == "open").group_by(Block.lane)))
    return min(range(lanes), key=lambda lane: (-blocks.get(lane, 0) / (1 + people.get(lane, 0)), lane))


def _address(campaign: Campaign, address: str) -> str:
    return hashlib.sha256(f"{campaign.salt}\x1f{address}".encode("utf-8", "replace")).hexdigest()


def sign_out(session: Session, key: str, now: datetime) -> None:
    """Make a browser's key worthless."""
    session.execute(update(SeatKey).where(SeatKey.key_sha256 == token_sha256(key)).values(revoked_at=now))
