"""What every oracle asks of a language model: one distribution, the hidden states, and the words for some ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """What an oracle says, and how sure it was."""

    tokens: tuple[int, ...]
    """New tokens up to and including the first end token, or up to the length limit."""
    margin: float
    """The smallest lead, over all the steps that `tokens` needed, of the chosen candidate over the next; and of the last
    candidate over the first that was left out. Above the rounding noise, another correct program must choose the same."""


class Margin:
    """Keeps, step by step, the smallest gap between what won and what came next."""

    def __init__(self) -> None:
        self.smallest = float("inf")

    def between_first_two(self, scores: Tensor) -> None:
        """Note the lead of the best of `scores` over the second."""
        if len(scores) > 1:
            best = torch.topk(scores.double(), 2).values
            self.smallest = min(self.smallest, float(best[0] - best[1]))

    def at_rank(self, scores: Tensor, k: int) -> None:
        """Note the gap between rank k, the last that is let in, and rank k + 1."""
        if 0 < k < len(scores):
            ranked = torch.sort(scores.double(), descending=True).values
            self.smallest = min(self.smallest, float(ranked[k - 1] - ranked[k]))


def run(model: Any, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The model on one unpadded sequence.

    Returns:
        Logits for the next token, `[vocabulary]`, and the final hidden state of each position, `[len(ids), d]`: the vectors
        that the language-model head sees, so after the last layer norm.
    """
    with torch.no_grad():
        out = model(torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False)
    return out.logits[0, -1], out.hidden_states[-1][0]


def until_end(tokens: Sequence[int], end_id: int) -> tuple[int, ...]:
    """The tokens up to and including the first end token."""
    kept = list(tokens)
    return tuple(kept[: kept.index(end_id) + 1] if end_id in kept else kept)


_CLEAN_UP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"))
_CLEAN_UP_TOO = ((" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


def words(tokenizer: Any, ids: Sequence[int], *, skip_special: bool) -> str:
    """Decode as the reference environment did (transformers 4.7): spaces before punctuation and contractions go.

    Current transformers leaves byte-level BPE as it is, so the clean-up stands here in full.
    """
    text = tokenizer.decode(list(ids), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
    for spaced, tight in _CLEAN_UP + _CLEAN_UP_TOO:
        text = text.replace(spaced, tight)
    return str(text)


def caption(tokenizer: Any, tokens: Sequence[int], end_id: int) -> str:
    """The published post-processing: stop at the first end token, skip special tokens, clean up, collapse white space."""
    kept = list(tokens)
    if end_id in kept:
        kept = kept[: kept.index(end_id)]
    return re.sub(r"\s+", " ", words(tokenizer, kept, skip_special=True)).strip()
