"""Quality against speed: the front is the front, and the specification asks nobody for anything."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.leaderboard.frame import Cell
from harness.leaderboard.site import charts
from tests.harness.leaderboard.sites import IMAGES, QUALITY, hostile, material


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


def test_names_lie_neither_on_each_other_nor_on_another_dot(tmp_path: Path) -> None:
    board = material(tmp_path, systems=8).board
    crowd = [
        replace(row, cells={**row.cells, "cider": Cell("", 0.5 + place / 500, signature="c"),
                            "images-per-second": Cell("", 100.0 + place, signature="s")})
        for place, row in enumerate(board.rows[1:])
    ]  # fmt: skip
    alone = replace(
        board.rows[0], cells={"cider": Cell("", 0.1, signature="c"), "images-per-second": Cell("", 2.0, signature="s")}
    )
    found = charts.points(replace(board, rows=(alone, *crowd), columns=(QUALITY, IMAGES)))
    assert len(found) == 8
    across = [charts.WIDTH * math.log10(each["speed"] / 2) / math.log10(106 / 2) for each in found]
    down = [charts.HEIGHT * (10 - each["quality"]) / 41.2 for each in found]
    boxes = []
    for each, x, y in zip(found, across, down, strict=True):
        left = x + each["dx"] - (charts.LETTER * len(each["system"]) if each["align"] == "right" else 0)
        boxes.append((left, left + charts.LETTER * len(each["system"]), y + each["dy"] - charts.FONT, y + each["dy"]))
    for one, other in itertools.combinations(boxes, 2):
        assert one[0] >= other[1] or other[0] >= one[1] or one[2] >= other[3] or other[2] >= one[3]
    close = [each for each in found if (each["dx"], each["dy"]) == (10, -7)]
    assert alone.decoder in {each["system"] for each in close}, "who stands alone has the name right beside it"


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
