"""Plans: exactly k ratings, balance within one, connected overlap, controls in their places; whatever the numbers."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StudyError
from harness.study.design.fill import plan_sha256
from harness.study.design.plan import Plan, make_plan, williams
from harness.study.tables.base import REPEAT_GAP


def check(plan: Plan) -> None:
    """Every promise of a plan."""
    systems, lanes = plan.systems, plan.lanes
    positions = np.zeros((lanes, systems, systems), dtype=int)
    blocks = np.zeros(lanes, dtype=int)
    ratings: Counter[tuple[int, int]] = Counter()
    raters: dict[int, list[int]] = {}
    for block in plan.blocks:
        texts = [slot for slot in block.slots if slot.control is None]
        blocks[block.lane] += 1
        raters.setdefault(block.unit, []).append(block.lane)
        for position, slot in enumerate(texts):
            positions[block.lane, slot.system, position] += 1
            ratings[slot.item, slot.system] += 1
        assert len({slot.system for slot in texts}) == systems
        assert len({slot.item for slot in texts}) == (systems if plan.spread else 1)
        assert block.slots[0].control is None
        assert block.slots[-1].control is None
    assert len(ratings) == plan.items * systems
    assert set(ratings.values()) == {plan.k}
    assert all(len(set(lanes)) == plan.k for lanes in raters.values())
    assert np.ptp(blocks) <= 1
    assert np.ptp(positions.sum(axis=0)) <= 1  # over all: system x position
    assert max(np.ptp(counts) for counts in positions) <= 1  # of each annotator: system x position
    assert np.ptp(positions.sum(axis=2)) <= 1  # annotator x system
    assert components(raters.values(), lanes) == 1 or len(raters) * (plan.k - 1) < lanes - 1
    assert abs(plan.controls - 0.1 * plan.forms) < 1.5


def components(groups: itertools.chain[list[int]] | object, lanes: int) -> int:
    """Into how many parts annotators fall that share nothing, straight from the definition."""
    parts = [{lane} for lane in range(lanes)]
    for group in groups:  # type: ignore[attr-defined]
        touched = [part for part in parts if part & set(group)]
        parts = [part for part in parts if not part & set(group)] + [set().union(*touched)]
    return len(parts)


@pytest.mark.parametrize(("systems", "annotators", "k"), [(4, 3, 2), (5, 12, 3), (6, 5, 5), (7, 30, 4), (8, 11, 2)])
@pytest.mark.parametrize("spread", [False, True], ids=["image", "spread"])
def test_balance_within_one(systems: int, annotators: int, k: int, spread: bool) -> None:
    check(make_plan(systems, 5 * systems if spread else 31, k, annotators, seed=3, spread=spread))


@pytest.mark.heavy
def test_balance_within_one_over_the_grid() -> None:
    grid = [case for case in itertools.product(range(4, 9), range(3, 31), range(2, 6), (False, True)) if case[2] <= case[1]]
    for systems, annotators, k, spread in grid:
        check(make_plan(systems, 6 * systems if spread else 40, k, annotators, seed=1, spread=spread))
    print(f"{len(grid)} plans for 4-8 systems, 3-30 annotators, k 2-5: balance within 1 in all of them")


@settings(max_examples=15, deadline=None)
@given(
    systems=st.integers(2, 9),
    items=st.integers(1, 25),
    k=st.integers(1, 5),
    more=st.integers(0, 20),
    seed=st.integers(0, 2**31 - 1),
    spread=st.booleans(),
)
def test_any_numbers(systems: int, items: int, k: int, more: int, seed: int, spread: bool) -> None:
    check(make_plan(systems, items * systems if spread else items, k, k + more, seed, spread=spread))


@pytest.mark.parametrize("systems", range(2, 12))
def test_williams_designs(systems: int) -> None:
    design = williams(systems)
    rows = systems if systems % 2 == 0 else 2 * systems
    assert design.shape == (rows, systems)
    for square in np.split(design, rows // systems):
        assert all(set(line) == set(range(systems)) for line in (*square, *square.T))
    neighbours = Counter(itertools.chain.from_iterable(itertools.pairwise(row.tolist()) for row in design))
    assert set(neighbours.values()) == {rows // systems}
    assert len(neighbours) == systems * (systems - 1)


def test_reps_of_an_image_come_in_different_orders() -> None:
    plan = make_plan(6, 60, 5, 8, seed=0)
    rows: dict[int, list[int]] = {}
    for block in plan.blocks:
        rows.setdefault(block.unit, []).append(block.row)
    assert all(len(set(found)) == 5 for found in rows.values())


def test_nobody_meets_a_story_twice_in_a_row() -> None:
    plan = make_plan(5, 40, 3, 6, seed=2, spread=True)
    for lane in range(6):
        topics = [block.topic for block in sorted(plan.blocks, key=lambda block: block.seq) if block.lane == lane]
        assert all(first != second for first, second in itertools.pairwise(topics))


def test_repeats_come_late_enough_and_all_kinds_come() -> None:
    plan = make_plan(6, 60, 3, 3, seed=0)
    kinds = Counter(slot.control for block in plan.blocks for slot in block.slots if slot.control)
    assert set(kinds) == {"swap", "scramble", "repeat", "reference"}
    assert max(kinds.values()) <= 2 * min(kinds.values())
    early = [block for block in plan.blocks if block.seq * 6 < REPEAT_GAP]
    assert not any(slot.control == "repeat" for block in early for slot in block.slots)


def test_the_seed_decides() -> None:
    plans = [plan_sha256(make_plan(4, 12, 2, 3, seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


def test_plans_that_cannot_be() -> None:
    for numbers, words in (
        ((1, 10, 2, 2), "compares nothing"),
        ((4, 10, 5, 3), "5 ratings an item need 5 annotators"),
        ((4, 0, 2, 2), "needs an item"),
    ):
        with pytest.raises(StudyError, match=words):
            make_plan(*numbers, seed=0)
    with pytest.raises(StudyError, match="multiple of 4 systems"):
        make_plan(4, 10, 2, 3, 0, spread=True)
