"""Where studies are kept: old layouts come up to date, SQLite moves to PostgreSQL, copies are whole, kills lose nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres import Server
from sqlalchemy import MetaData, insert, inspect, select
from studies import Clock, a_study, form, rate_all, sit, some_sources

from harness.errors import StudyError, StudyOutdated
from harness.study.admin import StudyAdmin
from harness.study.exchange.backup import backup, restore
from harness.study.exchange.export import export_sha256
from harness.study.exchange.move import database_sha256, move
from harness.study.service import StudyService
from harness.study.tables import identity as journal
from harness.study.tables import migrations
from harness.study.tables.base import Base
from harness.study.tables.database import SCHEMA, Database, locate, shown

FIRST_LAYOUT = Path(__file__).with_name("first_layout.sql")
"""A study as the first layout kept it, with ratings, a skip, a refused form and practice."""
LATER_TABLES = {"snapshot", "export_log", "backup_log"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study of the first layout."""
    folder = tmp_path / "old"
    folder.mkdir()
    with sqlite3.connect(folder / "study.sqlite") as connection:
        connection.executescript(FIRST_LAYOUT.read_text("utf-8"))
    connection.close()
    return folder


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of the first layout."""
    tables = [table for table in Base.metadata.sorted_tables if table.name not in LATER_TABLES]
    with database.engine.connect() as connection:
        return {table.name: sorted(map(tuple, connection.execute(select(table)).all()), key=repr) for table in tables}


def test_the_latest_layout_is_the_one_the_code_means(tmp_path: Path) -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == SCHEMA
    database = Database(locate(tmp_path / "new"))
    (tmp_path / "new").mkdir()
    migrations.upgrade(database.engine)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_an_old_layout_is_told_and_mended(old: Path) -> None:
    for opens in (StudyService.open, StudyAdmin.open):
        with pytest.raises(StudyOutdated, match="seetell study migrate"):
            opens(old)
    database = Database.open(old, check=False)
    before = contents(database)
    assert len(before["rating"]) == 8
    migrations.upgrade(database.engine)
    assert contents(database) == before
    admin = StudyAdmin.open(old)
    assert admin.verify().ok
    assert admin.overview().refused == 1
    migrations.downgrade(database.engine, "0001")
    assert contents(database) == before
    assert database.schema() == "0001"


def test_an_old_layout_on_postgres(old: Path, postgres: Server) -> None:
    source, target = Database.open(old, check=False), Database(locate(postgres.fresh()))
    migrations.upgrade(target.engine, "0001")
    before = contents(source)
    tables = MetaData()
    tables.reflect(target.engine)
    with source.engine.connect() as reading, target.engine.begin() as writing:
        for table in Base.metadata.sorted_tables:
            rows = [] if table.name in LATER_TABLES else reading.execute(select(table)).mappings().all()
            if rows:
                writing.execute(insert(table), [dict(row) for row in rows])
    migrations.upgrade(target.engine)
    assert contents(target) == before
    with target.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    migrations.downgrade(target.engine, "base")
    assert set(inspect(target.engine).get_table_names()) == {"alembic_version"}
    target.close()


def test_a_newer_layout_is_left_alone(old: Path) -> None:
    with sqlite3.connect(old / "study.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StudyOutdated, match="newer SeeTell"):
        StudyService.open(old)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nowhere", "there is no study"),
        ("mysql://localhost/x", "SQLite or PostgreSQL"),
        ("postgresql://127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_places_that_hold_no_study(tmp_path: Path, where: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        StudyService.open(where if "://" in where else tmp_path / where)


def test_passwords_are_not_shown() -> None:
    assert "secret" not in shown(locate("postgresql://me:secret@host/db"))


def test_moving_to_postgres_keeps_everything(tmp_path: Path, postgres: Server) -> None:
    folder, clock = tmp_path / "pilot", Clock()
    made = a_study(folder, some_sources(20, word="=1 😀\nمرحبا"), clock=clock, items=12, annotators=2)
    service, admin = StudyService.open(folder, clock=clock), StudyAdmin.open(folder, clock=clock)
    ann = sit(service, made.invite, "ann")
    rate_all(service, ann, most=40)
    admin.exclude("annotator:ann", "manual", "a test", "me")
    admin.signals()
    before = export_sha256(admin.database), admin.ratings(excluded=True).sha256
    assert "repeat" in admin.ratings(excluded=True).kind, "slots that refer to later slots were among them"
    admin.close()
    url = postgres.fresh()
    digest, rows = move(folder, url, clock())
    assert rows > 300
    with pytest.raises(StudyError, match=r"this study was moved .*restart the app"):  # the browser keeps the form
        service.submit(ann, form(service.history(ann)[0].slot, 1, 7))
    with pytest.raises(StudyError, match="this study was moved"):
        rate_all(service, ann)
    service.close()
    assert digest == Database.open(folder / "study.sqlite.moved").read(lambda session: database_sha256(session.connection()))
    assert (folder / "database.url").stat().st_mode & 0o077 == 0
    service, admin = StudyService.open(folder, clock=clock), StudyAdmin.open(folder, clock=clock)
    assert not admin.database.is_sqlite
    assert (export_sha256(admin.database), admin.ratings(excluded=True).sha256) == before
    assert admin.verify().ok
    rate_all(service, ann)
    rate_all(service, sit(service, admin.invite(), "bob"))
    assert admin.verify().ok, "rating goes on there"
    with pytest.raises(StudyError, match="already"):
        move(folder, url, clock())
    other = tmp_path / "other"
    a_study(other)
    with pytest.raises(StudyError, match="holds a study already"):
        move(other, url, clock())
    assert StudyAdmin.open(other).verify().ok, "what could not be moved is where it was"
    service.close()
    admin.close()
    move(folder, f"sqlite:///{folder / 'study.sqlite'}", clock())
    back = StudyAdmin.open(folder)
    assert back.database.path == folder / "study.sqlite"
    assert back.verify().ok, "and back again"
    assert back.invite()


def test_a_move_that_fails_leaves_everything(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, url = tmp_path / "pilot", postgres.fresh()
    a_study(folder)
    monkeypatch.setattr("harness.study.exchange.move.database_sha256", lambda connection: uuid.uuid4().hex)
    with pytest.raises(StudyError, match="nothing was moved"):
        move(folder, url, Clock()())
    assert StudyAdmin.open(folder).database.is_sqlite
    target = Database(locate(url))
    assert target.schema() is None
    target.close()


def test_backups_are_studies(tmp_path: Path) -> None:
    folder, clock = tmp_path / "pilot", Clock()
    made = a_study(folder, clock=clock)
    service, admin = StudyService.open(folder, clock=clock), StudyAdmin.open(folder, clock=clock)
    ann = sit(service, made.invite, "ann")
    rate_all(service, ann, most=5)
    copy = admin.backup(tmp_path / "copies")
    digest = export_sha256(admin.database)
    rate_all(service, ann)
    assert export_sha256(admin.database) != digest
    assert export_sha256(StudyAdmin.open(copy).database) == digest
    with pytest.raises(StudyError, match="overwrites nothing"):
        admin.backup(copy)
    back = restore(copy, tmp_path / "again" / "study.sqlite")
    assert StudyAdmin.open(tmp_path / "again").verify().ok
    with pytest.raises(StudyError, match="exists"):
        restore(copy, back)
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "study.sqlite-wal").write_bytes(b"of a file that is gone")
    with pytest.raises(StudyError, match="study.sqlite-wal exists; move it away"):
        restore(copy, tmp_path / "lost" / "study.sqlite")
    torn = tmp_path / "torn.sqlite"
    torn.write_bytes(copy.read_bytes()[:20_000])
    with pytest.raises(StudyError, match="not a complete copy"):
        restore(torn, tmp_path / "third" / "study.sqlite")
    assert [row.name for row in admin.database.read(lambda s: list(s.scalars(select(journal.BackupLog))))] == [copy.name]


def test_a_name_with_a_dot_is_a_folder(tmp_path: Path) -> None:
    made = a_study(tmp_path / "pilot-1.5")
    assert (tmp_path / "pilot-1.5" / "study.sqlite").is_file()
    assert StudyAdmin.open(made.where).overview().name == "pilot-1.5"
    with pytest.raises(StudyError, match="holds a study already"):
        a_study(tmp_path / "pilot-1.5")


def test_postgres_is_backed_up_by_pg_dump(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    a_study(tmp_path / "pilot", database=postgres.fresh())
    admin = StudyAdmin.open(tmp_path / "pilot")
    address = f"host=127.0.0.1&port={postgres.port}&user={postgres.user}"
    if shutil.which("pg_dump"):
        assert admin.backup(tmp_path / "copies").read_bytes().startswith(b"PGDMP")
        by_query = Database(locate(f"postgresql:///{admin.database.url.database}?{address}"))
        assert backup(by_query, tmp_path / "by-query.dump", Clock()()).stat().st_size, "where it is stands in the query"
        by_query.close()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="pg_dump is not on the path"):
        admin.backup(tmp_path / "copies" / "other.dump")
    admin.close()


WRITER = """
import sys
sys.path[:0] = {path!r}
from studies import form, sit
from harness.study.service import StudyService
service = StudyService.open({where!r})
seat = service.seat({key!r})
while True:
    for slot in service.claim(seat).slots:
        sent = form(slot, 1 + hash(slot.slot) % 5)
        service.submit(seat, sent)
        print(sent["event_id"], flush=True)
    if service.claim(seat).done:
        revision = 1 + service.history(seat, limit=1)[0].revision
        for rated in service.history(seat):
            sent = form(rated.slot, 1 + revision % 5, 1 + rated.revision)
            service.submit(seat, sent)
            print(sent["event_id"], flush=True)
"""


def kill_writers(folder: Path, token: str, times: int, copies: int) -> tuple[int, int]:
    """Kill a writer again and again, at moments of all kinds, with hot backups in between.

    Returns:
        Forms that were acknowledged, and forms that were lost.
    """
    service = StudyService.open(folder)
    seat = sit(service, token, "ann")
    here = Path(__file__).resolve()
    code = WRITER.format(path=[str(here.parents[3]), str(here.parents[2])], where=str(folder), key=seat.key)
    acknowledged: list[str] = []
    admin = StudyAdmin.open(folder)
    for number in range(times):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work
        reader_lines: list[str] = [first]
        reader = threading.Thread(target=lambda p=process, lines=reader_lines: lines.extend(p.stdout))
        reader.start()
        if number < copies:
            copy = admin.backup(folder.parent / f"copy-{number}.sqlite")
            assert StudyAdmin.open(copy).verify().ok
        time.sleep(0.01 + 0.003 * (number % 37))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        # A killed process may leave half a line: only whole ones were acknowledged.
        acknowledged += [line.strip() for line in reader_lines if line.endswith("\n")]
        process.stdout.close()
    stored = admin.database.read(
        lambda session: set(session.connection().exec_driver_sql("SELECT event_id FROM submission").scalars())
    )
    torn = admin.database.read(
        lambda session: (
            session.connection()
            .exec_driver_sql("SELECT count(*) FROM (SELECT event_id FROM rating GROUP BY event_id HAVING count(*) <> 4)")
            .scalar()
        )
    )
    found = admin.verify()
    assert found.ok, found.problems
    assert torn == 0
    return len(acknowledged), len(set(acknowledged) - stored)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    made = a_study(tmp_path / "pilot", clock=_now(), annotators=2)
    acknowledged, lost = kill_writers(tmp_path / "pilot", made.invite, times=2, copies=1)
    assert acknowledged >= 2
    assert lost == 0


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_hundred_kills_and_hot_backups(tmp_path: Path) -> None:
    made = a_study(tmp_path / "pilot", some_sources(30), clock=_now(), items=20, annotators=2)
    acknowledged, lost = kill_writers(tmp_path / "pilot", made.invite, times=100, copies=20)
    print(f"100 kills of a writer, 20 hot backups: {acknowledged} forms acknowledged, {lost} lost, integrity ok")
    assert lost == 0


def _now() -> Clock:
    """A clock of today, for processes that have no other."""
    from harness.study.tables.base import utc_now

    clock = Clock()
    clock.now = utc_now()
    return clock


def test_the_first_layout_is_an_old_file() -> None:
    """The fixture is never written anew: it stands for files that people have."""
    text = FIRST_LAYOUT.read_text("utf-8")
    assert "INSERT INTO \"alembic_version\" VALUES('0001')" in text
    assert not re.search(r"CREATE TABLE (snapshot|export_log|backup_log)", text)
