"""Taking the data out: ratings with codebook and datasheet, and a copy of the whole study; and checking that it is whole."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import streamlit as st

from annotation_ui import sitting
from annotation_ui.screens.admin.access import admin, name
from harness.study.admin import StudyAdmin
from harness.study.findings import FROZEN

FORMATS = ("csv", "jsonl", "parquet")
_READY = "export_ready"


def show() -> None:
    """The screen."""
    with admin() as study:
        st.title("Exports")
        _take_out(study)
        st.header("Check")
        if st.button("Check the audit chain and every form"):
            found = study.verify()
            if found.ok:
                st.success(f"{found.entries:,} entries and {found.forms:,} forms are as they were written.")
            for problem in found.problems:
                st.error(problem)


def _take_out(study: StudyAdmin) -> None:
    sitter = sitting.seat()
    if sitter is not None and sitter.role == "annotator" and study.overview().status != FROZEN:
        st.info(
            "You rate in this study, and its data name the systems. They can be had here once the ratings are frozen."
        )
        return
    with st.form("export", width=520):
        formats = st.multiselect("Formats", FORMATS, default=FORMATS)
        if st.form_submit_button("Prepare the export", type="primary") and formats:
            with tempfile.TemporaryDirectory() as folder:
                files = study.export(Path(folder), formats, by=name())
                st.session_state[_READY] = _zipped(files)
    if content := st.session_state.get(_READY):
        st.write(
            "Ratings, codebook and datasheet. The data name the systems: do not give them to people who still rate."
        )
        st.download_button("Download the export", content, "ratings.zip", "application/zip", on_click="ignore")


def _zipped(files: tuple[Path, ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue()
