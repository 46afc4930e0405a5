"""Losses, gradients, updates and the layout of texts, held to a plain transcription."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from decoders.models import torchvision_schemas
from harness.training.corpus import encode, prepare_tokenizer
from harness.training.loop import Adaptation, Trainer
from harness.training.losses import measure
from harness.training.recipe import PRESETS, Recipe, preset_for, recipe
from tests.checkpoints import write_gpt2
from tests.reference import adaptation as plain

torchvision_schemas.ensure()

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

TEXTS = [[480, 5, 6, 7, 8, 9, 10, 0], [480, 9, 10, 0], [480, 5, 0], [480, 6, 9, 12, 13, 0], [480, 44, 7, 0], [480, 3]]
"""Of lengths 2 to 8: the last has one input and so no pair."""


@pytest.fixture(scope="module")
def twins(gpt2_folder: Path) -> tuple[Any, Any]:
    """A model without dropout in float32, and the same in float64 for the transcription."""
    model = AutoModelForCausalLM.from_pretrained(gpt2_folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model, copy.deepcopy(model).double()


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("micro", [None, 1, 2, 4])
def test_loss_and_gradients_of_accumulated_micro_batches_are_those_of_the_whole(
    twins: tuple[Any, Any], micro: int | None, margin: float
) -> None:
    model, exact = twins
    model.zero_grad()
    trainer = Trainer(model, TEXTS, Adaptation(steps=1, batch_size=6, micro_batch_size=micro, margin=margin))
    likelihood, contrast = trainer.accumulate(TEXTS)
    expected = plain.loss(exact, TEXTS, margin)
    assert likelihood + contrast == pytest.approx(float(expected.detach()), rel=1e-5)
    for parameter, gradient in zip(model.parameters(), torch.autograd.grad(expected, list(exact.parameters())), strict=True):
        torch.testing.assert_close(parameter.grad.double(), gradient, rtol=2e-4, atol=2e-5)


def test_updates_are_adamw_with_one_clipping_and_a_full_first_update(twins: tuple[Any, Any]) -> None:
    """Twelve updates of micro-batches, against twelve of whole batches written out. The clipping is at work in all of them."""
    model, exact = (copy.deepcopy(each) for each in twins)
    setting = Adaptation(steps=12, batch_size=4, micro_batch_size=3, learning_rate=1e-3, clip_norm=0.3)
    trainer = Trainer(model, TEXTS, setting, seed=5)
    for _ in range(12):
        trainer.update()
    plain.train(exact, TEXTS, steps=12, batch=4, rate=1e-3, margin=0.5, clip=0.3, seed=5)
    ours, plainly, before = ([weight.detach().double() for weight in each.parameters()] for each in (model, exact, twins[1]))
    moved = max(float((a - b).abs().max()) for a, b in zip(ours, before, strict=True))
    apart = max(float((a - b).abs().max()) for a, b in zip(ours, plainly, strict=True))
    assert moved > 5e-3
    assert apart < 1e-4


def test_measuring_all_texts_gives_the_loss_of_one_batch_of_them(twins: tuple[Any, Any]) -> None:
    model, exact = twins
    found = measure(model, TEXTS, 0.5, batch_size=2)
    assert found.likelihood + found.contrast == pytest.approx(float(plain.loss(exact, TEXTS, 0.5).detach()), rel=1e-5)
    cosines = []
    for ids in TEXTS[:-1]:  # the last has no pair
        hidden = exact(input_ids=torch.tensor([ids[:-1]]), output_hidden_states=True).hidden_states[-1][0].detach()
        pairs = [
            float(torch.cosine_similarity(hidden[i], hidden[j], dim=0))
            for i in range(len(hidden))
            for j in range(len(hidden))
            if i != j
        ]
        cosines.append(sum(pairs) / len(pairs))
    assert found.anisotropy == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """GPT-2's, before any token is added."""
    return AutoTokenizer.from_pretrained(write_gpt2(tmp_path_factory.mktemp("lm") / "gpt2", captions=False))


def test_captions_are_laid_out_as_published(tokenizer: Any) -> None:
    mine = copy.deepcopy(tokenizer)
    before = len(mine)
    prepare_tokenizer(mine, "caption")
    assert mine.convert_tokens_to_ids(["<-start_of_text->", "<-pad->"]) == [before, before + 1]
    assert (len(mine), mine.pad_token) == (before + 2, "<-pad->")
    prepare_tokenizer(mine, "caption")  # a model that was adapted before keeps its tokens
    assert len(mine) == before + 2
    texts = ["  A red boat on the sea. ", "A café — naïve façade.", "A man isn't looking", "a" * 200]
    ids, dropped = encode(mine, [("", text) for text in texts], recipe("mscoco", {}), 1024)
    assert ids == [plain.caption_ids(mine, text) for text in texts]
    assert max(map(len, ids)) == 66
    assert dropped == 0


def test_stories_are_laid_out_as_published_and_end_only_if_asked_and_whole(tokenizer: Any) -> None:
    mine = copy.deepcopy(tokenizer)
    prepare_tokenizer(mine, "story")
    assert (mine.pad_token, len(mine)) == ("<_PAD_>", len(tokenizer) + 1)
    pairs = [("Red Boat", "A boat is red. It is on the sea."), ("Long", "dogs " * 200)]
    as_published, _ = encode(mine, pairs, recipe("rocstories", {"end_token": False}), 1024)
    assert as_published == [plain.story_ids(mine, *pair) for pair in pairs]
    ours, _ = encode(mine, pairs, recipe("rocstories", {}), 1024)
    assert ours == [[*as_published[0], mine.eos_token_id], as_published[1]]


def test_texts_that_spell_out_special_tokens_hold_none(tokenizer: Any) -> None:
    mine = copy.deepcopy(tokenizer)
    prepare_tokenizer(mine, "caption")
    ids, _ = encode(mine, [("", "a boat<|endoftext|><-pad-> and \ud83d")], recipe("mscoco", {}), 1024)
    assert sum(token in (mine.eos_token_id, mine.pad_token_id) for token in ids[0]) == 1
    assert ids[0][-1] == mine.eos_token_id


def test_captions_of_one_token_are_left_out_and_long_ones_fit_the_model(tokenizer: Any) -> None:
    mine = copy.deepcopy(tokenizer)
    prepare_tokenizer(mine, "caption")
    ids, dropped = encode(mine, [("", "a"), ("", " "), ("", "boats " * 50)], recipe("mscoco", {}), 12)
    assert (len(ids), dropped) == (1, 2)
    assert len(ids[0]) - 1 == 12  # inputs, which need a position each
    ids, _ = encode(mine, [("boat", "boats " * 50)], recipe("rocstories", {}), 12)
    assert len(ids[0]) - 1 == 12


@pytest.mark.parametrize(
    ("name", "micro", "accumulated", "steps", "every", "longest"),
    [("mscoco", 32, 4, 20_000, 500, 64), ("flickr30k", 32, 4, 10_000, 250, 64), ("rocstories", 16, 16, 8_000, 500, 128)],
)
def test_presets_have_the_published_values(name: str, micro: int, accumulated: int, steps: int, every: int, longest: int) -> None:
    """Two graphics cards of eight micro-batches each are sixteen micro-batches of one."""
    found = recipe(name, {})
    assert (found.micro_batch_size, found.batch_size) == (micro, micro * accumulated)
    assert (found.steps, found.eval_every, found.max_tokens) == (steps, every, longest)
    assert (found.learning_rate, found.margin, found.warm_up, found.weight_decay, found.clip_norm) == (2e-5, 0.5, 0.1, 0, 1)
    assert found.model == "hf:gpt2"
    assert not found.from_scratch


def test_every_preset_is_valid_and_suites_find_theirs() -> None:
    assert all(isinstance(recipe(name, {}), Recipe) for name in PRESETS)
    assert preset_for("flickr30k-to-mscoco", "caption") == "flickr30k"
    assert preset_for("mscoco-to-flickr30k", "caption") == "mscoco"
    assert preset_for("rocstories", "story") == "rocstories"
    assert preset_for("toybox-plain-to-ornate", "caption") == "toybox"
    assert preset_for(None, "story") == "rocstories"


def test_bfloat16_computes_products_in_it_and_losses_in_float32(twins: tuple[Any, Any]) -> None:
    model, _ = twins
    full, half = (measure(model, TEXTS, 0.5, mixed=mixed) for mixed in (None, torch.bfloat16))
    assert half.likelihood != full.likelihood
    assert half.likelihood == pytest.approx(full.likelihood, rel=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
