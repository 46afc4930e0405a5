"""The annotator's earlier ratings, and changing them."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages, rate
from harness.errors import NotYours
from harness.study.rating.views import Rated, Seat

PAGE = 20
"""Texts shown at a time."""


def show() -> None:
    """The list, or one text to change."""
    seat = pages.arrive("rate")
    st.title(translate("work.title"))
    if st.session_state.pop("work_changed", False):
        st.success(translate("work.changed"))
    slot = st.session_state.get("work_slot")
    if slot is not None:
        _change(seat, slot)
        return
    shown = int(st.session_state.get("work_shown", PAGE))
    rated = opened().service.history(seat, limit=shown)
    if not rated:
        st.info(translate("work.none"))
        return
    count = opened().service.progress(seat).rated
    st.write(translate("work.count", count))
    labels = {aspect.code: aspect.label for aspect in opened().service.protocol().aspects}
    for form in rated:
        _show_form(form, labels)
    if count > shown:
        st.button(translate("work.shown"), on_click=lambda: st.session_state.update(work_shown=shown + PAGE))


def _show_form(rated: Rated, labels: dict[str, str]) -> None:
    with st.container(border=True):
        left, right = st.columns((1, 4))
        with left:
            pages.picture(rated.media, translate("rate.image_alt"))
        with right:
            if rated.prompt:
                st.text(rated.prompt)
            pages.plain(rated.text)
            st.text(" · ".join(f"{labels.get(code, code)} {value}" for code, value in rated.values.items()))
            if rated.revision:
                st.text(translate("work.revision", rated.revision))
            st.button(
                translate("work.change"),
                key=f"change:{rated.slot}",
                on_click=lambda slot=rated.slot: st.session_state.update(work_slot=slot),
            )


def _change(seat: Seat, public: str) -> None:
    service = opened().service
    try:
        slot = service.slot(seat, public)
    except NotYours:
        del st.session_state["work_slot"]
        st.rerun()
    left, right = st.columns(2, gap="large")
    with left:
        pages.picture(slot.media, translate("rate.image_alt"))
    with right:
        if slot.prompt:
            st.text(slot.prompt)
        pages.plain(slot.text)
        if rate.ask_for(seat, service.protocol(), slot):
            st.session_state["work_changed"] = True
            del st.session_state["work_slot"]
            st.rerun()
        st.button(translate("work.back"), on_click=lambda: st.session_state.pop("work_slot", None))
