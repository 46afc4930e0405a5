"""`study export|import|backup|move|migrate`: what goes out of a study and comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import DONE, RESULTS, AsJson, OutFile, ResultsFolder
from harness.cli.study.shared import By, Name, find, folder_of, needs_sqlalchemy, opened, signed
from harness.errors import StudyError


def export(
    name: Name,
    format: Annotated[Literal["csv", "jsonl", "parquet", "all"], Parameter(negative="")] = "all",
    /,
    *,
    out: OutFile = None,
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Write ratings and notes with a codebook, a datasheet to complete, and hashes of every file.

    Pseudonyms stay behind: annotators are random numbers. The files name the systems, so keep them from people who still rate.

    For example: `seetell study export pilot parquet --out pilot-ratings`.

    Args:
        format: csv, jsonl, parquet or all.
        out: Folder; `export` in the study's by default.
    """
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


def import_(
    source: Path,
    name: str,
    /,
    *,
    system: str = "",
    item: str = "",
    annotator: str = "",
    aspect: str = "",
    value: str = "",
    text: str = "",
    scores: str = "",
    unscored: str = "",
    scale: str = "",
    runs: str = "",
    database: str | None = None,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a (closed) study from ratings in files: an export comes back the same to the hash.

    Ratings made elsewhere need the columns system, item, annotator, aspect and value, one row a value; the others are in the
    codebook that `seetell study export` writes. Where a file calls them differently, name its columns; =NAME stands for what is
    the same in every row. Values may be in several columns, or as a list in one cell, one value an item.

    For example: `seetell study import theirs.csv theirs --system =ours --item id --aspect =quality --value 'j{annotator}'`.

    Args:
        source: The folder of an export, or a .csv, .tsv, .jsonl or .parquet file.
        name: Of the new study.
        system: Column of the system, or =NAME.
        item: Column of the item, or =NAME.
        annotator: Column of the annotator, or =NAME.
        aspect: Column of the aspect, or =NAME.
        value: Column of the values; several separated by commas; or a pattern such as 'Human {annotator} {aspect}'.
        text: Column of the rated text.
        scores: Columns of metrics' scores of the same texts, separated by commas: they are compared with the ratings. -NAME where
            lower is better.
        unscored: Systems without scores, separated by commas: people, whose texts are the references that metrics compare with.
        scale: Lowest and highest value that could be given, and the step where it is not 1, such as 0-1, 1-7, 0-100 or 1-5:0.5;
            1-5 by default, or what the export says.
        runs: Suite whose runs wrote the texts, by name: joined by system, item and text, so that metrics can be compared.
        database: postgresql:// URL of an empty database, instead of a file.
    """
    needs_sqlalchemy()
    from harness.store.runs import Results
    from harness.study.exchange.columns import ColumnMap
    from harness.study.exchange.export import export_sha256
    from harness.study.exchange.imports import import_ratings
    from harness.study.tables.base import utc_now
    from harness.study.tables.scale import Scale

    columns = ColumnMap(system, item, annotator, aspect, value, text, scores, unscored)
    folder = results / "studies" / name
    rows, left_out = import_ratings(
        source,
        name,
        folder,
        columns=columns,
        scale=Scale.parse(scale) if scale else None,
        runs=(Results(results), runs) if runs else None,
        database=database,
        now=utc_now(),
    )
    with opened(name, results) as study:
        digest = export_sha256(study.database)
        lacking = [system for system, run in study.runs().items() if not run] if runs else []
    if as_json:
        console.emit({"systems_without_run": lacking, "ratings": rows, "notes_left_out": left_out, "export_sha256": digest})
        return DONE
    console.say(f"{rows:,} ratings in results of {name}, which is closed: nobody can rate in it; sha256: {digest}")
    if lacking:
        console.say(f"note: {runs} has no run of {', '.join(lacking)}; metrics are compared on the other systems")
    if left_out:
        console.say(f"note: {left_out} skips and flags are about texts that nobody rated in that place; they were left out")
    console.say(f"next: `seetell study analyze {name}`")
    return DONE


def backup(
    name: Name, /, *, out: OutFile = None, restore: Path | None = None, results: ResultsFolder = RESULTS, as_json: AsJson = False
) -> int:
    """Copy a study while people rate, and check the copy. A copy of a SQLite study is a study: every verb takes it.

    For example: `seetell study backup pilot`.

    Args:
        out: File or folder; `backups` in the study's folder by default. Nothing is overwritten.
        restore: Instead: put this copy in the place of a study that is gone.
    """
    needs_sqlalchemy()
    from harness.study.exchange import backup as copies

    if restore is not None:
        from harness.study.tables.database import FILE

        path = copies.restore(restore, folder_of(name, results) / FILE)
        console.say(f"{path} is a copy of {restore}; `seetell study verify {name}` checks it")
        return DONE
    with opened(name, results) as study:
        path = study.backup(out or folder_of(name, results) / "backups")
    if as_json:
        console.emit({"backup": str(path), "bytes": path.stat().st_size})
    else:
        console.say(f"wrote {path} ({path.stat().st_size:,} bytes), checked")
    return DONE


def move(name: Name, /, *, to: str, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Move a study to another database, from SQLite to PostgreSQL for example, and compare the hashes of both.

    Meanwhile nobody can hand in forms; browsers keep them and send them again. Restart the app afterwards.

    For example: `seetell study move pilot --to postgresql://me@localhost/pilot`.

    Args:
        to: postgresql://user@host/name of an empty database.
    """
    needs_sqlalchemy()
    from harness.study.exchange.move import move as move_study
    from harness.study.tables.base import utc_now
    from harness.study.tables.database import locate, shown

    folder = folder_of(name, results)
    if not folder.is_dir():
        raise StudyError(f"{name} is not kept in a folder of {results / 'studies'}, so there is nothing to move it from")
    digest, rows = move_study(folder, to, utc_now())
    if as_json:
        console.emit({"sha256": digest, "rows": rows, "database": shown(locate(to))})
    else:
        console.say(f"moved {rows:,} rows to {shown(locate(to))}; both databases have sha256 {digest}")
        console.say(f"{folder} stands for it from now on; restart the app: `seetell annotate {name}`")
    return DONE


def migrate(name: Name, /, *, backup: bool = True, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Bring a study that an older SeeTell made to the layout of this one, after a backup. Stop the app before.

    For example: `seetell study migrate pilot`.

    Args:
        backup: Copy it first.
    """
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
            if backup:
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
