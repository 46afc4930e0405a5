"""The contract: what every decoder must do, whatever it does.

Each rule is a function that tries a decoder on the fake models and raises `ContractBroken` at the first break. Its meaning is the
first line of the docstring. The rules stand by kind in `decoders.testing.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from decoders.base import Decoder, DecoderConfig
from decoders.testing.rules import answers, lengths, needs, purity, settings
from decoders.testing.trial import ContractBroken, Trial

__all__ = ["CONTRACT", "ContractBroken", "check_decoder"]

_RULES: dict[str, Callable[[Trial], None]] = {**answers.RULES, **purity.RULES, **lengths.RULES, **needs.RULES, **settings.RULES}
CONTRACT: tuple[str, ...] = tuple(_RULES)
"""The names of the rules."""


def check_decoder(
    decoder: type[Decoder], config: DecoderConfig | Mapping[str, Any] | None = None, *, rule: str | None = None
) -> None:
    """Hold a decoder to the contract.

    Args:
        decoder: its class.
        config: its settings, a `Config` or the values of one; by default the defaults. Choose ones that are quick: it decodes
            a few hundred short texts.
        rule: one of `CONTRACT`; by default all of them.

    Raises:
        ContractBroken: at the first rule that it breaks.
        ValueError: there is no such rule.
    """
    if rule is not None and rule not in _RULES:
        raise ValueError(f"the contract has no rule {rule!r}; it has {', '.join(_RULES)}")
    for name in [rule] if rule else _RULES:
        check = _RULES[name]
        meaning = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        if not isinstance(config, DecoderConfig):
            config = _config(decoder, config or {}, name, meaning)
        check(Trial(decoder, config, name, meaning))


def _config(decoder: type[Decoder], values: Mapping[str, Any], rule: str, meaning: str) -> DecoderConfig:
    if not (isinstance(decoder.Config, type) and issubclass(decoder.Config, DecoderConfig)):
        raise ContractBroken(
            "declaration",
            f"{decoder.__name__}.Config is {decoder.Config!r}. Derive it from decoders.DecoderConfig, which is frozen and "
            "refuses unknown keys",
        )
    try:
        return decoder.Config.model_validate(dict(values))
    except ValidationError as error:
        raise ContractBroken(
            rule,
            f"{decoder.__name__} cannot be tried ({meaning}): its Config refuses {dict(values)}: {error}. Every setting needs a "
            "default, or give check_decoder a config",
        ) from error
