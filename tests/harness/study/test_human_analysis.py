"""A study's analysis from its rating table: numbers that can be checked by hand, and what it says when it cannot say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from harness.errors import DataError
from harness.study.analysis.analyze import analyse, looks, panels
from harness.study.analysis.exclusions import effect
from harness.study.analysis.human_tests import permutation_p, sign_test, wilcoxon
from harness.study.analysis.panel import Panel
from harness.study.analysis.ratings import RatingTable
from tests.harness.study.human_data import joined, simulated, table

FAST = 400
"""Draws that are enough where the interval is not what is tested."""


def without(ratings: RatingTable, annotator: str) -> RatingTable:
    return ratings.rows(ratings.annotator != annotator)


def test_means_medians_and_distributions() -> None:
    rows = [
        {"system": system, "item": item, "annotator": annotator, "value": value}
        for system, item, annotator, value in [
            ("a", "1", "x", 1), ("a", "1", "y", 2), ("a", "2", "x", 5),
            ("b", "1", "x", 4), ("b", "1", "y", 4), ("b", "2", "x", 4),
        ]
    ]  # fmt: skip
    found = analyse(table(rows), draws=FAST)
    first = found.summary("a", "fluency")
    assert first.mean.value == pytest.approx((1.5 + 5) / 2)  # items weigh the same
    assert (first.ratings, first.items, first.annotators, first.median) == (3, 2, 2, 2.0)
    assert first.distribution == (1, 1, 0, 0, 1)
    [difference] = found.differences
    assert difference.delta.value == pytest.approx(4 - 3.25)
    assert difference.superiority.value == pytest.approx((1 + 0) / 2)
    assert difference.superiority_unit == "rating"
    assert any("2 annotators, fewer than 8" in caution for caution in found.cautions)
    with pytest.raises(KeyError):
        found.summary("c", "fluency")


def test_a_reference_that_comes_up_again_counts_once() -> None:
    """Stories show one item in several blocks of an annotator, and a control may come with two of them."""
    again = {"system": "reference", "kind": "reference", "output": "r", "annotator": "annotator 000"}
    twice = table([again | {"item": "7", "value": 2, "at": 9.0}, again | {"item": "7", "value": 5, "at": 3.0}])
    found = analyse(joined(simulated(), twice), draws=FAST)
    [people] = [each for each in found.summaries if each.reference]
    assert (people.ratings, people.mean.value) == (1, 5.0), "the first look"


def test_tests_are_those_of_the_item_means_with_holm_over_pairs_and_aspects() -> None:
    ratings = simulated(effects=(0.0, 0.3, 0.6))
    found = analyse(ratings, draws=FAST, seed=4)
    by_aspect = panels(ratings)
    raw: dict[str, list[float]] = {"sign": [], "wilcoxon": [], "permutation": []}
    for each in found.differences:
        panel = by_aspect[each.aspect]
        a, b = panel.systems.index(each.first), panel.systems.index(each.second)
        apart = panel.item_means[b] - panel.item_means[a]
        assert each.delta.value == pytest.approx(apart.mean())
        raw["sign"].append(sign_test(apart).p)
        raw["wilcoxon"].append(wilcoxon(apart).p)
        raw["permutation"].append(permutation_p(panel.item_means[[a, b]], [(0, 1)], draws=found.permutations, seed=4)[0])
    assert len(found.differences) == 6
    for name, p in raw.items():
        holm = multipletests(p, method="holm")[1]
        ours = [getattr(each, f"{name}_adjusted") for each in found.differences]
        assert ours == pytest.approx(holm.tolist(), abs=1e-12), name


def test_letters_say_what_the_permutation_test_says() -> None:
    found = analyse(simulated(effects=(0.0, 0.0, 1.2)), draws=FAST)
    for each in found.differences:
        one, other = (found.summary(name, each.aspect).letters for name in (each.first, each.second))
        assert set(one).isdisjoint(other) == each.significant
    assert found.summary("system 2", "fluency").letters == "a"
    assert found.summary("system 0", "fluency").letters == found.summary("system 1", "fluency").letters == "b"


def test_what_could_have_been_found_is_after_the_correction() -> None:
    ratings = simulated(effects=(0.0, 0.3, 0.6))
    panel = panels(ratings)["fluency"]
    first = analyse(ratings, draws=FAST).differences[0]
    error = (panel.item_means[1] - panel.item_means[0]).std(ddof=1) / np.sqrt(40)
    threshold = norm.ppf(1 - 0.05 / 6 / 2)  # three pairs, two aspects
    assert first.detectable == pytest.approx((threshold + norm.ppf(0.8)) * error)


def test_what_could_have_been_found_shrinks_with_the_items() -> None:
    small, large = (analyse(simulated(items=n), draws=FAST).differences[0].detectable for n in (20, 180))
    assert small is not None
    assert large is not None
    assert small == pytest.approx(3 * large, rel=0.3)


def test_controls_references_and_repeats_do_not_count_as_ratings() -> None:
    ratings = simulated()
    people = ratings.annotators
    extra = [
        {"kind": "swap", "system": "system 0", "output": "s", "annotator": people[0], "value": 1},
        {"kind": "scramble", "system": "system 0", "output": "c", "annotator": people[0], "value": 1},
        {"kind": "reference", "system": "reference", "item": ratings.items[0], "output": "r", "annotator": people[0],
         "value": 5},
    ]  # fmt: skip
    plain, mixed = analyse(ratings, draws=FAST), analyse(joined(ratings, table(extra)), draws=FAST)
    assert mixed.ratings == plain.ratings
    own = [replace(each, signature="") for each in mixed.summaries if not each.reference]
    assert own == [replace(each, signature="") for each in plain.summaries]
    [reference] = [each for each in mixed.summaries if each.reference]
    assert (reference.system, reference.mean.value, reference.letters) == ("reference", 5.0, "")


def test_a_repeat_is_paired_with_the_look_before() -> None:
    first = [{"output": f"o{n}", "item": str(n), "annotator": who, "value": n} for n in (1, 2, 3) for who in "xy"]
    again = [
        {"output": "r1", "repeat_of": "o1", "kind": "repeat", "item": "1", "annotator": "x", "value": 2},
        {"output": "r3", "repeat_of": "o3", "kind": "repeat", "item": "3", "annotator": "y", "value": 3},
        {"output": "r9", "repeat_of": "o9", "kind": "repeat", "item": "9", "annotator": "y", "value": 5},
    ]
    one, other = looks(table([*first, *again]))
    assert (one.tolist(), other.tolist()) == ([1, 3], [2, 3])


def test_the_same_ratings_and_seed_give_the_same_analysis_in_any_order() -> None:
    ratings = simulated()
    shuffled = ratings.rows(np.random.default_rng(1).permutation(len(ratings)))
    assert analyse(ratings, draws=FAST, seed=7) == analyse(shuffled, draws=FAST, seed=7)
    assert analyse(ratings, draws=FAST, seed=8) != analyse(ratings, draws=FAST, seed=7)


def test_items_without_a_rating_of_every_system_are_left_out_of_differences() -> None:
    ratings = simulated()
    gone = (ratings.item == ratings.items[0]) & (ratings.system == "system 1") & (ratings.aspect == "fluency")
    found = analyse(ratings.rows(~gone), draws=FAST)
    assert found.left_out == {"fluency": 1, "relevance": 0}
    assert {(each.aspect, each.items) for each in found.differences} == {("fluency", 39), ("relevance", 40)}
    assert any("1 of 40 items" in caution for caution in found.cautions)


def test_texts_that_different_people_rated_are_compared_by_item() -> None:
    rows = [
        {"system": system, "item": str(item), "annotator": f"{system}{item}{n}", "value": value}
        for item in range(6)
        for system, value in (("a", 2), ("b", 2 + item % 3))
        for n in range(2)
    ]
    [difference] = analyse(table(rows), draws=FAST).differences
    assert difference.superiority_unit == "item"
    assert difference.superiority.value == pytest.approx((2 * 0.5 + 4 * 1.0) / 6)
    assert difference.superiority.n == 6


@pytest.mark.parametrize("systems", [1, 2])
def test_the_smallest_study_is_analysed_without_a_crash(systems: int) -> None:
    found = analyse(table([{"system": f"s{n}"} for n in range(systems)]), draws=FAST)
    assert found.summary("s0", "fluency").mean.value == 3.0
    assert len(found.differences) == systems - 1
    assert "two annotators" in found.agreement[0].ordinal.reason
    assert isinstance(found.components["fluency"], str)


def test_nothing_to_analyse_is_told() -> None:
    with pytest.raises(DataError, match="no ratings"):
        analyse(table([{"kind": "swap"}]))
    with pytest.raises(DataError, match="2 ratings of magic"):
        analyse(table([{}, {}]))
    with pytest.raises(DataError, match="a rating is 6"):
        Panel.of(["a"], ["1"], ["x"], [6])
    with pytest.raises(DataError, match="'z', which is not among"):
        Panel.of(["z"], ["1"], ["x"], [3], systems=["a"])


def test_the_effect_of_an_exclusion_is_shown() -> None:
    """One person who likes the worst system best turns the ranking; leaving them out turns it back."""
    honest = simulated(effects=(0.0, 0.1), annotators=3, k=2, aspects=("fluency",), items=30)
    rows = [
        {"system": system, "item": item, "annotator": "zealot", "value": value}
        for item in honest.items
        for system, value in (("system 0", 5), ("system 1", 1))
    ]
    everything = joined(honest, table(rows))
    found = effect(analyse(everything, draws=FAST), analyse(honest, draws=FAST))
    assert (found.ratings, found.annotators) == (60, 1)
    assert [each.moved for each in found.shifts] == [True, True]
    assert found.verdicts == (("fluency", "system 0", "system 1", True, False),)
    assert "2 of 2 ranks differ, and 1 of the verdicts" in found.sentence
    none = effect(analyse(honest, draws=FAST), analyse(honest, draws=FAST))
    assert none.sentence == "No ratings are excluded."
