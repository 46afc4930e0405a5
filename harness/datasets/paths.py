"""Where files lie: patterns of names, and names that must not lead out of their folder or archive."""

from __future__ import annotations

import itertools
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from harness.errors import DataError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
LARGEST_RANGE = 100_000
"""Names that one pair of braces may stand for."""


def safe_name(name: str, owner: object) -> str:
    """A name that stays inside its owner, with forward slashes and without `./`.

    Args:
        name: as it is in an archive or an annotation file; nobody vouches for it.
        owner: what it is a name in, for messages.

    Raises:
        DataError: an absolute path, a drive, a way up, or what no file can be called.
    """
    if not is_text(name) or "\0" in name:
        raise DataError(f"{owner} names the image {name!r}; expected a name that a file can have. Correct the name")
    windows = PureWindowsPath(name)
    if not name or windows.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise DataError(
            f"{owner} names the image {name!r}, which leads out of its folder; expected a relative name without '..'. Do not "
            "trust this file, or correct the name"
        )
    return str(PurePosixPath(windows.as_posix()))


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8; one with half of a surrogate pair in it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def expand_braces(pattern: str) -> list[str]:
    """`shard-{000..002}.tar` is three names, `{train,val}.zip` two; zeros in front are kept.

    Raises:
        DataError: a range that goes backwards or is too long.
    """
    pieces: list[list[str]] = []
    end = 0
    for match in _BRACES.finditer(pattern):
        inside = match.group(1)
        counted = _RANGE.fullmatch(inside)
        if not counted and "," not in inside:
            continue  # a name that has braces in it
        pieces += [
            [pattern[end : match.start()]],
            _numbers(counted.group(1), counted.group(2), pattern) if counted else inside.split(","),
        ]
        end = match.end()
    pieces.append([pattern[end:]])
    return ["".join(parts) for parts in itertools.product(*pieces)]


def _numbers(first: str, last: str, pattern: str) -> list[str]:
    start, stop = int(first), int(last)
    if not 0 <= stop - start < LARGEST_RANGE:
        raise DataError(
            f"the pattern {pattern!r} counts from {first} to {last}; expected a range that goes up, of at most {LARGEST_RANGE:,}"
        )
    return [str(number).zfill(len(first)) for number in range(start, stop + 1)]


def find_paths(folder: Path, pattern: Path | str) -> tuple[list[Path], list[Path]]:
    """The paths that a pattern stands for: braces as in a shell, then `*`, `?` and `[...]`.

    Returns:
        The existing paths, in order, and the missing ones; a `*` that matches nothing counts as missing.
    """
    matched: list[Path] = []
    missing: list[Path] = []
    for name in expand_braces(str(pattern)):
        path = folder / name
        if path.exists():
            matched.append(path)
            continue
        matches = sorted(path.parent.glob(path.name)) if any(sign in path.name for sign in "*?[") else []
        matched += matches
        missing += [] if matches else [path]
    return matched, missing


def all_paths(folder: Path, patterns: Path | str | tuple[Path | str, ...], noun: str) -> list[Path]:
    """The paths that patterns stand for, all of which must exist.

    Raises:
        DataError: the first one that is not, and how many more.
    """
    paths: list[Path] = []
    lost: list[Path] = []
    for pattern in patterns if isinstance(patterns, tuple) else (patterns,):
        matched, missing = find_paths(folder, pattern)
        paths += matched
        lost += missing
    if lost:
        remainder = f" and {len(lost) - 1} more of {len(paths) + len(lost)}" if len(lost) > 1 else ""
        raise DataError(
            f"{noun}: there is no {lost[0]}{remainder}; put it there or change the path in the suite. `seetell data check SUITE` "
            "says how to get the data"
        )
    return paths
