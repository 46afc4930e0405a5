"""Items on which people disagree, or which they flagged."""

from __future__ import annotations

import streamlit as st

from annotation_ui.screens import pages
from annotation_ui.screens.admin.access import admin
from annotation_ui.screens.tables import table

SHOWN_WITH_IMAGE = 10


def show() -> None:
    """The screen."""
    with admin() as study:
        st.title("Items and disagreement")
        items = study.items()
        st.write("Flagged items first, then those on which ratings are furthest apart.")
        rows = [
            (
                each.item, f"{each.ratings} of {each.planned}",
                "\N{EN DASH}" if each.disagreement != each.disagreement else f"{each.disagreement:.2f}", each.flags,
            )
            for each in items
        ]  # fmt: skip
        table("Items", ("Item", "Forms", "Disagreement", "Flags"), rows)
        st.markdown(
            "Disagreement: standard deviation of the ratings of one text on one aspect, averaged over both, in points."
        )
        for each in [item for item in items if item.ratings][:SHOWN_WITH_IMAGE]:
            with st.container(border=True):
                left, right = st.columns((1, 3))
                if each.media:
                    with left:
                        st.image(study.image(each.media)[0], alt=f"Image of item {each.item}")
                with right:
                    st.text(each.item)
                    for text in ((each.prompt,) if each.prompt else ()) + each.texts:
                        pages.plain(text)
