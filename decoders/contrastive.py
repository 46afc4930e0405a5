"""Contrastive search: likely tokens that do not repeat what has been said (Su et al. 2022, "A Contrastive Framework", eq. 5)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from decoders.base import DecoderConfig, Need, StepDecoder
from decoders.loop import Candidates, Step


class ContrastiveConfig(DecoderConfig):
    """Settings of contrastive search; the defaults are those published for MS-COCO captions."""

    k: int = Field(default=45, ge=1)
    """How many of the likeliest tokens compete (published: 45 for MS-COCO, 25 for Flickr30k, 5 for stories)."""
    alpha: float = Field(default=0.1, ge=0, le=1)
    """Weight of the degeneration penalty; 0 is greedy (published: 0.1 for captions, 0.6 for stories)."""


class Contrastive(StepDecoder):
    """Weighs a candidate's probability against its likeness to the tokens before it.

    `score(v) = (1 - alpha) * p(v) - alpha * max_j cos(h_v, h_j)`, where p is taken under the whole vocabulary, h_v is the
    candidate's own final hidden state, and j runs over every earlier token, prompt included.
    """

    Config: ClassVar[type[DecoderConfig]] = ContrastiveConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    config: ContrastiveConfig

    def select(self, step: Step) -> Tensor:
        """The best-scoring candidate, the likelier among equals, `[batch]`."""
        candidates = step.candidates(self.config.k)
        return best(candidates, contrastive_score(step, candidates, self.config.alpha))


def contrastive_score(step: Step, candidates: Candidates, alpha: float, extra: Tensor | None = None) -> Tensor:
    """`(1 - alpha) * p - alpha * degeneration penalty + extra` of each candidate, `[batch, k]` float32.

    Candidates that cannot win are not looked ahead at; their score is -inf.
    """
    base = (1 - alpha) * candidates.probs + (0 if extra is None else extra)
    if alpha == 0:
        return base
    alive = can_win(base, alpha)
    hidden = F.normalize(step.look_ahead(candidates.ids, alive), dim=-1)
    cosines = hidden @ step.directions.transpose(1, 2)
    penalty = cosines.masked_fill(~step.history_mask[:, None], -torch.inf).amax(dim=-1)
    return (base - alpha * penalty).masked_fill(~alive, -torch.inf)


def can_win(base: Tensor, alpha: float) -> Tensor:
    """Which candidates can win, whatever the degeneration penalties, `[batch, k]` bool.

    The penalty is a cosine, so the score s = base - alpha * penalty lies in [base - alpha, base + alpha].
    Let b be the best base of the row and w the candidate that has it: s(w) >= b - alpha.
    If base(v) < b - 2 alpha, then s(v) <= base(v) + alpha < b - alpha <= s(w): v loses to w.
    What is left out therefore never wins, and w itself is never left out.
    In float32 both sides err by a few units in the last place; the margin is a hundred of them.

    Args:
        base: `[batch, k]` float32, the scores without the penalty.
        alpha: weight of the penalty.
    """
    top = base.amax(dim=1, keepdim=True)
    margin = 100 * torch.finfo(base.dtype).eps * (1 + base.abs().amax(dim=1, keepdim=True))
    return base >= top - 2 * alpha - margin


def best(candidates: Candidates, scores: Tensor) -> Tensor:
    """Ids of the highest scores, `[batch]`; candidates come likeliest first, so ties favour the likelier."""
    return candidates.ids.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
