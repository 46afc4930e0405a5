"""Exports: they come back the same to the hash, no spreadsheet runs them, and every column is explained."""

from __future__ import annotations

import csv
import io
import json
import shutil
import uuid
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres import Server
from studies import Clock, a_study, form, rate_all, sit, some_sources

from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from harness.study.exchange.datasheet import OPEN
from harness.study.exchange.export import export_sha256
from harness.study.exchange.files import FORMATS, as_written, neutral, read, to_bytes
from harness.study.exchange.imports import import_ratings
from harness.study.exchange.rows import NOTES, RATINGS, Column
from harness.study.service import StudyService
from harness.study.tables.base import plain_text
from harness.study.tables.database import Database

AWKWARD = "=cmd|' /C calc'!A0,\"quoted\"\r\n\u202eمرحبا\u202c 😀 \u2028 'tis"


def rated(folder: Path, database: str | None = None) -> StudyAdmin:
    """A study with awkward texts, a changed answer, a skip, a flag, late work and exclusions."""
    clock = Clock()
    made = a_study(folder, some_sources(12, 3, word=AWKWARD), clock=clock, database=database)
    service, admin = StudyService.open(folder, clock=clock), StudyAdmin.open(folder, clock=clock)
    ann, bob, cleo = (sit(service, made.invite, name) for name in ("=ann", "bob😀", "cleo"))
    slots = service.claim(ann, ahead=0).slots
    service.submit(ann, form(slots[0], 1, client="+1"))
    service.submit(ann, form(slots[0], 2, 1, first_at=None))
    service.flag(ann, {"event_id": str(uuid.uuid4()), "slot": slots[0].slot, "reason": "other", "note": AWKWARD})
    service.skip(ann, {"event_id": str(uuid.uuid4()), "slot": slots[1].slot, "reason": "offensive", "note": "-1"})
    admin.void(slots[0].block, by="me", reason="=1+1")
    for seat, value in ((bob, 4), (cleo, 5)):
        rate_all(service, seat, value)
    service.submit(ann, form(slots[2], 1))
    admin.exclude("annotator:cleo", "=manual", "because", "me")
    service.close()
    return admin


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyAdmin, Path]:
    admin = rated(tmp_path_factory.mktemp("original") / "pilot")
    folder = tmp_path_factory.mktemp("exported")
    admin.export(folder)
    return admin, folder


def same(first: StudyAdmin, second: StudyAdmin) -> bool:
    tables = [(each.ratings().sha256, each.ratings(excluded=True, surplus=True).sha256) for each in (first, second)]
    return tables[0] == tables[1] and export_sha256(first.database) == export_sha256(second.database)


@pytest.mark.parametrize("format_", FORMATS)
def test_it_comes_back_the_same(original: tuple[StudyAdmin, Path], tmp_path: Path, format_: str) -> None:
    admin, exported = original
    source = tmp_path / "source"
    source.mkdir()
    for name in (f"ratings.{format_}", f"notes.{format_}", "study.json"):
        shutil.copy(exported / name, source)
    rows, _ = import_ratings(source, "again", tmp_path / "again", now=Clock()())
    back = StudyAdmin.open(tmp_path / "again")
    assert rows > 80
    assert same(admin, back)
    assert back.verify().ok
    assert back.runs() == admin.runs()
    back.export(tmp_path / "twice")
    assert (tmp_path / "twice" / f"ratings.{format_}").read_bytes() == (exported / f"ratings.{format_}").read_bytes()


def test_both_databases_export_and_import_alike(original: tuple[StudyAdmin, Path], tmp_path: Path, postgres: Server) -> None:
    admin, exported = original
    import_ratings(exported, "over", tmp_path / "over", database=postgres.fresh(), now=Clock()())
    over = StudyAdmin.open(tmp_path / "over")
    assert not over.database.is_sqlite
    assert same(admin, over)
    assert over.verify().ok
    there = rated(tmp_path / "there", postgres.fresh())
    there.export(tmp_path / "exported")
    import_ratings(tmp_path / "exported" / "ratings.csv", "back", tmp_path / "back", now=Clock()())
    back = StudyAdmin.open(tmp_path / "back")
    assert same(there, back)
    for each in (over, there, back):
        each.close()


def test_no_cell_begins_like_a_formula(original: tuple[StudyAdmin, Path]) -> None:
    _, exported = original
    for name in ("ratings.csv", "notes.csv"):
        with (exported / name).open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert any("cmd" in cell for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


def test_no_pseudonym_leaves(original: tuple[StudyAdmin, Path]) -> None:
    _, exported = original
    for file in exported.iterdir():
        assert "bob😀".encode() not in file.read_bytes(), file.name


@given(st.text())
def test_neutral_cells_can_be_undone(text: str) -> None:
    assert as_written(neutral(text)) == text
    assert not neutral(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.integers(-(2**53), 2**53), st.none() | st.text(min_size=1)), min_size=1))
def test_any_texts_and_numbers_come_back(cells: list[tuple[str, int, str | None]]) -> None:
    columns = (Column("a", "text", ""), Column("n", "whole number", ""), Column("b", "text", ""))
    rows = [{"a": plain_text(a), "n": n, "b": None if b is None else plain_text(b)} for a, n, b in cells]
    for format_ in FORMATS:
        # What `files.read` does with a file, without one: hypothesis makes many.
        from harness.study.exchange import files

        back = {"csv": files._from_csv, "jsonl": files._from_jsonl, "parquet": files._from_parquet}[format_](
            to_bytes(rows, columns, format_), columns
        )
        assert [files._checked(row, columns, "") for row in back] == rows, format_


def test_every_column_is_explained_and_every_row_is_there(original: tuple[StudyAdmin, Path]) -> None:
    admin, exported = original
    codebook = (exported / "codebook.md").read_text("utf-8")
    for name, columns in (("ratings", RATINGS), ("notes", NOTES)):
        table = pq.read_table(exported / f"{name}.parquet")
        lines = (exported / f"{name}.jsonl").read_text("utf-8").split("\n")[:-1]
        with (exported / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(lines) == table.num_rows
        assert table.column_names == list(rows[0]) == list(json.loads(lines[0])) == [column.name for column in columns]
        assert all(f"| `{column.name}` |" in codebook for column in columns)
        for column in columns:  # a cell is empty only where the codebook says what that means
            assert column.missing or not any(row[column.name] == "" for row in rows), column.name
    stored = admin.database.read(lambda session: session.connection().exec_driver_sql("SELECT count(*) FROM rating").scalar())
    manifest = json.loads((exported / "manifest.json").read_bytes())
    assert manifest["rows"]["ratings"] == stored
    assert manifest["export_sha256"] == export_sha256(admin.database)


def test_the_datasheet_knows_what_the_database_knows(original: tuple[StudyAdmin, Path]) -> None:
    _, exported = original
    text = (exported / "datasheet.md").read_text("utf-8")
    for number in range(1, 6):
        assert f"## {number}. " in text
    for fact in (
        "4 items",
        "2 ratings a text",
        "toy/magic-00000000",
        "rule =manual: because",
        "1 skips, ",
        "and counted: 1 texts",
    ):
        assert fact in text, fact
    assert text.count(OPEN) >= 5  # the one that explains the mark included


def test_ratings_from_elsewhere(tmp_path: Path) -> None:
    table = tmp_path / "theirs.csv"
    lines = ["system,item,annotator,aspect,value"]
    lines += [
        f"{system},i{item},{who},fluency,{1 + (item + len(who)) % 5}"
        for system in ("a", "b")
        for item in range(3)
        for who in ("x", "yy")
    ]
    table.write_text("\n".join(lines) + "\n")
    assert import_ratings(table, "theirs", tmp_path / "theirs", now=Clock()()) == (12, 0)
    admin = StudyAdmin.open(tmp_path / "theirs")
    ratings = admin.ratings()
    assert (len(ratings), ratings.systems, ratings.aspects, ratings.annotators) == (12, ("a", "b"), ("fluency",), ("x", "yy"))
    assert admin.verify().ok
    assert admin.overview().status == "closed"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("system,item,annotator,aspect\na,i,x,fluency\n", "no column 'value'"),
        ("system,item,annotator,aspect,value\na,i,x,fluency,9\n", "expected 1 to 5"),
        ("system,item,annotator,aspect,value\na,i,x,fluency,good\n", "expected a number"),
        ("system,item,annotator,aspect,value\na,i,,fluency,3\n", "annotator is empty"),
        ("", "no column"),
        ("system,item,annotator,aspect,value,kind\na,i,x,fluency,3,odd\n", "kind is 'odd'"),
    ],
)
def test_files_that_hold_no_ratings(tmp_path: Path, content: str, words: str) -> None:
    table = tmp_path / "theirs.csv"
    table.write_text(content)
    with pytest.raises(StudyError, match=words):
        import_ratings(table, "theirs", tmp_path / "theirs", now=Clock()())
    assert not (tmp_path / "theirs" / "study.sqlite").exists()


@pytest.mark.parametrize("ending", FORMATS)
def test_files_that_are_something_else(tmp_path: Path, ending: str) -> None:
    broken = tmp_path / f"broken.{ending}"
    broken.write_bytes(b"\xff\xfe\x00{[")
    with pytest.raises(StudyError):
        read(broken, RATINGS)
    with pytest.raises(StudyError, match="file name extension"):
        read(tmp_path / "x.xlsx", RATINGS)


def test_a_csv_reader_of_any_kind_can_read_it() -> None:
    rows = [{"a": 'say "=hi",\nthere', "n": 3, "b": None}]
    columns = (Column("a", "text", ""), Column("n", "whole number", ""), Column("b", "text", ""))
    plain = list(csv.reader(io.StringIO(to_bytes(rows, columns, "csv").decode(), newline="")))
    assert plain == [["a", "n", "b"], ['say "=hi",\nthere', "3", ""]]


def test_exporting_needs_a_known_format(original: tuple[StudyAdmin, Path], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="expected some of"):
        original[0].export(tmp_path, ("xlsx",))
    assert isinstance(original[0].database, Database)
