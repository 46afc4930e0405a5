"""Values and tables written as TOML; what a suite and a lock file are made of, no more."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def to_toml(table: Mapping[str, Any]) -> str:
    """A document: plain values first, then tables, then arrays of tables.

    Args:
        table: text, numbers, true and false, lists of these, tables, and lists of tables.
    """
    return "\n\n".join(_blocks(table, ())) + "\n"


def toml_value(value: Any) -> str:
    """One value, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    raise TypeError(f"{value!r} has no place in TOML")


def toml_key(key: str) -> str:
    """A key, quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def _blocks(table: Mapping[str, Any], path: tuple[str, ...], brackets: str = "[]") -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and not _tables(value)}
    lines = [f"{toml_key(key)} = {toml_value(value)}" for key, value in plain.items()]
    half = len(brackets) // 2
    head = [brackets[:half] + ".".join(map(toml_key, path)) + brackets[half:]] if path else []
    found = ["\n".join(head + lines)] if lines or (path and not table) or half == 2 else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _blocks(value, (*path, key))
        elif _tables(value):
            for each in value:
                found += _blocks(each, (*path, key), "[[]]")
    return found


def _tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, Mapping) for each in value)
