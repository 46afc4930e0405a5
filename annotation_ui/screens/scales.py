"""The scales as ordinary form fields: for practice, for changing an answer, and for rating without the screen of keys."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from harness.study.rating.views import Protocol


def ask(protocol: Protocol, key: str, given: Mapping[str, int] | None = None) -> dict[str, int | None]:
    """One row of values an aspect, inside a form; nothing is chosen beforehand unless it was `given` earlier."""
    answers: dict[str, int | None] = {}
    for aspect in protocol.aspects:
        meanings = {anchor.value: anchor.text for anchor in aspect.anchors}
        before = (given or {}).get(aspect.code)
        answers[aspect.code] = st.radio(
            aspect.label,
            (1, 2, 3, 4, 5),
            index=None if before is None else before - 1,
            horizontal=True,
            help=aspect.definition + "\n\n" + "\n".join(f"- {value}: {text}" for value, text in meanings.items()),
            key=f"{key}:{aspect.code}",
        )
    return answers


def complete(answers: Mapping[str, int | None]) -> dict[str, int] | None:
    """The values if every aspect has one."""
    values = {code: value for code, value in answers.items() if value is not None}
    return values if len(values) == len(answers) else None
