"""The audit chain: who did what and when; each entry contains the hash of the one before.

The hash of an entry covers its content and the previous hash. So an entry that is changed, inserted or removed breaks every link
after it, unless all later hashes are computed again; whoever has noted a later hash (an export's manifest has the newest) sees
that too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from harness.study.tables.base import canonical, to_ms
from harness.study.tables.schema import Audit

_LAST = select(Audit.seq, Audit.hash).order_by(Audit.seq.desc()).limit(1)
_LOCK = 0x5EE7E11  # of PostgreSQL's advisory locks; entries have to be made one after another


def record(session: Session, at: datetime, actor: str, action: str, object: str, payload: Mapping[str, Any]) -> None:  # noqa: A002
    """Add an entry to the chain, as the last thing of a transaction: from here on other writers wait."""
    record_all(session, at, actor, [(action, object, payload)])


def record_all(session: Session, at: datetime, actor: str, entries: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Add entries (action, object, payload), one after another."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    seq, before = head(session)
    for action, target, payload in entries:
        seq += 1
        digest = seal(seq, at, actor, action, target, payload, before)
        session.add(
            Audit(
                seq=seq, at=at, actor=actor, action=action, object=target, payload=dict(payload), prev_hash=before, hash=digest,
            )
        )  # fmt: skip
        before = digest
    session.flush()


def head(session: Session) -> tuple[int, str]:
    """Number and hash of the newest entry; 0 and an empty text before the first."""
    last = session.execute(_LAST).first()
    return (last.seq, last.hash) if last else (0, "")


def seal(
    seq: int,
    at: datetime,
    actor: str,
    action: str,
    object: str,  # noqa: A002
    payload: Mapping[str, Any],
    before: str,
) -> str:
    """The hash of an entry."""
    return hashlib.sha256(canonical([seq, to_ms(at), actor, action, object, dict(payload), before]).encode()).hexdigest()


def broken_links(entries: Iterable[Audit]) -> list[str]:
    """What is wrong with a chain, entry by entry; nothing if it is whole."""
    problems = []
    expected, before = 1, ""
    for entry in entries:
        if entry.seq != expected:
            problems.append(f"audit entry {expected} is missing (the next one there is {entry.seq})")
        elif entry.prev_hash != before:
            problems.append(f"audit entry {entry.seq} does not follow from the one before it")
        if entry.hash != seal(entry.seq, entry.at, entry.actor, entry.action, entry.object, entry.payload, entry.prev_hash):
            problems.append(f"audit entry {entry.seq} was changed: its content does not have its hash")
        expected, before = entry.seq + 1, entry.hash
    return problems
