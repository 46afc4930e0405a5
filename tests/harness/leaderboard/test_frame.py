"""Who is ranked against whom, and in what order rows are shown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.leaderboard.frame import Cell, Standing, letter, share_a_letter
from harness.store.numbers import Column
from tests.harness.leaderboard.samples import COLUMNS, board, cell, row

CIDER, REP, LENGTH = COLUMNS


def standings(column: Column) -> dict[str, Standing]:
    shown = board()
    return {each.decoder: standing for each, standing in zip(shown.ordered(), shown.standings(column), strict=True)}


def test_equal_signatures_are_ranked_and_ties_share_a_rank() -> None:
    found = standings(CIDER)
    assert {name: found[name].rank for name in ("magic", "clipre", "constant", "contrastive", "greedy")} == {
        "magic": 1, "clipre": 2, "constant": 3, "contrastive": 3, "greedy": 3,
    }  # fmt: skip
    assert [name for name, standing in found.items() if standing.best] == ["magic"]
    assert found["magic"].of == 5


def test_another_signature_is_never_ranked_with_the_rest() -> None:
    found = standings(CIDER)
    assert found["elsewhere"] == Standing(rank=1, of=1, best=False, group="B")
    assert found["magic"].group == "A"
    assert [each.decoder for each in board().ordered()][-2:] == ["elsewhere", "nucleus"]


def test_an_incomplete_run_is_last_and_unranked_however_good() -> None:
    shown = board()
    rows = tuple(replace(each, complete=each.decoder != "magic") for each in shown.rows)
    shown = replace(shown, rows=rows)
    assert shown.ordered()[-1].decoder == "magic"
    assert shown.standings(CIDER)[-1].rank is None
    assert shown.standings(CIDER)[0] == Standing(1, 5, best=True, group="A")


def test_lower_is_better_turns_the_ranking_round() -> None:
    found = standings(REP)
    assert found["contrastive"].rank == 1
    assert found["greedy"].rank == 5
    assert found["clipre"] == Standing(), "an unavailable number has no standing"


def test_a_column_without_direction_is_not_ranked() -> None:
    assert {standing.rank for standing in standings(LENGTH).values()} == {None}


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_not_ranked_and_comes_after_numbers(value: float | None) -> None:
    shown = replace(board(), rows=(row("none", value), row("some", 0.1), row("more", 0.2)))
    assert [each.decoder for each in shown.ordered()] == ["more", "some", "none"]
    assert shown.standings(CIDER)[2].rank is None


def test_the_order_of_rows_does_not_matter() -> None:
    shown = board()
    assert shown.ordered() == replace(shown, rows=shown.rows[::-1]).ordered()


def test_headline_picks_the_column_and_falls_back_to_the_first_directed_one() -> None:
    shown = board()
    assert shown.order_by == CIDER
    assert replace(shown, headline="rep-2").ordered()[0].decoder == "contrastive"
    assert replace(shown, headline="length").order_by == CIDER, "length has no better direction"
    assert replace(shown, columns=(LENGTH,)).order_by is None
    assert len(replace(shown, columns=(LENGTH,)).ordered()) == len(shown.rows)


def test_a_single_number_is_ranked_but_beats_nobody() -> None:
    shown = replace(board(), rows=(row("alone", 0.4),))
    assert shown.standings(CIDER) == [Standing(1, 1, best=False)]


@pytest.mark.parametrize(
    ("percent", "value", "text"),
    [(True, 0.4931, "49.3"), (True, 1.0, "100.0"), (False, 9.125, "9.12"), (False, 123.456, "123.5"), (True, None, "–"),
     (True, math.nan, "–"), (False, math.inf, "∞"), (True, -0.0001, "0.0"), (True, -0.04, "-4.0")],
)  # fmt: skip
def test_values_are_shown_as_the_field_does(percent: bool, value: float | None, text: str) -> None:
    assert Column("m", "M", percent=percent).show(value) == text


def test_half_an_interval_is_none() -> None:
    assert cell(0.5).interval == (0.45, 0.55)
    assert Cell("", 0.5, 0.4).interval is None
    assert Cell("", 0.5, math.nan, 0.6).interval is None


def test_runs_share_a_group_where_they_share_a_letter() -> None:
    a, ab, b, far = (Cell("", 0.5, letters=text) for text in ("a", "ab", "b", "b(27)"))
    assert share_a_letter(a, ab)
    assert share_a_letter(far, b)
    assert not share_a_letter(a, b)
    assert not share_a_letter(Cell("", 0.5, letters="(27)"), Cell("", 0.5, letters="(28)"))
    assert not share_a_letter(Cell("", 0.5), Cell("", 0.5)), "nothing was tested"


def test_letters_go_on_after_z() -> None:
    assert [letter(index) for index in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]
