"""A whole study from one database to another, row by row, with hashes that have to agree before the old one is let go."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, Table, func, insert, select, text, update
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.tables import audit, migrations
from harness.study.tables.base import Base, canonical, to_ms
from harness.study.tables.database import FILE, MOVED, Database, locate, point_to, shown

_AT_A_TIME = 1000
_TRIGGER = "study_moved"
"""Name of what stops work in a database that was left."""
_LATER = {"slot": "repeats_id"}
"""Columns that refer to rows of their own table, perhaps to later ones: filled in when all rows are there."""


def move(folder: Path, to: str, now: datetime) -> tuple[str, int]:
    """Move a study that is kept in a folder to another database; the folder stands for it afterwards.

    While it runs nobody can hand in forms (browsers keep them and send them again). The old database stays, a file under another
    name, and takes no more work: an app that still has it open would acknowledge forms that the new one never sees.

    Args:
        folder: the study's.
        to: URL of an empty database.
        now: the time.

    Returns:
        The hash that both agree on, and how many rows were copied.

    Raises:
        StudyError: the target holds a study, cannot be used, or does not agree afterwards.
    """
    url = locate(to)
    if locate(folder) == url:
        raise StudyError(f"the study is in {shown(url)} already")
    source = Database.open(folder)
    target = Database(url)
    try:
        if target.schema() is not None:
            raise StudyError(f"{shown(url)} holds a study already; give an empty database")
        migrations.upgrade(target.engine)
        try:
            before, copied = source.write(lambda session: _hand_over(session.connection(), target))
        except BaseException:
            migrations.downgrade(target.engine, "base")
            raise
        target.write(lambda session: audit.record(session, now, "move", "move", shown(url), {"sha256": before, "rows": copied}))
        if source.is_sqlite:
            source.checkpoint()
    finally:
        source.close()
        target.close()
    point_to(folder, url)
    if source.is_sqlite:  # not whatever is in the folder: that may be where it was moved to
        source.path.rename(source.path.with_name(f"{FILE}.moved"))
    return before, copied


def database_sha256(connection: Connection) -> str:
    """Hash of all rows of all tables, the same on every database."""
    digest = hashlib.sha256()
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        digest.update(f"{table.name}\n".encode())
        lines = sorted(canonical([_plain(cell) for cell in row]) for row in connection.execute(select(table)))
        for line in lines:  # sorted here: databases sort text by different rules
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _hand_over(source: Connection, target: Database) -> tuple[str, int]:
    """Copy every table, compare, and close the source. Its transaction holds off writers all the while."""
    if source.dialect.name == "postgresql":
        names = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
        source.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))

    def paste(session: Session) -> int:
        copied = 0
        for table in Base.metadata.sorted_tables:
            copied += _copy_table(source, session.connection(), table)
        return copied

    copied = target.write(paste)
    before = database_sha256(source)
    after = target.read(lambda session: database_sha256(session.connection()))
    if before != after:
        raise StudyError(
            f"the copy in {shown(target.url)} has other content ({after[:12]}, not {before[:12]}); nothing was moved"
        )
    _close(source)
    return before, copied


def _close(source: Connection) -> None:
    """Refuse what every kind of work adds: an entry of the audit chain, or a lease."""
    if source.dialect.name == "postgresql":
        source.execute(
            text(f"CREATE FUNCTION {_TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{MOVED}'; END $$")
        )
    for table in ("audit", "lease"):
        name = f"{table}_{_TRIGGER}"
        if source.dialect.name == "postgresql":
            body = f"FOR EACH ROW EXECUTE FUNCTION {_TRIGGER}()"
        else:
            body = f"BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
        source.execute(text(f"CREATE TRIGGER {name} BEFORE INSERT ON {table} {body}"))


def _copy_table(source: Connection, target: Connection, table: Table) -> int:
    later = _LATER.get(table.name)
    copied = 0
    for rows in source.execute(select(table)).mappings().partitions(_AT_A_TIME):
        target.execute(insert(table), [dict(row) | ({later: None} if later else {}) for row in rows])
        copied += len(rows)
    if later is not None:
        referring = source.execute(select(table.c.id, table.c[later]).where(table.c[later].is_not(None)))
        for number, referred in referring.all():
            target.execute(update(table).where(table.c.id == number).values({later: referred}))
    if target.dialect.name == "postgresql" and "id" in table.c and isinstance(table.c.id.type, Integer):
        last = target.execute(select(func.max(table.c.id))).scalar()
        if last is not None:  # new rows go on from there
            target.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last)))
    return copied


def _plain(cell: Any) -> Any:
    if isinstance(cell, (bytes, memoryview)):
        return hashlib.sha256(bytes(cell)).hexdigest()
    return to_ms(cell) if isinstance(cell, datetime) else cell
