"""Where a study is stored, and how it is read and written: SQLite by default, PostgreSQL by URL.

SQLite writers begin with BEGIN IMMEDIATE: a transaction that reads first and asks for the write lock later can overwrite another
writer's change. WAL lets readers continue meanwhile; synchronous=FULL makes a commit survive a power cut, so "saved" is true.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from harness.errors import StudyError, StudyOutdated

SCHEMA = "0003"
"""The layout that this SeeTell reads and writes: the latest of `harness/study/tables/migrations/versions`."""
FILE, POINTER = "study.sqlite", "database.url"
"""What a study's folder holds: the database itself, or the address of one."""
MOVED = "this study was moved"
"""What a database says that was left for another one (`harness.study.exchange.move`)."""
_TRIES = 8
_RETRIED = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available

T = TypeVar("T")


class Database:
    """One study's database. May be shared by threads; every `read` and `write` is one transaction of its own."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine = _engine(url)
        # SQLite lets waiting writers poll, and some of them wait for seconds; threads of one process take turns here instead.
        self._turn: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()

    @classmethod
    def open(cls, where: str | Path, *, check: bool = True) -> Database:
        """Open what exists.

        Raises:
            StudyError: nothing is there.
            StudyOutdated: its layout is not `SCHEMA`.
        """
        url = locate(where)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise StudyError(
                f"there is no study at {where}; expected a study's folder, its SQLite file or a postgresql:// URL. "
                "`seetell study create` makes one"
            )
        database = cls(url)
        try:
            if check:
                database.check_schema(str(where))
        except StudyError:
            database.close()
            raise
        return database

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.database or "")

    def schema(self) -> str | None:
        """Its layout's name, or None where no study is."""
        try:
            with self.engine.connect() as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return None
                return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except DBAPIError as error:
            raise _unusable(self.url, error) from error

    def check_schema(self, where: str) -> None:
        """Refuse layouts of other versions."""
        schema = self.schema()
        if schema is None:
            raise StudyError(f"{shown(self.url)} holds no study; `seetell study create` makes one")
        if schema < SCHEMA:
            raise StudyOutdated(
                f"the study at {where} has layout {schema}, this SeeTell needs {SCHEMA}; `seetell study migrate {where}` "
                "makes a backup and brings it up to date"
            )
        if schema > SCHEMA:
            raise StudyOutdated(
                f"the study at {where} has layout {schema}, this SeeTell knows {SCHEMA}; use the newer SeeTell that made it"
            )

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one consistent state; it must change nothing."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if not self.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            return work(session)

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction; it is called again when another writer got in between."""
        writer = self.engine.execution_options(seetell_writer=True)
        for attempt in range(_TRIES):
            try:
                with self._turn, Session(writer, expire_on_commit=False) as session, session.begin():
                    return work(session)
            except DBAPIError as error:
                if MOVED in str(error.orig):
                    raise StudyError(
                        f"{MOVED} out of {shown(self.url)} while it was open; restart the app, and it finds its new place"
                    ) from error
                if attempt == _TRIES - 1 or not _worth_retrying(error):
                    raise
                time.sleep(0.002 * 2**attempt)
        raise AssertionError("unreachable")

    def checkpoint(self) -> None:
        """Bring everything into the one file of SQLite, so that it may be renamed."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def locate(where: str | Path) -> URL:
    """The address of a study's database.

    Args:
        where: a URL; a study's folder; a SQLite file, whether it exists or not.

    Raises:
        StudyError: a URL of something that studies cannot be kept in.
    """
    if "://" in str(where):
        try:
            url = make_url(str(where))
        except ArgumentError as error:
            raise StudyError(f"{where} is no database URL; expected postgresql://user@host/name") from error
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("postgresql", "sqlite"):
            raise StudyError(f"studies are kept in SQLite or PostgreSQL, not in {url.drivername}")
        return url
    path = Path(where)
    if (path / POINTER).is_file():
        return locate((path / POINTER).read_text("utf-8").strip())
    return URL.create("sqlite", database=str(path / FILE if path.suffix == "" or path.is_dir() else path))


def check_free(path: Path) -> None:
    """Refuse a place for a SQLite file where something is, a log of a file that is gone too: SQLite would play it back.

    Raises:
        StudyError: naming what is in the way.
    """
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            raise StudyError(f"{file} exists; move it away first, or choose another place")


def shown(url: URL) -> str:
    """The address as it may be printed, without its password."""
    return str(Path(url.database or "")) if url.get_backend_name() == "sqlite" else url.render_as_string()


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter: a study's database says which system wrote which text."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, for a database or a copy of one; its companions get the same rights."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def point_to(folder: Path, url: URL, *, new: bool = False) -> None:
    """Make a folder stand for a study that is kept elsewhere; only its owner may read the address.

    Args:
        folder: of the study.
        url: of its database.
        new: whether the folder must not stand for another study already.

    Raises:
        StudyError: it does.
    """
    make_folder(folder)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC)
    try:
        handle = os.open(folder / POINTER, flags, 0o600)
    except FileExistsError as error:
        raise StudyError(f"{folder} was made a study by another command meanwhile; choose another name") from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(url.render_as_string(hide_password=False) + "\n")


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, connect_args={"timeout": 30}, pool_size=16, max_overflow=64)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StudyError(
            f"{url.drivername} needs a driver that is not installed ({error}); pip install 'seetell[postgres]'"
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 begins nothing by itself: `_begin_sqlite` does
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("seetell_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _worth_retrying(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError):
        return True  # somebody else was first; the second look sees what they did
    if not isinstance(error, OperationalError):
        return False
    code = getattr(error.orig, "sqlstate", None)
    return code in _RETRIED or "locked" in str(error.orig) or "busy" in str(error.orig)


def _unusable(url: URL, error: DBAPIError) -> StudyError:
    cause = " ".join(str(error.orig).split())
    return StudyError(
        f"the database {shown(url)} cannot be used ({cause}); expected a running server and a database that exists, or a "
        "study's SQLite file"
    )
