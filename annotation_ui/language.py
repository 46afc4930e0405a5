"""Messages of the screens: one catalogue a language, all with the same keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULT = "en"


@cache
def languages() -> tuple[str, ...]:
    """Codes of the languages there are; English first."""
    codes = sorted(entry.name.removesuffix(".toml") for entry in files("annotation_ui").joinpath("messages").iterdir())
    return (DEFAULT, *(code for code in codes if code != DEFAULT))


@cache
def catalogue(language: str) -> Mapping[str, Any]:
    """All messages of a language, as in its file."""
    text = files("annotation_ui").joinpath("messages", f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def best(*wishes: str | None) -> str:
    """The language of the first wish that there is one for: `de-AT` is served by `de`. English if none is."""
    for wish in wishes:
        code = (wish or "").replace("_", "-").split("-")[0].lower()
        if code in languages():
            return code
    return DEFAULT


def message(language: str, key: str, *values: object) -> str:
    """One message, `table.key`, with `{0}`, `{1}`, ... filled in."""
    table, _, name = key.partition(".")
    text = str(catalogue(language)[table][name])
    for index, value in enumerate(values):
        text = text.replace(f"{{{index}}}", str(value))
    return text
