"""Streamlit components of the app: the rating screen, the one that stores the seat's cookie, and the page's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

URLS = {"outbox": "/api/outbox", "next": "/api/next", "image": "/api/image/", "done": "/done"}

_SCRIPTS = ("dom", "outbox", "draft", "keys", "scales", "form", "picture", "dialogs", "rate")
"""Parts of the rating screen's one module, in the order in which they need each other."""


@cache
def _file(name: str) -> str:
    return files("annotation_ui").joinpath("component", name).read_text(encoding="utf-8")


_rate = st.components.v2.component(
    "seetell_rate", html=_file("rate.html"), css=_file("rate.css"), js="\n".join(_file(f"{name}.js") for name in _SCRIPTS)
)
_keep = st.components.v2.component("seetell_keep", html="<span></span>", js=_file("keep.js"))
_lang = st.components.v2.component("seetell_lang", html="<span></span>", js=_file("lang.js"))


def rate(data: Mapping[str, Any], on_outbox: Callable[[], None], on_more: Callable[[], None]) -> None:
    """The rating screen. What it needs is in `data`; finished forms may come by its trigger `outbox`."""
    _rate(key="rate", data=dict(data), on_outbox_change=on_outbox, on_more_change=on_more)


def keep(key: str, attempt: int, on_answered: Callable[[], None]) -> None:
    """Have the browser remember a seat. `st.session_state["keep"].answered` says `kept` or `failed`."""
    data = {"id": f"{key[:6]}:{attempt}", "url": "/api/seat", "key": key, "check": URLS["next"]}
    _keep(key="keep", data=data, on_answered_change=on_answered)


def leave(on_answered: Callable[[], None]) -> None:
    """Have the browser forget its seat."""
    _keep(key="leave", data={"id": "leave", "url": "/api/leave", "key": ""}, on_answered_change=on_answered)


def lang(code: str) -> None:
    """Tell the browser in which language the page speaks."""
    _lang(key="lang", data={"lang": code})
