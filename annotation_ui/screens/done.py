"""The end, for today or for good."""

from __future__ import annotations

import streamlit as st

from annotation_ui import browser_session, components
from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages


def show() -> None:
    """Thanks, how much was done, what is left."""
    st.title(translate("done.title"))
    if st.session_state.get("leaving"):
        _leave()
        return
    seat = pages.arrive("rate")
    progress = opened().service.progress(seat)
    st.markdown(translate("done.about", progress.rated))
    if progress.left and seat.status == "active":
        st.write(translate("done.left", progress.left))
        if st.button(translate("done.go_on"), type="primary"):
            pages.go("rate")
    st.button(translate("done.sign_out"), on_click=lambda: st.session_state.update(leaving="asked"))


def _leave() -> None:
    if st.session_state["leaving"] == "asked":
        key = browser_session.release_seat()
        if key:
            opened().service.sign_out(key)

        def answered() -> None:
            st.session_state["leaving"] = "left"

        components.leave(answered)
    st.info(translate("done.signed_out"))
