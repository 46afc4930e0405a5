"""How likely a text is under a language model, one token after the other, with transformers alone (no cache, no batch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder).eval().double(), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def log_likelihood(model: Any, before: list[int], text: list[int]) -> float:
    """log p(text | before) = sum over i of log p(text_i | before, text_<i)."""
    total, ids = 0.0, list(before)
    for token in text:
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(torch.log_softmax(logits, dim=-1)[token])
        ids.append(token)
    return total


@torch.no_grad()
def last_vector(model: Any, text: list[int]) -> torch.Tensor:
    """The last layer's hidden state of the last token, behind the final norm."""
    return model(input_ids=torch.tensor([text]), output_hidden_states=True).hidden_states[-1][0, -1]
