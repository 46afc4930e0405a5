"""Adaptation of a language model as Su et al. 2022 describe it, one text, one token and one pair at a time, without padding.

L = L_MLE + L_CL over a whole batch: the mean cross-entropy over all its targets, and the mean over all its pairs of different
inputs of max(0, ρ − s(h_i, h_i) + s(h_i, h_j)). Then AdamW (Loshchilov and Hutter 2019, without decay), written out.
"""

from __future__ import annotations

import random
from typing import Any

import torch


def loss(model: Any, sequences: list[list[int]], margin: float) -> torch.Tensor:
    """L of a batch of token ids, differentiable."""
    nats, targets, hinge, pairs = torch.zeros(()).double(), 0, torch.zeros(()).double(), 0
    for ids in sequences:
        output = model(input_ids=torch.tensor([ids[:-1]]), output_hidden_states=True)
        for position, target in enumerate(ids[1:]):
            nats = nats - torch.log_softmax(output.logits[0, position], dim=-1)[target]
            targets += 1
        hidden = output.hidden_states[-1][0]
        for i in range(len(hidden)):
            for j in range(len(hidden)):
                if i != j:
                    s = hidden[i] @ hidden[j] / (hidden[i].norm() * hidden[j].norm())
                    hinge = hinge + torch.clamp(margin - 1.0 + s, min=0.0)
                    pairs += 1
    return nats / targets + hinge / max(1, pairs)


def train(
    model: Any, sequences: list[list[int]], *, steps: int, batch: int, rate: float, margin: float, clip: float, seed: int
) -> None:
    """Updates with warm-up over the first tenth and linear decay; gradients of the whole batch, clipped once."""
    parameters = list(model.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    rng = random.Random(f"adapt {seed}")
    warm = max(1, round(0.1 * steps))
    for t in range(1, steps + 1):
        gradients = torch.autograd.grad(loss(model, rng.sample(sequences, batch), margin), parameters)
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))  # type: ignore[arg-type]
        scale = min(1.0, clip / float(norm))
        share = t / warm if t <= warm else (steps - t + 1) / (steps - warm)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * scale * g)
                v.mul_(0.999).add_(0.001 * (scale * g) ** 2)
                p.sub_(rate * share * (m / (1 - 0.9**t)) / (torch.sqrt(v / (1 - 0.999**t)) + 1e-6))


def caption_ids(tokenizer: Any, text: str, longest: int = 64) -> list[int]:
    """`<-start_of_text->`, the stripped caption's tokens up to a length, `<|endoftext|>`."""
    start, end = tokenizer.convert_tokens_to_ids(["<-start_of_text->", "<|endoftext|>"])
    return [start, *tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text.strip()))[:longest], end]


def story_ids(tokenizer: Any, title: str, story: str, longest: int = 128) -> list[int]:
    """`title <|endoftext|> story`, tokenised as one text, cut to a length; no end token follows."""
    return tokenizer(f"{title} <|endoftext|> {story}", add_special_tokens=False).input_ids[:longest]  # type: ignore[no-any-return]
