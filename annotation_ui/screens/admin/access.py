"""The way in for those who run the study: its secret, a seat with the role admin, or a single sign-on that names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps

import streamlit as st

from annotation_ui import browser_session
from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from harness.errors import NotAllowed, StudyError
from harness.study.admin import StudyAdmin

_SECRET, _NAME = "admin_secret", "admin_name"
ADMINS = "SEETELL_ADMINS"
"""E-mail addresses that may run the study when they sign in by OpenID Connect, separated by commas."""


def signed_in() -> bool:
    """Whether this session has shown something that opens the study; each use of it is checked again by the study."""
    seat = browser_session.current_seat()
    return bool(st.session_state.get(_SECRET)) or _email() is not None or (seat is not None and seat.role == "admin")


def signed_on() -> bool:
    """Whether somebody, whoever it is, is signed in by OpenID Connect."""
    return _single_sign_on() and bool(st.user.is_logged_in)


def entered(screen: Callable[[StudyAdmin], None]) -> Callable[[], None]:
    """A screen, given the study opened with what this session has; where that is nothing, or no longer good, the way in."""

    @wraps(screen)
    def show() -> None:
        study = _open()
        if study is None:
            _ask()
            return
        try:
            screen(study)
        except StudyError as error:
            st.error(str(error))
        finally:
            study.close()

    return show


def name() -> str:
    """Who signs the decisions of this session."""
    seat = browser_session.current_seat()
    return str(st.session_state.get(_NAME) or _email() or (seat.pseudonym if seat else "") or "admin")


def _open() -> StudyAdmin | None:
    if _email() is not None:
        return StudyAdmin.open(opened().where)
    for secret in (st.session_state.get(_SECRET), st.context.cookies.get(opened().cookie)):
        if secret:
            try:
                return StudyAdmin.open(opened().where, secret=str(secret))
            except NotAllowed:
                continue
    st.session_state.pop(_SECRET, None)
    return None


def _ask() -> None:
    st.title(translate("admin.title"))
    st.write(translate("admin.about"))
    with st.form("admin", width=520):
        secret = st.text_input(translate("admin.secret"), type="password", autocomplete="off")
        name = st.text_input(translate("admin.name"), help=translate("admin.name_help"), max_chars=60)
        if st.form_submit_button(translate("admin.sign_in"), type="primary"):
            try:
                StudyAdmin.open(opened().where, secret=secret or "-").close()
            except NotAllowed:
                st.error(translate("admin.wrong"))
            else:
                st.session_state[_SECRET], st.session_state[_NAME] = secret, name
                st.rerun()
    if signed_on():
        st.warning(translate("admin.not_named", st.user.get("email") or "\N{EN DASH}", ADMINS))
        st.button(translate("admin.sign_out"), on_click=st.logout)
    elif _single_sign_on():
        st.button(translate("admin.organisation"), on_click=st.login)


def _single_sign_on() -> bool:
    """Whether OpenID Connect is configured: `[auth]` in Streamlit's secrets, and addresses that may come in."""
    try:
        return bool(os.environ.get(ADMINS)) and "auth" in st.secrets
    except FileNotFoundError:
        return False


def _email() -> str | None:
    """The address by which somebody is signed in, if it may run the study and its owner has proved to have it.

    A provider that does not say so lets its users write any address into their profile.
    """
    if not signed_on():
        return None
    email = str(st.user.get("email") or "").casefold()
    verified = st.user.get("email_verified") in (True, "true")  # some providers write it as text
    allowed = {address.strip().casefold() for address in os.environ.get(ADMINS, "").split(",")} - {""}
    return email if verified and email in allowed else None
