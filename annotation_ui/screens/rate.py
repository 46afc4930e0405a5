"""Rating. The component does the work; this script gives it the first texts and takes forms that HTTP could not deliver."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict
from typing import Any

import streamlit as st

from annotation_ui import browser_session, components, delivery, language
from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens import pages, scales
from harness.study.rating.views import Protocol, Seat, SlotView

_RECEIPTS = "receipts"
FORM_CLIENT = "seetell-form/1"


def show() -> None:
    """The screen of keys, or ordinary fields with `?form=1`."""
    seat = pages.arrive("rate")
    if st.query_params.get("form"):
        _fields(seat)
        pages_link("app.component_link", {})
        return
    protocol = opened().service.protocol()

    def take() -> None:
        body = st.session_state["rate"].get("outbox")  # read first: whatever is asked of Streamlit may stop this run
        receipts = delivery.deliver(opened().service, seat, body)
        st.session_state[_RECEIPTS] = receipts

    st.html("<style>.stMainBlockContainer { padding-top: 4rem; }</style>")  # an image, a text and four rows want the room
    components.rate(screen_data(seat, protocol, st.session_state[browser_session.LANGUAGE]), take, lambda: None)
    pages_link("app.form_link", {"form": "1"})


def pages_link(key: str, query: dict[str, str]) -> None:
    """The way to the other way of rating."""
    st.page_link(pages.announced()["rate"], label=translate(key), query_params=query)


def screen_data(seat: Seat, protocol: Protocol, language_code: str) -> dict[str, Any]:
    """What the component is given: texts, scales, words. Nothing here tells where a text comes from."""
    service = opened().service
    words = dict(language.catalogue(language_code)["rate"]) | {"lang": language_code}
    return {
        "space": f"seetell:{protocol.study}:{seat.annotator}",
        "urls": components.URLS,
        "words": words,
        "reasons": list(protocol.skip_reasons),
        "dwell_ms": protocol.minimum_dwell_ms,
        "aspects": [asdict(aspect) for aspect in protocol.aspects],
        "receipts": st.session_state.get(_RECEIPTS, []),
    } | delivery.next_work(service, seat)


def _fields(seat: Seat) -> None:
    """The same with ordinary form fields, a page load a text: slower, and for those who cannot use the screen of keys."""
    service = opened().service
    if st.session_state.pop("field_saved", False):
        st.success(translate("form.saved"))
    work, protocol = service.claim(seat), service.protocol()
    if not work.slots:
        st.info(translate(f"rate.end_{work.message or 'wait'}"))
        return
    slot = work.slots[0]
    st.subheader(translate("form.number", slot.number, slot.of))
    left, right = st.columns(2, gap="large")
    with left:
        pages.picture(slot.media, translate("rate.image_alt"))
    with right:
        if slot.prompt:
            pages.plain(slot.prompt)
        pages.plain(slot.text)
        if ask_for(seat, protocol, slot):
            st.session_state["field_saved"] = True
            st.rerun()
        with st.expander(translate("form.skip")):
            _note(seat, protocol, slot)


def ask_for(seat: Seat, protocol: Protocol, slot: SlotView) -> bool:
    """Fields for one text; True once the database has the answer."""
    shown = st.session_state.setdefault(f"shown:{slot.slot}", time.time())
    with st.form(f"form:{slot.slot}:{slot.revision}"):
        answers = scales.ask(protocol, f"{slot.slot}:{slot.revision}", slot.values)
        if not st.form_submit_button(translate("form.save"), type="primary"):
            return False
    values = scales.complete(answers)
    if values is None:
        st.error(translate("form.all"))
        return False
    now = time.time()
    form = {
        "event_id": str(uuid.uuid4()),
        "slot": slot.slot,
        "revision": slot.revision + 1,
        "values": values,
        "shown_at": int(shown * 1000),
        "first_at": None,
        "sent_at": int(now * 1000),
        "active_ms": int((now - shown) * 1000),
        "hidden_ms": 0,
        "changes": 0,
        "input": "form",
        "client": FORM_CLIENT,
    }
    receipt = opened().service.submit(seat, form)
    if receipt.status == "refused":
        st.error(translate("form.refused", receipt.reason))
        return False
    if receipt.status == "surplus":
        st.info(translate("form.surplus"))
    return True


def _note(seat: Seat, protocol: Protocol, slot: SlotView) -> None:
    with st.form(f"note:{slot.slot}"):
        kinds = {"skip": translate("rate.skip"), "flag": translate("rate.flag")}
        kind = st.radio(translate("form.kind"), list(kinds), format_func=kinds.__getitem__, horizontal=True)
        reason = st.selectbox(
            translate("rate.reason"), protocol.skip_reasons, format_func=lambda code: translate(f"rate.reason_{code}")
        )
        note = st.text_area(translate("rate.note"), max_chars=1000)
        if not st.form_submit_button(translate("form.send")):
            return
    form = {"event_id": str(uuid.uuid4()), "slot": slot.slot, "reason": reason, "note": note}
    service = opened().service
    service.skip(seat, form) if kind == "skip" else service.flag(seat, form)
    if kind == "skip":
        st.rerun()
    st.success(translate("rate.flagged"))
