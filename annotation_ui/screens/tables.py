"""Tables as HTML: every cell is text, whatever it holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

import streamlit as st

_CELL = "padding:.35rem .7rem;border-bottom:1px solid rgb(128 128 128 / .35);vertical-align:top"
_UNSEEN = "position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden"


def table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], left: Collection[int] = (0,), *, titled: bool = False
) -> None:
    """A table; the first column names the row, columns in `left` are words, others numbers."""

    def align(index: int) -> str:
        return "start" if index in left else "end"

    top = "".join(
        f'<th scope="col" style="{_CELL};text-align:{align(index)}">{escape(str(head))}</th>' for index, head in enumerate(heads)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<{"th scope=row" if index == 0 else "td"} style="{_CELL};text-align:{align(index)};font-weight:'
            f'{600 if index == 0 else 400};overflow-wrap:anywhere">{escape(str(cell))}</{"th" if index == 0 else "td"}>'
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    caption = "text-align:start;font-weight:600" if titled else _UNSEEN
    st.html(
        f'<div role="region" tabindex="0" aria-label="{escape(title, quote=True)}" style="overflow-x:auto">'
        f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums"><caption style="{caption}">{escape(title)}'
        f"</caption><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
