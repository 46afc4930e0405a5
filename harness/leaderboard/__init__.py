"""One frame of results, written as Markdown, CSV, JSON, LaTeX and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import SeeTellError, did_you_mean
from harness.leaderboard.frame import Board

FORMATS = ("html", "md", "csv", "json", "tex")
"""Formats `render` knows, each also the suffix of its files."""


def render(boards: Sequence[Board], format: str) -> str:
    """Write boards as text.

    Args:
        boards: one a suite, in the order they are to be shown.
        format: one of `FORMATS`; `markdown` and `latex` are understood too.

    Returns:
        The whole document, ending in a newline; encode it as UTF-8. The same boards give the same text.

    Raises:
        SeeTellError: a format nobody knows.
    """
    match format:
        case "md" | "markdown":
            from harness.leaderboard.markdown import to_markdown

            return to_markdown(boards)
        case "csv":
            from harness.leaderboard.records import to_csv

            return to_csv(boards)
        case "json":
            from harness.leaderboard.records import to_json

            return to_json(boards)
        case "tex" | "latex":
            from harness.leaderboard.latex import to_latex

            return to_latex(boards)
        case "html":
            from harness.leaderboard.page import to_html

            return to_html(boards)
        case _:
            raise SeeTellError(f"there is no leaderboard format {format!r}{did_you_mean(format, FORMATS)}")
