"""Every decoder that is installed keeps the contract, and the contract catches those that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from decoders import Generation, Greedy, Limits, Models, TopK, testing
from decoders.testing import (
    CONTRACT,
    ContractBroken,
    check_decoder,
    fake_caption_index,
    fake_image_text,
    fake_language_model,
    fake_models,
    fake_prompts,
)
from harness.suites import registry
from tests.plugins import ECHO, install

QUICK: dict[str, dict[str, Any]] = {
    "beam": {"width": 3},
    "constant": {"k": 4},
    "contrastive": {"k": 4},
    "magic": {"k": 4},
    "sample-rerank": {"n": 2},
    "zerocap": {"beam_size": 2, "candidates": 6, "num_iterations": 1},
}
"""Settings of decoders whose own are slow."""


def cases() -> list[Any]:
    """Every decoder under every rule."""
    return [pytest.param(name, rule, id=f"{name}-{rule}") for name in registry.decoders().entries for rule in CONTRACT]


@pytest.mark.parametrize(("name", "rule"), cases())
def test_every_decoder_keeps_the_contract(name: str, rule: str) -> None:
    check_decoder(registry.decoders().load(name), QUICK.get(name), rule=rule)


def test_the_quick_settings_are_of_decoders_that_exist() -> None:
    assert set(QUICK) <= set(registry.decoders().entries)


def test_a_decoder_of_somebody_else_is_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases come from the registry, so what is installed beside SeeTell is held to the contract too."""
    site = install(tmp_path, "echo", "echo_decoder", ECHO, {"seetell.decoders": {"echo": "echo_decoder:Echo"}})
    monkeypatch.syspath_prepend(str(site))
    assert {"echo-batch-size", "greedy-order"} <= {case.id for case in cases()}
    with pytest.raises(ContractBroken, match="finish 'retrieved'"):  # it says 'eos' without a token
        check_decoder(registry.decoders().load("echo"), rule="well-formed")


def test_the_fakes_are_what_they_say() -> None:
    prompts, plain = fake_prompts(9), fake_models()
    assert len({len(plain.lm.encode(prompt.text)) for prompt in prompts}) > 4
    assert len({prompt.image for prompt in prompts}) == len({prompt.id for prompt in prompts}) == 9
    assert not prompts[1].text

    def greedy(models: Models, new: int = 12) -> list[Generation]:
        generations = Greedy(Greedy.Config(), models, Limits(new)).decode(prompts, [0] * 9)
        return [replace(generation, trace={}) for generation in generations]  # the last digits are promised to nobody

    said = greedy(plain)
    assert len({generation.tokens for generation in said}) > 6
    assert {generation.finish for generation in said} == {"eos", "length"}
    assert said == greedy(fake_models())
    assert said != greedy(fake_models(seed=1))
    assert {generation.finish for generation in greedy(fake_models(never_ends=True))} == {"length"}
    assert {generation.text for generation in greedy(fake_models(end_at_once=True))} == {""}
    assert fake_language_model(context=20).context_length == 20
    lm = fake_language_model()
    assert lm.decode(lm.encode("")) == ""
    assert lm.decode(lm.encode(""), skip_special=False) == "<-start_of_text->"
    assert lm.tokenizer.pad_token_id not in (None, lm.end_id)
    with pytest.raises(ValueError, match="ends at once"):
        fake_language_model(end_at_once=True, never_ends=True)


def test_the_fake_image_text_model_tells_images_and_texts_apart() -> None:
    clip = fake_image_text()
    images = clip.image_features([prompt.image for prompt in fake_prompts(9) if prompt.image is not None])
    texts = clip.text_features(["a dog", "a tram", "two children on a wooden table"])
    for features in (images, texts):
        assert torch.allclose(features.norm(dim=1), torch.ones(len(features)))
        likeness = features @ features.T - 2 * torch.eye(len(features))
        assert likeness.max() < 0.999
    assert clip.prefix_scorer() is not None
    same = fake_image_text(indifferent=True).text_features(["a dog", "a tram"])
    assert torch.equal(same[0], same[1])
    index = fake_caption_index(clip, ["a dog", "a tram"])
    assert index.nearest(texts[:2].numpy())[0].tolist() == [0, 1]


def test_making_fakes_draws_no_numbers_from_the_process() -> None:
    before = torch.random.get_rng_state()
    fake_models()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule 'speed'"):
        check_decoder(Greedy, rule="speed")


def test_settings_may_be_values_or_a_config() -> None:
    check_decoder(TopK, {"k": 3}, rule="seeds")
    check_decoder(TopK, TopK.Config(), rule="seeds")
    with pytest.raises(ContractBroken, match=r"8 seeds that differ in their low bits give the same text.*seeded = False"):
        check_decoder(TopK, {"k": 1}, rule="seeds")
    with pytest.raises(ContractBroken, match="its Config refuses"):
        check_decoder(TopK, {"k": 0})


def test_the_public_names() -> None:
    assert sorted(testing.__all__) == testing.__all__
    for name in testing.__all__:
        home = getattr(getattr(testing, name), "__module__", "decoders.testing")
        assert home.startswith("decoders.testing")
    assert len(set(CONTRACT)) == len(CONTRACT) > 15
