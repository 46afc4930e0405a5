"""Two ways of keeping a text from repeating itself, as Hugging Face transformers computes them.

They look at everything a row has read and written, prompt included, and at nothing else: padding is no token of a row, so no
row is scored otherwise than it would be alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from decoders.base import DecoderConfig


class RepetitionConfig(DecoderConfig):
    """Settings against repetition; off, as in all published settings."""

    repetition_penalty: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Tokens of the prompt and the text so far have their logit divided by this, or multiplied if it is negative (Keskar et
    al. 2019, arXiv 1909.05858, section 4.1); about 1.2 holds repetition back, below 1 invites it, 1 is off."""
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    """No run of so many tokens may occur twice in the prompt and the text together; 0 is off."""


def held_back(config: RepetitionConfig, scores: Tensor, context: Sequence[Sequence[int]]) -> Tensor:
    """Scores of the next token after the settings against repetition have been applied.

    Args:
        config: if it asks for nothing, `scores` comes back as it is.
        scores: `[rows, vocabulary]`, logits or log-probabilities; left as they are.
        context: ids of each row's prompt and text so far, without padding.

    Returns:
        `[rows, vocabulary]`; -inf where a token is forbidden.
    """
    if not limits_repetition(config):
        return scores
    from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    processors = []
    if config.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.no_repeat_ngram_size:
        processors.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    # A processor takes a rectangle of ids and knows no padding, so it is shown rows of one length at a time.
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for row, text in enumerate(context):
        alike[len(text)].append(row)
    changed = torch.empty_like(scores)
    for rows in alike.values():
        part = scores[rows]
        ids = torch.tensor([list(context[row]) for row in rows], device=scores.device)
        for processor in processors:
            part = processor(ids, part)
        changed[rows] = part
    return changed


def limits_repetition(config: RepetitionConfig) -> bool:
    """Whether any of the settings is on."""
    return config.repetition_penalty != 1 or config.no_repeat_ngram_size > 0
