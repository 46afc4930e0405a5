"""What the command line shows: text from anywhere stays text, in a terminal too."""

from __future__ import annotations

import pytest

from harness import console

HOSTILE = "[red]x[/] [/] \x1b[31m\x9b2J\r\x07\u202egnp \ud800"
INERT = "[red]x[/] [/] \ufffd[31m\ufffd2J\ufffd\ufffd\ufffdgnp \ufffd"


def test_a_table_neither_reads_markup_nor_lets_a_terminal_act(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table(HOSTILE, [HOSTILE], [[HOSTILE]])
    assert capsys.readouterr().out.count(INERT) == 3


@pytest.mark.parametrize("tell", [console.say, console.complain])
def test_messages_are_shown_as_they_are(tell: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(tell)
    tell(f"{HOSTILE}\nsecond line")
    assert f"{INERT}\nsecond line" in capsys.readouterr().err
