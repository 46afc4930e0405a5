"""Which tokens each sampler keeps, against transformers' own warpers, and how often it draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from decoders.base import Limits
from decoders.loop import counter_noise, gumbel_noise
from decoders.models.loaded import Models
from decoders.sampling import Nucleus, TopK, Typical


def keep(kind: type[Any], log_probs: Tensor, **config: Any) -> Tensor:
    decoder = kind(kind.Config(**config), Models(), Limits())
    kept: Tensor = decoder.keep(log_probs)
    return kept


def random_log_probs(rows: int, vocabulary: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    spread = torch.linspace(0.2, 6, rows, dtype=torch.float64)[:, None]
    return torch.log_softmax(torch.randn(rows, vocabulary, generator=generator, dtype=torch.float64) * spread, dim=-1)


@pytest.mark.parametrize("value", [1, 5, 40, 400, 5000])
def test_top_k(value: int) -> None:
    log_probs = random_log_probs(40, 400)
    expected = TopKLogitsWarper(value)(None, log_probs.clone()).isfinite()
    assert torch.equal(keep(TopK, log_probs, k=value), expected)


@pytest.mark.parametrize("value", [0.001, 0.3, 0.95, 0.999])
def test_nucleus(value: float) -> None:
    log_probs = random_log_probs(40, 400)
    expected = TopPLogitsWarper(value)(None, log_probs.clone()).isfinite()
    assert torch.equal(keep(Nucleus, log_probs, p=value), expected)


@pytest.mark.parametrize("value", [0.001, 0.2, 0.9, 0.999])
def test_typical(value: float) -> None:
    log_probs = random_log_probs(40, 400)
    expected = TypicalLogitsWarper(value)(None, log_probs.clone()).isfinite()
    assert torch.equal(keep(Typical, log_probs, mass=value), expected)


def test_the_crossing_token_is_kept() -> None:
    log_probs = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=torch.float64).log()
    assert keep(Nucleus, log_probs, p=0.4).tolist() == [[True, False, False, False]]
    assert keep(Nucleus, log_probs, p=0.6).tolist() == [[True, True, False, False]]
    assert keep(Nucleus, log_probs, p=1.0).all()
    # H = 1.75 bits; distances 0.75, 0.25, 1.25, 1.25 bits: the middling token is the typical one.
    assert keep(Typical, log_probs, mass=0.2).tolist() == [[False, True, False, False]]
    assert keep(Typical, log_probs, mass=0.3).tolist() == [[True, True, False, False]]


def test_impossible_tokens_stay_impossible() -> None:
    log_probs = torch.log_softmax(torch.tensor([[2.0, -torch.inf, 1.0, -torch.inf]], dtype=torch.float64), dim=-1)
    for kind, config in ((TopK, {"k": 4}), (Nucleus, {"p": 1.0}), (Typical, {"mass": 1.0})):
        kept = keep(kind, log_probs, **config)
        scores = (log_probs + torch.from_numpy(gumbel_noise(1, 0, 4))).masked_fill(~kept, -torch.inf)
        assert int(scores.argmax()) in (0, 2)


DRAWN: list[tuple[type[Any], dict[str, Any]]] = [
    (TopK, {"k": 1}),
    (TopK, {"k": 30}),
    (Nucleus, {"p": 0.05}),
    (Nucleus, {"p": 0.5}),
    (Nucleus, {"p": 0.95}),
    (Nucleus, {"p": 1.0}),
    (Typical, {"mass": 0.05}),
    (Typical, {"mass": 0.5}),
    (Typical, {"mass": 0.95}),
    (Typical, {"mass": 1.0}),
]


def drawn_in_full(decoder: Any, log_probs: Tensor, seeds: range, step: int) -> Tensor:
    """What the definition says: noise for every token, a sort for the kept ones, and the largest of them."""
    noise = np.stack([gumbel_noise(seed, step, log_probs.shape[1]) for seed in seeds])
    kept = decoder.keep(log_probs)
    return (log_probs + torch.from_numpy(noise)).masked_fill(~kept, -torch.inf).argmax(dim=-1)


def drawn(decoder: Any, log_probs: Tensor, seeds: range, step: int) -> Tensor:
    noise = np.stack([counter_noise(seed, step, log_probs.shape[1]) for seed in seeds])
    tokens: Tensor = decoder.draw(log_probs, torch.from_numpy(noise))
    return tokens


@pytest.mark.parametrize(("kind", "config"), DRAWN, ids=[f"{kind.__name__}-{config}" for kind, config in DRAWN])
def test_a_draw_is_what_the_definition_says(kind: type[Any], config: dict[str, Any]) -> None:
    decoder = kind(kind.Config(**config), Models(), Limits())
    generator = torch.Generator().manual_seed(5)
    different: set[int] = set()
    for step in range(6):
        logits = torch.randn(40, 700, generator=generator) * torch.linspace(0.1, 9, 40)[:, None]
        if step % 3 == 1:
            logits = logits.round()  # many equals, also at the edge of what is kept
        if step % 3 == 2:
            logits[:, ::3] = -torch.inf
        log_probs = torch.log_softmax(logits.double(), dim=-1)
        found = drawn(decoder, log_probs, range(40), step)
        assert found.tolist() == drawn_in_full(decoder, log_probs, range(40), step).tolist()
        different.update(found.tolist())
    assert len(different) > 50


@pytest.mark.parametrize("size", [10, 100, 1000])
@pytest.mark.parametrize("kind", [Nucleus, Typical])
def test_a_mass_on_the_line_is_left_to_the_sort(kind: type[Any], size: int) -> None:
    """All tokens equally likely, or in two equal halves, and a mass of so many of them: rounding in the sum decides."""
    halves = torch.tensor([1.0, 3.0]).repeat(size // 2)
    log_probs = torch.stack([torch.zeros(size), halves]).double().log_softmax(dim=-1).repeat(10, 1)
    for tenths in range(1, 10):
        name = "p" if kind is Nucleus else "mass"
        decoder = kind(kind.Config(**{name: tenths / 10}), Models(), Limits())
        for step in range(3):
            expected = drawn_in_full(decoder, log_probs, range(20), step)
            assert drawn(decoder, log_probs, range(20), step).tolist() == expected.tolist()


def test_draws_follow_the_distribution() -> None:
    probs = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
    drawn = [int((np.log(probs) + gumbel_noise(seed, seed % 5, 5)).argmax()) for seed in range(20_000)]
    assert chisquare(np.bincount(drawn, minlength=5), probs * 20_000).pvalue > 0.001
