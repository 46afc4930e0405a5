"""How far the study is, how well people agree, and who may join: live."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from annotation_ui.browser_session import column_heads, translate
from annotation_ui.screens.admin.access import entered, name
from annotation_ui.screens.tables import table
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
    st.header(translate("overview.invitations"))
    _invite(study)
    _invitations(study)


@st.fragment(run_every=EVERY_SECONDS)
def _live() -> None:
    entered(_now)()


def _now(study: StudyAdmin) -> None:
    _progress(study.overview())
    st.header(translate("overview.agreement"))
    _agreement(study)


def _progress(overview: Overview) -> None:
    share = overview.forms_done / overview.forms_planned if overview.forms_planned else 0.0
    label = translate("overview.forms", f"{overview.forms_done:,}", f"{overview.forms_planned:,}", f"{share:.0%}")
    st.progress(min(share, 1.0), text=label)
    hours = overview.seconds_left / 3600
    blocks = overview.blocks
    rows = [
        (translate("overview.status"), translate(f"states.{overview.status}")),
        (translate("overview.size"), f"{overview.items}, {overview.ratings_per_item}, {len(overview.systems)}"),
        (
            translate("overview.people"),
            ", ".join(f"{count} {translate(f'people.{status}')}" for status, count in sorted(overview.annotators.items()))
            or translate("overview.nobody"),
        ),
        (translate("overview.last_hour"), f"{overview.forms_last_hour:,}"),
        (translate("overview.left"), f"{hours:.1f} h"),
        (
            translate("overview.blocks"),
            ", ".join(f"{blocks.get(state, 0)} {translate(f'blocks.{state}')}" for state in ("open", "leased", "done", "void")),
        ),
        (translate("overview.skipped"), f"{overview.skips}, {overview.flags}"),
        (translate("overview.uncounted"), translate("overview.late", overview.surplus, overview.refused)),
        (translate("overview.signals"), f"{overview.open_signals}, {overview.exclusions}"),
    ]
    table(translate("overview.progress"), ("", translate("overview.now")), rows, left=(0, 1))


def _agreement(study: StudyAdmin) -> None:
    ratings = study.ratings()
    if not len(ratings.where(kind="system")):
        st.info(translate("overview.unrated"))
        return
    rows = []
    for aspect, panel in panels(ratings).items():
        alpha = panel_alpha(panel, draws=ALPHA_DRAWS)
        rows.append((aspect, shown(alpha), int(panel.rated.sum()), alpha.reason))
    columns = column_heads("overview", "aspect", "alpha", "ratings", "none")
    table(translate("overview.agreement"), columns, rows, left=(0, 1, 3))
    st.markdown(translate("overview.alpha_about"))


def shown(estimate: Estimate) -> str:
    """An estimate with its interval."""
    if estimate.value is None:
        return "\N{EN DASH}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return translate("overview.interval", f"{estimate.value:.2f}", f"{estimate.low:.2f}", f"{estimate.high:.2f}")


def _invite(study: StudyAdmin) -> None:
    with st.form("invite", width=640):
        left, middle, right = st.columns(3)
        uses = left.number_input(translate("overview.people"), 1, 10_000, 1)
        days = middle.number_input(translate("overview.days"), 1, 365, 30)
        note = right.text_input(translate("overview.note"), max_chars=80)
        if not st.form_submit_button(translate("overview.invite")):
            return
    token = study.invite(uses=int(uses), lasts=timedelta(days=int(days)), note=note, by=name())
    base = (st.context.url or "").split("/admin")[0].rstrip("/")
    st.write(translate("overview.copy"))
    st.code(f"{base}/?invite={token}", language=None, wrap_lines=True)


def _invitations(study: StudyAdmin) -> None:
    invites = study.invites()
    rows = [
        (
            invite.id[:8],
            translate("overview.revoked") if invite.revoked else translate("overview.used", invite.uses, invite.max_uses),
            f"{invite.expires_at:%Y-%m-%d}",
            invite.annotator or translate(f"roles.{invite.role}"),
            invite.note,
        )
        for invite in invites
    ]
    columns = column_heads("overview", "invitation", "use", "until", "whom", "note")
    table(translate("overview.invitations"), columns, rows, left=range(5))
    open_ones = [invite.id for invite in invites if not invite.revoked]
    if open_ones:
        with st.form("revoke", width=520):
            chosen = st.selectbox(translate("overview.invitation"), open_ones, format_func=lambda invite: invite[:8])
            if st.form_submit_button(translate("overview.take_back")) and chosen:
                study.revoke(chosen, by=name())
                st.rerun()
