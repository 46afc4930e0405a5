"""What all tables of a study share: types that mean the same in SQLite and in PostgreSQL, and the registry of tables."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, MetaData, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """A time, kept as milliseconds since 1970 UTC: exact, ordered and hashed alike on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Aware datetime in."""
        return None if value is None else to_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """UTC datetime out."""
        return None if value is None else from_ms(value)


class Json(TypeDecorator[Any]):
    """JSON as canonical text: the same bytes on every database, so hashes over it agree."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Any JSON value in."""
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value out."""
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """Registry of the tables; constraints have names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: Instant, dict[str, Any]: Json, list[str]: Json, str: Text}  # noqa: RUF012


def to_ms(when: datetime) -> int:
    """Milliseconds since 1970 UTC, without a float on the way."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """The inverse of `to_ms`."""
    return _EPOCH + timedelta(milliseconds=ms)


def canonical(value: Any) -> str:
    """JSON with one spelling only: sorted keys, no spaces, plain ASCII, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def public_id() -> str:
    """128 random bits for whatever a browser may see: they tell nothing about order, kind or content."""
    return secrets.token_urlsafe(16)


def plain_text(text: str) -> str:
    """Text that every database and every file can hold: NUL and lone surrogates become U+FFFD, all else stays."""
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def pairs(rows: Iterable[Any]) -> dict[Any, Any]:
    """Rows of two columns as a dictionary."""
    return {row[0]: row[1] for row in rows}


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


PRACTICE_SHARE = 0.75
"""Of practice values that have to be in the expected range."""


def token_sha256(token: str) -> str:
    """What is kept of a secret. Secrets are 128 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()


REPEAT_GAP = 20
"""Forms between a text and its repeat, at least."""


def pick(seed: int, name: str, among: int) -> int:
    """A number below `among` that follows from the seed and a name: for choices that are made while people rate."""
    digest = hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % among
