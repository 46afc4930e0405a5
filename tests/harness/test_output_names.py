"""What outputs of others are called in tables: never two rows of one name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.in_process import seetell_here

REFERENCES = [{"image_id": number, "caption": f"a dog number {number}", "id": number} for number in (1, 2, 3)]
QUIET = ("--metrics", "length", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "references.json").write_text(json.dumps({"annotations": REFERENCES, "images": [{"id": n} for n in (1, 2, 3)]}))
    for system in ("a", "b"):
        (tmp_path / system).mkdir()
        write(tmp_path / system / "results.json", system)
    return tmp_path


def write(path: Path, word: str) -> None:
    path.write_text(json.dumps([{"image_id": number, "caption": f"{word} {number}"} for number in (1, 2, 3)]))


def score(folder: Path, *arguments: str) -> list[str]:
    """Score files; the names that they got."""
    done = seetell_here("score", *arguments, "--references", "references.json", *QUIET, cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def rows(folder: Path) -> list[str]:
    done = seetell_here("leaderboard", "--json", cwd=folder)
    return sorted(row["decoder"] for row in json.loads(done.stdout)["rows"])


def test_files_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    assert score(folder, "a/results.json", "b/results.json") == ["a-results", "b-results"]
    assert score(folder, "b/results.json") == ["b-results"], "texts keep the name that they have"
    assert score(folder, "a/results.json") == ["a-results"]
    assert rows(folder) == ["a-results", "b-results"]


def test_one_after_the_other_the_second_gets_another_name(folder: Path) -> None:
    assert score(folder, "a/results.json") == ["results"]
    assert score(folder, "b/results.json") == ["b-results"]
    assert score(folder, "a/results.json", "b/results.json") == ["results", "b-results"]
    write(folder / "a" / "results.json", "other")
    assert score(folder, "a/results.json") == ["a-results"]
    assert rows(folder) == ["a-results", "b-results", "results"]


def test_a_name_is_given_to_one_file_by_a_flag_and_to_several_before_them(folder: Path) -> None:
    assert score(folder, "a/results.json", "--name", "Mine") == ["mine"]
    assert score(folder, "theirs=a/results.json", "ours=b/results.json") == ["theirs", "ours"]
    for arguments, message in (
        (("a/results.json", "b/results.json", "--name", "x"), "name several as LABEL=FILE"),
        (("theirs=b/results.json",), "has other texts of that name"),
        (("x=a/results.json", "x=b/results.json"), "two files are to be called 'x'"),
    ):
        done = seetell_here("score", *arguments, "--references", "references.json", *QUIET, cwd=folder)
        assert done.returncode == 1
        assert message in done.stderr


def test_a_file_whose_name_has_an_equals_sign_is_a_file(folder: Path) -> None:
    write(folder / "beta=2.json", "x")
    assert score(folder, "beta=2.json") == ["beta-2"]
