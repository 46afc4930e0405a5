"""Adapt a language model to a kind of text: maximum likelihood plus SimCTG's contrastive loss.

Su et al. 2022, "A Contrastive Framework for Neural Text Generation", sections 3.1 and 3.2. The second loss keeps the hidden
states of different tokens apart, without which contrastive search has nothing to tell repetition by. MAGIC's language models
are GPT-2 adapted to captions in just this way.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.errors import DataError

IGNORED = -100
"""Target of a padded position, as `cross_entropy` knows it."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a language model is adapted. The defaults suit a small model that starts from nothing.

    GPT-2 was adapted to captions with a batch size of 128 and a learning rate of 2e-5, for 20,000 (MS-COCO) and 10,000
    (Flickr30k) steps.
    """

    steps: int
    """Updates."""
    batch_size: int = 48
    """Texts an update, drawn without replacement."""
    micro_batch_size: int | None = None
    """Texts in one forward pass, if not all fit; gradients are averaged over the passes."""
    learning_rate: float = 2e-3
    margin: float = 0.5
    """ρ of the contrastive loss; 0 turns it off."""
    warm_up: float = 0.1
    """Share of the steps over which the rate grows; then it falls linearly to 0."""
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""


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
    unit = F.normalize(hidden, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    pairs = mask[:, :, None] & mask[:, None, :]
    pairs = pairs & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
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


def adapt(
    model: Any,
    sequences: Sequence[Sequence[int]],
    adaptation: Adaptation,
    *,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> None:
    """Train a Hugging Face causal language model in place; it is left in evaluation mode.

    Args:
        model: any causal LM that returns logits and hidden states, on any device.
        sequences: token ids of whole texts, start and end tokens included; those of fewer than two tokens are left out.
        adaptation: how long, how hard.
        seed: of the order of texts. Weights and dropout follow torch's own generator.
        say: told the losses ten times on the way.

    Raises:
        DataError: no text of two tokens or more.
    """
    usable = [sequence for sequence in sequences if len(sequence) > 1]
    if not usable:
        raise DataError(f"none of the {len(sequences)} texts has two tokens or more; give texts to learn from")
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=adaptation.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=adaptation.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, adaptation))
    rng = random.Random(f"adapt {seed}")
    batch_size = min(adaptation.batch_size, len(usable))
    micro = min(adaptation.micro_batch_size or batch_size, batch_size)
    model.train()
    for step in range(1, adaptation.steps + 1):
        batch = rng.sample(usable, batch_size)
        for start in range(0, batch_size, micro):
            part = batch[start : start + micro]
            likelihood, contrast = losses(model, part, adaptation.margin)
            ((likelihood + contrast) * (len(part) / batch_size)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), adaptation.clip_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if say and step % max(1, adaptation.steps // 10) == 0:
            say(f"step {step}/{adaptation.steps}: likelihood {likelihood.item():.3f}, contrast {contrast.item():.4f}")
    model.eval()


def losses(model: Any, sequences: Sequence[Sequence[int]], margin: float) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood of the tokens (nats) and the contrastive loss of one batch."""
    inputs, targets, mask = (tensor.to(model.device) for tensor in padded(sequences))
    output = model(input_ids=inputs, attention_mask=mask.long(), output_hidden_states=margin > 0, use_cache=False)
    likelihood = F.cross_entropy(output.logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
    if margin <= 0:
        return likelihood, likelihood.new_zeros(())
    return likelihood, contrastive_loss(output.hidden_states[-1].float(), mask, margin)


@torch.no_grad()
def perplexity(model: Any, sequences: Sequence[Sequence[int]], *, batch_size: int = 64) -> float:
    """The exponential of the mean negative log-likelihood a token, the first of each text given.

    Raises:
        DataError: no text of two tokens or more.
    """
    usable = sorted((sequence for sequence in sequences if len(sequence) > 1), key=len)
    if not usable:
        raise DataError(f"none of the {len(sequences)} texts has two tokens or more; perplexity needs some")
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(usable), batch_size):
        part = usable[start : start + batch_size]
        tokens = sum(len(sequence) - 1 for sequence in part)
        total += losses(model, part, 0.0)[0].item() * tokens
        count += tokens
    return math.exp(total / count)


def _rate(step: int, adaptation: Adaptation) -> float:
    warm = max(1, round(adaptation.warm_up * adaptation.steps))
    if step < warm:
        return (step + 1) / warm
    return max(0.0, (adaptation.steps - step) / max(1, adaptation.steps - warm))
