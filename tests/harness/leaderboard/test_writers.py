"""Markdown, CSV and JSON: what they say, and that text from outside stays text."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest

from harness.errors import SeeTellError
from harness.leaderboard import FORMATS, render
from harness.leaderboard.frame import Cell
from tests.harness.leaderboard.samples import HOSTILE, board, hostile_board, row


def test_json_has_the_promised_shape() -> None:
    document = json.loads(render([board()], "json"))
    assert list(document) == ["rows"]
    rows = {each["decoder"]: each for each in document["rows"]}
    magic = rows["magic"]
    assert list(magic) == ["suite", "decoder", "identity", "complete", "decoded", "failed", "metrics"]
    assert (magic["suite"], magic["complete"], magic["decoded"], magic["failed"]) == ("toybox-plain", True, 61, 3)
    assert magic["metrics"]["cider"] == {
        "value": 0.9, "low": 0.85, "high": 0.9500000000000001, "n": 61, "unscored": 3, "signature": "cider|tok:ptb|v:0.1.0",
    }  # fmt: skip
    assert rows["clipre"]["metrics"]["rep-2"]["unavailable"] == "no Java here"
    assert rows["clipre"]["metrics"]["rep-2"]["value"] is None
    assert rows["nucleus"]["complete"] is False


def test_json_has_null_for_what_is_no_number() -> None:
    nan = replace(row("odd", 0.1), cells={"cider": Cell(math.nan, -math.inf, math.inf)})
    text = render([replace(board(), rows=(nan,))], "json")
    metric = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["rows"][0]["metrics"]
    assert (metric["cider"]["value"], metric["cider"]["low"], metric["cider"]["high"]) == (None, None, None)


def test_json_without_runs_is_an_empty_list() -> None:
    assert json.loads(render([], "json")) == {"rows": []}


def test_csv_has_one_line_a_run_and_metric_that_reads_back() -> None:
    lines = list(csv.DictReader(io.StringIO(render([board()], "csv"))))
    assert len(lines) == 7 * 3
    found = {(line["decoder"], line["metric"]): line for line in lines}
    assert float(found["magic", "cider"]["value"]) == 0.9
    assert (found["magic", "cider"]["rank"], found["magic", "cider"]["ranked"]) == ("1", "5")
    assert json.loads(found["magic", "cider"]["config"]) == {"k": 12, "alpha": 0.1}
    assert found["clipre", "rep-2"]["unavailable"] == "no Java here"
    assert (found["nucleus", "cider"]["complete"], found["nucleus", "cider"]["rank"]) == ("false", "")


def test_csv_keeps_a_run_that_has_no_scores_yet() -> None:
    lines = list(csv.DictReader(io.StringIO(render([replace(board(), columns=())], "csv"))))
    complete = sorted(each.decoder for each in board().rows if each.complete)
    assert [line["decoder"] for line in lines] == [*complete, "nucleus"]
    assert {line["signature"] for line in lines} == {""}


def test_csv_never_starts_a_text_like_a_formula() -> None:
    starts = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1")
    rows = tuple(row(start, 0.1) for start in starts)
    lines = list(csv.DictReader(io.StringIO(render([replace(board(), rows=rows)], "csv"), newline="")))
    assert {line["decoder"] for line in lines} == {"'" + re.sub(r"\s+", " ", start) for start in starts}


def test_a_negative_number_in_csv_stays_a_number() -> None:
    lines = csv.DictReader(io.StringIO(render([replace(board(), rows=(row("cold", -0.25),))], "csv")))
    assert next(lines)["value"] == "-0.25"


def test_markdown_marks_the_best_and_tells_signatures_apart() -> None:
    text = render([board()], "markdown")
    assert (
        "| 1 <sup>a</sup> | magic (k=12 alpha=0.1) | **90.0** <sup>a</sup> | 10.0 | 9.12 | 61 of 64, 3 failed |" in text
    )
    assert "| 1 <sup>b</sup> | elsewhere | 95.0 <sup>b</sup> |" in text
    assert "| – | nucleus | 5.0 <sup>a</sup> | 0.0 | 9.12 | 20 of 64, incomplete |" in text
    assert "85.0 to 95.0" in text
    assert r"CIDEr <sup>b</sup>: cider\|tok:python\|v:0.1.0" in text
    assert "n/a, rep-2: no Java here" in text
    assert "Incomplete, hence last and not ranked: nucleus." in text


def test_every_markdown_table_line_has_the_same_number_of_cells() -> None:
    for shown in (board(), hostile_board()):
        tables = re.split(r"\n\n", render([shown], "markdown"))
        for table in (part for part in tables if part.startswith("| ")):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.split("\n")}) == 1


def test_markdown_holds_no_markup_but_its_own() -> None:
    text = render([hostile_board()], "markdown")
    tags = set(re.findall(r"(?<!\\)<[^>]*>", text))
    assert {tag for tag in tags if not re.fullmatch(r"</?(sup|details|summary)>", tag)} == set()
    assert not re.search(r"(?<!\\)`|(?<!\\)\[|&lt;|\n# heading|\w://", text)
    assert not set("\u2028\u2029\u202e\u2066\x00\x1b\r") & set(text)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_hostile_text_can_be_encoded_and_is_not_lost(name: str) -> None:
    text = render([hostile_board()], name)
    assert text.encode("utf-8")
    assert text.endswith("\n")
    if name == "json":
        assert [each["decoder"] for each in json.loads(text)["rows"]] == [
            each.decoder for each in hostile_board().ordered()
        ]
        assert set(HOSTILE) == {each["decoder"] for each in json.loads(text)["rows"]}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_same_boards_give_the_same_text(name: str) -> None:
    assert render([board(), hostile_board()], name) == render([board(), hostile_board()], name)


def test_an_unknown_format_is_named_with_the_nearest() -> None:
    with pytest.raises(SeeTellError, match=r"no leaderboard format 'jsn' \(did you mean 'json'"):
        render([board()], "jsn")
