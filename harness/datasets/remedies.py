"""How to get what is missing: the steps for the files of the published experiments, packaged as data."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any


def steps_for(path: Path, key: str, how: str = "") -> tuple[str, ...]:
    """The steps that put a file where a suite expects it.

    Args:
        path: where it is expected.
        key: the option that names it, such as `images`.
        how: what the suite itself says; it goes before what is packaged.
    """
    if how:
        return (*(line.strip() for line in how.strip().splitlines()), f"put it at {path}")
    name = path.name.lower()
    for entry in _known():
        if any(fnmatch(name, pattern.lower()) for pattern in entry["names"]):
            return tuple(step.replace("{path}", str(path)) for step in entry["steps"])
    return (f"put it at {path}, or change `{key}` in the suite",)


@lru_cache(maxsize=1)
def _known() -> list[dict[str, Any]]:
    text = (resources.files("harness") / "datasets" / "remedies.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["missing"])
