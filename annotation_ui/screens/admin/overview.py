"""How far the study is, how well people agree, and who may join: live."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from annotation_ui.screens.admin.access import entered, name
from annotation_ui.screens.tables import table
from annotation_ui.sitting import heads, say
from harness.study.admin import Overview, StudyAdmin
from harness.study.analysis.agreement import panel_alpha
from harness.study.analysis.analyze import panels
from harness.study.analysis.panel import Estimate

EVERY_SECONDS = 5
ALPHA_DRAWS = 300
"""Fewer than in the analysis: this table is made again every few seconds."""


def show(study: StudyAdmin) -> None:
    """The screen."""
    overview = study.overview()
    st.title(overview.title or overview.name)
    _live()
    st.header(say("overview.invitations"))
    _invite(study)
    _invitations(study)


@st.fragment(run_every=EVERY_SECONDS)
def _live() -> None:
    entered(_now)()


def _now(study: StudyAdmin) -> None:
    _progress(study.overview())
    st.header(say("overview.agreement"))
    _agreement(study)


def _progress(overview: Overview) -> None:
    share = overview.forms_done / overview.forms_planned if overview.forms_planned else 0.0
    told = say("overview.forms", f"{overview.forms_done:,}", f"{overview.forms_planned:,}", f"{share:.0%}")
    st.progress(min(share, 1.0), text=told)
    hours = overview.seconds_left / 3600
    blocks = overview.blocks
    rows = [
        (say("overview.status"), say(f"states.{overview.status}")),
        (say("overview.size"), f"{overview.items}, {overview.ratings_per_item}, {len(overview.systems)}"),
        (
            say("overview.people"),
            ", ".join(f"{count} {say(f'people.{status}')}" for status, count in sorted(overview.annotators.items()))
            or say("overview.nobody"),
        ),
        (say("overview.last_hour"), f"{overview.forms_last_hour:,}"),
        (say("overview.left"), f"{hours:.1f} h"),
        (
            say("overview.blocks"),
            ", ".join(
                f"{blocks.get(state, 0)} {say(f'blocks.{state}')}" for state in ("open", "leased", "done", "void")
            ),
        ),
        (say("overview.skipped"), f"{overview.skips}, {overview.flags}"),
        (say("overview.uncounted"), say("overview.late", overview.surplus, overview.refused)),
        (say("overview.signals"), f"{overview.open_signals}, {overview.exclusions}"),
    ]
    table(say("overview.progress"), ("", say("overview.now")), rows, left=(0, 1))


def _agreement(study: StudyAdmin) -> None:
    ratings = study.ratings()
    if not len(ratings.where(kind="system")):
        st.info(say("overview.unrated"))
        return
    rows = []
    for aspect, panel in panels(ratings).items():
        alpha = panel_alpha(panel, draws=ALPHA_DRAWS)
        rows.append((aspect, shown(alpha), int(panel.rated.sum()), alpha.reason))
    columns = heads("overview", "aspect", "alpha", "ratings", "none")
    table(say("overview.agreement"), columns, rows, left=(0, 1, 3))
    st.markdown(say("overview.alpha_about"))


def shown(estimate: Estimate) -> str:
    """An estimate with its interval."""
    if estimate.value is None:
        return "\N{EN DASH}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return say("overview.interval", f"{estimate.value:.2f}", f"{estimate.low:.2f}", f"{estimate.high:.2f}")


def _invite(study: StudyAdmin) -> None:
    with st.form("invite", width=640):
        left, middle, right = st.columns(3)
        uses = left.number_input(say("overview.people"), 1, 10_000, 1)
        days = middle.number_input(say("overview.days"), 1, 365, 30)
        note = right.text_input(say("overview.note"), max_chars=80)
        if not st.form_submit_button(say("overview.invite")):
            return
    token = study.invite(uses=int(uses), lasts=timedelta(days=int(days)), note=note, by=name())
    base = (st.context.url or "").split("/admin")[0].rstrip("/")
    st.write(say("overview.copy"))
    st.code(f"{base}/?invite={token}", language=None, wrap_lines=True)


def _invitations(study: StudyAdmin) -> None:
    found = study.invites()
    rows = [
        (
            each.id[:8],
            say("overview.revoked") if each.revoked else say("overview.used", each.uses, each.max_uses),
            f"{each.expires_at:%Y-%m-%d}",
            each.annotator or say(f"roles.{each.role}"),
            each.note,
        )
        for each in found
    ]
    columns = heads("overview", "invitation", "use", "until", "whom", "note")
    table(say("overview.invitations"), columns, rows, left=range(5))
    open_ones = [each.id for each in found if not each.revoked]
    if open_ones:
        with st.form("revoke", width=520):
            chosen = st.selectbox(say("overview.invitation"), open_ones, format_func=lambda each: each[:8])
            if st.form_submit_button(say("overview.take_back")) and chosen:
                study.revoke(chosen, by=name())
                st.rerun()
