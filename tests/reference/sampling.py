"""Greedy decoding and the sampling baselines, given the noise.

Top-k: Fan et al. 2018, "Hierarchical Neural Story Generation": draw from the k likeliest tokens. Nucleus: Holtzman et al.
2020, "The Curious Case of Neural Text Degeneration", equations 2 and 3: from the smallest V with sum over V of p >= p_0.
Typical: Meister et al. 2023, "Locally Typical Sampling": from the tokens with the smallest |-log p - H|, H the entropy, that
hold the mass tau. Penalty: Keskar et al. 2019, "CTRL: A Conditional Transformer Language Model", section 4.1, with the
division turned round for negative scores. No run of tokens twice: Paulus et al. 2017, "A Deep Reinforced Model for
Abstractive Summarization".
Drawing from softmax(z) is taking the argmax of z + g with g standard Gumbel (Gumbel 1954; Maddison et al. 2014), so with the
noise given, nothing is left to chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.language import Answer, Margin, run, until_end

Keep = Callable[[Tensor, float], list[int]]
"""From the logits of one step, the ids of the tokens that may be drawn, with the threshold moved by some slack: above 0 more
tokens may come in, below 0 some may drop out."""

SLACK = 1e-5
"""A draw that changes when the threshold moves by this much is too close a call to compare."""


def all_tokens(logits: Tensor, slack: float) -> list[int]:
    """No restriction."""
    return list(range(len(logits)))


def top_k(k: int) -> Keep:
    """The k tokens with the highest probability, and those that equal the k-th."""

    def keep(logits: Tensor, slack: float) -> list[int]:
        ranked = [*sorted(logits.tolist(), reverse=True), -math.inf]
        last, next_one = ranked[min(k, len(logits)) - 1], ranked[min(k, len(logits))]
        threshold = next_one - slack if slack < 0 else last - slack
        return [token for token, logit in enumerate(logits.tolist()) if logit >= threshold]

    return keep


def _shortest_run(order: Sequence[int], probabilities: Sequence[float], mass: float) -> list[int]:
    """The shortest beginning of `order` that holds `mass` of the probability, the token that crosses it included."""
    kept: list[int] = []
    total = 0.0
    for token in order:
        kept.append(token)
        total += probabilities[token]
        if total >= mass:
            break
    return kept


def nucleus(p: float) -> Keep:
    """The smallest set of the likeliest tokens whose probability reaches p."""

    def keep(logits: Tensor, slack: float) -> list[int]:
        probabilities = torch.softmax(logits.double(), dim=-1).tolist()
        order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])
        return _shortest_run(order, probabilities, p + slack)

    return keep


def typical(mass: float) -> Keep:
    """The tokens whose information content is nearest to the entropy, until their probability reaches `mass`."""

    def keep(logits: Tensor, slack: float) -> list[int]:
        probabilities = torch.softmax(logits.double(), dim=-1).tolist()
        entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
        distance = [abs(-math.log(p) - entropy) if p > 0 else math.inf for p in probabilities]
        order = sorted(range(len(probabilities)), key=lambda token: distance[token])
        return _shortest_run(order, probabilities, mass + slack)

    return keep


def held_back(logits: Tensor, context: Sequence[int], penalty: float, size: int) -> Tensor:
    """Logits after a penalty on every token of the context, and without those that would repeat a run of `size` tokens."""
    changed = logits.clone()
    for token in set(context):
        changed[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    for start in range(len(context) - size + 1 if size else 0):
        run_of_tokens = [*context[start : start + size]]
        if run_of_tokens[:-1] == [*context[len(context) - size + 1 :]]:
            changed[run_of_tokens[-1]] = -math.inf
    return changed


def decode(
    model: Any,
    prompt: Sequence[int],
    *,
    keep: Keep = all_tokens,
    noise: Callable[[int], Tensor] | None = None,
    temperature: float = 1.0,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    new_tokens: int,
    end_id: int,
) -> Answer:
    """Generate up to `new_tokens` tokens after `prompt`.

    Args:
        model: a causal language model.
        prompt: ids to continue.
        keep: which tokens may be drawn at a step.
        noise: standard Gumbel noise of a step counted from 0, `[vocabulary]`; none for greedy decoding.
        temperature: divides the logits before they are truncated.
        repetition_penalty: see `held_back`; comes before the temperature.
        no_repeat_ngram_size: see `held_back`; 0 is none.
        new_tokens: the limit, end token included.
        end_id: the token to stop at.
    """
    context, margin = list(prompt), Margin()
    for step in range(new_tokens):
        logits = held_back(run(model, context)[0], context, repetition_penalty, no_repeat_ngram_size) / temperature
        score = torch.log_softmax(logits, dim=-1)
        if noise is not None:
            score = score + noise(step)
        chosen = _best(score, keep(logits, 0.0))
        margin.between_first_two(score[keep(logits, 0.0)])
        if any(_best(score, keep(logits, slack)) != chosen for slack in (-SLACK, SLACK)):
            margin.smallest = 0.0
        context.append(chosen)
        if chosen == end_id:
            break
    return Answer(until_end(context[len(prompt) :], end_id), margin.smallest)


def _best(score: Tensor, kept: Sequence[int]) -> int:
    """The kept token with the highest score; -1 where none is left."""
    scores = score.tolist()
    return max(kept, key=scores.__getitem__, default=-1)
