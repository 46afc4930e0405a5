"""An export is taken back as it was written or refused by name; nothing that files do not say is invented."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import SeeTellError, StudyError
from harness.study.admin import StudyAdmin
from harness.study.exchange.export import export_sha256
from harness.study.exchange.imports import import_ratings
from tests.harness.test_integrity import damaged
from tests.studies import Clock, Desk, rate_all, some_sources


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    desk = Desk(folder / "pilot", items=3, annotators=2, ratings_per_item=2)
    for name, value in (("ann", 4), ("bob", 2)):
        rate_all(desk.service, desk.sit(name), value)
    desk.admin.export(folder / "out")
    desk.service.close()
    desk.admin.close()
    return folder / "out"


def swapped(path: Path) -> None:
    """Another value in one row; a 4 may stand in other columns too, and which come first is chance."""
    lines = path.read_text().split("\n")
    place = next(csv.reader(lines)).index("value")
    before = next(row for row in csv.reader(lines[1:]) if row)[place]
    after = "5" if before != "5" else "4"
    start = lines[1].split(",")  # no cell before the value holds a comma
    assert start[place] == before
    lines[1] = ",".join([*start[:place], after, *start[place + 1 :]])
    path.write_text("\n".join(lines))


def shortened(path: Path) -> None:
    path.write_text("\n".join(path.read_text().split("\n")[:-11]) + "\n")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ratings.csv", swapped),
        ("ratings.csv", shortened),
        ("ratings.parquet", flipped),
        ("ratings.jsonl", flipped),
        ("notes.parquet", flipped),
        ("notes.parquet", Path.unlink),
        ("study.json", flipped),
        ("study.json", Path.unlink),
    ],
)
def test_an_export_that_was_changed_is_refused_by_name(
    exported: Path, tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(exported, tmp_path / "out")
    change(folder / name)
    for source in (folder, folder / "ratings.csv"):
        if name != "notes.parquet" or change is flipped or source is folder:
            with pytest.raises(StudyError, match=name):
                import_ratings(source, "again", tmp_path / "again", now=Clock()())
    assert not (tmp_path / "again" / "study.sqlite").exists()


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.heavy)])
def test_damage_anywhere_in_an_export_is_noticed_or_harmless(exported: Path, tmp_path: Path, times: int) -> None:
    """One bit flipped, or one row or line dropped, of any file of an export."""
    import_ratings(exported, "whole", tmp_path / "whole", now=Clock()())
    whole = StudyAdmin.open(tmp_path / "whole")
    expected = export_sha256(whole.database)
    whole.close()
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file() and path.stat().st_size)
    noticed = 0
    for seed in range(times):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(exported, folder)
        file = folder / files[seed % len(files)]
        file.write_bytes(damaged(file, seed))
        shutil.rmtree(tmp_path / "taken", ignore_errors=True)
        try:
            import_ratings(folder, "whole", tmp_path / "taken", now=Clock()())
        except SeeTellError:
            noticed += 1
            continue
        taken = StudyAdmin.open(tmp_path / "taken")
        assert export_sha256(taken.database) == expected, f"seed {seed}: {file}"
        taken.close()
    assert noticed >= times // 2


def test_a_manifest_that_is_none_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "out")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(StudyError, match=r"manifest\.json"):
        import_ratings(folder, "again", tmp_path / "again", now=Clock()())
    manifest = json.loads((exported / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"export_sha256": "0" * 64}))
    with pytest.raises(StudyError, match="other ratings"):
        import_ratings(folder, "again", tmp_path / "again", now=Clock()())


def test_what_people_complete_may_change(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "out")
    (folder / "datasheet.md").write_text("completed by hand")
    (folder / "ratings.jsonl").unlink()
    import_ratings(folder, "again", tmp_path / "again", now=Clock()())
    admin = StudyAdmin.open(tmp_path / "again")
    manifest = json.loads((exported / "manifest.json").read_bytes())
    assert export_sha256(admin.database) == manifest["export_sha256"]
    assert admin.verify().ok
    admin.close()
    alone = tmp_path / "elsewhere" / "ratings.csv"
    alone.parent.mkdir()
    shutil.copyfile(exported / "ratings.csv", alone)
    swapped(alone)
    import_ratings(alone, "mine", tmp_path / "mine", now=Clock()())  # no manifest speaks for it


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings that say nothing but the five columns: 20 texts, three raters, always the same answer of one of them."""
    folder = tmp_path_factory.mktemp("theirs")
    lines = ["system,item,annotator,aspect,value"]
    for number in range(20):
        for system in "ab":
            lines += [f"{system},i{number:02d},{who},overall,{3 if who == 'x' else 1 + number % 5}" for who in "xyz"]
    (folder / "theirs.csv").write_text("\n".join(lines) + "\n")
    import_ratings(folder / "theirs.csv", "theirs", folder / "theirs", now=Clock()())
    return folder / "theirs"


def test_times_that_files_do_not_have_stay_missing_and_accuse_nobody(theirs: Path) -> None:
    admin = StudyAdmin.open(theirs)
    assert np.isnan(admin.ratings().seconds).all()
    assert {signal.rule for signal in admin.signals()} & {"speed", "drift", "longstring"} == set()
    assert all(np.isnan(row.median_seconds) for row in admin.annotators())
    admin.close()


def test_missing_times_are_exported_as_missing_and_come_back_so(theirs: Path, tmp_path: Path) -> None:
    admin = StudyAdmin.open(theirs)
    admin.export(tmp_path / "out")
    first = json.loads((tmp_path / "out" / "ratings.jsonl").read_text().split("\n")[0])
    assert (first["active_ms"], first["hidden_ms"], first["changes"]) == (None, None, None)
    import_ratings(tmp_path / "out", "again", tmp_path / "again", now=Clock()())
    again = StudyAdmin.open(tmp_path / "again")
    assert export_sha256(again.database) == export_sha256(admin.database)
    again.close()
    admin.close()


def sheet(admin: StudyAdmin, folder: Path) -> str:
    admin.export(folder, ("csv",))
    admin.close()
    return (folder / "datasheet.md").read_text("utf-8")


def test_the_datasheet_of_imported_ratings_invents_nothing(theirs: Path, tmp_path: Path) -> None:
    text = sheet(StudyAdmin.open(theirs), tmp_path / "out")
    for invented in ("describe an image", "drawn at random", "agreed to the consent", "practice texts", "Williams", "2026"):
        assert invented not in text, invented
    for line in (
        "- Task: not recorded; suite not recorded",
        "- Protocol: not recorded",
        "how they were chosen: not recorded",
        "- Training: not recorded",
        "- Consent of the annotators: not recorded",
        "- 3 ratings a text and aspect",
        "what the values mean: not recorded",
        "a form took a time that is not recorded",
        "paired permutation test",
    ):
        assert line in text, line


def test_a_re_imported_export_keeps_what_its_protocol_says(exported: Path, tmp_path: Path) -> None:
    import_ratings(exported, "again", tmp_path / "again", now=Clock()())
    text = sheet(StudyAdmin.open(tmp_path / "again"), tmp_path / "out")
    for line in ("describe an image", "drawn at random with seed 0", "Williams", "- Training: not recorded", "(median)"):
        assert line in text, line
    assert "people agreed" not in text


@pytest.mark.parametrize("practice", [True, False])
def test_the_datasheet_names_the_test_that_was_used_and_the_practice_there_was(tmp_path: Path, practice: bool) -> None:
    desk = Desk(tmp_path / "pilot", sources=some_sources(20), items=8, annotators=2, practice=practice)
    desk.service.close()
    text = sheet(desk.admin, tmp_path / "out")
    assert "Test used by `seetell study analyze` for its letters and verdicts: paired permutation test" in text
    assert "exact sign test" not in text
    assert ("6 practice texts with feedback; 75% of the answers" in text) is practice
    assert ("there were no practice texts" in text) is not practice
    assert "0 practice texts" not in text
