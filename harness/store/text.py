"""Untrusted text on its way into a document: what a decoder wrote must never become markup, a formula or a trick of layout."""

from __future__ import annotations

import json
import re
from typing import Any

_BREAKS = re.compile(r"[\s\x85\u2028\u2029]+")


_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


# Marks, embeddings, overrides and isolates reorder what stands around them (Unicode Standard Annex 9).
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!$^])")


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def printable(text: str) -> str:
    """The text with what no document may hold (control characters, lone surrogates) replaced by U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Printable text on one line, in reading order: line breaks become spaces, direction controls U+FFFD."""
    return _BIDI.sub("\ufffd", printable(_BREAKS.sub(" ", text))).strip()


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a table cell too: no HTML, no links, no emphasis, no code, no entities."""
    escaped = _MARKUP.sub(r"\\\1", one_line(text).replace("&", "&amp;"))
    # GitHub makes links of bare addresses and mentions without being asked.
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def csv_text(text: str) -> str:
    """A text field that no spreadsheet takes for a formula: such a start gets an apostrophe before it (OWASP's rule).

    Line breaks become spaces, so that a record stays one line for readers that do not know about quotes.
    """
    safe = printable(_BREAKS.sub(" ", text))
    return f"'{safe}" if safe.lstrip(" ").startswith(_FORMULA) else safe


def to_json(content: Any) -> str:
    """A JSON document, readable and with NaN refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace").decode()
