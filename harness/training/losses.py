"""The two losses of SimCTG, and what is measured with them.

Su et al. 2022, "A Contrastive Framework for Neural Text Generation", sections 3.1 and 3.2. The second loss keeps the hidden
states of different tokens apart, without which contrastive search has nothing to tell repetition by. MAGIC's language models
are GPT-2 adapted to captions in just this way.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from decoders.models.devices import Fit
from harness.errors import DataError

IGNORED = -100
"""Target of a padded position, as `cross_entropy` knows it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model makes of texts."""

    likelihood: float
    """Mean negative log-likelihood a token, in nats, the first token of each text given."""
    contrast: float
    """The contrastive loss, over all pairs of all texts."""
    anisotropy: float
    """Mean cosine between the final hidden states of different tokens of a text, averaged over texts."""

    @property
    def perplexity(self) -> float:
        """The exponential of the likelihood term."""
        return math.exp(self.likelihood)


def contrastive_loss(hidden: Tensor, mask: Tensor, margin: float) -> Tensor:
    """SimCTG's contrastive loss: mean over pairs of different tokens of max(0, ρ − s(h_i, h_i) + s(h_i, h_j)).

    `s` is the cosine, so s(h_i, h_i) = 1. Pairs are pooled over the batch, as in the authors' code, so that long texts weigh
    more (Su et al. 2022, equation 2, averages each text on its own).

    Args:
        hidden: final hidden states, `[batch, length, d]`.
        mask: `[batch, length]` bool, True at real tokens.
        margin: ρ, in [0, 1].

    Returns:
        A scalar; 0 where no text has two tokens.
    """
    # s(h_i, h_i) is 1 for every token, so the hinge is max(0, margin - 1 + cosine): two tokens cost nothing once their cosine is
    # below 1 - margin.
    cosines, pairs = _cosines(hidden, mask)
    return ((margin - 1 + cosines).clamp(min=0) * pairs).sum() / pairs.sum().clamp(min=1)


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """A batch as inputs and targets, padded on the right with id 0, which no real token ever attends to.

    Returns:
        inputs `[batch, length]`, targets `[batch, length]` (`IGNORED` at padding), and `mask` (True at real inputs).
    """
    length = max(len(sequence) for sequence in sequences) - 1
    inputs = torch.zeros((len(sequences), length), dtype=torch.int64)
    targets = torch.full((len(sequences), length), IGNORED)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence) - 1] = torch.tensor(sequence[:-1])
        targets[row, : len(sequence) - 1] = torch.tensor(sequence[1:])
    return inputs, targets, targets != IGNORED


def losses(
    model: Any, sequences: Sequence[Sequence[int]], margin: float, *, mixed: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood of the tokens (nats) and the contrastive loss of one batch.

    Args:
        model: any causal LM that returns logits and hidden states.
        sequences: token ids of whole texts, two or more each.
        margin: ρ; at 0 the second loss is 0 and costs nothing.
        mixed: dtype of the model's matrix products where it is not the weights' own. Both losses are float32.
    """
    inputs, targets, mask = (tensor.to(model.device) for tensor in padded(sequences))
    with torch.autocast(model.device.type, mixed) if mixed else contextlib.nullcontext():
        output = model(input_ids=inputs, attention_mask=mask.long(), output_hidden_states=margin > 0, use_cache=False)
    likelihood = F.cross_entropy(output.logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
    if margin <= 0:
        return likelihood, likelihood.new_zeros(())
    return likelihood, contrastive_loss(output.hidden_states[-1].float(), mask, margin)


def counts(sequences: Sequence[Sequence[int]]) -> tuple[int, int]:
    """How many tokens the first loss of a batch is a mean over, and how many pairs the second."""
    inputs = [len(sequence) - 1 for sequence in sequences]
    return sum(inputs), sum(n * (n - 1) for n in inputs)


@torch.no_grad()
def measure(
    model: Any, sequences: Sequence[Sequence[int]], margin: float = 0.5, *, batch_size: int = 64, mixed: torch.dtype | None = None
) -> Measured:
    """Both losses over all tokens and pairs of some texts, and the anisotropy; the model is left in evaluation mode.

    Raises:
        DataError: no text of two tokens or more.
    """
    model.eval()

    def look(part: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Sums over the texts of a part: nats, contrast, cosines, tokens, pairs, texts."""
        inputs, targets, mask = (tensor.to(model.device) for tensor in padded(part))
        with torch.autocast(model.device.type, mixed) if mixed else contextlib.nullcontext():
            output = model(input_ids=inputs, attention_mask=mask.long(), output_hidden_states=True, use_cache=False)
        total = F.cross_entropy(output.logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        cosines, real = _cosines(output.hidden_states[-1].float(), mask)
        pairs_of_text = real.sum((1, 2))
        alike = ((cosines * real).sum((1, 2)) / pairs_of_text.clamp(min=1)).double().sum()
        contrast = ((margin - 1 + cosines).clamp(min=0) * real).double().sum() if margin > 0 else 0.0
        whole = mask.sum(), pairs_of_text.sum(), (pairs_of_text > 0).sum()
        return np.array([float(sum_) for sum_ in (total.double(), contrast, alike, *whole)])

    sums, fit = np.zeros(6), Fit()
    for batch in _batches(sequences, batch_size):
        for part_sums in fit.batches(batch, len(batch), look):
            sums += part_sums
    nats, contrast, alike, tokens, pairs, texts = sums.tolist()
    return Measured(nats / tokens, contrast / max(1, pairs), alike / max(1, texts))


@torch.no_grad()
def perplexity(model: Any, sequences: Sequence[Sequence[int]], *, batch_size: int = 64) -> float:
    """The exponential of the mean negative log-likelihood a token, the first of each text given.

    Raises:
        DataError: no text of two tokens or more.
    """
    model.eval()
    total, count = 0.0, 0
    for part in _batches(sequences, batch_size):
        tokens = counts(part)[0]
        total += losses(model, part, 0.0)[0].item() * tokens
        count += tokens
    return math.exp(total / count)


def _cosines(hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines between all positions of each text, and which of them are pairs of different real tokens."""
    unit = F.normalize(hidden, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    pairs = mask[:, :, None] & mask[:, None, :]
    return cosines, pairs & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)


def _batches(sequences: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[Sequence[int]]]:
    """Batches of texts of like length."""
    usable = sorted((sequence for sequence in sequences if len(sequence) > 1), key=len)
    if not usable:
        raise DataError(f"none of the {len(sequences)} texts has two tokens or more; perplexity needs some")
    for start in range(0, len(usable), batch_size):
        yield usable[start : start + batch_size]
