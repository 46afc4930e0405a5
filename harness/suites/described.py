"""What the keys of a section, a decoder, a metric or a data set mean, from the models that check them and their docstrings."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORDS: Mapping[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
_BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a table of a suite may have."""

    name: str
    values: str
    """Which values it takes, such as `number, at least 0`."""
    default: str
    """As TOML has it; empty where the key has to be given, `none` where leaving it out means something of its own."""
    meaning: str
    """Empty where nothing is written about it."""


def keys_of(model: type[BaseModel]) -> list[Key]:
    """The keys of a model in their order, those of what it derives from first."""
    meanings = _meanings(model)
    return [
        Key(name, _values(field), _default(field), meanings.get(name, ""))
        for name, field in model.model_fields.items()
        if name not in ("options", "folder", "settings")
    ]


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field, as Python's grammar has no place for it that is kept when the program runs."""
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (issubclass(base, BaseModel) and base is not BaseModel):
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):  # a class that was made in a console has no file
            continue
        body = ast.parse(inspect.cleandoc("if True:\n" + source) if source[:1].isspace() else source).body[0]
        lines = getattr(body, "body", [])
        for field, text in pairwise(lines):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                meanings[field.target.id] = " ".join(str(text.value.value).split())
    return meanings


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{word} {getattr(rule, name):g}"
        for name, word in _BOUNDS
        for rule in field.metadata
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(kind) for kind in inner if kind is not NoneType))
    if origin is tuple:
        return f"list of {_kind(inner[0])}s"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is not None and hasattr(origin, "keys"):
        return "table"
    return _kind(inner[0]) if inner else "table"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}) or isinstance(value, BaseModel):
        return "none"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
