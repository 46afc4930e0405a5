"""Invitations: links with which people join. The token is shown once; the database keeps its hash."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.rating.views import Role
from harness.study.tables import audit
from harness.study.tables.base import token_sha256
from harness.study.tables.schema import Annotator, Invite


def invite(
    session: Session, now: datetime, *, uses: int, lasts: timedelta, role: Role, note: str, by: str, annotator: str | None = None
) -> str:
    """A new invitation's token.

    Raises:
        StudyError: no uses, no time, or nobody whom it could bring back.
    """
    if uses < 1 or uses > 100_000:
        raise StudyError(f"an invitation has {uses} uses; expected 1 to 100,000")
    if not timedelta() < lasts <= timedelta(days=3650):
        raise StudyError(f"an invitation lasts {lasts}; expected more than nothing and ten years at most")
    person = None
    if annotator is not None:
        person = session.scalars(
            select(Annotator).where(or_(Annotator.public_id == annotator, Annotator.pseudonym_key == annotator.casefold()))
        ).first()
        if person is None:
            raise StudyError(f"nobody in this study is called {annotator!r}; `seetell study status` lists who is")
    token = secrets.token_urlsafe(16)
    row = Invite(
        token_sha256=token_sha256(token),
        role=person.role if person else role,
        annotator_id=person.id if person else None,
        max_uses=uses,
        uses=0,
        note=note,
        created_at=now,
        expires_at=now + lasts,
    )
    session.add(row)
    session.flush()
    audit.record(session, now, by, "invite", row.public_id, {"uses": uses, "role": row.role, "note": note})
    return token


def revoke(session: Session, invite: str, now: datetime, by: str) -> None:
    """Take an invitation back, by its id or its token.

    Raises:
        StudyError: there is no such invitation.
    """
    row = session.scalars(
        select(Invite).where(or_(Invite.public_id == invite, Invite.token_sha256 == token_sha256(invite)))
    ).first()
    if row is None:
        raise StudyError("there is no such invitation; `seetell study invite --list` shows them")
    if row.revoked_at is None:
        row.revoked_at = now
        session.flush()
        audit.record(session, now, by, "revoke-invite", row.public_id, {})
