"""The drawings of who can be told apart: positions, groups and the sentence beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.leaderboard.figures import NAMES, SCALE, figure, figures, verdict
from harness.leaderboard.frame import Board, Cell
from harness.store.numbers import Column
from tests.harness.leaderboard.samples import COLUMNS, board, lettered_board

CIDER, REP, LENGTH = COLUMNS


def lettered(letters: dict[str, str], column: Column = CIDER) -> Board:
    shown = lettered_board()
    rows = tuple(
        replace(row, cells={**row.cells, column.name: replace(row.cells[column.name], letters=letters.get(row.decoder, ""))})
        for row in shown.rows
    )
    return replace(shown, rows=rows)


def test_the_sentence_tells_the_first_and_who_cannot_be_told_apart_from_it() -> None:
    assert (
        verdict(lettered_board(), CIDER)
        == "magic is first in CIDEr with 90.0 (85.0 to 95.0); it cannot be told apart from clipre."
    )
    alone = lettered({"magic": "a", "clipre": "b", "greedy": "b", "constant": "b", "contrastive": "b"})
    assert verdict(alone, CIDER).endswith("it is told apart from every other system.")
    three = lettered({"magic": "a", "clipre": "ab", "greedy": "ab", "constant": "b", "contrastive": "b"})
    assert verdict(three, CIDER).endswith("apart from clipre and greedy.")
    assert verdict(board(), CIDER).endswith("was not tested.")
    assert verdict(board(), LENGTH) == ""


def test_those_who_share_the_first_place_are_all_named() -> None:
    shown = lettered({"magic": "a", "clipre": "a", "greedy": "ab", "constant": "b", "contrastive": "b"})
    rows = [
        replace(row, cells={**row.cells, "cider": replace(row.cells["cider"], value=0.9)}) if row.decoder == "clipre" else row
        for row in shown.rows
    ]
    said = verdict(replace(shown, rows=tuple(rows)), CIDER)
    assert said == "clipre and magic are first in CIDEr with 90.0; they cannot be told apart from greedy."


def test_ticks_are_round_numbers_where_they_belong() -> None:
    found = figure(lettered_board(), CIDER)
    assert found is not None
    assert [label for _, label in found.ticks] == ["20", "40", "60", "80"]
    low, high = 5, 95  # of all intervals
    for x, label in found.ticks:
        assert x == pytest.approx(NAMES + SCALE * (float(label) - low) / (high - low), abs=0.1)


def test_incomplete_runs_and_other_signatures_are_not_drawn() -> None:
    found = figure(lettered_board(), CIDER)
    assert found is not None
    assert [mark.name for mark in found.marks] == ["magic", "clipre", "constant", "contrastive", "greedy"]


def test_the_best_is_at_the_end_of_the_scale_and_intervals_surround_values() -> None:
    found = figure(lettered_board(), CIDER)
    assert found is not None
    assert max(mark.high for mark in found.marks) == NAMES + SCALE
    assert min(mark.low for mark in found.marks) == NAMES
    assert all(mark.low < mark.x < mark.high for mark in found.marks)
    assert [mark.best for mark in found.marks] == [True, False, False, False, False]
    lower = figure(lettered_board(), REP)
    assert lower is not None
    assert lower.marks[0].name == "contrastive", "the lowest repetition"


def test_a_bar_spans_its_group_with_a_dot_at_each_member_only() -> None:
    found = figure(lettered({"magic": "a", "clipre": "b", "constant": "a", "contrastive": "b", "greedy": "(27)"}), CIDER)
    assert found is not None
    heights = {mark.name: mark.y for mark in found.marks}
    dots = {bar.letter: [name for name, y in heights.items() if y in bar.dots] for bar in found.bars}
    assert dots == {"a": ["magic", "constant"], "b": ["clipre", "contrastive"], "(27)": ["greedy"]}
    [first, *_] = found.bars
    assert (first.top, first.bottom) == (heights["magic"], heights["constant"])
    assert len({bar.x for bar in found.bars}) == 3
    assert max(bar.x for bar in found.bars) < found.width


def test_columns_without_direction_or_anything_to_show_have_no_drawing() -> None:
    assert [each.column.name for each in figures(lettered_board())] == ["cider", "rep-2"]
    bare = tuple(replace(row, cells={"cider": Cell("", 0.5, signature="x")}) for row in board().rows)
    assert figure(replace(board(), rows=bare), CIDER) is None
    same = tuple(replace(row, cells={"cider": Cell("", 0.5, 0.5, 0.5, signature="x")}) for row in board().rows)
    flat = figure(replace(board(), rows=same), CIDER)
    assert flat is not None
    assert {mark.x for mark in flat.marks} == {NAMES}
