"""MAGIC search: contrastive search that an image-text model steers towards the image (Su et al. 2022, arXiv 2205.02655)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from decoders.base import DecoderConfig, Need
from decoders.contrastive import ContrastiveConfig, best, can_win, contrastive_score
from decoders.loop import Candidates, Step, StepDecoder


class MagicConfig(ContrastiveConfig):
    """Settings of MAGIC search; the defaults are those published for MS-COCO captions."""

    beta: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    """Weight of the image; 0 is contrastive search (published: 2.0 for captions, 0.15 for stories)."""
    clip_text_max_len: int = Field(default=60, ge=1)
    """The image-text model sees this many of the last new tokens; 60 as published."""


class Magic(StepDecoder):
    """Adds the magic score to contrastive search.

    `score(v) = (1 - alpha) * p(v) - alpha * max_j cos(h_v, h_j) + beta * f(v)`, where f is a softmax over the k candidates of
    the image-text model's scaled cosine between the image and the new text with v appended (section 3.2, equation 4, with
    the learned logit scale as in the published code).
    """

    Config: ClassVar[type[DecoderConfig]] = MagicConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM, Need.CLIP, Need.IMAGE})
    config: MagicConfig

    def select(self, step: Step) -> Tensor:
        """The best-scoring candidate, the likelier among equals, `[batch]`."""
        config = self.config
        candidates = step.candidates(config.k)
        if config.beta == 0:
            return best(candidates, contrastive_score(step, candidates, config.alpha))
        # Both the penalty (up to 2 alpha) and the image (up to beta) can be skipped for candidates that have lost without
        # them. What moves scores less is computed last, for the rows that it can still decide: at beta < 2 alpha that is the
        # image, else the penalty. Either order gives the same token.
        if config.beta < 2 * config.alpha:
            scores = contrastive_score(step, candidates, config.alpha, unknown=config.beta)
            unsettled = can_win(scores, config.beta).sum(dim=1) > 1
            scores[unsettled] += config.beta * self._fit(step, candidates, unsettled)
            return best(candidates, scores)
        image = config.beta * self._fit(step, candidates)
        return best(candidates, contrastive_score(step, candidates, config.alpha, image))

    def _fit(self, step: Step, candidates: Candidates, rows: Tensor | None = None) -> Tensor:
        """The magic score f of each candidate, of the rows where `rows` is True, `[rows, k]`."""
        return step.candidate_logits(candidates.ids, self.config.clip_text_max_len, rows).softmax(dim=-1)
