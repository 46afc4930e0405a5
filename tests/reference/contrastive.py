"""Contrastive search: Su et al. 2022, "A Contrastive Framework for Neural Text Generation" (SimCTG), equation 5.

    x_t = argmax over v in V_k of (1 - alpha) * p(v | x_<t)  -  alpha * max over j < t of cos(h_v, h_{x_j})

V_k are the k most probable tokens, p the softmax over the whole vocabulary, h_v the final hidden state of v when v is
appended to the context, and the maximum runs over every earlier position, the prefix included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tests.reference.language import Answer, Margin, run


def candidates(logits: Tensor, k: int, margin: Margin) -> tuple[list[int], Tensor]:
    """V_k, likeliest first, with the probabilities of its members under the whole softmax, `[k]`."""
    top = torch.topk(torch.softmax(logits, dim=-1), min(k, len(logits)))
    margin.at_rank(torch.log_softmax(logits, dim=-1), k)
    return top.indices.tolist(), top.values


def penalties(model: Any, context: Sequence[int], tokens: Sequence[int], history: Tensor) -> Tensor:
    """The degeneration penalty of each candidate: its largest cosine to any position of the context, `[k]`."""
    with torch.no_grad():
        appended = torch.tensor([[*context, token] for token in tokens])
        own = model(appended, output_hidden_states=True, use_cache=False).hidden_states[-1][:, -1]
    return torch.stack([cosine_similarity(candidate, history, dim=-1).max() for candidate in own])


def contrastive_search(model: Any, prompt: Sequence[int], *, k: int, alpha: float, new_tokens: int, end_id: int) -> Answer:
    """Generate `new_tokens` tokens after `prompt`. The released code writes on after an end token and then cuts what follows
    it; here nothing follows.
    """
    context, margins = list(prompt), []
    for _ in range(new_tokens):
        margin = Margin()
        logits, history = run(model, context)
        tokens, probabilities = candidates(logits, k, margin)
        score = (1 - alpha) * probabilities - alpha * penalties(model, context, tokens, history)
        margin.between_first_two(score)
        margins.append(margin.smallest)
        context.append(tokens[int(torch.argmax(score))])
        if context[-1] == end_id:
            break
    return Answer(tuple(context[len(prompt) :]), min(margins))
