"""`--set magic.beta=1.5`: one value of a suite changed on the command line.

A setting is a place in the suite's TOML and a value written as in TOML. What it changes is part of a run's identity, so runs
with and without it are in folders of their own; `settings_of` says which settings bear on a run, so that tables can keep them
apart too.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import SuiteError, did_you_mean

SECTIONS = ("data", "captions", "images", "models", "text", "run")
"""Tables of a suite whose values can be set, beside its decoders."""
_ADDED = "constant"
"""The decoder that the harness adds to captioning suites."""
_SPEED_ONLY = "run.batch_size="


@dataclass(frozen=True, slots=True)
class Setting:
    """One change of a suite."""

    path: tuple[str, ...]
    """Keys from the top of the TOML down."""
    value: Any

    def apply(self, table: dict[str, Any]) -> None:
        """Put the value in its place, in the table itself."""
        section = table
        for key in self.path[:-1]:
            section = section.setdefault(key, {})
        section[self.path[-1]] = self.value

    def __str__(self) -> str:
        return ".".join(map(toml_key, self.path)) + "=" + json.dumps(self.value, sort_keys=True, default=str)


def parse_settings(texts: Sequence[str], table: Mapping[str, Any], where: str) -> list[Setting]:
    """Settings as written on the command line, the last one for a place winning.

    Args:
        texts: `LABEL.KEY=VALUE` for a decoder's label, or `SECTION.KEY=VALUE`.
        table: the suite's TOML.
        where: how messages call the suite.

    Raises:
        SuiteError: no value, a place that the suite does not have, or a value inside another value.
    """
    settings: dict[tuple[str, ...], Setting] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SuiteError(f"--set {text}: expected a place and a value, as in --set magic.beta=1.5")
        path = _path(key.strip(), text, table, where)
        settings[path] = Setting(path, parse_value(value.strip()))
    for path in settings:
        if above := next((settings[path[:end]] for end in range(1, len(path)) if path[:end] in settings), None):
            raise SuiteError(f"--set {settings[path]} is inside --set {above}, which is one value; leave one of them out")
    return [settings[path] for path in sorted(settings)]


def canonical(settings: Iterable[Setting]) -> tuple[str, ...]:
    """Settings as text that is the same however they were written and ordered."""
    return tuple(sorted(str(setting) for setting in settings))


def settings_of(settings: Iterable[str], label: str) -> tuple[str, ...]:
    """Those of a suite's settings that bear on what one of its decoders says."""
    own = f"decoders.{toml_key(label)}."
    return tuple(
        setting for setting in settings if setting.startswith(own) or not setting.startswith(("decoders.", "sweep.", _SPEED_ONLY))
    )


def as_flags(settings: Iterable[str]) -> str:
    """Settings as they would be typed, with a space before; nothing for none."""
    written = (setting.removeprefix("decoders.").replace("'", "'\\''") for setting in settings)
    return "".join(f" --set '{setting}'" for setting in written)


def parse_value(text: str) -> Any:
    """A value written as in TOML; what is not TOML is taken for a text without its quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if list(table) == ["value"] else text


def _path(key: str, text: str, table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    labels = [*table.get("decoders", {}), _ADDED]
    rest = key.removeprefix("decoders.")
    # A label may have a dot in it, so the longest that fits is meant.
    label = max((label for label in labels if rest.startswith(f"{label}.")), key=len, default=None)
    first, _, inside = key.partition(".")
    if label is not None and (rest != key or first not in SECTIONS) and rest != f"{label}.":
        return ("decoders", label, rest[len(label) + 1 :])
    if first in SECTIONS and inside and all(inside.split(".")):
        return (first, *inside.split("."))
    if first == "metrics" or first in table.get("metrics", {}):
        raise SuiteError(
            f"--set {text}: metrics are no part of a run; write a suite with extends, in which the metric has other options"
        )
    if not inside or not all(inside.split(".")):
        raise SuiteError(f"--set {text}: {key!r} names no key inside a table; expected one as in --set magic.beta=1.5")
    raise SuiteError(f"--set {text}: {where} has no decoder and no table {first!r}{did_you_mean(first, [*labels, *SECTIONS])}")


def toml_key(key: str) -> str:
    """A key as TOML writes it, quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
