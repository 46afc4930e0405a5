"""Practice: texts with known answers, and how one's own compare."""

from __future__ import annotations

import streamlit as st

from annotation_ui.opened import opened
from annotation_ui.screens import pages, scales
from annotation_ui.sitting import say
from harness.errors import NotAllowed
from harness.study.rating.views import Feedback, Protocol, Seat


def show() -> None:
    """One text at a time; with its answer, the comparison."""
    sitter = pages.arrive("guidelines")
    service = opened().service
    items = service.practice(sitter)
    place = _place(len(items))
    st.title(say("practice.title"))
    if not items:
        _begin(sitter)
        return
    if place >= len(items):
        _end(sitter)
        return
    item, protocol = items[place], service.protocol()
    st.write(say("practice.about"))
    st.subheader(say("practice.item", place + 1, len(items)))
    left, right = st.columns(2, gap="large")
    with left:
        pages.picture(item.media, say("rate.image_alt"))
    with right:
        if item.prompt:
            st.markdown(f"{say('form.prompt')}:")
            pages.plain(item.prompt)
        pages.plain(item.text)
        with st.form(f"practice:{item.id}"):
            answers = scales.ask(protocol, f"practice:{item.id}")
            checked = st.form_submit_button(say("practice.check"), type="primary")
        if checked:
            values = scales.complete(answers)
            if values is None:
                st.error(say("practice.all"))
            else:
                feedback = service.answer_practice(sitter, item.id, values)
                st.session_state["feedback"] = (item.id, feedback)
        told = st.session_state.get("feedback")
        if told and told[0] == item.id:
            _compare(protocol, told[1])
            st.button(say("practice.next"), on_click=lambda: _to(place + 1), type="primary")


def _compare(protocol: Protocol, feedback: Feedback) -> None:
    labels = {aspect.code: aspect.label for aspect in protocol.aspects}
    if feedback.passed:
        st.success(say("practice.good"))
    for each in feedback.values:
        label = labels.get(each.aspect, each.aspect)
        if each.ok:
            st.markdown(say("practice.ok", label, each.given, each.why))
        else:
            wanted = str(each.low) if each.low == each.high else f"{each.low}\N{EN DASH}{each.high}"
            st.warning(say("practice.off", label, each.given, wanted, each.why))


def _end(sitter: Seat) -> None:
    if opened().service.practised(sitter):
        _begin(sitter)
    else:
        st.warning(say("practice.again"))
        st.button(say("practice.restart"), on_click=lambda: _to(0), type="primary")


def _begin(sitter: Seat) -> None:
    st.success(say("practice.passed"))
    if st.button(say("practice.begin"), type="primary"):
        try:
            opened().service.begin(sitter)
        except NotAllowed:
            st.warning(say("practice.again"))
            _to(0)
            return
        pages.go("rate")


def _place(count: int) -> int:
    """Which text it is, from 0. It stands in the address, so that a reload in the middle does not begin anew."""
    text = st.query_params.get("text", "1")
    return min(int(text) - 1, count) if text.isascii() and text.isdigit() and int(text) else 0


def _to(place: int) -> None:
    st.query_params["text"] = str(place + 1)
    st.session_state.pop("feedback", None)
