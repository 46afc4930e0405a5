"""Who sits at this browser, and in which language the screens speak to them."""

from __future__ import annotations

import streamlit as st

from annotation_ui import language
from annotation_ui.opened import opened
from harness.errors import SeatUnknown
from harness.study.rating.views import Seat

_KEY, _LANGUAGE = "seat_key", "language"


def seat() -> Seat | None:
    """The annotator of this session: who has just joined in it, else whom the browser's cookie names."""
    for key in (st.session_state.get(_KEY), st.context.cookies.get(opened().cookie)):
        if key:
            try:
                return opened().service.seat(str(key))
            except SeatUnknown:
                continue
    return None


def take(key: str) -> None:
    """This session has a seat from now on."""
    for name in ("kept", "leaving"):  # left over from whoever sat here before
        st.session_state.pop(name, None)
    st.session_state[_KEY] = key


def key_to_keep() -> str | None:
    """The key that the browser still has to be given, once."""
    return st.session_state.get(_KEY)


def rise() -> str | None:
    """The session gives its seat up; its key, if the session itself had it."""
    key = st.session_state.pop(_KEY, None)
    return str(key) if key else None


def address() -> str:
    """Where this session comes from, as far as it can be told: tries to join are counted by it."""
    return st.context.ip_address or "local"


def speech(sitter: Seat | None) -> str:
    """The language: what was chosen here, else what the annotator chose before, else the browser's."""
    chosen = st.session_state.get(_LANGUAGE)
    return language.best(chosen, sitter.language if sitter else None, st.context.locale)


def speak(code: str, sitter: Seat | None) -> None:
    """Speak another language from now on."""
    st.session_state[_LANGUAGE] = code
    if sitter is not None:
        opened().service.set_language(sitter, code)


def say(key: str, *values: object) -> str:
    """A message in this session's language."""
    return language.message(st.session_state.get("speech", language.DEFAULT), key, *values)


def heads(table: str, *names: str) -> tuple[str, ...]:
    """Several messages of one table of the catalogue, for the heads of columns."""
    return tuple(say(f"{table}.{name}") for name in names)
