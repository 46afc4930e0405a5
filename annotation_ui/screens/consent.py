"""What taking part means, and agreeing to it."""

from __future__ import annotations

import streamlit as st

from annotation_ui.opened import opened
from annotation_ui.screens import pages
from annotation_ui.sitting import say
from harness.errors import NotAllowed


def show() -> None:
    """The consent text and its box."""
    sitter = pages.arrive("consent", "guidelines")
    protocol = opened().service.protocol()
    if sitter.consented:
        pages.go("guidelines")
    with st.container(width=760):
        st.markdown(protocol.consent)
        with st.form("consent"):
            agreed = st.checkbox(say("consent.agree"))
            if not st.form_submit_button(say("consent.go"), type="primary"):
                return
        if not agreed:
            st.error(say("consent.must"))
            return
        try:
            opened().service.consent(sitter, protocol.consent_version)
        except NotAllowed:
            st.error(say("consent.changed"))
            return
    pages.go("guidelines")
