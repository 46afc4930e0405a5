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


def test_a_log_gets_a_line_a_minute_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = console.MinuteLines("mscoco/magic: decoding", clock=lambda: now[0])
    for seconds, done in ((0, 1000), (30, 1100), (60, 1240), (119, 1400), (121, 1484), (500, 2000)):
        now[0] = seconds
        lines.update(done, 5000)
    written = capsys.readouterr().err.splitlines()
    assert written == [
        "mscoco/magic: decoding: 1,240 of 5,000 (25 %), 4.0/s, 16 min left",
        "mscoco/magic: decoding: 1,484 of 5,000 (30 %), 4.0/s, 15 min left",
        "mscoco/magic: decoding: 2,000 of 5,000 (40 %), 2.0/s, 25 min left",
    ]


def test_a_short_job_writes_no_progress_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_bar("reading") as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == ""


def test_times_are_in_words() -> None:
    assert [console.duration(seconds) for seconds in (5, 99, 120, 3600, 12000)] == [
        "5 s",
        "99 s",
        "2 min",
        "60 min",
        "3 h 20 min",
    ]
