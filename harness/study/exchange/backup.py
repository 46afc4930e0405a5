"""Backups made while people rate. A copy is opened and checked before it gets its final name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import sqlite3
import subprocess
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.tables.database import Database, check_free, make_folder, make_private, shown
from harness.study.tables.identity import BackupLog


def backup(database: Database, path: Path, now: datetime) -> Path:
    """Copy a study: of SQLite a file like its own, of PostgreSQL a `pg_dump` in its own format.

    Args:
        database: of the study; it stays in use.
        path: file to write, or a folder, in which the file is named after the time.
        now: the time.

    Raises:
        StudyError: the file exists, the copy is not whole, or pg_dump is missing or fails.
    """
    path = copy_to(database, path, now, "study")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _remember(database, path, digest, path.stat().st_size, now)
    return path


def copy_to(database: Database, path: Path, now: datetime, name: str) -> Path:
    """Make the copy, of whatever layout the database has; `name` begins the file's, where `path` is a folder."""
    ending = ".sqlite" if database.is_sqlite else ".dump"
    if path.is_dir() or path.suffix == "":
        path = path / f"{name}-{now:%Y%m%d-%H%M%S}{ending}"
    if path.exists():
        raise StudyError(f"{path} exists; a backup overwrites nothing, so give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    make_private(beside)
    try:
        (_copy_sqlite if database.is_sqlite else _dump_postgres)(database, beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def restore(copy: Path, path: Path) -> Path:
    """Put a copy of a SQLite study where one is missing; the copy stays.

    Raises:
        StudyError: the copy is not whole, or something is there already.
    """
    check_free(path)
    _check(copy)
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    make_private(beside)
    shutil.copyfile(copy, beside)
    beside.rename(path)
    return path


def _copy_sqlite(database: Database, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(database.path, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        # One step: a copy in several steps starts again whenever somebody writes, and may never end.
        source.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, no companions
    _check(target)


def _check(copy: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            integrity = opened.execute("PRAGMA integrity_check").fetchone()[0]
            forms = opened.execute("SELECT count(*) FROM campaign").fetchone()[0]
    except sqlite3.Error as error:
        raise StudyError(f"{copy} is not a complete copy of a study ({error})") from error
    if integrity != "ok" or forms != 1:
        raise StudyError(f"{copy} is not a complete copy of a study (SQLite says: {integrity})")


def _dump_postgres(database: Database, target: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise StudyError(
            "pg_dump is not on the path; it is needed to copy a PostgreSQL study. Install PostgreSQL's client programs, or "
            "export the ratings with `seetell study export`"
        )
    url = database.url
    environment = os.environ | ({} if url.password is None else {"PGPASSWORD": url.password})
    # With its query, which may name a socket or ask for TLS; without its password, which other users could read in `ps`.
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    done = subprocess.run(
        [program, "--format=custom", "--no-owner", f"--file={target}", f"--dbname={address.render_as_string()}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StudyError(f"pg_dump could not copy {shown(url)}: {' '.join(done.stderr.split())}")


def _remember(database: Database, path: Path, digest: str, size: int, now: datetime) -> None:
    def keep(session: Session) -> None:
        session.add(BackupLog(at=now, name=path.name, sha256=digest, size=size))

    database.write(keep)
