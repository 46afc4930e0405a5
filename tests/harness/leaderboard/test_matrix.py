"""One metric across suites."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.errors import SuiteError
from harness.leaderboard.frame import Board
from harness.leaderboard.matrix import to_matrix
from tests.harness.leaderboard.samples import HOSTILE, board, lettered_board, row


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def _named(name: str, *rows: tuple[str, float | None]) -> Board:
    return replace(board(), suite=name, rows=tuple(row(decoder, value) for decoder, value in rows))


def test_a_decoder_a_row_and_a_suite_a_column_in_the_order_of_the_first_suite() -> None:
    here = _named("here", ("magic", 0.9), ("clipre", 0.95), ("greedy", 0.2))
    there = _named("there", ("greedy", 0.3), ("magic", 0.5), ("typical", 0.1))
    head, _, *lines = to_matrix([here, there], ["cider"]).strip().splitlines()
    assert _cells(head) == ["CIDEr ↑", "here", "there"]
    assert [_cells(line)[0] for line in lines] == ["clipre", "magic", "greedy", "typical"]
    assert [_cells(line)[1:] for line in lines] == [
        ["**95.0** \\[90.0, 100.0\\]", "–"],
        ["90.0 \\[85.0, 95.0\\]", "**50.0** \\[45.0, 55.0\\]"],
        ["20.0 \\[15.0, 25.0\\]", "30.0 \\[25.0, 35.0\\]"],
        ["–", "10.0 \\[5.0, 15.0\\]"],
    ]


def test_letters_and_direction_are_those_of_the_suites_table() -> None:
    lines = to_matrix([lettered_board()], ["cider"]).strip().splitlines()
    assert next(line for line in lines if line.startswith("| clipre")).endswith(" ab <sup>A</sup> |")
    falling = replace(_named("here", ("magic", 0.1)), rows=(row("worse", 0.1, rep=0.5), row("better", 0.1, rep=0.1)))
    lines = to_matrix([falling], ["rep-2"]).strip().splitlines()
    assert [_cells(line)[0] for line in lines[2:]] == ["better", "worse"]
    assert "**10.0**" in lines[2]


def test_an_incomplete_run_says_so_and_is_never_the_best() -> None:
    half = replace(row("magic", 0.9), complete=False)
    shown = replace(board(), rows=(half, row("greedy", 0.2), row("beam", 0.1)))
    lines = to_matrix([shown], ["cider"]).strip().splitlines()
    assert _cells(lines[-1])[0] == "magic"
    assert lines[-1].endswith("incomplete |")
    assert "**20.0**" in lines[2]


def test_a_metric_that_no_suite_has_is_refused() -> None:
    with pytest.raises(SuiteError, match="--matrix cidr: none of the suites shown has it .did you mean 'cider'"):
        to_matrix([board()], ["cidr"])


def test_hostile_labels_stay_in_their_cell() -> None:
    for text in HOSTILE:
        made = to_matrix([_named("here", (text, 0.5), ("plain", 0.4))], ["cider"])
        assert len(made.strip().splitlines()) == 4
        assert not re.search(r"(?<!\\)<\w", made)
