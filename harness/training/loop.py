"""Updates: which texts, how gradients add up, how hard, how fast. Nothing here knows files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from decoders.models.devices import Fit
from harness.errors import DataError
from harness.training.losses import counts, losses


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a language model is adapted. The defaults suit a small model that starts from random weights.

    GPT-2 was adapted to captions with a batch size of 128 and a learning rate of 2e-5, for 20,000 (MS-COCO) and 10,000
    (Flickr30k) steps.
    """

    steps: int
    """Updates."""
    batch_size: int = 48
    """Texts an update, drawn without replacement."""
    micro_batch_size: int | None = None
    """Texts in one forward pass, if not all fit; gradients add up to those of the whole batch."""
    learning_rate: float = 2e-3
    margin: float = 0.5
    """ρ of the contrastive loss; 0 turns it off."""
    warm_up: float = 0.1
    """Share of the steps over which the rate grows; then it falls linearly to 0."""
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""


class Trainer:
    """A model in training: call `update` as often as `adaptation.steps` says.

    What the next update depends on is all in `model`, `optimizer`, `rng`, `step` and torch's own generator (dropout), so whoever
    keeps and restores these goes on exactly.

    Attributes:
        model: any causal LM that returns logits and hidden states, on any device; trained in place.
        optimizer: AdamW with betas 0.9 and 0.999 and eps 1e-6, as published.
        rng: draws the texts of each update.
        step: updates done.
    """

    def __init__(
        self,
        model: Any,
        sequences: Sequence[Sequence[int]],
        adaptation: Adaptation,
        *,
        seed: int = 0,
        mixed: torch.dtype | None = None,
        notice: Callable[[int, int], None] | None = None,
    ) -> None:
        """Get ready.

        Args:
            model: see above.
            sequences: token ids of whole texts, start and end tokens included; those of fewer than two tokens are left out.
            adaptation: how long, how hard.
            seed: of the order of texts. Weights and dropout follow torch's own generator.
            mixed: dtype of the model's matrix products, if not that of its weights.
            notice: called with the size of a micro-batch that does not fit and the size that is tried next.

        Raises:
            DataError: no text of two tokens or more.
        """
        self.usable = [sequence for sequence in sequences if len(sequence) > 1]
        if not self.usable:
            raise DataError(f"none of the {len(sequences)} texts has two tokens or more; give texts to learn from")
        self.model = model
        self.adaptation = adaptation
        self.mixed = mixed
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=adaptation.learning_rate, betas=(0.9, 0.999), eps=1e-6, weight_decay=adaptation.weight_decay
        )
        self.rng = random.Random(f"adapt {seed}")
        self.step = 0
        self._fit = Fit(notice)

    def update(self) -> tuple[float, float]:
        """One step of the optimizer.

        Returns:
            The two losses of the batch, before the step: likelihood (nats a token) and contrast.
        """
        self.model.train()
        batch = self.rng.sample(self.usable, min(self.adaptation.batch_size, len(self.usable)))
        random_state = _random_state(self.model.device)

        def attempt(micro: int) -> tuple[float, float]:
            # From the beginning: an attempt that ran out of memory left gradients behind, and has drawn for dropout.
            self.optimizer.zero_grad(set_to_none=True)
            _restore(random_state)
            return self.accumulate(batch, micro)

        batch_losses = self._fit.at_once(self.adaptation.micro_batch_size or len(batch), attempt)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.adaptation.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.adaptation.learning_rate * _rate(self.step, self.adaptation)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return batch_losses

    def accumulate(self, batch: Sequence[Sequence[int]], micro: int | None = None) -> tuple[float, float]:
        """Add the gradients of a batch, one micro-batch after the other; they are those of the whole batch at once.

        Each micro-batch's mean over tokens counts by its share of the batch's tokens, and its mean over pairs by its share of the
        pairs. Dividing by the number of micro-batches would let tokens of short texts count more.

        Args:
            batch: token ids of texts.
            micro: texts in one forward pass; the adaptation's by default.
        """
        micro = micro or self.adaptation.micro_batch_size or len(batch)
        all_tokens, all_pairs = counts(batch)
        sums = [0.0, 0.0]
        for start in range(0, len(batch), micro):
            part = batch[start : start + micro]
            tokens, pairs = counts(part)
            shares = tokens / all_tokens, pairs / max(1, all_pairs)
            parts = losses(self.model, part, self.adaptation.margin, mixed=self.mixed)
            (parts[0] * shares[0] + parts[1] * shares[1]).backward()  # type: ignore[no-untyped-call]
            sums = [sum_ + share * part.item() for sum_, share, part in zip(sums, shares, parts, strict=True)]
        return sums[0], sums[1]


def _random_state(device: torch.device) -> dict[torch.device, Tensor]:
    """Where torch's generators stand that dropout draws from."""
    states = {torch.device("cpu"): torch.get_rng_state()}
    return states | ({device: torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _restore(states: dict[torch.device, Tensor]) -> None:
    for device, state in states.items():
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)


def adapt(
    model: Any,
    sequences: Sequence[Sequence[int]],
    adaptation: Adaptation,
    *,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> None:
    """Train a Hugging Face causal language model in place, in one go; it is left in evaluation mode.

    Args:
        model: any causal LM that returns logits and hidden states, on any device.
        sequences: token ids of whole texts, start and end tokens included; those of fewer than two tokens are left out.
        adaptation: how long, how hard.
        seed: of the order of texts. Weights and dropout follow torch's own generator.
        say: prints the losses ten times during training.

    Raises:
        DataError: no text of two tokens or more.
    """
    trainer = Trainer(model, sequences, adaptation, seed=seed)
    steps = adaptation.steps
    for step in range(1, steps + 1):
        likelihood, contrast = trainer.update()
        if say and step % max(1, steps // 10) == 0:
            say(f"step {step}/{steps}: likelihood {likelihood:.3f}, contrast {contrast:.4f}")
    model.eval()


def _rate(step: int, adaptation: Adaptation) -> float:
    """Share of the learning rate at an update, from 0: up in a line, then down in a line. The first is not 0."""
    warm = max(1, round(adaptation.warm_up * adaptation.steps))
    if step < warm:
        return (step + 1) / warm
    return max(0.0, (adaptation.steps - step) / max(1, adaptation.steps - warm))
