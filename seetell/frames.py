"""Results as tables: text for a terminal, HTML for a notebook, data frames for pandas."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib import import_module
from typing import Any

from harness.errors import SeeTellError
from harness.store.text import one_line


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Aligned columns, without a final line break.

    Args:
        heads: names of the columns.
        rows: cells, as many as there are heads.
        left: indices of columns of text; the others are numbers.
    """
    lines = [list(heads), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]

    def written(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join(map(written, lines))


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A table for a notebook; every text is escaped. Arguments as for `text_table`."""

    def line(cells: Sequence[str], tag: str) -> str:
        styles = ("left" if place in left else "right" for place in range(len(cells)))
        inside = (f'<{tag} style="text-align:{style}">{escape(cell)}</{tag}>' for cell, style in zip(cells, styles, strict=True))
        return f"<tr>{''.join(inside)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def data_frame(records: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, index: str | None = None) -> Any:
    """A pandas data frame with a row a record.

    Raises:
        SeeTellError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise SeeTellError("data frames need pandas, which is not installed; `pip install pandas` installs it") from None
    frame = pandas.DataFrame.from_records([dict(record) for record in records], columns=columns)
    return frame if index is None else frame.set_index(index)
