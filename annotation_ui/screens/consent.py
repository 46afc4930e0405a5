"""What taking part means, and agreeing to it."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages
from harness.errors import NotAllowed


def show() -> None:
    """The consent text and its box."""
    seat = pages.arrive("consent", "guidelines")
    protocol = opened().service.protocol()
    if seat.consented:
        pages.go("guidelines")
    with st.container(width=760):
        st.markdown(protocol.consent)
        with st.form("consent"):
            agreed = st.checkbox(translate("consent.agree"))
            if not st.form_submit_button(translate("consent.go"), type="primary"):
                return
        if not agreed:
            st.error(translate("consent.must"))
            return
        try:
            opened().service.consent(seat, protocol.consent_version)
        except NotAllowed:
            st.error(translate("consent.changed"))
            return
    pages.go("guidelines")
