"""Which screens there are in this run, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from annotation_ui import browser_session
from annotation_ui.browser_session import translate
from harness.study.rating.views import Seat

if TYPE_CHECKING:
    from streamlit.navigation.page import Page

_PAGES = "pages"


def page(name: str, screen: Callable[[], None], *, visible: bool, default: bool = False) -> Page:
    """A screen with its title and address."""
    key = f"pages.{name}" if not name.startswith("admin") else f"admin_pages.{name}"
    return st.Page(screen, title=translate(key), url_path=name, default=default, visibility="visible" if visible else "hidden")


def announce(pages: Mapping[str, Page]) -> None:
    """Say which screens this run has."""
    st.session_state[_PAGES] = dict(pages)


def announced() -> Mapping[str, Page]:
    """The screens of this run."""
    pages: Mapping[str, Page] = st.session_state[_PAGES]
    return pages


def go(name: str) -> NoReturn:
    """Show another screen."""
    st.switch_page(announced()[name])
    raise AssertionError("not reached")


def place(seat: Seat | None) -> str:
    """The screen where somebody belongs."""
    if seat is None:
        return "join"
    if not seat.consented:
        return "consent"
    if seat.status in ("invited", "training"):
        return "guidelines"
    return "rate"


def arrive(*allowed: str) -> Seat:
    """The annotator, if the screen is for them as they are now; else they are taken to where they belong."""
    seat = browser_session.current_seat()
    where = place(seat)
    if where not in allowed or seat is None:
        go(where)
    return seat


def picture(media: str | None, alt: str) -> None:
    """An image of the study, from our own address: its file, name and folder stay on the server."""
    if media:
        source = escape(f"/api/image/{media}", quote=True)
        st.html(f'<img src="{source}" alt="{escape(alt, quote=True)}" style="width:100%;max-height:60vh;object-fit:contain">')


def plain(text: str) -> None:
    """Untrusted text, shown as it is: no markup of any kind in it is followed."""
    safe = escape(text).replace("\n", "<br>")
    st.html(f'<p dir="auto" style="font-size:1.2rem;overflow-wrap:anywhere">{safe}</p>')
