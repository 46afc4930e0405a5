"""What the command line shows: tables in windows of any width, and text from anywhere as nothing but text."""

from __future__ import annotations

import pytest

from harness.cli import console

COLUMNS = ("metric", "first", "second", "difference", "95 % interval", "p", "signature")
ROWS = [
    ("cider", "173.21", "169.85", "-3.36", "-26.12 to +19.93", "0.7701", "cider|n:4|sigma:6.0|refs:96x5+c1b84ef3"),
    ("perplexity", "4.4471", "4.8712", "+0.4241", "+0.0213 to +0.9588", "0.0330", "perplexity|lm:plain+9f53124e|v:1"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_number_and_no_word_is_broken(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "out", console._Terminal(soft_wrap=True, highlight=False, width=width))
    console.show_table("Two runs", COLUMNS, ROWS, right=range(1, 6))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    found = shown.replace("│", " ").replace("┃", " ").split()
    short = [word for row in (COLUMNS, *ROWS) for cell in row for word in cell.split() if "|" not in word]
    assert set(short) <= set(found)
    assert shown.count("Two runs") == 1
    assert (found.count("perplexity") == 1) == (width >= 100)


def test_a_table_of_one_column_or_no_row_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("", ("only",), [("a" * 300,)])
    console.show_table("", ("a", "b"), [])
    shown = capsys.readouterr().out
    assert shown.replace("│", "").replace("\n", "").replace(" ", "").count("a") >= 300
    assert "only" in shown


HOSTILE = "[red]x[/] [/] \x1b[31m\x9b2J\r\x07\u202egnp \ud800"
INERT = r"[red]x[/] [/] \x1b[31m\x9b2J\r\x07\u202egnp \ud800"


def test_a_table_neither_reads_markup_nor_lets_a_terminal_act(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table(HOSTILE, [HOSTILE], [[HOSTILE]])
    assert capsys.readouterr().out.count(INERT) == 3


@pytest.mark.parametrize("tell", [console.say, console.complain])
def test_messages_are_shown_as_they_are(tell: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(tell)
    tell(f"{HOSTILE}\nsecond line")
    assert f"{INERT}\nsecond line" in capsys.readouterr().err
