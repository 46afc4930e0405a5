"""A decoder's config: frozen, strict, and the same after a round trip."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from types import NoneType
from typing import get_args

from pydantic import ValidationError

from decoders.base import DecoderConfig
from decoders.testing.trial import Trial, items


def _config_round_trip(trial: Trial) -> None:
    """The config is frozen, refuses unknown keys, can be written in TOML, and comes back equal."""
    config, kind = trial.config, trial.kind.Config
    values = config.model_dump()
    _refused(trial, lambda: kind.model_validate({**values, "no_such_setting": 1}), "takes an unknown key", 'extra="forbid"')
    for name, value in values.items():
        _refused(trial, lambda n=name, v=value: setattr(config, n, v), f"lets {name!r} be set", "frozen=True")  # type: ignore[misc]
    for name, field in kind.model_fields.items():
        trial.hold(
            field.is_required() or field.default is None or NoneType not in get_args(field.annotation),
            f"{name!r} may be None, which TOML cannot say, and its default is {field.get_default(call_default_factory=True)!r}",
            "Give what None means a value of its own",
        )
    try:
        as_json = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise trial.broken(f"{values} is no JSON: {error}", "Use str, int, finite float, bool, lists") from error
    document = "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in as_json.items() if value is not None)
    expected = trial.decode_items()[:3]
    ways: dict[str, Callable[[], DecoderConfig]] = {
        "a dump": lambda: kind.model_validate(values),
        "JSON": lambda: kind.model_validate_json(config.model_dump_json()),
        "TOML": lambda: kind.model_validate(tomllib.loads(document)),
    }
    for way, read in ways.items():
        try:
            again = read()
        except (ValidationError, tomllib.TOMLDecodeError) as error:
            raise trial.broken(f"{values} does not come back from {way}: {error}", "Accept what is dumped") from error
        trial.hold(again == config, f"{config!r} comes back from {way} as {again!r}", "Let values be what they are dumped as")
        trial.same(
            replace(trial, config=again).decode(items()[:3]), expected, items()[:3], f"after {way}",
            "Put everything that decides the text into fields of the config",
        )  # fmt: skip


def _refused(trial: Trial, action: Callable[[], object], observation: str, setting: str) -> None:
    try:
        action()
    except ValidationError:
        return
    raise trial.broken(f"its Config {observation}", f"Derive it from decoders.DecoderConfig and leave {setting} as it is")


def _toml(value: object) -> str:
    """A JSON value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


RULES: dict[str, Callable[[Trial], None]] = {"config": _config_round_trip}
