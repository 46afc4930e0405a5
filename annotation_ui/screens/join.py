"""Joining by an invitation, and keeping the seat."""

from __future__ import annotations

import streamlit as st

from annotation_ui import components, sitting
from annotation_ui.opened import opened
from annotation_ui.screens import admin, pages
from annotation_ui.sitting import say
from harness.errors import InviteRefused, TooManyTries


def show() -> None:
    """The form, or where somebody belongs who has a seat."""
    sitter = sitting.seat()
    if sitter is not None:
        _keep(pages.place(sitter))
        return
    invite = str(st.query_params.get("invite", ""))
    if not invite and admin.signed_on():  # an organisation's sign-in always leads back to the first page
        pages.go("admin")
    st.title(say("join.title"))
    st.write(say("join.about") if invite else say("join.no_seat"))
    with st.form("join", width=520):
        token = invite or st.text_input(say("join.invite"), help=say("join.invite_help"), autocomplete="off")
        name = st.text_input(say("join.name"), max_chars=40, autocomplete="off")
        if st.form_submit_button(say("join.go"), type="primary"):
            _join(token, name)


def _join(token: str, name: str) -> None:
    try:
        seat = opened().service.join(token, name, address=sitting.address())
    except InviteRefused as error:
        st.error(say(f"join.refused_{error.reason}"))
    except TooManyTries as error:
        st.error(say("join.too_many", error.seconds))
    else:
        opened().service.set_language(seat, st.session_state["speech"])
        sitting.take(str(seat.key))
        st.rerun()


def _keep(onward: str) -> None:
    """Have the browser remember a seat that this session has just taken, then go on."""
    key, kept = sitting.key_to_keep(), st.session_state.get("kept")
    if key is None or kept == "kept":
        pages.go(onward)
    if kept == "failed":
        st.error(say("join.no_cookie"))
        st.button(say("join.again"), on_click=_keep_again, type="primary")
        return
    st.info(say("join.keeping"))

    def answered() -> None:
        st.session_state["kept"] = st.session_state["keep"].get("answered") or "failed"

    components.keep(key, st.session_state.get("attempt", 0), answered)


def _keep_again() -> None:
    st.session_state.pop("kept")
    st.session_state["attempt"] = st.session_state.get("attempt", 0) + 1
