"""Making a study: of two commands at once one wins and the other is told; nobody else may read the database."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from harness.study.design import create as creation
from harness.study.design.fill import Design
from harness.study.exchange import imports
from harness.study.exchange.backup import restore
from tests.studies import Clock, a_study, some_sources

ROWS = "system,item,annotator,aspect,value\n" + "".join(f"{s},{n},x,fluency,3\n" for s in "ab" for n in range(4))


def test_of_two_studies_of_one_name_one_is_made_and_its_secret_opens_it(tmp_path: Path) -> None:
    """The second command runs from beginning to end while the first one copies its images."""
    made = []

    def meanwhile(done: int, total: int) -> None:
        if not made:
            made.append(a_study(tmp_path / "pilot"))

    design = Design(name="pilot", items=4, ratings_per_item=2, annotators=3, practice=False)
    with pytest.raises(StudyError, match="made by another command meanwhile"):
        creation.create(design, some_sources(), tmp_path / "pilot", now=Clock()(), progress=meanwhile)
    StudyAdmin.open(tmp_path / "pilot", secret=made[0].admin_secret).close()
    assert [path.name for path in (tmp_path / "pilot").iterdir()] == ["study.sqlite"]


def test_of_two_imports_of_one_name_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(ROWS)
    second.write_text(ROWS.replace("3\n", "5\n"))
    fill, began = imports._Filler.fill, []

    def fill_late(self: imports._Filler, *rows: Any) -> None:
        if not began:
            began.append(self)
            imports.import_ratings(second, "theirs", tmp_path / "theirs", now=Clock()())
        fill(self, *rows)

    monkeypatch.setattr(imports._Filler, "fill", fill_late)
    with pytest.raises(StudyError, match="made by another command meanwhile"):
        imports.import_ratings(first, "theirs", tmp_path / "theirs", now=Clock()())
    admin = StudyAdmin.open(tmp_path / "theirs")
    assert set(admin.ratings().value.tolist()) == {5}
    admin.close()


def test_a_study_on_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(creation.os, "link", link)
    made = a_study(tmp_path / "pilot")
    StudyAdmin.open(tmp_path / "pilot", secret=made.admin_secret).close()


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_a_study(tmp_path: Path) -> None:
    a_study(tmp_path / "pilot")
    assert rights(tmp_path / "pilot") == 0o700
    assert rights(tmp_path / "pilot" / "study.sqlite") == 0o600
    admin = StudyAdmin.open(tmp_path / "pilot")
    admin.invite()
    beside = [path for path in (tmp_path / "pilot").iterdir() if path.name != "study.sqlite"]
    assert beside, "the log of a database in use"
    assert {rights(path) for path in beside} == {0o600}
    copy = admin.backup(tmp_path / "copies")
    admin.close()
    assert rights(copy) == 0o600
    assert rights(restore(copy, tmp_path / "again" / "study.sqlite")) == 0o600
    source = tmp_path / "theirs.csv"
    source.write_text(ROWS)
    imports.import_ratings(source, "theirs", tmp_path / "theirs", now=Clock()())
    assert (rights(tmp_path / "theirs"), rights(tmp_path / "theirs" / "study.sqlite")) == (0o700, 0o600)
