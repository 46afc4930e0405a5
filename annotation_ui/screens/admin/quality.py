"""Who rates and how: signals with their evidence, and the decisions that people sign. Nothing is decided by itself."""

from __future__ import annotations

import json

import streamlit as st

from annotation_ui.browser_session import column_heads, translate
from annotation_ui.screens.admin.access import name
from annotation_ui.screens.tables import table
from harness.study.admin import StudyAdmin
from harness.study.oversight.decisions import SignalRow


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(translate("quality.title"))
    _people(study)
    st.header(translate("quality.signals"))
    signals = study.signals()
    if not signals:
        st.info(translate("quality.quiet"))
    for signal in signals:
        _signal(study, signal)
    st.header(translate("quality.exclusions"))
    _exclusions(study)


def _people(study: StudyAdmin) -> None:
    people = study.annotators()
    yes = translate("quality.yes")
    rows = [
        (
            person.pseudonym, translate(f"people.{person.status}"), person.forms, person.skips, person.flags,
            "\N{EN DASH}" if person.median_seconds != person.median_seconds else f"{person.median_seconds:.1f}",
            f"{person.last_at:%Y-%m-%d %H:%M}" if person.last_at else "", person.open_signals, yes if person.excluded else "",
        )
        for person in people
    ]  # fmt: skip
    columns = column_heads("quality", "name", "status", "forms", "skips", "flags", "median", "last_seen", "signals", "excluded")
    table(translate("quality.annotators"), columns, rows, left=(0, 1, 6, 8))
    if not people:
        return
    by_id = {person.annotator: person for person in people}
    with st.form("person", width=640):
        annotator_id = st.selectbox(
            translate("quality.annotator"), list(by_id), format_func=lambda annotator: by_id[annotator].pseudonym
        )
        decision = _decision("pause", "resume", "exclude")
        reason = st.text_input(translate("quality.reason"), max_chars=300)
        if st.form_submit_button(translate("quality.apply")) and annotator_id and _signed(reason):
            if decision == "pause":
                study.pause(annotator_id, by=name(), reason=reason)
            elif decision == "resume":
                study.resume(annotator_id, by=name(), reason=reason)
            else:
                study.exclude(f"annotator:{annotator_id}", "by-hand", reason, name())
            st.rerun()


def _signal(study: StudyAdmin, signal: SignalRow) -> None:
    with st.container(border=True):
        st.text(f"{signal.pseudonym}: {signal.rule}")
        st.text(signal.says)
        st.text(translate("quality.value", f"{signal.value:.3g}", f"{signal.threshold:.3g}", signal.n))
        with st.expander(translate("quality.evidence")):
            st.code(json.dumps(signal.evidence, indent=1, ensure_ascii=False), language="json", wrap_lines=True)
        with st.form(f"signal:{signal.id}"):
            decision = _decision("dismiss", "exclude", index=None)
            reason = st.text_input(translate("quality.reason"), max_chars=300)
            if st.form_submit_button(translate("quality.apply")) and decision and _signed(reason):
                if decision == "exclude":
                    study.exclude_for(signal.id, by=name(), reason=reason)
                else:
                    study.dismiss(signal.id, by=name(), reason=reason)
                st.rerun()


def _exclusions(study: StudyAdmin) -> None:
    exclusions = study.exclusions()
    if not exclusions:
        st.info(translate("quality.all_count"))
        return
    rows = [
        (
            exclusion.id, exclusion.target, exclusion.rule, exclusion.reason, f"{exclusion.by}, {exclusion.at:%Y-%m-%d %H:%M}",
            f"{exclusion.reverted_by}, {exclusion.reverted_at:%Y-%m-%d %H:%M}" if exclusion.reverted_at else "",
        )
        for exclusion in exclusions
    ]  # fmt: skip
    columns = column_heads("quality", "number", "what", "rule", "reason", "signed", "reverted")
    table(translate("quality.exclusions"), columns, rows, left=range(6))
    standing = [exclusion.id for exclusion in exclusions if exclusion.reverted_at is None]
    if standing:
        with st.form("revert", width=420):
            chosen = st.selectbox(translate("quality.exclusion"), standing)
            if st.form_submit_button(translate("quality.take_back")) and chosen is not None:
                study.revert(chosen, name())
                st.rerun()
    st.markdown(translate("quality.effect"))


def _decision(*choices: str, index: int | None = 0) -> str | None:
    chosen: str | None = st.radio(
        translate("quality.decision"),
        choices,
        index,
        format_func=lambda choice: translate(f"decisions.{choice}"),
        horizontal=True,
    )
    return chosen


def _signed(reason: str) -> bool:
    if not reason.strip():
        st.error(translate("quality.needs_reason"))
        return False
    return True
