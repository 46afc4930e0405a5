"""The script that Streamlit runs for every browser: who sits here, which screens there are, which one is shown."""

from __future__ import annotations

import streamlit as st

from annotation_ui import components, language, sitting
from annotation_ui.screens import admin, consent, done, guidelines, join, pages, practice, rate, work
from annotation_ui.sitting import say
from harness.study.rating.views import Seat


def main() -> None:
    """Run one screen."""
    sitter = sitting.seat()
    st.session_state["speech"] = sitting.speech(sitter)
    st.set_page_config(page_title=say("app.title"), layout="wide", initial_sidebar_state="collapsed")
    with_seat, rating = sitter is not None, sitter is not None and sitter.status not in ("invited", "training")
    boss = admin.signed_in()
    pages.announce(
        {
            "join": pages.page("join", join.show, visible=False, default=True),
            "consent": pages.page("consent", consent.show, visible=with_seat and not rating),
            "guidelines": pages.page(
                "guidelines", guidelines.show, visible=with_seat and bool(sitter and sitter.consented)
            ),
            "practice": pages.page("practice", practice.show, visible=False),
            "rate": pages.page("rate", rate.show, visible=rating),
            "work": pages.page("work", work.show, visible=rating),
            "done": pages.page("done", done.show, visible=False),
            **{name: pages.page(name, screen, visible=boss) for name, screen in admin.SCREENS.items()},
        }
    )
    chosen = st.navigation(list(pages.announced().values()), position="top")
    chosen.run()
    _languages(sitter)


def _languages(sitter: Seat | None) -> None:
    codes, now = language.languages(), st.session_state["speech"]

    def choose() -> None:
        code = st.session_state["language_choice"]
        sitting.speak(code, sitter)

    with st.container(width=220):
        st.selectbox(
            say("app.language"),
            codes,
            index=codes.index(now),
            format_func=lambda code: language.catalogue(code)["name"],
            key="language_choice",
            on_change=choose,
        )
        components.lang(now)
