"""The script that Streamlit runs for every browser session: it finds the seat, lists the screens and shows one."""

from __future__ import annotations

import streamlit as st

from annotation_ui import browser_session, components, language
from annotation_ui.browser_session import translate
from annotation_ui.screens import admin, consent, done, guidelines, join, pages, practice, rate, work
from harness.study.rating.views import Seat


def main() -> None:
    """Run one screen."""
    seat = browser_session.current_seat()
    st.session_state[browser_session.LANGUAGE] = browser_session.language_of(seat)
    st.set_page_config(page_title=translate("app.title"), layout="wide", initial_sidebar_state="collapsed")
    with_seat, rating = seat is not None, seat is not None and seat.status not in ("invited", "training")
    is_admin = admin.signed_in()
    pages.announce(
        {
            "join": pages.page("join", join.show, visible=False, default=True),
            "consent": pages.page("consent", consent.show, visible=with_seat and not rating),
            "guidelines": pages.page("guidelines", guidelines.show, visible=with_seat and bool(seat and seat.consented)),
            "practice": pages.page("practice", practice.show, visible=False),
            "rate": pages.page("rate", rate.show, visible=rating),
            "work": pages.page("work", work.show, visible=rating),
            "done": pages.page("done", done.show, visible=False),
            **{name: pages.page(name, screen, visible=is_admin) for name, screen in admin.SCREENS.items()},
        }
    )
    chosen = st.navigation(list(pages.announced().values()), position="top")
    chosen.run()
    _languages(seat)


def _languages(seat: Seat | None) -> None:
    codes, now = language.languages(), st.session_state[browser_session.LANGUAGE]

    def choose() -> None:
        code = st.session_state["language_choice"]
        browser_session.set_language(code, seat)

    with st.container(width=220):
        st.selectbox(
            translate("app.language"),
            codes,
            index=codes.index(now),
            format_func=lambda code: language.catalogue(code)["name"],
            key="language_choice",
            on_change=choose,
        )
        components.lang(now)
