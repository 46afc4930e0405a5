"""Values and tables written as TOML; what a suite and a lock file are made of, no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.suites.settings import toml_key


def to_toml(table: Mapping[str, Any]) -> str:
    """A document: plain values first, then tables, then arrays of tables.

    Args:
        table: text, numbers, true and false, lists of these, tables, and lists of tables; None, which TOML does not know, is
            left out.
    """
    return "\n\n".join(_blocks(table, ())) + "\n"


def toml_value(value: Any) -> str:
    """One value, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON escapes what TOML does, except this one.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inside = [f"{toml_key(str(key))} = {toml_value(item)}" for key, item in value.items() if item is not None]
        return f"{{ {', '.join(inside)} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(toml_value(item) for item in value if item is not None) + "]"
    raise TypeError(f"{value!r} cannot be written as TOML")


def _blocks(table: Mapping[str, Any], path: tuple[str, ...], brackets: str = "[]") -> list[str]:
    """The table's own lines under its header, then the blocks of the tables inside it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and not _tables(value)}
    lines = [f"{toml_key(key)} = {toml_value(value)}" for key, value in plain.items() if value is not None]
    half = len(brackets) // 2
    head = [brackets[:half] + ".".join(map(toml_key, path)) + brackets[half:]] if path else []
    # A table that holds nothing but tables needs no header of its own; an empty one and one of an array does.
    blocks = ["\n".join(head + lines)] if lines or (path and len(plain) == len(table)) or half == 2 else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            blocks += _blocks(value, (*path, key))
        elif _tables(value):
            for item in value:
                blocks += _blocks(item, (*path, key), "[[]]")
    return blocks


def _tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)
