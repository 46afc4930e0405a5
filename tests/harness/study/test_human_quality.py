"""Signals about annotators: raised where they should be, silent about honest people, and never more than a signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.study.analysis.ratings import RatingTable
from harness.study.oversight.quality import Signal, measures, signals
from harness.study.tables.scale import Scale
from tests.harness.study.human_data import joined, simulated, table

BAD = "zz-bad"


def forms(values: Callable[[int], dict[str, int]], count: int = 40, **more: Any) -> Iterator[dict[str, Any]]:
    """One annotator's forms on the texts of the simulated study, in order."""
    for n in range(count):
        for aspect, value in values(n).items():
            row = {"annotator": BAD, "system": f"system {n % 2}", "item": f"item {n // 2:05d}", "aspect": aspect}
            yield {**row, "value": value, "at": float(n), **{key: made(n) for key, made in more.items()}}


def honest(n: int) -> dict[str, int]:
    return {"fluency": 1 + n % 5, "relevance": 1 + (n // 2) % 5}


def raised(*parts: RatingTable, words: dict[str, int] | None = None) -> dict[str, Signal]:
    """The bad annotator's signals, by rule."""
    found = signals(joined(*parts), words)
    return {each.rule: each for each in found if each.annotator == BAD}


@pytest.fixture(scope="module")
def others() -> RatingTable:
    return simulated(items=40, k=4, annotators=9, effects=(0.0, 0.0))


def test_honest_annotators_raise_nothing(others: RatingTable) -> None:
    assert signals(others) == ()
    assert {each.rule for each in measures(others)} >= {"speed", "longstring", "low-variation"}
    assert raised(others, table(list(forms(honest)))) == {}


def test_speed_depends_on_the_length_of_the_text(others: RatingTable) -> None:
    fast = table(list(forms(honest, seconds=lambda n: 3.0 if n % 3 == 0 else 20.0)))
    assert "speed" not in raised(others, fast)
    long = {str(output): 40 for output in fast.output}
    found = raised(others, fast, words=long)["speed"]
    assert found.value == pytest.approx(14 / 40)
    assert (found.threshold, found.n) == (0.2, 40)
    assert len(found.evidence["texts"]) == 14  # type: ignore[arg-type]


def test_a_run_of_one_answer_is_found_in_the_order_of_sending(others: RatingTable) -> None:
    def stuck(n: int) -> dict[str, int]:
        return {"fluency": 4, "relevance": 2} if 10 <= n < 18 else honest(n)

    ordered = table(list(forms(stuck)))
    shuffled = ordered.rows(np.random.default_rng(0).permutation(len(ordered)))
    found = raised(others, shuffled)["longstring"]
    assert found.value == 8
    assert found.evidence["answer"] == {"fluency": 4, "relevance": 2}
    seven = table(list(forms(lambda n: {"fluency": 4, "relevance": 2} if 10 <= n < 17 else honest(n))))
    assert "longstring" not in raised(others, seven)


def test_changing_an_answer_is_not_reading_too_fast(others: RatingTable) -> None:
    changed = [row | {"seconds": 1.0, "revision": 1} if number % 4 < 2 else row for number, row in enumerate(forms(honest))]
    assert "speed" not in raised(others, table(changed))
    assert "speed" in raised(others, table([row | {"revision": 0} for row in changed]))


def test_little_variation_against_the_others(others: RatingTable) -> None:
    flat = table(list(forms(lambda n: {"fluency": 3 + (n % 2), "relevance": 3 + (n % 3 == 0)})))
    found = raised(others, flat)["low-variation"]
    assert found.value < found.threshold < float(found.evidence["others_mean"])  # type: ignore[arg-type]


def controls(kind: str, aspect: str, values: Callable[[int], int], count: int = 12) -> RatingTable:
    rows = [
        {"annotator": BAD, "kind": kind, "system": "system 0", "item": f"item {n:05d}", "output": f"{kind}{n}",
         "aspect": aspect, "value": values(n), "at": 1000.0 + n}
        for n in range(count)
    ]  # fmt: skip
    return table(rows)


@pytest.mark.parametrize(("kind", "aspect"), [("swap", "relevance"), ("scramble", "fluency")])
def test_a_spoilt_text_must_lose_what_it_was_robbed_of(others: RatingTable, kind: str, aspect: str) -> None:
    base = table(list(forms(lambda n: {"fluency": 3 + n % 2, "relevance": 4 - n % 2})))
    blind = raised(others, base, controls(kind, aspect, lambda n: 3 + n % 2))
    assert blind[kind].value > 0.05
    assert blind[kind].n == 12
    assert kind not in raised(others, base, controls(kind, aspect, lambda n: 1 + (n == 0)))
    assert kind not in raised(others, base, controls(kind, aspect, lambda n: 4, count=9))  # too few to say
    other = "relevance" if aspect == "fluency" else "fluency"
    assert kind not in raised(others, base, controls(kind, other, lambda n: 5))  # an aspect it does not test


def test_two_looks_far_apart(others: RatingTable) -> None:
    base = table(list(forms(honest)))
    again = [
        {"annotator": BAD, "kind": "repeat", "item": f"item {n // 2:05d}", "system": f"system {n % 2}", "output": f"r{n}",
         "repeat_of": f"system {n % 2}/item {n // 2:05d}", "aspect": "fluency", "value": 1 + (n + 2) % 5, "at": 2000.0 + n}
        for n in range(6)
    ]  # fmt: skip
    found = raised(others, base, table(again))["repeat"]
    assert found.value == pytest.approx(np.mean([2, 2, 2, 3, 3, 2]))
    assert "repeat" not in raised(others, base, table(again[:4]))


def test_on_another_scale_the_same_answers_raise_the_same_signals(others: RatingTable) -> None:
    """Half points instead of points: distances between looks are judged by the length of the scale, and answers stay exact."""
    again = [
        {"annotator": BAD, "kind": "repeat", "item": f"item {n // 2:05d}", "system": f"system {n % 2}", "output": f"r{n}",
         "repeat_of": f"system {n % 2}/item {n // 2:05d}", "aspect": "fluency", "value": 1 + (n + 2) % 5, "at": 2000.0 + n}
        for n in range(6)
    ]  # fmt: skip
    stuck = table(list(forms(lambda n: {"fluency": 4, "relevance": 2} if 10 <= n < 18 else honest(n))))

    def halved(whole: RatingTable) -> RatingTable:
        return replace(whole, value=1 + (whole.value - 1) / 2, scale=Scale.parse("1-3:0.5"))

    plain = raised(others, stuck, table(again))
    halves = raised(*(halved(part) for part in (others, stuck, table(again))))
    assert set(halves) == set(plain) >= {"repeat", "longstring"}
    assert halves["repeat"].value == pytest.approx(plain["repeat"].value / 2)
    assert halves["repeat"].threshold == pytest.approx(plain["repeat"].threshold / 2)
    assert halves["longstring"].evidence["answer"] == {"fluency": 2.5, "relevance": 1.5}


def test_severity_that_drifts(others: RatingTable) -> None:
    drifting = table(list(forms(lambda n: {"fluency": 4 if n < 20 else 1, "relevance": 4 + n % 2 if n < 20 else 2 - n % 2})))
    found = raised(others, drifting)["drift"]
    assert found.value > 3
    assert "lower" in found.says
    assert float(found.evidence["late"]) < float(found.evidence["early"])  # type: ignore[arg-type]
