"""Ratings in files as rows that a study can hold: completed where they come from elsewhere, and checked before any is kept."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.errors import StudyError
from harness.study.analysis import collect
from harness.study.analysis.collect import REFERENCE
from harness.study.analysis.ratings import KINDS
from harness.study.exchange import files, rows
from harness.study.exchange.columns import FILE_ROW, OURS, ColumnMap
from harness.study.exchange.export import MANIFEST_FILE, STUDY_FILE
from harness.study.rating.forms import MOST_MS
from harness.study.rating.views import SKIP_REASONS, Task
from harness.study.tables.base import canonical, plain_text
from harness.study.tables.scale import FIVE, Scale
from harness.suites.sections import checked

_STATUSES = ("current", "superseded", "surplus", "withdrawn")
_NOTES = {"kind": ("skip", "flag"), "reason": SKIP_REASONS, "status": ("current", "superseded", "surplus")}
_COUNTS = ("revision", "position", "active_ms", "hidden_ms", "changes")
_UNCHANGED = "take the export again, or import the file of ratings alone from another folder, where no manifest speaks for it"
_SAME = uuid.UUID("6f1c3a52-6d0e-4f0a-9d53-5a1e7e11c0de")
_OF_A_FORM = tuple(column.name for column in rows.RATINGS if column.name not in ("event_id", "aspect", "value"))
_TOGETHER = {"slot": ("block", "output", "position", "repeat_of"), "output": ("system", "item", "text", "prompt")}
"""What always comes with a slot, and with a text."""


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to import."""

    ratings: Sequence[rows.Row]
    notes: Sequence[rows.Row]
    described: Mapping[str, Any]
    """What the ratings are about, as `harness.study.exchange.export.describe` has it."""


class _Manifest(BaseModel):
    """What is read of an export's manifest."""

    files: dict[str, str]
    """Hash of each file."""
    export_sha256: str


class _AspectText(BaseModel):
    label: str
    definition: str
    anchors: list[str]
    examples: list[str]


class _System(BaseModel):
    decoder: str = ""
    identity: str = ""
    config: dict[str, Any] = {}


class _Known(BaseModel):
    """What is read of an export's `STUDY_FILE`."""

    title: str = "Imported ratings"
    task: Task = "caption"
    suite: str = ""
    ratings_per_item: int | None = None
    annotators: int | None = None
    seed: int = 0
    protocol: dict[str, Any] = {"imported": True}
    aspects: dict[str, _AspectText] = {}
    systems: dict[str, _System] = {}


def read(source: Path, name: str, columns: ColumnMap = OURS, scale: Scale | None = None) -> Given:
    """Read a file of ratings, or the folder of an export.

    Args:
        source: the file or folder.
        name: of the new study.
        columns: what the file calls its columns.
        scale: of the ratings; by default that of the export, or else 1 to 5.

    Raises:
        StudyError: there are none, or one that no study can hold; it names the row, the rule and what would do.
    """
    file = _ratings_file(source)
    manifest = _manifest(file)
    read_rows = files.read(file, rows.AS_READ, columns)
    if manifest is not None and rows.sha256(read_rows) != manifest.export_sha256:
        raise StudyError(f"{file} has other ratings than {MANIFEST_FILE} beside it says; {_UNCHANGED}")
    known = _known(file.with_name(STUDY_FILE)) if file.stem == "ratings" else _Known()
    own = Scale.of_protocol(known.protocol)
    if scale is None:
        scale = own
    elif (manifest is not None or "scale" in known.protocol) and scale != own:
        raise StudyError(f"--scale {scale.name}: {STUDY_FILE} beside the ratings says {own.name}; leave --scale out")
    ratings = [_completed(row, f"row {row[FILE_ROW]} of {file}", scale) for row in read_rows]
    if not ratings:
        raise StudyError(f"{file} has no ratings")
    _check(ratings, file)
    described = _described(known, name, ratings, scale)
    for system, scores in files.scores(file, columns).items():
        if system in described["systems"]:
            config = described["systems"][system]["config"]
            described["systems"][system]["config"] = {**config, collect.GIVEN_SCORES: scores}
    return Given(ratings, _notes(file), described)


def _manifest(file: Path) -> _Manifest | None:
    """The manifest of the export that a file belongs to, once its data files are found to be as they were written.

    Codebook and datasheet are for people, who complete them; only what is read again is compared.

    Raises:
        StudyError: a file that is missing or has other content; it is named.
    """
    path = file.with_name(MANIFEST_FILE)
    if not path.is_file():
        return None
    manifest = checked(_Manifest, path.read_bytes(), str(path), error=StudyError, remedy=_UNCHANGED)
    if file.name not in manifest.files:
        return None
    needed = {file.name, f"notes{file.suffix}", STUDY_FILE}
    for name, digest in manifest.files.items():
        if not name.startswith(("ratings.", "notes.")) and name != STUDY_FILE:
            continue
        beside = file.with_name(Path(name).name)
        if not beside.is_file():
            if name in needed:
                raise StudyError(f"{beside} is missing, and {path.name} lists it; {_UNCHANGED}")
        elif hashlib.sha256(beside.read_bytes()).hexdigest() != digest:
            raise StudyError(f"{beside} was changed after the export: {path.name} has another hash of it; {_UNCHANGED}")
    return manifest


def _ratings_file(source: Path) -> Path:
    if not source.is_dir():
        return source
    for ending in ("parquet", "jsonl", "csv"):
        if (source / f"ratings.{ending}").is_file():
            return source / f"ratings.{ending}"
    raise StudyError(f"{source} has no ratings.parquet, ratings.jsonl or ratings.csv; expected the folder of an export")


def _notes(file: Path) -> list[rows.Row]:
    """The skips and flags of the same export, where they are beside the ratings."""
    beside = file.with_name(f"notes{file.suffix}")
    notes = files.read(beside, rows.NOTES) if file.stem == "ratings" and beside.is_file() else []
    for number, row in enumerate(notes, start=1):
        lacking = [name for name in ("event_id", "slot", "annotator") if row[name] is None]
        if lacking:
            raise StudyError(f"row {number} of {beside}: {lacking[0]} is empty")
        for name, allowed in _NOTES.items():
            if row[name] not in allowed:
                raise StudyError(f"row {number} of {beside}: {name} is {row[name]!r}; expected one of {', '.join(allowed)}")
    return notes


def _completed(row: rows.Row, where: str, scale: Scale) -> rows.Row:
    """Fill in what ratings from elsewhere do not say."""
    try:
        scale.code(row["value"])
    except ValueError:
        remedy = "" if scale != FIVE else "; --scale names another scale, such as 0-1, 1-7, 0-100 or 1-5:0.5"
        raise StudyError(f"{where}: value is {row['value']}; expected {scale}{remedy}") from None
    kind = row["kind"] or ("reference" if row["system"] == REFERENCE else "system")
    if kind not in KINDS:
        raise StudyError(f"{where}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if (row["status"] or "current") not in _STATUSES:
        raise StudyError(f"{where}: status is {row['status']!r}; expected one of {', '.join(_STATUSES)}")
    for name in _COUNTS:
        if not 0 <= (row[name] or 0) <= MOST_MS:
            raise StudyError(f"{where}: {name} is {row[name]}; expected 0 to {MOST_MS}")
    text = {name: plain_text(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
    output = text["output"] or _name("output", kind, text["system"], text["item"], text["text"])
    slot = text["slot"] or _name("slot", output, text["annotator"])
    return text | {
        "kind": kind,
        "status": text["status"] or "current",
        "output": output,
        "slot": slot,
        "block": text["block"] or _name("block", text["item"], text["annotator"]),
        "event_id": text["event_id"] or str(uuid.uuid5(_SAME, slot)),
        **{name: text[name] or 0 for name in _COUNTS},
    }


def _name(*parts: Any) -> str:
    """An id that follows from what it names."""
    return hashlib.sha256(canonical([str(part) for part in parts]).encode()).hexdigest()[:22]


def _check(ratings: Sequence[rows.Row], file: Path) -> None:
    """Refuse rows that contradict each other: else the first would win, and nobody would know."""
    _check_forms(ratings, file)
    for name, columns in _TOGETHER.items():
        # A repeat shows a text that has its own place; only there is it said what it was at first.
        given = ratings if name == "slot" else [row for row in ratings if row["kind"] != "repeat"]
        _agree(given, name, columns, file)
    slots = {row["slot"] for row in ratings}
    counted: dict[tuple[str, ...], rows.Row] = {}
    for row in ratings:
        if row["kind"] == "repeat" and row["repeat_of"] not in slots:
            raise StudyError(
                f"{file}: form {row['event_id']} is a repeat, but its repeat_of is {row['repeat_of']!r}; expected the slot in "
                "which the same annotator rated the text first, or leave repeats out"
            )
        if row["status"] == "current" and row["kind"] == "system":
            key = (row["annotator"], row["system"], row["item"], row["aspect"])
            if key in counted:
                first = counted[key]
                raise StudyError(
                    f"rows {first[FILE_ROW]} and {row[FILE_ROW]} of {file}: annotator {key[0]!r} has two ratings that count of "
                    f"{key[1]!r} on item {key[2]!r} ({key[3]}), in forms {first['event_id']} and {row['event_id']}; give all but "
                    "one the status superseded or the kind repeat"
                )
            counted[key] = row


def _check_forms(ratings: Sequence[rows.Row], file: Path) -> None:
    _agree(ratings, "event_id", _OF_A_FORM, file)
    current: dict[str, str] = {}
    revisions: dict[tuple[Any, ...], str] = {}
    aspects: dict[tuple[str, str], int] = {}
    for row in ratings:
        event = row["event_id"]
        if (before := aspects.get((event, row["aspect"]))) is not None:
            raise StudyError(
                f"rows {before} and {row[FILE_ROW]} of {file}: annotator {row['annotator']!r} gives two values to "
                f"{row['aspect']} of {row['system']!r} on item {row['item']!r} (form {event}); expected one row an aspect"
            )
        aspects[event, row["aspect"]] = row[FILE_ROW]
        earlier = revisions.setdefault((row["slot"], row["annotator"], row["revision"]), event)
        if earlier == event and row["status"] == "current":
            earlier = current.setdefault(row["slot"], event)
        if earlier != event:
            raise StudyError(
                f"{file}: forms {earlier} and {event} are both revision {row['revision']}, or both count, in slot {row['slot']}; "
                "expected one form that counts in a slot, and another revision for each change"
            )


def _agree(ratings: Sequence[rows.Row], name: str, columns: Sequence[str], file: Path) -> None:
    """Refuse rows with one `name` and different content of `columns`."""
    first: dict[str, rows.Row] = {}
    for row in ratings:
        before = first.setdefault(row[name], row)
        for column in columns:
            if before[column] != row[column]:
                raise StudyError(
                    f"{file}: rows of {name} {row[name]!r} say {column} {before[column]!r} and {row[column]!r}; expected the same"
                )


def _described(known: _Known, name: str, ratings: Sequence[rows.Row], scale: Scale) -> dict[str, Any]:
    codes = dict.fromkeys(row["aspect"] for row in ratings)
    aspects = {code: text.model_dump() for code, text in known.aspects.items() if code in codes}
    blank = {"definition": "", "anchors": [], "examples": []}
    aspects |= {code: blank | {"label": code} for code in codes if code not in aspects}
    systems = {row["system"] for row in ratings if row["system"] != REFERENCE}
    return {
        "name": name,
        "title": known.title,
        "task": known.task,
        "suite": known.suite,
        "ratings_per_item": known.ratings_per_item or _most_ratings(ratings),
        "annotators": known.annotators or len({row["annotator"] for row in ratings}),
        "seed": known.seed,
        "protocol": known.protocol | ({} if scale == FIVE else {"scale": scale.to_json()}),
        "aspects": aspects,
        "systems": {system: known.systems.get(system, _System()).model_dump() for system in sorted(systems)},
    }


def _known(path: Path) -> _Known:
    """What an export says beside its ratings, if it is one."""
    if not path.is_file():
        return _Known()
    remedy = "it is not as `seetell study export` writes it; repair it, or import the file of ratings from another folder"
    return checked(_Known, path.read_bytes(), str(path), error=StudyError, remedy=remedy)


def _most_ratings(ratings: Sequence[rows.Row]) -> int:
    counts: dict[tuple[str, str], int] = {}
    for row in ratings:
        if row["status"] == "current" and row["kind"] == "system":
            counts[row["output"], row["aspect"]] = counts.get((row["output"], row["aspect"]), 0) + 1
    return max(counts.values(), default=1)
