"""How to make a run again: the command, and the suite as a file where no packaged one says the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from harness.decode.imported.keep import IMPORTED
from harness.decode.plan import labels
from harness.errors import SeeTellError
from harness.suites.settings import as_flags
from harness.suites.spec import RunSpec, Suite, packaged_suites

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MODEL_SAYS = ("data", "images", "models", "captions", "text", "run")


def command(spec: RunSpec, suite: Suite) -> str:
    """What a user types to get the same texts.

    Args:
        spec: of the run.
        suite: as it was when the run was made.

    Returns:
        `seetell run SUITE --only LABEL`; SUITE is a file, that of `suite_toml`, unless a packaged suite asks for the same. Empty
        for outputs that another system made.
    """
    if spec.decoder == IMPORTED:
        return ""
    name = suite.name if _is_packaged(spec, suite) else f"{suite.name}.toml"
    flags = as_flags(suite.settings_of(spec.label)) if name == suite.name else ""  # the file has them in it
    return shlex.join(["seetell", "run", name, "--only", spec.label]) + flags


def needs_file(spec: RunSpec, suite: Suite) -> bool:
    """Whether the command names a file, because no packaged suite asks for the same."""
    return spec.decoder != IMPORTED and not _is_packaged(spec, suite)


def _is_packaged(spec: RunSpec, suite: Suite) -> bool:
    if suite.name not in packaged_suites():
        return False
    try:
        packaged = Suite.load(suite.name, [each.removeprefix("decoders.") for each in suite.settings])
    except SeeTellError:
        return False
    one, other = suite.document(), packaged.document()
    same = all(one[key] == other[key] for key in _MODEL_SAYS)
    mine, theirs = labels(suite).get(spec.label), labels(packaged).get(spec.label)
    return same and mine is not None and mine == theirs


def suite_toml(suite: Suite, label: str) -> str:
    """A suite with one of its decoders as the TOML that people write; relative paths start at the folder of the file."""
    content = suite.document()
    for key in ("folder", "settings", "sweep"):  # settings are in the tables already; a sweep is another experiment
        content.pop(key)
    decoders = {name: ref for name, ref in content.pop("decoders").items() if name == label}
    metrics = content.pop("metrics")
    # A suite has to name a decoder; the constant one joins by itself and is not written in it.
    decoders = decoders or {label: {}}
    plain = {key: value for key, value in content.items() if not isinstance(value, Mapping) and value is not None}
    tables = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    tables |= {f"decoders.{_key(name)}": ref for name, ref in decoders.items()}
    tables |= {f"metrics.{_key(name)}": ref for name, ref in metrics.items()}
    parts = ["".join(f"{_key(key)} = {_value(value)}\n" for key, value in plain.items())]
    for name, table in tables.items():
        flat = {key: value for key, value in table.items() if key != "options"} | dict(table.get("options", {}))
        said = {key: value for key, value in flat.items() if value is not None and value != ""}
        parts.append(f"[{name}]\n" + "".join(f"{_key(key)} = {_value(value)}\n" for key, value in said.items()))
    return "\n".join(parts)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """A JSON value in TOML's spelling; None, which TOML does not know, is left out of tables and lists."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(key))} = {_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value if each is not None) + "]"
    # JSON escapes what TOML does, except this one.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
