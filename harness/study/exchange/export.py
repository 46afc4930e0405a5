"""Exports: ratings and notes as files, a codebook of every column, a datasheet, and a manifest with the hash of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.store.runs import write_bytes
from harness.study.analysis import collect
from harness.study.exchange import datasheet, rows
from harness.study.exchange.files import FORMATS, to_bytes
from harness.study.tables import audit
from harness.study.tables.database import Database
from harness.study.tables.identity import ExportLog, System
from harness.study.tables.schema import Aspect, AspectAnchor, Campaign
from harness.suites.provenance import seetell_version

STUDY_FILE = "study.json"
"""What the ratings are about: read again by `seetell study import`."""
MANIFEST_FILE = "manifest.json"
"""Hashes of all files, and the newest entry of the audit chain: compared by `seetell study import` and `verify`."""


def export(database: Database, folder: Path, formats: Sequence[str] = FORMATS, *, by: str, now: datetime) -> tuple[Path, ...]:
    """Write everything.

    Args:
        database: of the study.
        folder: where to; files of an earlier export there are replaced, those in other formats taken away.
        formats: some of csv, jsonl, parquet.
        by: who asks; it is audited.
        now: the time.

    Raises:
        StudyError: a format that there is not.
    """
    for format_ in formats:
        if format_ not in FORMATS:
            raise StudyError(f"there is no format {format_!r}; expected some of {', '.join(FORMATS)}, or all")
    tables, described, words, hashes = database.read(_collect)
    files: dict[str, bytes] = {}
    for name, (columns, records) in tables.items():
        for format_ in formats:
            files[f"{name}.{format_}"] = to_bytes(records, columns, format_)
    files[STUDY_FILE] = _json(described)
    files["codebook.md"] = words["codebook"].encode("utf-8")
    files["datasheet.md"] = words["datasheet"].encode("utf-8")
    digest = rows.sha256(tables["ratings"][1])
    files[MANIFEST_FILE] = _json(
        {
            "study": described["name"],
            "seetell": seetell_version(),
            "rows": {name: len(records) for name, (_, records) in tables.items()},
            "export_sha256": digest,
            **hashes,
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        }
    )
    for name in tables:
        for stale in set(FORMATS) - set(formats):  # else old ratings would be beside the new ones, and be imported
            (folder / f"{name}.{stale}").unlink(missing_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content)

    def remember(session: Session) -> None:
        number = len(tables["ratings"][1])
        session.add(ExportLog(at=now, by=by, formats=list(formats), rows=number, export_sha256=digest))
        session.flush()
        audit.record(session, now, by, "export", described["name"], {"rows": number, "sha256": digest})

    database.write(remember)
    return tuple(folder / name for name in files)


def export_sha256(database: Database) -> str:
    """The hash of all ratings with everything about them, as an export has it."""
    return database.read(lambda session: rows.sha256(rows.ratings(session)))


def describe(session: Session) -> dict[str, Any]:
    """What the ratings are about, for `STUDY_FILE`."""
    campaign = session.scalars(select(Campaign)).one()
    anchors: dict[int, list[AspectAnchor]] = {}
    for anchor in session.scalars(select(AspectAnchor).order_by(AspectAnchor.aspect_id, AspectAnchor.value)):
        anchors.setdefault(anchor.aspect_id, []).append(anchor)
    return {
        "name": campaign.slug,
        "title": campaign.title,
        "task": campaign.task,
        "suite": campaign.suite,
        "ratings_per_item": campaign.k,
        "annotators": campaign.lanes,
        "seed": campaign.seed,
        "protocol": campaign.protocol,
        "protocol_sha256": campaign.protocol_sha256,
        "aspects": {
            aspect.code: {
                "label": aspect.label,
                "definition": aspect.definition,
                "anchors": [anchor.text for anchor in anchors.get(aspect.id, ())],
                "examples": [anchor.example for anchor in anchors.get(aspect.id, ())],
            }
            for aspect in session.scalars(select(Aspect).order_by(Aspect.position))
        },
        "systems": {
            system.name: {"decoder": system.decoder, "identity": system.identity, "config": system.config}
            for system in session.scalars(select(System).order_by(System.name))
        },
    }


def _collect(session: Session) -> tuple[dict[str, Any], dict[str, Any], dict[str, str], dict[str, Any]]:
    described = describe(session)
    columns = rows.rating_columns(collect.scale_of(session))
    tables = {"ratings": (columns, rows.ratings(session)), "notes": (rows.NOTES, rows.notes(session))}
    words = {"codebook": datasheet.codebook(described, tables), "datasheet": datasheet.datasheet(session, described)}
    entry, digest = audit.head(session)
    hashes = {"ratings_sha256": collect.ratings(session).sha256, "audit": {"entry": entry, "hash": digest}}
    return tables, described, words, hashes


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
