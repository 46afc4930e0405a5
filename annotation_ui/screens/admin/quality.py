"""Who rates and how: signals with their evidence, and the decisions that people sign. Nothing is decided by itself."""

from __future__ import annotations

import json

import streamlit as st

from annotation_ui.screens.admin.access import admin, name
from annotation_ui.screens.tables import table
from harness.study.admin import StudyAdmin
from harness.study.decisions import SignalRow


def show() -> None:
    """The screen."""
    with admin() as study:
        st.title("Annotators and quality")
        _people(study)
        st.header("Signals")
        signals = study.signals()
        if not signals:
            st.info("Nothing to look at.")
        for signal in signals:
            _signal(study, signal)
        st.header("Exclusions")
        _exclusions(study)


def _people(study: StudyAdmin) -> None:
    people = study.annotators()
    rows = [
        (
            each.pseudonym, each.status, each.forms, each.skips, each.flags,
            "\N{EN DASH}" if each.median_seconds != each.median_seconds else f"{each.median_seconds:.1f}",
            f"{each.last_at:%Y-%m-%d %H:%M}" if each.last_at else "", each.open_signals, "yes" if each.excluded else "",
        )
        for each in people
    ]  # fmt: skip
    heads = ("Name", "Status", "Forms", "Skips", "Flags", "Median s", "Last seen, UTC", "Signals", "Excluded")
    table("Annotators", heads, rows, left=(0, 1, 6, 8))
    if not people:
        return
    by_id = {each.annotator: each for each in people}
    with st.form("person", width=640):
        who = st.selectbox("Annotator", list(by_id), format_func=lambda each: by_id[each].pseudonym)
        what = st.radio("Decision", ("pause", "resume", "exclude"), horizontal=True)
        reason = st.text_input("Reason", max_chars=300)
        if st.form_submit_button("Sign and apply") and who and _signed(reason):
            if what == "pause":
                study.pause(who, by=name(), reason=reason)
            elif what == "resume":
                study.resume(who, by=name(), reason=reason)
            else:
                study.exclude(f"annotator:{who}", "by-hand", reason, name())
            st.rerun()


def _signal(study: StudyAdmin, signal: SignalRow) -> None:
    with st.container(border=True):
        st.text(f"{signal.pseudonym}: {signal.rule}")
        st.text(signal.says)
        st.text(f"value {signal.value:.3g}, threshold {signal.threshold:.3g}, from {signal.n}")
        with st.expander("Evidence"):
            st.code(json.dumps(signal.evidence, indent=1, ensure_ascii=False), language="json", wrap_lines=True)
        with st.form(f"signal:{signal.id}"):
            what = st.radio("Decision", ("no reason to exclude", "exclude"), index=None, horizontal=True)
            reason = st.text_input("Reason", max_chars=300)
            if st.form_submit_button("Sign and apply") and what and _signed(reason):
                if what == "exclude":
                    study.exclude_for(signal.id, by=name(), reason=reason)
                else:
                    study.dismiss(signal.id, by=name(), reason=reason)
                st.rerun()


def _exclusions(study: StudyAdmin) -> None:
    found = study.exclusions()
    if not found:
        st.info("Everything counts.")
        return
    rows = [
        (
            each.id, each.target, each.rule, each.reason, f"{each.by}, {each.at:%Y-%m-%d %H:%M}",
            f"{each.reverted_by}, {each.reverted_at:%Y-%m-%d %H:%M}" if each.reverted_at else "",
        )
        for each in found
    ]  # fmt: skip
    table("Exclusions", ("Number", "What", "Rule", "Reason", "Signed", "Taken back"), rows, left=range(6))
    standing = [each.id for each in found if each.reverted_at is None]
    if standing:
        with st.form("revert", width=420):
            chosen = st.selectbox("Exclusion", standing)
            if st.form_submit_button("Take back") and chosen is not None:
                study.revert(chosen, name())
                st.rerun()
    st.markdown("What the exclusions do to the ranking is among the results.")


def _signed(reason: str) -> bool:
    if not reason.strip():
        st.error("A decision needs a reason.")
        return False
    return True
