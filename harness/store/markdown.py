"""Tables in GitHub's dialect of Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.store.text import markdown


def markdown_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,), *, escape: bool = True
) -> str:
    """A table without a final line break.

    Args:
        heads: names of the columns.
        rows: cells, as many as there are heads.
        left: indices of columns of text, which are aligned left; the others are numbers.
        escape: whether heads and cells are plain text, shown as it is; without, they are Markdown already.
    """
    rule = [":--" if index in left else "--:" for index in range(len(heads))]
    show = markdown if escape else str
    lines = [[show(head) for head in heads], rule, *([show(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
