"""Ratings from elsewhere, in their own columns: read right by name, or refused in a sentence that names what is there."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from harness.study.analysis.agreement import panel_alpha
from harness.study.analysis.analyze import analyse, panels
from harness.study.exchange.columns import ColumnMap
from harness.study.exchange.imports import import_ratings
from tests.studies import Clock


def taken(tmp_path: Path, name: str, text: str, columns: ColumnMap) -> list[tuple[object, ...]]:
    """Import a file; its ratings as (system, item, annotator, aspect, value)."""
    source = tmp_path / name
    source.write_text(text)
    import_ratings(source, "theirs", tmp_path / "theirs", columns=columns, now=Clock()())
    admin = StudyAdmin.open(tmp_path / "theirs")
    table = admin.ratings()
    admin.close()
    names = ("system", "item", "annotator", "aspect", "value")
    return sorted(zip(*(getattr(table, column).tolist() for column in names), strict=True))


LONG = "model\tid\trater\tquestion\tanswer\na\t1\tx\tfluency\t4.0\nb\t1\tx\tfluency\t2\n"
MAPPED = ColumnMap("model", "id", "rater", "question", "answer")


@pytest.mark.parametrize(("name", "text"), [("r.tsv", LONG), ("r.csv", LONG.replace("\t", ",")), ("r", LONG.replace("\t", ","))])
def test_columns_by_other_names_and_whole_numbers_as_data_frames_write_them(tmp_path: Path, name: str, text: str) -> None:
    assert taken(tmp_path, name, text, MAPPED) == [("a", "1", "x", "fluency", 4), ("b", "1", "x", "fluency", 2)]


def test_a_column_an_annotator(tmp_path: Path) -> None:
    """As Flickr8k-Expert is published; an empty cell is a rater who did not rate that text."""
    text = '"id","j1","j2","j3","imageid"\n"0","1","2","","a.jpg"\n"1","4","4","3","a.jpg"\n'
    columns = ColumnMap(system="=retrieved", item="id", aspect="=quality", value="j{annotator}")
    expected = [("0", "1", 1), ("0", "2", 2), ("1", "1", 4), ("1", "2", 4), ("1", "3", 3)]
    found = taken(tmp_path, "judgements.csv", text, columns)
    assert found == [("retrieved", item, who, "quality", value) for item, who, value in expected]


def test_a_column_an_aspect(tmp_path: Path) -> None:
    text = "system,item,annotator,clear,true\na,1,x,5,4\n"
    found = taken(tmp_path, "r.csv", text, ColumnMap(value="clear,true"))
    assert found == [("a", "1", "x", "clear", 5), ("a", "1", "x", "true", 4)]


def test_annotator_and_aspect_in_one_name_and_a_list_of_items_in_a_cell(tmp_path: Path) -> None:
    """As HANNA is published; `Human Avg 1 RE` does not fit the pattern, whose places hold no spaces."""
    text = 'Model,Human 1 RE,Human 2 RE,Human 1 CH,Human Avg 1 RE\nGPT,"[1, 2.0]","[3, 4]","[5, 5]","[1.5, 2]"\n'
    found = taken(tmp_path, "r.csv", text, ColumnMap(system="Model", value="Human {annotator} {aspect}"))
    assert found == [
        ("GPT", "0", "1", "CH", 5), ("GPT", "0", "1", "RE", 1), ("GPT", "0", "2", "RE", 3),
        ("GPT", "1", "1", "CH", 5), ("GPT", "1", "1", "RE", 2), ("GPT", "1", "2", "RE", 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        (LONG, ColumnMap("modle", "id", "rater", "question", "answer"), "no column 'modle' .did you mean 'model'"),
        (LONG, ColumnMap("model", "id", "rater", "question", "score {annotator}"), "no column like 'score {annotator}'"),
        (LONG, ColumnMap("model", "id", "rater", "", "answer"), "no column 'aspect'.*--aspect COLUMN"),
        (LONG.replace("4.0", "4.5"), MAPPED, "row 1 of .*value is 4.5; expected 1 to 5; --scale names another"),
        (LONG.replace("4.0", "[4, 5]"), MAPPED, "row 1 of .*holds a list"),
        (LONG.replace("4.0", "[4, 5"), MAPPED, "begins like a list and is none"),
        (
            LONG + "a\t1\tx\tfluency\t5\n",
            MAPPED,
            "rows 1 and 3 of .*annotator 'x' gives two values to fluency of 'a' on item '1'",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, columns: ColumnMap, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        taken(tmp_path, "r.tsv", text, columns)
    assert not (tmp_path / "theirs" / "study.sqlite").exists()


def unpacked(shared: Path, name: str, to: Path) -> Path:
    source = shared / "judgements" / name
    if not source.exists():
        pytest.skip(f"{source} is not here")
    to.write_bytes(gzip.decompress(source.read_bytes()))
    return to


@pytest.mark.heavy
def test_flickr8k_expert_gives_the_published_agreement(shared: Path, tmp_path: Path) -> None:
    source = unpacked(shared, "flickr8k-expert/judgements.gz", tmp_path / "judgements")
    columns = ColumnMap(system="=retrieved", item="id", aspect="=quality", value="j{annotator}")
    assert import_ratings(source, "flickr", tmp_path / "flickr", columns=columns, now=Clock()()) == (17466, 0)
    admin = StudyAdmin.open(tmp_path / "flickr")
    panel = panels(admin.ratings())["quality"]
    assert panel_alpha(panel, draws=0).value == pytest.approx(0.6939, abs=5e-5)
    assert analyse(admin.ratings(), draws=50, permutations=50).differences == ()
    admin.close()


@pytest.mark.heavy
def test_hanna_gives_the_published_agreement(shared: Path, tmp_path: Path) -> None:
    source = unpacked(shared, "hanna/hanna_metric_scores_llm.csv.gz", tmp_path / "hanna.csv")
    columns = ColumnMap(system="Model", value="Human {annotator} {aspect}")
    assert import_ratings(source, "hanna", tmp_path / "hanna", columns=columns, now=Clock()()) == (19008, 0)
    admin = StudyAdmin.open(tmp_path / "hanna")
    assert panel_alpha(panels(admin.ratings())["RE"], draws=0).value == pytest.approx(0.1651, abs=5e-5)
    admin.close()
