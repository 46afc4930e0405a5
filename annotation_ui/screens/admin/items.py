"""Items on which people disagree, or which they flagged."""

from __future__ import annotations

import streamlit as st

from annotation_ui.screens import pages
from annotation_ui.screens.tables import table
from annotation_ui.sitting import heads, say
from harness.study.admin import StudyAdmin

SHOWN_WITH_IMAGE = 10


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(say("items.title"))
    items = study.items()
    st.write(say("items.order"))
    rows = [
        (
            each.item, say("items.of", each.ratings, each.planned),
            "\N{EN DASH}" if each.disagreement != each.disagreement else f"{each.disagreement:.2f}", each.flags,
        )
        for each in items
    ]  # fmt: skip
    columns = heads("items", "item", "forms", "disagreement", "flags")
    table(say("items.title"), columns, rows)
    st.markdown(say("items.about"))
    for each in [item for item in items if item.ratings][:SHOWN_WITH_IMAGE]:
        with st.container(border=True):
            left, right = st.columns((1, 3))
            if each.media:
                with left:
                    st.image(study.image(each.media)[0], alt=say("items.image", each.item))
            with right:
                st.text(each.item)
                for text in ((each.prompt,) if each.prompt else ()) + each.texts:
                    pages.plain(text)
