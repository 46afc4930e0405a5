"""Taking the data out: ratings with codebook and datasheet, and a copy of the whole study; and checking that it is whole."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import streamlit as st

from annotation_ui import sitting
from annotation_ui.screens.admin.access import name
from annotation_ui.sitting import say
from harness.study.admin import StudyAdmin
from harness.study.analysis.findings import FROZEN

FORMATS = ("csv", "jsonl", "parquet")
_READY = "export_ready"


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(say("exports.title"))
    _take_out(study)
    st.header(say("exports.check"))
    if st.button(say("exports.verify")):
        found = study.verify()
        if found.ok:
            st.success(say("exports.whole", f"{found.entries:,}", f"{found.forms:,}"))
        for problem in found.problems:
            st.error(problem)


def _take_out(study: StudyAdmin) -> None:
    sitter = sitting.seat()
    if sitter is not None and sitter.role == "annotator" and study.overview().status != FROZEN:
        st.info(say("exports.not_yet"))
        return
    with st.form("export", width=520):
        formats = st.multiselect(say("exports.formats"), FORMATS, default=FORMATS)
        if st.form_submit_button(say("exports.prepare"), type="primary") and formats:
            with tempfile.TemporaryDirectory() as folder:
                files = study.export(Path(folder), formats, by=name())
                st.session_state[_READY] = _zipped(files)
    if content := st.session_state.get(_READY):
        st.write(say("exports.about"))
        st.download_button(say("exports.download"), content, "ratings.zip", "application/zip", on_click="ignore")


def _zipped(files: tuple[Path, ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue()
