"""Message catalogues: the same keys and placeholders everywhere, and the language that was wished for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import annotation_ui
from annotation_ui import language
from harness.study.views import SKIP_REASONS

SOURCES = sorted(Path(annotation_ui.__file__).parent.rglob("*.py"))


def leaves(table: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(table, dict):
        for key, value in table.items():
            yield from leaves(value, f"{name}.{key}")
    elif isinstance(table, list):
        for index, value in enumerate(table):
            yield from leaves(value, f"{name}.{index}")
    else:
        yield name, table


@pytest.mark.parametrize("code", [code for code in language.languages() if code != language.DEFAULT])
def test_every_language_says_everything(code: str) -> None:
    ours, theirs = dict(leaves(language.catalogue(language.DEFAULT))), dict(leaves(language.catalogue(code)))
    assert theirs.keys() == ours.keys()
    for name, text in ours.items():
        assert sorted(re.findall(r"\{\d\}", theirs[name])) == sorted(re.findall(r"\{\d\}", text)), name
        assert theirs[name].strip(), name
    assert sum(theirs[name] != text for name, text in ours.items()) > 0.8 * len(ours)


def test_every_message_that_is_asked_for_exists_and_none_is_idle() -> None:
    known = dict(leaves(language.catalogue(language.DEFAULT)))
    asked = {key for file in SOURCES for key in re.findall(r'say\(f?"([a-z_]+\.[^"{]+)"', file.read_text())}
    assert asked
    for key in asked:
        assert f".{key}" in known, key
    parts = (Path(annotation_ui.__file__).parent / "component").glob("*.js")
    screen = "\n".join(part.read_text() for part in parts)
    for word in set(re.findall(r"words\.([a-z_]+)", screen)) - {"lang", "keys"}:
        assert f".rate.{word}" in known, word
    for reason in SKIP_REASONS:
        assert f".rate.reason_{reason}" in known
    for reason in ("unknown", "expired", "revoked", "used-up", "name-missing", "name-taken", "closed"):
        assert f".join.refused_{reason}" in known
    for message in ("finished", "paused", "frozen", "withdrawn", "training", "wait", "reserved"):
        assert f".rate.end_{message}" in known


@pytest.mark.parametrize(
    ("wishes", "spoken"),
    [
        (("de-AT",), "de"),
        (("de_CH",), "de"),
        ((None, "fr", "de"), "de"),
        (("xx",), "en"),
        ((), "en"),
        (("en-GB", "de"), "en"),
    ],
)
def test_the_first_wish_that_can_be_met_is_met(wishes: tuple[str | None, ...], spoken: str) -> None:
    assert language.best(*wishes) == spoken
