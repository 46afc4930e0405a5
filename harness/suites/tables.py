"""A suite's TOML as a table: read, joined with the suites it extends, and changed by `--set`, before anything is checked.

`extends = "mscoco"` (a packaged suite, or the path of a file) starts from another suite's tables. Tables are merged key by
key; lists and values are replaced; `captions = false` or, under `[decoders]`, `greedy = false` takes a table away. A table that
names another plug-in than before takes the old one's place, since the options of one mean nothing to another.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import SuiteError, did_you_mean
from harness.suites.places import data_folder
from harness.suites.settings import Setting, canonical, parse_settings

DATA_VARIABLE = "$SEETELL_DATA"
"""Stands in a suite for the folder that `seetell prefetch` fills."""

_PLUGINS = ("dataset", "decoder", "metric")
_WITH_PATHS = ("data", "captions", "images", "models", "metrics", "sweep")

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SuiteTable:
    """What a suite's file says, with everything it extends."""

    content: Table
    where: str
    """How messages call it."""
    folder: Path
    """Where relative paths start."""
    settings: tuple[str, ...] = ()
    """What `--set` changed, in a form that is the same however it was written."""


def packaged_suites() -> list[str]:
    """Names of the suites that ship with SeeTell."""
    folder = resources.files("harness") / "suites"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def find_suite(name: str) -> tuple[bytes, str, Path]:
    """The bytes of a suite's file, how messages call it, and the folder that relative paths start from.

    Args:
        name: a path to a TOML file, or the name of a packaged suite.

    Raises:
        SuiteError: there is neither.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            known = ", ".join(packaged_suites())
            raise SuiteError(f"there is no suite file {name}; give the path of a TOML file or one of: {known}")
        return path.read_bytes(), str(path), path.resolve().parent
    packaged = resources.files("harness") / "suites" / f"{name}.toml"
    if not packaged.is_file():
        raise SuiteError(f"there is no suite {name!r}{did_you_mean(name, packaged_suites())}; or give the path of a TOML file")
    return packaged.read_bytes(), f"suite {name}", Path.cwd()


def suite_table(content: bytes, where: str, folder: Path, settings: Sequence[str] = ()) -> SuiteTable:
    """Read a suite's bytes into one table.

    Args:
        content: the file.
        where: how messages call it.
        folder: where its relative paths start, those in what it extends included.
        settings: as for `--set`.

    Raises:
        SuiteError: not TOML, a suite that extends itself, or settings that lead nowhere.
    """
    table = _extended(_read(content, where), where, folder, [])
    changes: Sequence[Setting] = parse_settings(settings, table, where) if settings else ()
    over: Table = {}
    for setting in changes:
        setting.apply(over)
    return SuiteTable(_located(merged(table, over)), where, folder, canonical(changes))


def merged(base: Mapping[str, Any], over: Mapping[str, Any], label: str = "") -> Table:
    """Two tables as one; see the module's docstring for the rules. Neither is changed.

    Args:
        base: what is extended.
        over: what is said in addition, or instead.
        label: the name of the table, which stands for a plug-in that it does not name.
    """
    if any(key in over and over[key] != base.get(key, label) for key in _PLUGINS):
        return copy.deepcopy(dict(over))
    table: Table = copy.deepcopy(dict(base))
    for key, value in over.items():
        before = table.get(key)
        if isinstance(before, Mapping) and value is False:
            del table[key]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            table[key] = merged(before, value, key)
        else:
            table[key] = copy.deepcopy(value)
    return table


def _extended(table: Table, where: str, folder: Path, path: list[str]) -> Table:
    parent = table.pop("extends", None)
    if parent is None:
        return table
    if not isinstance(parent, str):
        raise SuiteError(f"{where}: extends = {parent!r}; expected the name of a packaged suite or the path of a file")
    inside = folder / parent
    name = str(inside.resolve()) if parent.endswith(".toml") or inside.is_file() else parent
    if name in path:
        raise SuiteError(f"{where}: suites extend each other in a circle: {' -> '.join([*path, name])}; break it")
    content, place, start = find_suite(name)
    return merged(_extended(_read(content, place), place, start, [*path, name]), table)


def _read(content: bytes, where: str) -> Table:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, not UTF-8, or a number of thousands of digits
        raise SuiteError(f"{where} is not TOML: {str(error)[:300]}") from error


def _located(table: Table) -> Table:
    """The table with the data folder's path in place of its name."""
    return {key: _in_place(value) if key in _WITH_PATHS else value for key, value in table.items()}


def _in_place(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(DATA_VARIABLE, str(data_folder())) if DATA_VARIABLE in value else value
    if isinstance(value, Mapping):
        return {key: _in_place(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_place(item) for item in value]
    return value
