"""Where SeeTell keeps what is not a result: its cache, and the data and models that were fetched."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$SEETELL_CACHE`, or `seetell` in the user's cache folder."""
    if named := os.environ.get("SEETELL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seetell"


def data_folder() -> Path:
    """`$SEETELL_DATA`, or `data` in the cache folder: what `seetell prefetch` fills and packaged suites read."""
    named = os.environ.get("SEETELL_DATA")
    return (Path(named).expanduser() if named else cache_folder() / "data").absolute()
