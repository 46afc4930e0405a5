"""Practice: texts with known answers, compared with the annotator's own."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages, scales
from harness.errors import NotAllowed
from harness.study.rating.views import Feedback, Protocol, Seat


def show() -> None:
    """One text at a time; with its answer, the comparison."""
    seat = pages.arrive("guidelines")
    service = opened().service
    items = service.practice(seat)
    place = _place(len(items))
    st.title(translate("practice.title"))
    if not items:
        _begin(seat)
        return
    if place >= len(items):
        _end(seat)
        return
    item, protocol = items[place], service.protocol()
    st.write(translate("practice.about"))
    st.subheader(translate("practice.item", place + 1, len(items)))
    left, right = st.columns(2, gap="large")
    with left:
        pages.picture(item.media, translate("rate.image_alt"))
    with right:
        if item.prompt:
            st.markdown(f"{translate('form.prompt')}:")
            pages.plain(item.prompt)
        pages.plain(item.text)
        with st.form(f"practice:{item.id}"):
            answers = scales.ask(protocol, f"practice:{item.id}")
            checked = st.form_submit_button(translate("practice.check"), type="primary")
        if checked:
            values = scales.complete(answers)
            if values is None:
                st.error(translate("practice.all"))
            else:
                feedback = service.answer_practice(seat, item.id, values)
                st.session_state["feedback"] = (item.id, feedback)
        shown = st.session_state.get("feedback")
        if shown and shown[0] == item.id:
            _compare(protocol, shown[1])
            st.button(translate("practice.next"), on_click=lambda: _to(place + 1), type="primary")


def _compare(protocol: Protocol, feedback: Feedback) -> None:
    labels = {aspect.code: aspect.label for aspect in protocol.aspects}
    if feedback.passed:
        st.success(translate("practice.good"))
    for answer in feedback.values:
        label = labels.get(answer.aspect, answer.aspect)
        if answer.ok:
            st.markdown(translate("practice.ok", label, answer.given, answer.why))
        else:
            wanted = str(answer.low) if answer.low == answer.high else f"{answer.low}\N{EN DASH}{answer.high}"
            st.warning(translate("practice.off", label, answer.given, wanted, answer.why))


def _end(seat: Seat) -> None:
    if opened().service.practised(seat):
        _begin(seat)
    else:
        st.warning(translate("practice.again"))
        st.button(translate("practice.restart"), on_click=lambda: _to(0), type="primary")


def _begin(seat: Seat) -> None:
    st.success(translate("practice.passed"))
    if st.button(translate("practice.begin"), type="primary"):
        try:
            opened().service.begin(seat)
        except NotAllowed:
            st.warning(translate("practice.again"))
            _to(0)
            return
        pages.go("rate")


def _place(count: int) -> int:
    """Which text it is, from 0. It is in the address, so that a reload in the middle does not start again."""
    text = st.query_params.get("text", "1")
    return min(int(text) - 1, count) if text.isascii() and text.isdigit() and int(text) else 0


def _to(place: int) -> None:
    st.query_params["text"] = str(place + 1)
    st.session_state.pop("feedback", None)
