"""Names of the site's files: whatever a suite or a label is called, the name is safe on every system and in every address."""

from __future__ import annotations

import hashlib
import re

from harness.leaderboard.frame import Row

_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}")


def file_name(text: str) -> str:
    """The text itself where it may be a file's name, as the slugs of suites may; else a hash of it."""
    if _SAFE.fullmatch(text) and not text.endswith("."):
        return text
    return "x-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def run_page(row: Row) -> str:
    """The page of a run."""
    return f"runs/{file_name(f'{row.suite}-{row.decoder}-{row.identity}')}.html"


def anchor(suite: str) -> str:
    """Where a suite stands on the pages that show several: `index.html#suite-toybox-plain`."""
    return f"suite-{file_name(suite)}"


def examples_page(suite: str) -> str:
    """The page of a suite's examples."""
    return f"examples/{file_name(suite)}.html"
