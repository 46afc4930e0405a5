"""A decoder that breaks the contract is caught by the rule that it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from decoders import Decoder
from decoders.testing import CONTRACT, ContractBroken, check_decoder
from tests.contract.broken import answers, lengths, needs, purity, settings  # noqa: F401 - each notes its decoders in BROKEN
from tests.contract.broken.keepers import BROKEN, Drawer, Keeper, Looker


@pytest.mark.parametrize(("rule", "kind", "config"), BROKEN, ids=[f"{rule}-{kind.__name__}" for rule, kind, _ in BROKEN])
def test_it_is_caught(rule: str, kind: type[Decoder], config: dict[str, Any]) -> None:
    with pytest.raises(ContractBroken) as caught:
        check_decoder(kind, config, rule=rule)
    assert caught.value.rule == rule
    assert kind.__name__ in str(caught.value)


def test_every_rule_catches_someone() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(CONTRACT)


@pytest.mark.parametrize("kind", [Keeper, Looker, Drawer])
def test_those_that_the_broken_ones_derive_from_keep_it(kind: type[Decoder]) -> None:
    check_decoder(kind)
