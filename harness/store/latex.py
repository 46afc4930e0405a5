"""LaTeX: escaping of any text, a document's head, numbers."""

from __future__ import annotations

import re

from harness.store.text import one_line

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # a row's end takes a bracket or a star that follows for its own
    "]": "{]}",
    "*": "{*}",
    "–": r"\textendash{}",
    "†": r"\textdagger{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "×": r"$\times$",
}


_KNOWN = frozenset("ĦħĸĿŀŉŦŧſ").symmetric_difference(map(chr, range(0xA1, 0x180))) | set("—‘’“”„…•€™")
"""What pdfLaTeX prints in the encoding T1 without further packages, apart from ASCII."""


HEAD = (
    r"% SeeTell leaderboard. \usepackage{booktabs,graphicx} is needed, with pdfLaTeX \usepackage[T1]{fontenc} too, which",
    "% prints what lies beyond Latin letters by its number; XeLaTeX and LuaLaTeX print it where their font has it.",
)


def latex(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    escaped = "".join(map(_character, one_line(text)))
    return re.sub(r"([-,])(?=\1)", r"\1{}", escaped)  # two in a row would become a dash, or a quotation mark


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() or character in _KNOWN:
        return character
    return rf"{{\ifdefined\Umathcode {character}\else(U+{ord(character):04X})\fi}}"


def number(text: str) -> str:
    """A number as `Column.show` prints it, with a minus sign and not a hyphen."""
    return f"$-${text[1:]}" if text.startswith("-") else latex(text)
