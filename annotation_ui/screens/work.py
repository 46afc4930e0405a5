"""What the annotator has said so far, and changing it."""

from __future__ import annotations

import streamlit as st

from annotation_ui.opened import opened
from annotation_ui.screens import pages, rate
from annotation_ui.sitting import say
from harness.errors import NotYours
from harness.study.rating.views import Rated, Seat

PAGE = 20
"""Texts shown at a time."""


def show() -> None:
    """The list, or one text to change."""
    sitter = pages.arrive("rate")
    st.title(say("work.title"))
    if st.session_state.pop("work_changed", False):
        st.success(say("work.changed"))
    slot = st.session_state.get("work_slot")
    if slot is not None:
        _change(sitter, slot)
        return
    shown = int(st.session_state.get("work_shown", PAGE))
    rated = opened().service.history(sitter, limit=shown)
    if not rated:
        st.info(say("work.none"))
        return
    count = opened().service.progress(sitter).rated
    st.write(say("work.count", count))
    labels = {aspect.code: aspect.label for aspect in opened().service.protocol().aspects}
    for each in rated:
        _one(each, labels)
    if count > shown:
        st.button(say("work.shown"), on_click=lambda: st.session_state.update(work_shown=shown + PAGE))


def _one(rated: Rated, labels: dict[str, str]) -> None:
    with st.container(border=True):
        left, right = st.columns((1, 4))
        with left:
            pages.picture(rated.media, say("rate.image_alt"))
        with right:
            if rated.prompt:
                st.text(rated.prompt)
            pages.plain(rated.text)
            st.text(" · ".join(f"{labels.get(code, code)} {value}" for code, value in rated.values.items()))
            if rated.revision:
                st.text(say("work.revision", rated.revision))
            st.button(
                say("work.change"),
                key=f"change:{rated.slot}",
                on_click=lambda slot=rated.slot: st.session_state.update(work_slot=slot),
            )


def _change(sitter: Seat, public: str) -> None:
    service = opened().service
    try:
        slot = service.slot(sitter, public)
    except NotYours:
        del st.session_state["work_slot"]
        st.rerun()
    left, right = st.columns(2, gap="large")
    with left:
        pages.picture(slot.media, say("rate.image_alt"))
    with right:
        if slot.prompt:
            st.text(slot.prompt)
        pages.plain(slot.text)
        if rate.ask_for(sitter, service.protocol(), slot):
            st.session_state["work_changed"] = True
            del st.session_state["work_slot"]
            st.rerun()
        st.button(say("work.back"), on_click=lambda: st.session_state.pop("work_slot", None))
