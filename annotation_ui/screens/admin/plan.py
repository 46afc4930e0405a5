"""What the study can find, and what another size would: from assumptions, and from its own variances once there are any."""

from __future__ import annotations

import streamlit as st

from annotation_ui.browser_session import column_heads, translate
from annotation_ui.screens.tables import table
from harness.errors import DataError
from harness.study.admin import Overview, StudyAdmin
from harness.study.analysis.analyze import panels
from harness.study.analysis.power import (
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


def show(study: StudyAdmin) -> None:
    """The screen."""
    st.title(translate("plan.title"))
    overview = study.overview()
    choices = _components(study)
    name = st.selectbox(translate("plan.variances"), list(choices), width=420)
    plan, seconds = _size(overview)
    if plan is None:
        return
    parts = choices[name]
    around = sorted({max(2, plan.items // 2), plan.items, plan.items * 2})
    more = sorted({max(1, plan.ratings_per_item - 2), plan.ratings_per_item, plan.ratings_per_item + 2})
    forecasts = compare_plans(around, more, plan, parts, seconds=seconds)
    table(translate("plan.plans"), _heads(), [_row(forecast) for forecast in forecasts])
    st.markdown(translate("plan.about"))
    if forecasts and forecasts[0].caution:
        st.warning(forecasts[0].caution)
    table(
        translate("plan.components"),
        (translate("plan.part"), translate("plan.variance")),
        [(translate(f"parts.{part}"), f"{getattr(parts, part):.3f}") for part in PARTS],
        titled=True,
    )


def _heads() -> tuple[str, ...]:
    return (
        *column_heads("plan", "items", "ratings", "texts", "hours", "hours_each", "detectable"),
        *(translate("plan.power", f"{difference:g}") for difference in DIFFERENCES),
    )


def _row(forecast: Forecast) -> tuple[object, ...]:
    power = (f"{forecast.power[difference]:.0%}" for difference in DIFFERENCES)
    plan = forecast.plan
    return (
        plan.items, plan.ratings_per_item, f"{forecast.texts:,}", f"{forecast.hours:.1f}", f"{forecast.hours_each:.1f}",
        f"{forecast.detectable:.2f}", *power,
    )  # fmt: skip


def _components(study: StudyAdmin) -> dict[str, Components]:
    """Variances to plan with: the assumed ones, and each aspect's own once it has enough ratings."""
    choices = {translate("plan.assumed"): ASSUMED}
    ratings = study.ratings()
    if len(ratings.where(kind="system")):
        for aspect, panel in panels(ratings).items():
            try:
                choices[translate("plan.own", aspect)] = variance_components(panel)
            except DataError as error:
                st.text(translate("plan.no_variances", aspect, error))
    return choices


def _size(overview: Overview) -> tuple[StudyPlan | None, float]:
    columns = st.columns(4)
    items = columns[0].number_input(translate("plan.items"), 2, 100_000, max(2, overview.items))
    ratings = columns[1].number_input(translate("plan.ratings"), 1, 100, overview.ratings_per_item)
    people = columns[2].number_input(
        translate("plan.annotators"), 1, 10_000, max(overview.planned_annotators, overview.ratings_per_item)
    )
    seconds = columns[3].number_input(translate("plan.seconds"), 1.0, 600.0, SECONDS_A_TEXT)
    try:
        plan = StudyPlan(
            int(items), int(ratings), int(people), len(overview.systems), len(overview.aspects), overview.task == "caption"
        )
    except DataError as error:
        st.error(str(error))
        return None, seconds
    return plan, seconds
