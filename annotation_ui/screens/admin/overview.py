"""How far the study is, how well people agree, and who may join: live."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from annotation_ui.screens.admin.access import admin, name
from annotation_ui.screens.tables import table
from harness.study.admin import Overview, StudyAdmin
from harness.study.agreement import panel_alpha
from harness.study.analysis import panels
from harness.study.estimate import Estimate

EVERY_SECONDS = 5
ALPHA_DRAWS = 300
"""Fewer than in the analysis: this table is made again every few seconds."""


def show() -> None:
    """The screen."""
    with admin() as study:
        overview = study.overview()
        st.title(overview.title or overview.name)
        _live()
        st.header("Invitations")
        _invite(study)
        _invitations(study)


@st.fragment(run_every=EVERY_SECONDS)
def _live() -> None:
    with admin() as study:
        overview = study.overview()
        _progress(overview)
        st.header("Agreement")
        _agreement(study)


def _progress(overview: Overview) -> None:
    share = overview.forms_done / overview.forms_planned if overview.forms_planned else 0.0
    st.progress(min(share, 1.0), text=f"{overview.forms_done:,} of {overview.forms_planned:,} forms ({share:.0%})")
    hours = overview.seconds_left / 3600
    blocks = overview.blocks
    rows = [
        ("Status", overview.status),
        ("Items, ratings an item, systems", f"{overview.items}, {overview.ratings_per_item}, {len(overview.systems)}"),
        (
            "People",
            ", ".join(f"{count} {status}" for status, count in sorted(overview.annotators.items())) or "nobody yet",
        ),
        ("Forms in the last hour", f"{overview.forms_last_hour:,}"),
        ("Work left, of all together", f"{hours:.1f} h"),
        ("Blocks", ", ".join(f"{blocks.get(state, 0)} {state}" for state in ("open", "leased", "done", "void"))),
        ("Skipped, flagged", f"{overview.skips}, {overview.flags}"),
        ("Kept but not counted", f"{overview.surplus} late, {overview.refused} unreadable"),
        ("Signals to look at, exclusions", f"{overview.open_signals}, {overview.exclusions}"),
    ]
    table("Progress", ("", "Now"), rows, left=(0, 1))


def _agreement(study: StudyAdmin) -> None:
    ratings = study.ratings()
    if not len(ratings.where(kind="system")):
        st.info("Nobody has rated anything yet.")
        return
    rows = []
    for aspect, panel in panels(ratings).items():
        alpha = panel_alpha(panel, draws=ALPHA_DRAWS)
        rows.append((aspect, shown(alpha), int(panel.rated.sum()), alpha.reason))
    heads = ("Aspect", "Ordinal alpha, 95 % interval", "Ratings", "Why there is none")
    table("Agreement", heads, rows, left=(0, 1, 3))
    st.markdown("Krippendorff's alpha on ordinal distances; the interval is from a bootstrap over items.")


def shown(estimate: Estimate) -> str:
    """An estimate with its interval."""
    if estimate.value is None:
        return "\N{EN DASH}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _invite(study: StudyAdmin) -> None:
    with st.form("invite", width=640):
        left, middle, right = st.columns(3)
        uses = left.number_input("People", 1, 10_000, 1)
        days = middle.number_input("Days", 1, 365, 30)
        note = right.text_input("Note", max_chars=80)
        if not st.form_submit_button("Make an invitation link"):
            return
    token = study.invite(uses=int(uses), lasts=timedelta(days=int(days)), note=note, by=name())
    base = (st.context.url or "").split("/admin")[0].rstrip("/")
    st.write("Copy the link now; the study keeps only its hash.")
    st.code(f"{base}/?invite={token}", language=None, wrap_lines=True)


def _invitations(study: StudyAdmin) -> None:
    found = study.invites()
    rows = [
        (
            each.id[:8],
            "taken back" if each.revoked else f"{each.uses} of {each.max_uses} used",
            f"{each.expires_at:%Y-%m-%d}",
            each.annotator or each.role,
            each.note,
        )
        for each in found
    ]
    table("Invitations", ("Invitation", "Use", "Good until", "For", "Note"), rows, left=range(5))
    open_ones = [each.id for each in found if not each.revoked]
    if open_ones:
        with st.form("revoke", width=520):
            chosen = st.selectbox("Invitation", open_ones, format_func=lambda each: each[:8])
            if st.form_submit_button("Take back") and chosen:
                study.revoke(chosen, by=name())
                st.rerun()
