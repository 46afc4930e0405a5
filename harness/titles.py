"""A story's title as a query for images: without what is not meant for the reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

Cleaner = Literal["proper", "as-published"]

END = "<|endoftext|>"
_TAG = re.compile(r"\[[^\[\]]{0,5}\]")
"""A short tag in brackets, such as the `[ WP ]` of writing prompts: six places from bracket to bracket at most."""


def proper(title: str) -> str:
    """The end token removed as the string it is, short bracketed tags removed, white space collapsed."""
    return " ".join(_TAG.sub(" ", title.replace(END, " ")).split())


def as_published(title: str) -> str:
    """As the published story pipeline did it, to reproduce its queries.

    It stripped the *characters* of the end token from both ends, so a title in small letters loses its first letters if they
    are among `e n d o f t x` ("fishing" becomes "ishing"); only the first tag goes.
    """
    text = title if END in title else f"{title} {END}"
    text = text.strip(END)
    left, right = text.find("["), text.find("]")
    if left >= 0 and 0 < right - left <= 6:
        text = text[:left] + text[right + 1 :]
    return " ".join(text.split())


CLEANERS: Mapping[Cleaner, Callable[[str], str]] = {"proper": proper, "as-published": as_published}
