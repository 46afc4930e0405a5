"""The one study that this process serves; pages and routes share it, since they run in threads of one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.study.service import StudyService

RESULTS = Path("results")


@dataclass(frozen=True, slots=True)
class Opened:
    """A study that is being served."""

    where: str
    """Its folder, file or URL: never shown to a browser."""
    service: StudyService
    results: Path
    """Folder of results, where the runs of its systems are."""
    cookie: str
    """Name of the cookie that holds a browser's seat; studies on one host have different ones."""


_opened: Opened | None = None


def open_study(where: str, results: Path = RESULTS) -> Opened:
    """Open the study that this process serves; a second call replaces it.

    Raises:
        StudyError: there is none, or its layout is another one.
    """
    global _opened
    service = StudyService.open(where)
    _opened = Opened(where, service, results, f"seetell_seat_{service.protocol().study}")
    return _opened


def opened() -> Opened:
    """The study that this process serves."""
    if _opened is None:
        raise RuntimeError("no study is open; start the app with `seetell annotate STUDY`")
    return _opened
