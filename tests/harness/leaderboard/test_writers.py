"""Markdown, CSV and JSON: what they say, and that text from outside stays text."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import SeeTellError
from harness.leaderboard import FORMATS, render
from harness.leaderboard.frame import Cell
from harness.leaderboard.latex import WIDEST
from harness.store.latex import latex, number
from tests.harness.leaderboard.samples import COLUMNS, HOSTILE, board, hostile_board, lettered_board, row


def test_json_has_the_promised_shape() -> None:
    document = json.loads(render([board()], "json"))
    assert list(document) == ["suites", "rows", "published"]
    rows = {each["decoder"]: each for each in document["rows"]}
    magic = rows["magic"]
    assert list(magic) == [
        "suite", "decoder", "identity", "kind", "config", "complete", "decoded", "failed", "total", "reproduce", "metrics",
    ]  # fmt: skip
    assert (magic["suite"], magic["complete"]) == ("toybox-plain", True)
    assert (magic["decoded"], magic["failed"], magic["total"]) == (61, 3, 64)
    assert (magic["kind"], magic["config"]) == ("image-aware", {"k": 12, "alpha": 0.1})
    assert document["suites"][0]["columns"][1] == {
        "metric": "rep-2", "label": "rep-2", "kind": "metric", "higher_is_better": False, "percent": True,
    }  # fmt: skip
    assert magic["metrics"]["cider"] == {
        "value": 0.9, "low": 0.85, "high": 0.9500000000000001, "n": 61, "unscored": 3, "letters": "",
        "signature": "cider|tok:ptb|v:0.1.0",
    }  # fmt: skip
    assert rows["clipre"]["metrics"]["rep-2"]["unavailable"] == "no Java here"
    assert rows["clipre"]["metrics"]["rep-2"]["value"] is None
    assert rows["nucleus"]["complete"] is False


def test_json_has_null_for_what_is_no_number() -> None:
    nan = replace(row("odd", 0.1), cells={"cider": Cell("", math.nan, -math.inf, math.inf)})
    text = render([replace(board(), rows=(nan,))], "json")
    metric = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["rows"][0]["metrics"]
    assert (metric["cider"]["value"], metric["cider"]["low"], metric["cider"]["high"]) == (None, None, None)


def test_json_without_runs_is_an_empty_list() -> None:
    assert json.loads(render([], "json")) == {"suites": [], "rows": [], "published": []}


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
    assert "| 1 <sup>A</sup> | magic (k=12 alpha=0.1) | **90.0** <sup>A</sup> | 10.0 | 9.12 | 61 of 64, 3 failed |" in text
    assert "| 1 <sup>B</sup> | elsewhere | 95.0 <sup>B</sup> |" in text
    assert "| – | nucleus | 5.0 <sup>A</sup> | 0.0 | 9.12 | 20 of 64, incomplete |" in text
    assert "85.0 to 95.0" in text
    assert r"CIDEr <sup>B</sup>: cider\|tok:python\|v:0.1.0" in text
    assert "n/a, rep-2: no Java here" in text
    assert "Incomplete, hence last and not ranked: nucleus." in text


def test_letters_stand_in_every_format() -> None:
    shown = lettered_board()
    said = render([shown], "md")
    assert "| **90.0** a <sup>A</sup> |" in said
    assert "| 60.0 ab <sup>A</sup> |" in said
    assert "Small letters: within a column, systems that share one cannot be told apart" in said
    document = json.loads(render([shown], "json"))
    assert {each["decoder"]: each["metrics"]["cider"]["letters"] for each in document["rows"]}["clipre"] == "ab"
    assert document["suites"][0]["letters"] == {
        "test": "paired permutation test", "permutations": 10_000, "correction": "Holm", "significance": 0.05, "seed": 0,
    }  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(render([shown], "csv"))))
    assert {line["decoder"]: line["letters"] for line in lines if line["metric"] == "cider"} == {
        "magic": "a", "clipre": "ab", "greedy": "b", "constant": "b", "contrastive": "b", "elsewhere": "", "nucleus": "",
    }  # fmt: skip
    assert {line["origin"] for line in lines} == {"measured"}
    assert r"\textbf{90.0}\textsuperscript{a}\textsuperscript{A}" in render([shown], "tex")


def latex_cells(text: str) -> list[list[str]]:
    """The rows of a table, split where LaTeX would: at & and \\\\ outside braces that are not escaped."""
    rows: list[list[str]] = []
    depth, cell = 0, ""
    row: list[str] = []
    body = "".join(re.findall(r"(?s)\\toprule(.*?)\\bottomrule", text))
    for token in re.findall(r"\\[a-zA-Z]+|\\.|.", body):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
        if token == "&" and not depth:
            row, cell = [*row, cell.strip()], ""
        elif token == "\\\\" and not depth:
            rows.append([*row, cell.strip()])
            row, cell = [], ""
        else:
            cell += token
    assert depth == 0
    return rows


def test_latex_rows_have_a_cell_a_column_whatever_the_texts_say() -> None:
    for shown in (board(), lettered_board(), hostile_board()):
        tables = render([shown], "tex").split(r"\begin{table*}")[1:]
        widths = []
        for rows in map(latex_cells, tables):
            [width] = {len(each) - 2 for each in rows}
            widths.append(width)
            with_intervals = sum(any(cell.interval for cell in each.cells.values()) for each in shown.rows)
            assert len(rows) == 1 + len(shown.rows) + with_intervals
        assert sum(widths) == len(shown.columns)
        assert max(widths) <= WIDEST
        assert max(widths) - min(widths) <= 1
    assert render([board()], "tex").count(r"\scriptsize 85.0 to 95.0") == 1


def test_latex_marks_what_a_note_warns_of_and_puts_equal_signatures_together() -> None:
    shown = row("magic", 0.9)
    shown = replace(shown, cells={**shown.cells, "cider": replace(shown.cells["cider"], caution="few texts")})
    twin = replace(COLUMNS[0], name="twin", label="Twin")
    shown = replace(shown, cells={**shown.cells, "twin": shown.cells["cider"]})
    text = render([replace(board(), rows=(shown,), columns=(*COLUMNS, twin))], "tex")
    assert r"90.0\textsuperscript{\textdagger{}}" in text
    assert r"\textdagger{} few texts." in text
    assert r"CIDEr, Twin: \texttt{cider\textbar{}\allowbreak{}tok:ptb" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_latex_compiles_whatever_the_names_are(tmp_path: Path) -> None:
    names = (
        "*",
        "[2pt] x",
        "\u4e2d\U0001f600 a,,b --- !`",
        "\u0166\u0138 \xe9\xdf\u0151",
        "50% & $x_1^2$ #1 ~ {\\end",
        "'<|end|>'",
    )
    odd = replace(board(), rows=tuple(row(name, 0.5) for name in names), description=" ".join(names))
    tables = render([board(), lettered_board(), odd, hostile_board()], "tex")
    packages = r"\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\listoftables {tables}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    for _ in range(2):  # the list of tables is read back the second time
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "tables.tex"], cwd=tmp_path, capture_output=True, check=False
        )
        said = done.stdout.decode("utf-8", "replace")
        assert [line for line in said.splitlines() if line.startswith("!")] == []
        assert done.returncode == 0, said[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_latex_prints_hostile_text_and_never_runs_it() -> None:
    text = latex("\\input{/etc/passwd} 50% of $x_1^2$ #1 ~ & -- --- [2pt] `'\" <a|b> \n \u202e ↑–")
    ours = r"\\(text(backslash|ascii\w+|less|greater|bar|quote\w+|endash)|uparrow|ifdefined|Umathcode|else|fi)(?![a-z])"
    assert not re.search(r"\\[a-zA-Z]", re.sub(ours, "", text))
    assert not re.search(r"(?<!\\)[&#%_^~]", text)
    assert "--" not in text
    assert "\n" not in text
    assert number("-16.9") == "$-$16.9"
    written = render([hostile_board()], "tex")
    commands = set(re.findall(r"\\([a-zA-Z]+)", written.partition("\n\n")[2]))
    assert not commands & {"input", "write", "def", "href", "url", "include", "catcode"}


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
        assert [each["decoder"] for each in json.loads(text)["rows"]] == [each.decoder for each in hostile_board().ordered()]
        assert set(HOSTILE) == {each["decoder"] for each in json.loads(text)["rows"]}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_same_boards_give_the_same_text(name: str) -> None:
    assert render([board(), hostile_board()], name) == render([board(), hostile_board()], name)


def test_an_unknown_format_is_named_with_the_nearest() -> None:
    with pytest.raises(SeeTellError, match=r"no leaderboard format 'jsn' \(did you mean 'json'"):
        render([board()], "jsn")
