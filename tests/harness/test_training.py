"""Adapting a language model: the losses are those of the paper, and training does what it says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from decoders.models import torchvision_schemas
from harness.errors import DataError
from harness.training import IGNORED, Adaptation, adapt, contrastive_loss, losses, padded, perplexity

torchvision_schemas.ensure()

from transformers import AutoModelForCausalLM  # noqa: E402

TEXTS = [[1, 5, 6, 7, 8, 2], [1, 9, 10, 2], [1, 5, 10, 11, 2], [1, 6, 9, 2]]


@pytest.fixture
def model(gpt2_folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(gpt2_folder).eval()  # type: ignore[no-any-return]


def plain_contrastive_loss(hidden: torch.Tensor, lengths: list[int], margin: float) -> float:
    """Su et al. 2022, equation 2, one pair at a time, pooled over the batch."""
    total, pairs = 0.0, 0
    for row, length in enumerate(lengths):
        for i in range(length):
            for j in range(length):
                if i != j:
                    a, b = hidden[row, i], hidden[row, j]
                    total += max(0.0, margin - 1.0 + float(a @ b) / (float(a.norm()) * float(b.norm())))
                    pairs += 1
    return total / pairs if pairs else 0.0


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lengths", [[6, 6], [6, 3, 1], [1, 1]])
def test_contrastive_loss_is_the_papers(lengths: list[int], margin: float) -> None:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(len(lengths), 6, 8, generator=generator) + 0.7  # the shift makes cosines exceed the margin
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    ours = contrastive_loss(hidden, mask, margin).item()
    assert ours == pytest.approx(plain_contrastive_loss(hidden, lengths, margin), abs=1e-6)


def test_padding_is_no_target_and_no_input() -> None:
    inputs, targets, mask = padded([[1, 5, 2], [1, 5, 6, 7, 2]])
    assert inputs[1].tolist() == [1, 5, 6, 7]
    assert targets.tolist() == [[5, 2, IGNORED, IGNORED], [5, 6, 7, 2]]
    assert mask.tolist() == [[True, True, False, False], [True] * 4]


def test_a_text_weighs_the_same_whatever_it_is_padded_to(model: torch.nn.Module) -> None:
    """The likelihood of a batch is the mean over its tokens, each as likely as in its text alone."""
    together = losses(model, TEXTS, 0.5)[0].item()
    tokens = [len(text) - 1 for text in TEXTS]
    alone = [losses(model, [text], 0.5)[0].item() for text in TEXTS]
    assert together == pytest.approx(sum(a * n for a, n in zip(alone, tokens, strict=True)) / sum(tokens), rel=1e-5)
    assert perplexity(model, TEXTS, batch_size=3) == pytest.approx(math.exp(together), rel=1e-5)


def test_adapting_lowers_both_losses_and_repeats_exactly(gpt2_folder: Path) -> None:
    def trained() -> torch.nn.Module:
        torch.manual_seed(0)
        one = AutoModelForCausalLM.from_pretrained(gpt2_folder)
        adapt(one, TEXTS, Adaptation(steps=30, batch_size=4, learning_rate=3e-3), seed=1)
        return one  # type: ignore[no-any-return]

    fresh = AutoModelForCausalLM.from_pretrained(gpt2_folder).eval()
    before = [loss.item() for loss in losses(fresh, TEXTS, 0.5)]
    once, twice = trained(), trained()
    assert not once.training
    after = [loss.item() for loss in losses(once, TEXTS, 0.5)]
    assert after[0] < 0.75 * before[0]
    assert sum(after) < sum(before)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


def test_the_margin_keeps_hidden_states_apart(gpt2_folder: Path) -> None:
    """What the second loss is for: without it the states of different tokens grow alike."""

    def contrast(margin: float) -> float:
        torch.manual_seed(0)
        one = AutoModelForCausalLM.from_pretrained(gpt2_folder)
        adapt(one, TEXTS, Adaptation(steps=30, batch_size=4, learning_rate=3e-3, margin=margin), seed=1)
        return losses(one, TEXTS, 0.5)[1].item()

    assert contrast(0.5) < contrast(0.0)


def test_gradients_of_micro_batches_average_to_the_batch(gpt2_folder: Path) -> None:
    """With texts of one length, two halves give the step that the whole gives."""
    texts = [[1, 5, 6, 2], [1, 9, 10, 2], [1, 5, 10, 2], [1, 6, 9, 2]]

    def weights(micro: int | None) -> list[torch.Tensor]:
        one = AutoModelForCausalLM.from_pretrained(gpt2_folder)
        one.config.resid_pdrop = 0.0
        for module in one.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        setting = Adaptation(steps=1, batch_size=4, micro_batch_size=micro, learning_rate=1e-3, warm_up=1.0)
        adapt(one, texts, setting, seed=1)
        return [weight.detach() for weight in one.parameters()]

    whole, halves = weights(None), weights(2)
    assert max(float((a - b).abs().max()) for a, b in zip(whole, halves, strict=True)) < 2e-4


def test_progress_is_told_ten_times(model: torch.nn.Module) -> None:
    told: list[str] = []
    adapt(model, TEXTS, Adaptation(steps=20, batch_size=2), say=told.append)
    assert len(told) == 10


@pytest.mark.parametrize("texts", [[], [[1]], [[], [2]]])
def test_nothing_to_learn_from_is_said(model: torch.nn.Module, texts: list[list[int]]) -> None:
    with pytest.raises(DataError, match="two tokens"):
        adapt(model, texts, Adaptation(steps=1))
    with pytest.raises(DataError, match="two tokens"):
        perplexity(model, texts)
