"""Taking the data out: ratings with codebook and datasheet, and a copy of the whole study; and checking that it is whole."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import streamlit as st

from annotation_ui import browser_session
from annotation_ui.browser_session import translate
from annotation_ui.screens.admin.access import name
from harness.study.admin import StudyAdmin
from harness.study.analysis.findings import FROZEN

FORMATS = ("csv", "jsonl", "parquet")
_READY = "export_ready"


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(translate("exports.title"))
    _take_out(study)
    st.header(translate("exports.check"))
    if st.button(translate("exports.verify")):
        verified = study.verify()
        if verified.ok:
            st.success(translate("exports.whole", f"{verified.entries:,}", f"{verified.forms:,}"))
            st.text(verified.promise)
        for problem in verified.problems:
            st.error(problem)


def _take_out(study: StudyAdmin) -> None:
    seat = browser_session.current_seat()
    if seat is not None and seat.role == "annotator" and study.overview().status != FROZEN:
        st.info(translate("exports.not_yet"))
        return
    with st.form("export", width=520):
        formats = st.multiselect(translate("exports.formats"), FORMATS, default=FORMATS)
        if st.form_submit_button(translate("exports.prepare"), type="primary") and formats:
            with tempfile.TemporaryDirectory() as folder:
                files = study.export(Path(folder), formats, by=name())
                st.session_state[_READY] = _zipped(files)
    if content := st.session_state.get(_READY):
        st.write(translate("exports.about"))
        st.download_button(translate("exports.download"), content, "ratings.zip", "application/zip", on_click="ignore")


def _zipped(files: tuple[Path, ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue()
