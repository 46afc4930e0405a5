"""How to make a run again: the command, and the suite as a file where no packaged one says the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from harness.decode.imported.keep import IMPORTED
from harness.decode.plan import labels
from harness.errors import SeeTellError
from harness.store.toml import to_toml
from harness.suites.settings import as_flags
from harness.suites.spec import RunSpec, Suite, packaged_suites

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
        packaged = Suite.load(suite.name, [setting.removeprefix("decoders.") for setting in suite.settings])
    except SeeTellError:
        return False
    document, packaged_document = suite.document(), packaged.document()
    same = all(document[key] == packaged_document[key] for key in _MODEL_SAYS)
    label, packaged_label = labels(suite).get(spec.label), labels(packaged).get(spec.label)
    return same and label is not None and label == packaged_label


def suite_toml(suite: Suite, label: str) -> str:
    """A suite with one of its decoders as the TOML that people write; relative paths start at the folder of the file."""
    content = suite.document()
    for key in ("folder", "settings", "sweep"):  # settings are in the tables already; a sweep is another experiment
        content.pop(key)
    decoders = {name: ref for name, ref in content.pop("decoders").items() if name == label}
    metrics = content.pop("metrics")
    # A suite has to name a decoder; the constant one joins by itself and is not written in it.
    decoders = decoders or {label: {}}
    tables = {key: _options_inside(value) for key, value in content.items()}
    tables["decoders"] = {name: _options_inside(ref) for name, ref in decoders.items()}
    tables["metrics"] = {name: _options_inside(ref) for name, ref in metrics.items()}
    return to_toml(tables)


def _options_inside(value: Any) -> Any:
    """A table as people write it: a plug-in's options beside SeeTell's keys, and what is empty left out."""
    if not isinstance(value, Mapping):
        return value
    flat = {key: item for key, item in value.items() if key != "options"} | dict(value.get("options", {}))
    return {key: item for key, item in flat.items() if item is not None and item != ""}
