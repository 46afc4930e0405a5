"""The browser session of a rater: whose seat it has, and in which language its pages are."""

from __future__ import annotations

import streamlit as st

from annotation_ui import language
from annotation_ui.opened import opened
from harness.errors import SeatUnknown
from harness.study.rating.views import Seat

_KEY, _CHOSEN = "seat_key", "language"
LANGUAGE = "language_code"
"""Where a session keeps the language of the page that is being drawn."""


def current_seat() -> Seat | None:
    """The seat of this session: taken in it just now, or named by the browser's cookie."""
    for key in (st.session_state.get(_KEY), st.context.cookies.get(opened().cookie)):
        if key:
            try:
                return opened().service.seat(str(key))
            except SeatUnknown:
                continue
    return None


def remember_seat(key: str) -> None:
    """Give this session a seat."""
    for name in ("kept", "leaving"):  # left by the seat before
        st.session_state.pop(name, None)
    st.session_state[_KEY] = key


def key_to_keep() -> str | None:
    """The key that the browser has yet to store as a cookie."""
    return st.session_state.get(_KEY)


def release_seat() -> str | None:
    """Take the seat from this session; its key, if the session itself held one."""
    key = st.session_state.pop(_KEY, None)
    return str(key) if key else None


def address() -> str:
    """The network address of this session, as far as it is known: failures to join are counted by it."""
    return st.context.ip_address or "local"


def language_of(seat: Seat | None) -> str:
    """The language: the choice in this session, else the annotator's earlier choice, else the browser's."""
    chosen = st.session_state.get(_CHOSEN)
    return language.best(chosen, seat.language if seat else None, st.context.locale)


def set_language(code: str, seat: Seat | None) -> None:
    """Change the language of this session, and of the annotator's later ones."""
    st.session_state[_CHOSEN] = code
    if seat is not None:
        opened().service.set_language(seat, code)


def translate(key: str, *values: object) -> str:
    """A message of the catalogue, `table.key`, in this session's language."""
    return language.message(st.session_state.get(LANGUAGE, language.DEFAULT), key, *values)


def column_heads(table: str, *names: str) -> tuple[str, ...]:
    """Several messages of one table of the catalogue."""
    return tuple(translate(f"{table}.{name}") for name in names)
