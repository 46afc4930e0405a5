"""Who rates and how: signals with their evidence, and the decisions that people sign. Nothing is decided by itself."""

from __future__ import annotations

import json

import streamlit as st

from annotation_ui.screens.admin.access import name
from annotation_ui.screens.tables import table
from annotation_ui.sitting import heads, say
from harness.study.admin import StudyAdmin
from harness.study.oversight.decisions import SignalRow


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(say("quality.title"))
    _people(study)
    st.header(say("quality.signals"))
    signals = study.signals()
    if not signals:
        st.info(say("quality.quiet"))
    for signal in signals:
        _signal(study, signal)
    st.header(say("quality.exclusions"))
    _exclusions(study)


def _people(study: StudyAdmin) -> None:
    people = study.annotators()
    yes = say("quality.yes")
    rows = [
        (
            each.pseudonym, say(f"people.{each.status}"), each.forms, each.skips, each.flags,
            "\N{EN DASH}" if each.median_seconds != each.median_seconds else f"{each.median_seconds:.1f}",
            f"{each.last_at:%Y-%m-%d %H:%M}" if each.last_at else "", each.open_signals, yes if each.excluded else "",
        )
        for each in people
    ]  # fmt: skip
    columns = heads(
        "quality", "name", "status", "forms", "skips", "flags", "median", "last_seen", "signals", "excluded"
    )
    table(say("quality.annotators"), columns, rows, left=(0, 1, 6, 8))
    if not people:
        return
    by_id = {each.annotator: each for each in people}
    with st.form("person", width=640):
        who = st.selectbox(say("quality.annotator"), list(by_id), format_func=lambda each: by_id[each].pseudonym)
        what = _decision("pause", "resume", "exclude")
        reason = st.text_input(say("quality.reason"), max_chars=300)
        if st.form_submit_button(say("quality.apply")) and who and _signed(reason):
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
        st.text(say("quality.value", f"{signal.value:.3g}", f"{signal.threshold:.3g}", signal.n))
        with st.expander(say("quality.evidence")):
            st.code(json.dumps(signal.evidence, indent=1, ensure_ascii=False), language="json", wrap_lines=True)
        with st.form(f"signal:{signal.id}"):
            what = _decision("dismiss", "exclude", index=None)
            reason = st.text_input(say("quality.reason"), max_chars=300)
            if st.form_submit_button(say("quality.apply")) and what and _signed(reason):
                if what == "exclude":
                    study.exclude_for(signal.id, by=name(), reason=reason)
                else:
                    study.dismiss(signal.id, by=name(), reason=reason)
                st.rerun()


def _exclusions(study: StudyAdmin) -> None:
    found = study.exclusions()
    if not found:
        st.info(say("quality.all_count"))
        return
    rows = [
        (
            each.id, each.target, each.rule, each.reason, f"{each.by}, {each.at:%Y-%m-%d %H:%M}",
            f"{each.reverted_by}, {each.reverted_at:%Y-%m-%d %H:%M}" if each.reverted_at else "",
        )
        for each in found
    ]  # fmt: skip
    columns = heads("quality", "number", "what", "rule", "reason", "signed", "reverted")
    table(say("quality.exclusions"), columns, rows, left=range(6))
    standing = [each.id for each in found if each.reverted_at is None]
    if standing:
        with st.form("revert", width=420):
            chosen = st.selectbox(say("quality.exclusion"), standing)
            if st.form_submit_button(say("quality.take_back")) and chosen is not None:
                study.revert(chosen, name())
                st.rerun()
    st.markdown(say("quality.effect"))


def _decision(*choices: str, index: int | None = 0) -> str | None:
    chosen: str | None = st.radio(
        say("quality.decision"), choices, index, format_func=lambda each: say(f"decisions.{each}"), horizontal=True
    )
    return chosen


def _signed(reason: str) -> bool:
    if not reason.strip():
        st.error(say("quality.needs_reason"))
        return False
    return True
