"""The leaderboard of the study: blind until its ratings are frozen, so that nobody stops when the favourite leads."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import translate
from annotation_ui.opened import opened
from annotation_ui.screens.admin.access import name
from annotation_ui.screens.tables import table
from harness.errors import SeeTellError
from harness.store.runs import Results
from harness.study.admin import StudyAdmin
from harness.study.analysis.findings import FROZEN, study_report
from harness.study.analysis.reports import sheets

DRAWS = 2000
"""Of the bootstrap: a preview; `seetell study analyze` takes more."""


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(translate("results.title"))
    frozen = study.overview().status == FROZEN
    if not frozen:
        st.info(translate("results.blind"))
    if st.button(translate("results.compute"), type="primary") or st.session_state.get("results_shown"):
        st.session_state["results_shown"] = True
        _report(study)
    if not frozen:
        _freeze(study)


def _report(study: StudyAdmin) -> None:
    try:
        with st.spinner(translate("results.busy")):
            report = study_report(study, Results(opened().results), scores=study.given_scores(), draws=DRAWS)
    except SeeTellError as error:
        st.warning(str(error))
        return
    for caution in report.cautions:
        st.warning(caution)
    for sheet in sheets(report):
        st.subheader(sheet.title)
        table(sheet.title, sheet.heads, sheet.rows, sheet.left)
        st.markdown(sheet.note.replace("*", "\\*"))


def _freeze(study: StudyAdmin) -> None:
    st.header(translate("results.freeze"))
    st.write(translate("results.freeze_about"))
    with st.form("freeze", width=520):
        sure = st.checkbox(translate("results.sure"))
        if st.form_submit_button(translate("results.freeze")):
            if sure:
                study.freeze(name())
                st.rerun()
            st.error(translate("results.must"))
