"""What a language model makes of texts that somebody else wrote: how likely they are, and the vector of their last token.

Batches hold texts of like length, as many as fit a budget, so the numbers depend on the company only by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from decoders.models.devices import Fit
from decoders.models.language_model import LanguageModel

_LOGITS = 2**26
"""Numbers in one pass: tokens times vocabulary; 256 MiB in float32."""
_TOKENS = 4096
"""Tokens in one pass where no logits are wanted."""

Ids = Sequence[int]


def plain_ids(lm: LanguageModel, text: str) -> list[int]:
    """Ids of a text in which nothing is special: `<|endoftext|>` written out is thirteen characters, not an end."""
    known = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to a tokenizer
    ids = lm.tokenizer(known, add_special_tokens=False, split_special_tokens=True).input_ids
    return [int(i) for i in ids]


def log_likelihoods(lm: LanguageModel, before: Sequence[Ids], texts: Sequence[Ids]) -> NDArray[np.float64]:
    """Natural log of the probability of each text given what precedes it, `[n]` float64.

    Args:
        lm: the model.
        before: ids of what each text continues, at least one each.
        texts: ids of the texts; together with what precedes them they must fit the model's context.
    """
    likelihoods = np.zeros(len(texts))
    whole = [[*first, *text] for first, text in zip(before, texts, strict=True)]

    def read(places: list[int]) -> None:
        _, logits = lm.read([whole[place] for place in places])
        for row, place in enumerate(places):
            start, stop = len(before[place]), len(whole[place])
            if start < stop:
                targets = torch.tensor(whole[place][start:stop], device=logits.device)
                log_probs = torch.log_softmax(logits[row, start - 1 : stop - 1], dim=-1)
                likelihoods[place] = log_probs.gather(1, targets[:, None]).double().sum().item()

    fit = Fit()
    for batch in _batches(lm, [len(ids) for ids in whole], _LOGITS // lm.vocab_size):
        for _ in fit.batches(batch, len(batch), read):
            pass
    return likelihoods


@torch.no_grad()
def last_vectors(lm: LanguageModel, texts: Sequence[Ids]) -> NDArray[np.float32]:
    """The final hidden state of each text's last token, `[n, hidden]` float32: what MAUVE calls its features.

    Args:
        lm: the model.
        texts: ids, at least one each, each within the model's context.
    """

    def read(places: list[int]) -> dict[int, NDArray[np.float32]]:
        hidden = lm.prefill([texts[place] for place in places]).hidden
        return {place: hidden[row, len(texts[place]) - 1].cpu().numpy() for row, place in enumerate(places)}

    vectors: dict[int, NDArray[np.float32]] = {}
    fit = Fit()
    for batch in _batches(lm, [len(text) for text in texts], _TOKENS):
        for batch_vectors in fit.batches(batch, len(batch), read):
            vectors |= batch_vectors
    return np.stack([vectors[place] for place in range(len(texts))])


def _batches(lm: LanguageModel, lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of texts by length, each batch within the budget when padded; of one length where the model cannot pad."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        too_much = (len(batch) + 1) * lengths[place] > budget
        length_differs = bool(batch) and not lm.pads_prompts and lengths[place] != lengths[batch[0]]
        if batch and (too_much or length_differs):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
