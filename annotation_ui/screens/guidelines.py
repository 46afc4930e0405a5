"""How to rate: the guidelines, and what each value of each aspect means, with an example."""

from __future__ import annotations

from html import escape

import streamlit as st

from annotation_ui.browser_session import column_heads, translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages
from harness.study.rating.views import Aspect


def show() -> None:
    """Guidelines and scales."""
    seat = pages.arrive("guidelines", "rate")
    protocol = opened().service.protocol()
    with st.container(width=860):
        st.markdown(protocol.guidelines)
        st.header(translate("guidelines.scales"))
        for aspect in protocol.aspects:
            st.subheader(aspect.label)
            st.text(aspect.definition)
            _scale(aspect)
        rating = seat.status not in ("invited", "training")
        if rating:
            if st.button(translate("guidelines.to_rate"), type="primary"):
                pages.go("rate")
        elif st.button(translate("guidelines.to_practice"), type="primary"):
            pages.go("practice")


def _scale(aspect: Aspect) -> None:
    top = "".join(
        f'<th scope="col" style="text-align:start;padding:.3rem .6rem">{escape(head)}</th>'
        for head in column_heads("guidelines", "value", "meaning", "example")
    )
    cell = '<td style="padding:.3rem .6rem;vertical-align:top;overflow-wrap:anywhere">'
    rows = "".join(
        f'<tr><th scope="row" style="padding:.3rem .6rem;vertical-align:top">{anchor.value}</th>'
        f"{cell}{escape(anchor.text)}</td>{cell}<em>{escape(anchor.example)}</em></td></tr>"
        for anchor in aspect.anchors
    )
    st.html(
        f'<table style="border-collapse:collapse;width:100%"><caption style="text-align:start;position:absolute;'
        f'clip-path:inset(50%);width:1px;height:1px;overflow:hidden">{escape(aspect.label)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
    )
    for anchor in aspect.anchors:
        pages.picture(anchor.media, f"{aspect.label}: {anchor.value}")
