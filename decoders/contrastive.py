"""Contrastive search: likely tokens that do not repeat what has been said (Su et al. 2022, "A Contrastive Framework", eq. 5)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from decoders.base import DecoderConfig, Need
from decoders.loop import Candidates, Step, StepDecoder


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


def contrastive_score(
    step: Step, candidates: Candidates, alpha: float, extra: Tensor | None = None, unknown: float = 0
) -> Tensor:
    """`(1 - alpha) * p - alpha * degeneration penalty + extra` of each candidate, `[batch, k]` float32.

    Candidates that cannot win are not looked ahead at; their score is -inf.

    Args:
        step: whose candidates they are.
        candidates: what competes.
        alpha: weight of the penalty.
        extra: what else counts, `[batch, k]`.
        unknown: by how much what the caller adds later can move one candidate ahead of another.
    """
    base = (1 - alpha) * candidates.probs + (0 if extra is None else extra)
    if alpha == 0:
        return base
    # Looking ahead is the expensive part: one forward pass a candidate. Everything but the penalty is known without it, and the
    # penalty moves a score by at most 2 alpha, so most candidates have lost before they are looked at.
    alive = can_win(base, 2 * alpha + unknown)
    hidden = F.normalize(step.look_ahead(candidates.ids, alive), dim=-1)
    cosines = hidden @ step.directions.transpose(1, 2)
    penalty = cosines.masked_fill(~step.history_mask[:, None], -torch.inf).amax(dim=-1)
    return (base - alpha * penalty).masked_fill(~alive, -torch.inf)


def can_win(known: Tensor, unknown: float) -> Tensor:
    """Which candidates can win, whatever the unknown part of their scores, `[batch, k]` bool.

    Let the unknown part of any score lie in an interval of length u, and w have the best known part of its row.
    If known(v) < known(w) - u, then score(v) < score(w) whatever the two unknown parts are: v loses to w.
    What is left out therefore never wins, and w itself is never left out.
    A degeneration penalty is a cosine, so alpha times it lies within 2 alpha; a share of beta lies within beta.
    In float32 both sides err by a few units in the last place; the margin is a hundred of them.

    Args:
        known: `[batch, k]` float32.
        unknown: u.
    """
    top = known.amax(dim=1, keepdim=True)
    margin = 100 * torch.finfo(known.dtype).eps * (1 + top.abs())
    return known >= top - unknown - margin


def best(candidates: Candidates, scores: Tensor) -> Tensor:
    """Ids of the highest scores, `[batch]`; candidates come likeliest first, so ties favour the likelier."""
    return candidates.ids.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
