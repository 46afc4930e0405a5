"""The end, for today or for good."""

from __future__ import annotations

import streamlit as st

from annotation_ui import components, sitting
from annotation_ui.opened import opened
from annotation_ui.screens import pages
from annotation_ui.sitting import say


def show() -> None:
    """Thanks, how much was done, what is left."""
    st.title(say("done.title"))
    if st.session_state.get("leaving"):
        _leave()
        return
    sitter = pages.arrive("rate")
    progress = opened().service.progress(sitter)
    st.markdown(say("done.about", progress.rated))
    if progress.left and sitter.status == "active":
        st.write(say("done.left", progress.left))
        if st.button(say("done.go_on"), type="primary"):
            pages.go("rate")
    st.button(say("done.sign_out"), on_click=lambda: st.session_state.update(leaving="asked"))


def _leave() -> None:
    if st.session_state["leaving"] == "asked":
        key = sitting.rise()
        if key:
            opened().service.sign_out(key)

        def answered() -> None:
            st.session_state["leaving"] = "left"

        components.leave(answered)
    st.info(say("done.signed_out"))
