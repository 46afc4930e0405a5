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


Rule = Literal["splitter", "as-published"]


_TITLES = re.compile(r"(?:^|[\s\"'“‘(])(?:Mr|Mrs|Ms|Dr|Prof|St|Rev|Sgt|Capt|Lt|Col|Gen|Mt|Jr|Sr|No|vs)\.\s*$")
"""A piece that ends so goes on: what follows is a name, even one that could begin a sentence ("Dr. Who")."""


_BEHIND_BRACKET = re.compile(r"(?<=[.!?][)\]])\s+(?=[A-Z\"“‘'])")
"""Where a sentence in brackets ends another begins."""


def sentences(text: str) -> list[str]:
    """The sentences of an English text, in order; joined they are the text again, white space and all.

    The splitter of Wikipedia's translators (sentencex), which knows abbreviations, quotes and `...`; two of its slips are mended
    (titles before names, brackets).
    """
    import sentencex

    pieces: list[str] = []
    for piece in sentencex.segment("en", text):
        if pieces and (not piece.strip() or _TITLES.search(pieces[-1])):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return [part for piece in pieces for part in _apart(piece)]


def cut(text: str, most: int) -> str:
    """The first sentences of a text, by `sentences`; a text that has no more is only stripped of white space."""
    return "".join(sentences(text)[:most]).strip()


def cut_as_published(text: str, most: int) -> str:
    """As the published stories were cut: by dots alone.

    `!` and `?` end no sentence, while dots of abbreviations and `...` do. More pieces than wanted: the first ones, dots at both
    ends stripped, one dot added. Otherwise the final dots are lost, so short stories end without.
    """
    pieces = text.split(".")
    if len(pieces) > most:
        return ".".join(pieces[:most]).strip(".") + "."
    return ".".join(pieces).rstrip(".")


RULES: Mapping[Rule, Callable[[str, int], str]] = {"splitter": cut, "as-published": cut_as_published}


def _apart(piece: str) -> list[str]:
    """A piece cut behind closing brackets."""
    parts, start = [], 0
    for match in _BEHIND_BRACKET.finditer(piece):
        parts.append(piece[start : match.end()])
        start = match.end()
    return [*parts, piece[start:]]
