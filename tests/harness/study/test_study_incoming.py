"""Ratings from elsewhere: completed where they say little, refused where they contradict themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from studies import Clock

from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from harness.study.exchange.export import export_sha256
from harness.study.exchange.imports import import_ratings
from harness.study.exchange.incoming import read

PLAIN = {"system": "a", "item": "i", "annotator": "x", "aspect": "fluency", "value": 3}
FORM = PLAIN | {"event_id": "e", "slot": "s", "output": "o", "block": "b"}


def written(folder: Path, rows: list[dict[str, Any]], notes: list[dict[str, Any]] | None = None) -> Path:
    """A file of ratings, with notes beside it."""
    for name, content in (("ratings", rows), ("notes", notes or [])):
        if content:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder / "ratings.jsonl"


def test_what_is_not_said_follows_from_what_is(tmp_path: Path) -> None:
    given = read(written(tmp_path, [PLAIN, PLAIN | {"aspect": "relevance"}, PLAIN | {"annotator": "y"}]), "theirs")
    assert len({row["event_id"] for row in given.ratings}) == 2, "one form a text and annotator"
    assert {row["status"] for row in given.ratings} == {"current"}
    assert {row["kind"] for row in given.ratings} == {"system"}
    assert given.described["ratings_per_item"] == 2
    assert list(given.described["aspects"]) == ["fluency", "relevance"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([PLAIN, PLAIN], "gives two values to fluency", id="aspect-twice"),
        pytest.param([FORM, FORM | {"event_id": "f"}], "both revision 0", id="revision-twice"),
        pytest.param([FORM, FORM | {"event_id": "f", "annotator": "y"}], "both count, in slot s;", id="slot-counts-twice"),
        pytest.param(
            [FORM, FORM | {"event_id": "f", "slot": "t"}], "two ratings that count of 'a' on item 'i'", id="text-counts-twice"
        ),
        pytest.param([FORM, FORM | {"aspect": "relevance", "annotator": "y"}], "say annotator 'x' and 'y'", id="form-of-two"),
        pytest.param(
            [FORM, FORM | {"event_id": "f", "slot": "t", "annotator": "y", "item": "j"}], "say item 'i' and 'j'", id="text-of-two"
        ),
        pytest.param(
            [FORM, FORM | {"event_id": "f", "annotator": "y", "status": "surplus", "block": "c"}],
            "say block 'b' and 'c'",
            id="slot-in-two-blocks",
        ),
        pytest.param([FORM | {"kind": "repeat"}], "its repeat_of is None", id="repeat-of-nothing"),
        pytest.param([FORM | {"kind": "repeat", "repeat_of": "t"}], "its repeat_of is 't'", id="repeat-of-what-is-not-there"),
        pytest.param([PLAIN | {"revision": -1}], "revision is -1", id="revision-below-0"),
        pytest.param([PLAIN | {"active_ms": 2**40}], "active_ms is", id="time-too-long"),
        pytest.param([PLAIN | {"received_at": 10**18}], "expected a time", id="no-such-time"),
        pytest.param([PLAIN | {"status": "lost"}], "status is 'lost'", id="status"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        read(written(tmp_path, rows), "theirs")


@pytest.mark.parametrize(
    ("note", "words"), [({"kind": "shrug"}, "kind is 'shrug'"), ({"reason": None}, "reason is None"), ({"slot": ""}, "slot is")]
)
def test_notes_are_checked_too(tmp_path: Path, note: dict[str, Any], words: str) -> None:
    whole = {"event_id": "n", "kind": "flag", "reason": "other", "status": "current", "annotator": "x", "slot": "s"} | note
    with pytest.raises(StudyError, match=words):
        read(written(tmp_path, [FORM], [whole]), "theirs")


@pytest.mark.parametrize("content", ["[]", "{", '{"task": "poem"}', '{"aspects": {"fluency": {}}}'])
def test_a_description_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(StudyError, match=r"study.json: .*it is not as"):
        read(written(tmp_path, [FORM]), "theirs")


def test_an_item_that_is_rated_and_lent_its_caption_keeps_its_title(tmp_path: Path) -> None:
    """The row of the swap may come first: what it says of the other item is only that there is one."""
    swap = FORM | {"kind": "swap", "item": "j", "source": "i", "prompt": "Title j"}
    own = FORM | {"event_id": "f", "slot": "t", "output": "p", "block": "c", "prompt": "Title i"}
    names = []
    for name, rows in (("first", [swap, own]), ("last", [own, swap])):
        folder = tmp_path / name
        folder.mkdir()
        import_ratings(written(folder, rows), name, folder / "study", now=Clock()())
        admin = StudyAdmin.open(folder / "study")
        names.append((export_sha256(admin.database), {row.item: row.prompt for row in admin.items()}))
        admin.close()
    assert names[0] == names[1]
    assert names[0][1] == {"i": "Title i", "j": "Title j"}
