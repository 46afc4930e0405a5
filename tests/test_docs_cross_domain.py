"""The tables of docs/cross-domain.md are those of the committed leaderboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METRICS = {"CIDEr ↑": "cider", "Grounding F1 ↑": "grounding-f1", "CLIPScore ↑": "clipscore"}


def test_every_cell_is_what_the_leaderboard_says() -> None:
    board = json.loads((ROOT / "results" / "leaderboard" / "leaderboard.json").read_text(encoding="utf-8"))
    known = {(row["suite"], row["decoder"]): row["metrics"] for row in board["rows"]}
    page = (ROOT / "docs" / "cross-domain.md").read_text(encoding="utf-8")
    tables = page.split("<!-- seetell leaderboard", 1)[1].split("<!-- end -->", 1)[0].split("\n\n")
    seen = 0
    for table in tables:
        lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines() if line.startswith("| ")]
        if not lines:
            continue
        metric = METRICS[lines[0][0]]
        for decoder, *cells in lines[2:]:
            for suite, cell in zip(lines[0][1:], cells, strict=True):
                entry = known[suite, decoder][metric]
                numbers = [float(each) for each in re.findall(r"-?\d+\.\d", cell)]
                assert numbers == [round(100 * entry[key], 1) for key in ("value", "low", "high")], (suite, decoder)
                assert cell.split()[-1] == entry["letters"], (suite, decoder, metric)
                seen += 1
    assert seen == 3 * 4 * 11
