"""Quality against speed: the front is the front, and the specification asks nobody for anything."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from harness.leaderboard.site import charts
from tests.harness.leaderboard.sites import hostile, material


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_nothing_beats(higher: bool) -> None:
    """Held to the definition, sorted by speed: going down from the fastest, quality has to get better."""
    generator = random.Random(0)
    for _ in range(50):
        peers = [(generator.randint(0, 6) / 2, generator.randint(1, 7) / 2) for _ in range(9)]
        sign = 1 if higher else -1
        best, expected = float("-inf"), set()
        for speed in sorted({speed for _, speed in peers}, reverse=True):
            top = max(sign * quality for quality, fast in peers if fast == speed)
            if top > best:
                expected.add((sign * top, speed))
                best = top
        found = {point for point in peers if charts.on_front(*point, peers, higher=higher)}
        assert found == expected


def test_points_need_both_numbers_and_fronts_stay_within_a_signature(tmp_path: Path) -> None:
    found = charts.points(material(tmp_path).board)
    assert {each["measure"] for each in found} == {"CIDEr ↑", "Faithful ↑"}, "length has no better direction"
    cider = {each["system"]: each for each in found if each["measure"] == "CIDEr ↑"}
    assert [each["front"] for each in cider.values()] == [True, True, True], "the better, the slower"
    assert cider["system-0"]["quality"] == 90
    human = [each["front"] for each in found if each["measure"] == "Faithful ↑"]
    assert human.count(True) == 1, "the better, the faster"


def test_the_specification_fetches_nothing_and_holds_all_points(tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="the extra `site` is not installed")
    for made in (material(tmp_path), hostile(tmp_path)):
        found = charts.points(made.board)
        content = charts.specification(found)
        assert content["datasets"]["points"] == found
        layers = json.dumps({**content, "datasets": None, "params": None, "title": None})
        assert not re.search(r"https?:|\"url\"|\"href\"", layers)
        binding = next(each for each in content["params"] if each["name"] == "chosen")
        assert binding["bind"]["options"] == list(dict.fromkeys(each["measure"] for each in found))
