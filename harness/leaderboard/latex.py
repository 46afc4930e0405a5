"""The leaderboard as LaTeX for a paper: booktabs tables, values over their intervals, significance letters raised.

Text from outside is escaped character by character, so a decoder's label can neither run a command nor break the table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.leaderboard.escaping import one_line
from harness.leaderboard.frame import Board, Cell, Column, Row, Standing
from harness.leaderboard.markdown import count_text, notes

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
    "[": "{[}",  # a row's end takes a bracket that follows for its argument
    "]": "{]}",
    "–": r"\textendash{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "×": r"$\times$",
}
HEAD = (
    "% SeeTell leaderboard. \\usepackage{booktabs,graphicx} and \\usepackage[T1]{fontenc} are needed;",
    "% texts beyond Latin letters want XeLaTeX or LuaLaTeX.",
)


def latex(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    escaped = "".join(_SPECIAL.get(character, character) for character in one_line(text))
    return re.sub("-(?=-)", "-{}", escaped)  # two in a row would become a dash


def number(text: str) -> str:
    """A number as `Column.show` prints it, with a minus sign and not a hyphen."""
    return f"$-${text[1:]}" if text.startswith("-") else latex(text)


def to_latex(boards: Sequence[Board]) -> str:
    """One `table` a board that has runs. Published numbers are left out: a paper cites them from their source."""
    return "\n\n".join(["\n".join(HEAD), *(_table(board) for board in boards if board.rows)]) + "\n"


def _table(board: Board) -> str:
    columns = board.columns
    heads = ["System", *(f"{latex(each.label)} {latex(each.arrow)}".strip() for each in columns), "Texts"]
    standings = [board.standings(column) for column in columns]
    lines = []
    for index, row in enumerate(board.ordered()):
        cells = [_value(row, column, each[index]) for column, each in zip(columns, standings, strict=True)]
        lines.append(" & ".join([latex(row.decoder), *cells, latex(count_text(row))]) + r" \\")
        ends = [_interval(row.cells.get(column.name), column) for column in columns]
        if any(ends):
            lines.append(" & ".join(["", *ends, ""]) + r" \\[2pt]")
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{latex(board.description or board.suite)}. {_legend(board)}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}r}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            *_signatures(board),
            r"\end{table*}",
        ]
    )


def _legend(board: Board) -> str:
    return " ".join(latex(note) for note in notes(board))


def _value(row: Row, column: Column, standing: Standing) -> str:
    cell = row.cells.get(column.name)
    if cell is None or cell.value is None:
        return "n/a" if cell is not None and cell.unavailable else latex("–")
    text = number(column.show(cell.value))
    raised = "".join(rf"\textsuperscript{{{latex(mark)}}}" for mark in (cell.letters, standing.group) if mark)
    return (rf"\textbf{{{text}}}" if standing.best else text) + raised


def _interval(cell: Cell | None, column: Column) -> str:
    if cell is None or cell.interval is None or cell.number is None:
        return ""
    low, high = cell.interval
    return rf"{{\scriptsize {number(column.show(low))} to {number(column.show(high))}}}"


def _signatures(board: Board) -> list[str]:
    """How each number was made, a paragraph a signature below the table."""
    lines = []
    for column, which, signature in board.all_signatures():
        mark = rf"\textsuperscript{{{which}}}" if which else ""
        lines.append(rf"\par\raggedright{{\scriptsize {latex(column.label)}{mark}: \texttt{{{latex(signature)}}}}}")
    return lines
