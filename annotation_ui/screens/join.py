"""Joining by an invitation, and keeping the seat."""

from __future__ import annotations

import streamlit as st

from annotation_ui import browser_session, components
from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import admin, pages
from harness.errors import InviteRefused, TooManyTries


def show() -> None:
    """The form, or where somebody belongs who has a seat."""
    seat = browser_session.current_seat()
    if seat is not None:
        _keep(pages.place(seat))
        return
    invite = str(st.query_params.get("invite", ""))
    if not invite and admin.signed_on():  # an organisation's sign-in always leads back to the first page
        pages.go("admin")
    st.title(translate("join.title"))
    st.write(translate("join.about") if invite else translate("join.no_seat"))
    with st.form("join", width=520):
        token = invite or st.text_input(translate("join.invite"), help=translate("join.invite_help"), autocomplete="off")
        name = st.text_input(translate("join.name"), max_chars=40, autocomplete="off")
        if st.form_submit_button(translate("join.go"), type="primary"):
            _join(token, name)


def _join(token: str, name: str) -> None:
    try:
        seat = opened().service.join(token, name, address=browser_session.address())
    except InviteRefused as error:
        st.error(translate(f"join.refused_{error.reason}"))
    except TooManyTries as error:
        st.error(translate("join.too_many", error.seconds))
    else:
        opened().service.set_language(seat, st.session_state[browser_session.LANGUAGE])
        browser_session.remember_seat(str(seat.key))
        st.rerun()


def _keep(onward: str) -> None:
    """Have the browser remember a seat that this session has just taken, then go on."""
    key, kept = browser_session.key_to_keep(), st.session_state.get("kept")
    if key is None or kept == "kept":
        pages.go(onward)
    if kept == "failed":
        st.error(translate("join.no_cookie"))
        st.button(translate("join.again"), on_click=_keep_again, type="primary")
        return
    st.info(translate("join.keeping"))

    def answered() -> None:
        st.session_state["kept"] = st.session_state["keep"].get("answered") or "failed"

    components.keep(key, st.session_state.get("attempt", 0), answered)


def _keep_again() -> None:
    st.session_state.pop("kept")
    st.session_state["attempt"] = st.session_state.get("attempt", 0) + 1
