"""What the study can find, and what another size would: from assumptions, and from its own variances once there are any."""

from __future__ import annotations

import streamlit as st

from annotation_ui.screens.admin.access import admin
from annotation_ui.screens.tables import table
from harness.errors import DataError
from harness.study.admin import Overview, StudyAdmin
from harness.study.analysis import panels
from harness.study.power import (
    ASSUMED,
    PARTS,
    SECONDS_A_TEXT,
    Components,
    Forecast,
    StudyPlan,
    compare_plans,
    variance_components,
)

DIFFERENCES = (0.1, 0.2, 0.3, 0.5)


def show() -> None:
    """The screen."""
    with admin() as study:
        st.title("Plan and power")
        overview = study.overview()
        choices = _components(study)
        name = st.selectbox("Variances", list(choices), width=420)
        plan, seconds = _size(overview)
        if plan is None:
            return
        parts = choices[name]
        around = sorted({max(2, plan.items // 2), plan.items, plan.items * 2})
        more = sorted({max(1, plan.ratings_per_item - 2), plan.ratings_per_item, plan.ratings_per_item + 2})
        forecasts = compare_plans(around, more, plan, parts, seconds=seconds)
        table("Plans", _HEADS, [_row(each) for each in forecasts])
        st.markdown(
            "Power: the chance that the paired test finds a true difference of so many points, at the hardest step of Holm's "
            "correction over all pairs and aspects. Detectable: the smallest difference found with 80 % power."
        )
        if forecasts and forecasts[0].caution:
            st.warning(forecasts[0].caution)
        table(
            "Variance components",
            ("Part", "Variance"),
            [(part, f"{getattr(parts, part):.3f}") for part in PARTS],
            titled=True,
        )


_HEADS = (
    "Items",
    "Ratings an item",
    "Texts",
    "Hours, all",
    "Hours each",
    "Detectable",
    *(f"Power {d:g}" for d in DIFFERENCES),
)


def _row(each: Forecast) -> tuple[object, ...]:
    power = (f"{each.power[difference]:.0%}" for difference in DIFFERENCES)
    plan = each.plan
    return (
        plan.items, plan.ratings_per_item, f"{each.texts:,}", f"{each.hours:.1f}", f"{each.hours_each:.1f}",
        f"{each.detectable:.2f}", *power,
    )  # fmt: skip


def _components(study: StudyAdmin) -> dict[str, Components]:
    """Variances to plan with: the assumed ones, and each aspect's own once it has enough ratings."""
    choices = {"assumed, before any rating": ASSUMED}
    ratings = study.ratings()
    if len(ratings.where(kind="system")):
        for aspect, panel in panels(ratings).items():
            try:
                choices[f"this study, {aspect}"] = variance_components(panel)
            except DataError as error:
                st.markdown(f"{aspect}: no variances yet ({error})")
    return choices


def _size(overview: Overview) -> tuple[StudyPlan | None, float]:
    columns = st.columns(4)
    items = columns[0].number_input("Items", 2, 100_000, max(2, overview.items))
    ratings = columns[1].number_input("Ratings an item", 1, 100, overview.ratings_per_item)
    people = columns[2].number_input(
        "Annotators", 1, 10_000, max(overview.planned_annotators, overview.ratings_per_item)
    )
    seconds = columns[3].number_input("Seconds a text", 1.0, 600.0, SECONDS_A_TEXT)
    try:
        plan = StudyPlan(
            int(items),
            int(ratings),
            int(people),
            len(overview.systems),
            len(overview.aspects),
            overview.task == "caption",
        )
    except DataError as error:
        st.error(str(error))
        return None, seconds
    return plan, seconds
