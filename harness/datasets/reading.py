"""Reading annotation files: JSON and plain text, with errors that name the file and what was expected in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import DataError


def read_json(path: Path, expected: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        expected: what should be in it, for messages.

    Raises:
        DataError: missing, not UTF-8, not JSON, or nested beyond reason.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(missing_file(path, expected)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}; expected {expected}. Fetch it again") from error


def read_text(path: Path, expected: str) -> str:
    """The content of a text file in UTF-8, without a byte order mark.

    Raises:
        DataError: missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(missing_file(path, expected)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}; expected {expected}") from error


def missing_file(path: Path, expected: str) -> str:
    """The sentence about a file that is not there."""
    return (
        f"there is no {path}; expected {expected}. Put it there, or change the path in the suite: `seetell data check SUITE` "
        "says how to get the data"
    )


def texts(value: Any, where: str) -> tuple[str, ...]:
    """References as a tuple of texts, or a `DataError` that names the place."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(f"{where}: references are {str(value)[:60]!r}; expected a list of texts")
    return tuple(value)
