"""What the verbs of `seetell study` share: finding a study by its name, signing, and words for a terminal."""

from __future__ import annotations

import contextlib
import getpass
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from harness.errors import StudyError

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.study.admin import StudyAdmin

Name = Annotated[str, Parameter(help="The study.")]
By = Annotated[str, Parameter(help="Who does it, for the audit chain; your user name by default.")]
AppUrl = Annotated[str, Parameter(help="Where annotators will find the app; only for the printed link.")]
APP_URL = "http://localhost:8501"


@contextlib.contextmanager
def opened(name: str, results: Path) -> Iterator[StudyAdmin]:
    """A study by whatever names it, closed afterwards."""
    needs_sqlalchemy()
    from harness.study.admin import StudyAdmin

    study = StudyAdmin.open(find(name, results))
    try:
        yield study
    finally:
        study.close()


def find(name: str, results: Path) -> str | Path:
    """A study by its name, its folder or file, or its URL."""
    if "://" in name:
        return name
    folder = results / "studies" / name
    return folder if folder.exists() or not Path(name).exists() else Path(name)


def folder_of(name: str, results: Path) -> Path:
    """Where files that belong to a study go."""
    where = find(name, results)
    if isinstance(where, str):
        return Path()
    return where.parent if where.is_file() else where


def needs_sqlalchemy() -> None:
    """Say what to install, before an import fails.

    Raises:
        StudyError: what keeps studies is not installed.
    """
    try:
        import alembic  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as error:
        raise StudyError(
            f"studies are kept in a database, and {error.name} is not installed; pip install 'seetell[ui]'"
        ) from error


def link_to(url: str, token: str) -> str:
    """What an invited person opens."""
    return f"{url.rstrip('/')}/?invite={token}"


def signed(by: str) -> str:
    """Who does it, for the audit chain: the user who is logged in, unless another name is given."""
    if by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "admin"


def hours(seconds: float) -> str:
    """A time as people plan it."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{math.ceil(seconds / 60)} min"


def plain(content: Any) -> Any:
    """What JSON can hold: times as text, NaN as null."""
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(item) for item in content]
    if isinstance(content, datetime):
        return content.isoformat()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
