"""Leaving candidates out of the look-ahead changes no token: the bound, and whole texts with and without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from decoders import contrastive, magic
from decoders.base import Decoder, Limits, Prompt
from decoders.contrastive import Contrastive, can_win
from decoders.loop import Candidates, Step
from decoders.magic import Magic
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models

TEXTS = ("A red boat", "The", "", "Two dogs, one brown and one black, are", "A woman isn't looking", "There is")


def test_the_winner_is_never_left_out() -> None:
    """Random scores whose penalties are anything a cosine can be, the two ends above all."""
    generator = torch.Generator().manual_seed(0)
    left_out = 0
    for alpha in (0.01, 0.1, 0.33, 0.6, 1.0):
        base = torch.rand(2000, 12, generator=generator) * 2
        penalty = torch.rand(base.shape, generator=generator) * 2 - 1
        extreme = torch.rand(base.shape, generator=generator)
        penalty = torch.where(extreme < 0.3, 1.0, torch.where(extreme > 0.7, -1.0, penalty))
        winners = (base - alpha * penalty).argmax(dim=1, keepdim=True)
        alive = can_win(base, 2 * alpha)
        assert alive.gather(1, winners).all()
        left_out += int((~alive).sum())
    assert left_out > 10_000


def test_the_bound_is_as_far_as_two_penalties_reach() -> None:
    """The best base has the worst penalty and the other the best one: up to 2 alpha behind it still wins."""
    for alpha in (0.05, 0.4):
        base = torch.tensor([[1.0, 1.0 - 2 * alpha + 1e-3, 1.0 - 2 * alpha - 1e-3]])
        assert can_win(base, 2 * alpha).tolist() == [[True, True, False]]
        scores = base - alpha * torch.tensor([[1.0, -1.0, -1.0]])
        assert int(scores.argmax()) == 1


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen"])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (Contrastive, {"k": 20, "alpha": 0.01}),
        (Contrastive, {"k": 10, "alpha": 0.6}),
        (Magic, {"k": 20, "alpha": 0.01, "beta": 2.0}),
        (Magic, {"k": 5, "alpha": 0.6, "beta": 0.15}),
        (Magic, {"k": 8, "alpha": 0.2, "beta": 0.01}),
    ],
)
def test_texts_with_and_without(
    request: pytest.FixtureRequest,
    name: str,
    kind: type[Decoder],
    config: dict[str, Any],
    clip_folder: Path,
    image_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = load_language_model(f"local:{request.getfixturevalue(name + '_folder')}")
    models = Models(lm, load_image_text(f"local-dir:{clip_folder}"))
    prompts = [Prompt(text, text, image_files[n]) for n, text in enumerate(TEXTS)]
    looked: list[int] = []
    look_ahead = Step.look_ahead

    def counting(step: Step, ids: Tensor, wanted: Tensor) -> Tensor:
        looked.append(int(wanted.sum(dim=1).min()))
        return look_ahead(step, ids, wanted)

    monkeypatch.setattr(Step, "look_ahead", counting)
    decoder = kind(kind.Config(**config), models, Limits(10))
    pruned = decoder.decode(prompts, [0] * len(prompts))
    widths = looked.copy()
    for module in (contrastive, magic):
        monkeypatch.setattr(module, "can_win", lambda known, unknown: torch.ones_like(known, dtype=torch.bool))
    unpruned = decoder.decode(prompts, [0] * len(prompts))
    assert [g.tokens for g in pruned] == [g.tokens for g in unpruned]
    assert [g.finish for g in pruned] == [g.finish for g in unpruned]
    if config["alpha"] < 0.1:
        assert min(widths) < config["k"] == max(looked), "the settings must be such that something is left out"


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_an_image_that_cannot_change_the_choice_is_not_asked(
    request: pytest.FixtureRequest, name: str, clip_folder: Path, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows of some steps are settled by the language model alone; the texts are those of the plain sum."""
    lm = load_language_model(f"local:{request.getfixturevalue(name + '_folder')}")
    models = Models(lm, load_image_text(f"local-dir:{clip_folder}"))
    prompts = [Prompt(text, text, image_files[n]) for n, text in enumerate(TEXTS)]
    asked: list[tuple[int, int]] = []
    candidate_logits = Step.candidate_logits

    def counting(step: Step, ids: Tensor, last: int, rows: Tensor | None = None) -> Tensor:
        asked.append((len(ids), len(ids) if rows is None else int(rows.sum())))
        return candidate_logits(step, ids, last, rows)

    monkeypatch.setattr(Step, "candidate_logits", counting)
    said = {}
    for alpha, beta in ((0.3, 0.05), (0.3, 0.3), (0.3, 0.59)):
        said[beta] = Magic(Magic.Config(k=6, alpha=alpha, beta=beta), models, Limits(10)).decode(prompts, [0] * 6)
    assert any(0 < some < all_ for all_, some in asked), "rows must differ in whether the image can matter"
    assert len({tuple(g.tokens for g in generations) for generations in said.values()}) > 1


class OneStep:
    """A step of one row: the likelier candidate repeats what was said, the other is its opposite and fits the image."""

    directions = torch.tensor([[[1.0, 0.0]]])
    history_mask = torch.tensor([[True]])

    def candidates(self, k: int) -> Candidates:
        return Candidates(torch.tensor([[7, 9]]), torch.tensor([[0.6, 0.28]]))

    def look_ahead(self, ids: Tensor, wanted: Tensor) -> Tensor:
        return torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]) * wanted[:, :, None]

    def candidate_logits(self, ids: Tensor, last: int, rows: Tensor | None = None) -> Tensor:
        return torch.tensor([[-50.0, 50.0]])


@pytest.mark.parametrize(("beta", "winner"), [(0.08, 7), (0.15, 9)])
def test_the_bound_leaves_room_for_the_image(beta: float, winner: int) -> None:
    """0.9 * 0.6 - 0.1 against 0.9 * 0.28 + 0.1 + beta: further apart than two penalties reach, but not with the image."""
    decoder = Magic(Magic.Config(k=2, alpha=0.1, beta=beta), Models(), Limits(1))
    assert decoder.select(cast("Step", OneStep())).tolist() == [winner]
