"""Which tokens each sampler keeps, against transformers' own warpers, and how often it draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from decoders.base import Limits, Models
from decoders.loop import gumbel_noise
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


def test_draws_follow_the_distribution() -> None:
    probs = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
    drawn = [int((np.log(probs) + gumbel_noise(seed, seed % 5, 5)).argmax()) for seed in range(20_000)]
    assert chisquare(np.bincount(drawn, minlength=5), probs * 20_000).pvalue > 0.001
