"""Items on which people disagree, or which they flagged."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import column_heads, translate
from annotation_ui.screens import pages
from annotation_ui.screens.tables import table
from harness.study.admin import StudyAdmin

SHOWN_WITH_IMAGE = 10


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(translate("items.title"))
    items = study.items()
    st.write(translate("items.order"))
    rows = [
        (
            item.item, translate("items.of", item.ratings, item.planned),
            "\N{EN DASH}" if item.disagreement != item.disagreement else f"{item.disagreement:.2f}", item.flags,
        )
        for item in items
    ]  # fmt: skip
    columns = column_heads("items", "item", "forms", "disagreement", "flags")
    table(translate("items.title"), columns, rows)
    st.markdown(translate("items.about"))
    for item in [item for item in items if item.ratings][:SHOWN_WITH_IMAGE]:
        with st.container(border=True):
            left, right = st.columns((1, 3))
            if item.media:
                with left:
                    st.image(study.image(item.media)[0], alt=translate("items.image", item.item))
            with right:
                st.text(item.item)
                for text in ((item.prompt,) if item.prompt else ()) + item.texts:
                    pages.plain(text)
