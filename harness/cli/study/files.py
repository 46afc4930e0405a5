"""`seetell study`: what goes out of a study and comes in: exports, imports, copies, another database, another layout."""

from __future__ import annotations

from pathlib import Path

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.study.shared import (
    find,
    folder_of,
    needs_sqlalchemy,
    opened,
    signed,
)
from harness.errors import StudyError


def export(name: str, format: str, out: Path | None, by: str, results: Path, as_json: bool) -> int:
    """`seetell study export`."""
    from harness.study.exchange.export import export_sha256
    from harness.study.exchange.files import FORMATS

    folder = out or folder_of(name, results) / "export"
    with opened(name, results) as study:
        files = study.export(folder, FORMATS if format == "all" else (format,), by=signed(by))
        digest, ratings = export_sha256(study.database), len(study.ratings(excluded=True))
    if as_json:
        console.emit({"files": [str(file) for file in files], "export_sha256": digest, "current_ratings": ratings})
    else:
        console.say(f"wrote {len(files)} files into {folder}: {', '.join(file.name for file in files)}")
        console.say(f"{ratings:,} current ratings; sha256 of everything exported: {digest}")
    return DONE


def import_(source: Path, name: str, database: str | None, results: Path, as_json: bool) -> int:
    """`seetell study import`."""
    needs_sqlalchemy()
    from harness.study.exchange.export import export_sha256
    from harness.study.exchange.imports import import_ratings
    from harness.study.tables.base import utc_now

    rows, left_out = import_ratings(source, name, results / "studies" / name, database=database, now=utc_now())
    with opened(name, results) as study:
        digest = export_sha256(study.database)
    if as_json:
        console.emit({"ratings": rows, "notes_left_out": left_out, "export_sha256": digest})
        return DONE
    console.say(f"{rows:,} ratings in results of {name}; sha256: {digest}")
    if left_out:
        console.say(
            f"note: {left_out} skips and flags are about texts that nobody rated in that place; they were left out"
        )
    console.say(f"next: `seetell study analyze {name}`")
    return DONE


def backup(name: str, out: Path | None, restored: Path | None, results: Path, as_json: bool) -> int:
    """`seetell study backup`."""
    needs_sqlalchemy()
    from harness.study.exchange.backup import restore

    if restored is not None:
        from harness.study.tables.database import FILE

        path = restore(restored, folder_of(name, results) / FILE)
        console.say(f"{path} is a copy of {restored}; `seetell study verify {name}` checks it")
        return DONE
    with opened(name, results) as study:
        path = study.backup(out or folder_of(name, results) / "backups")
    if as_json:
        console.emit({"backup": str(path), "bytes": path.stat().st_size})
    else:
        console.say(f"wrote {path} ({path.stat().st_size:,} bytes), checked")
    return DONE


def move(name: str, to: str, results: Path, as_json: bool) -> int:
    """`seetell study move`."""
    needs_sqlalchemy()
    from harness.study.exchange.move import move as go
    from harness.study.tables.base import utc_now
    from harness.study.tables.database import locate, shown

    folder = folder_of(name, results)
    if not folder.is_dir():
        raise StudyError(
            f"{name} is not kept in a folder of {results / 'studies'}, so there is nothing to move it from"
        )
    digest, rows = go(folder, to, utc_now())
    if as_json:
        console.emit({"sha256": digest, "rows": rows, "database": shown(locate(to))})
    else:
        console.say(f"moved {rows:,} rows to {shown(locate(to))}; both databases have sha256 {digest}")
        console.say(f"{folder} stands for it from now on; restart the app: `seetell annotate {name}`")
    return DONE


def migrate(name: str, backed_up: bool, results: Path, as_json: bool) -> int:
    """`seetell study migrate`."""
    needs_sqlalchemy()
    from harness.study.exchange.backup import copy_to
    from harness.study.tables import migrations
    from harness.study.tables.base import utc_now
    from harness.study.tables.database import SCHEMA, Database

    database = Database.open(find(name, results), check=False)
    try:
        before = database.schema()
        if before is None or before > SCHEMA:
            database.check_schema(name)
        kept: Path | None = None
        if before != SCHEMA:
            if backed_up:
                kept = copy_to(database, folder_of(name, results) / "backups", utc_now(), f"before-{SCHEMA}")
            migrations.upgrade(database.engine)
    finally:
        database.close()
    if as_json:
        console.emit({"from": before, "to": SCHEMA, "backup": str(kept) if kept else None})
    elif before == SCHEMA:
        console.say(f"{name} has layout {SCHEMA} already")
    else:
        console.say(f"{name} went from layout {before} to {SCHEMA}" + (f"; the old one is in {kept}" if kept else ""))
    return DONE
