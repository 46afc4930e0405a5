"""MAGIC search: Su et al. 2022, "Language Models Can See: Plugging Visual Controls in Text Generation", equations 4-5.

    x_t = argmax over v in V_k of (1 - alpha) * p(v | x_<t) - alpha * max over j < t of cos(h_v, h_{x_j})
                                  + beta * f(v | I, x_<t, V_k)
    f(v) = exp(s * cos(e_I, e_T(x + v)))  /  sum over z in V_k of exp(s * cos(e_I, e_T(x + z)))

s is the image-text model's learned scale; e_T sees the text generated so far without the prompt, its last 60 tokens. The
released code's image-text model reads the language model's end token as its own, so that what follows it has no influence;
here the text is cut there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.contrastive import candidates, penalties
from tests.reference.image_text import ImageText
from tests.reference.language import Answer, Margin, run, words

WINDOW = 60


def candidate_text(tokenizer: Any, said: Sequence[int], candidate: int, end_id: int, window: int = WINDOW) -> str:
    """What the image-text model reads for one candidate: the last `window` tokens, up to the end token if there is one."""
    ids = [*said, candidate][-window:]
    if end_id in ids:
        ids = ids[: ids.index(end_id)]
    return words(tokenizer, ids, skip_special=False)


def magic_score(clip: ImageText, image: Tensor, texts: Sequence[str]) -> Tensor:
    """f: the softmax over the candidates of the scaled cosine between `image`, `[d]`, and each text; `[k]`."""
    cosine = clip.encode_texts(texts) @ image
    return torch.softmax(clip.scale * cosine, dim=0)


def magic_search(
    model: Any,
    tokenizer: Any,
    clip: ImageText,
    image: Tensor,
    prompt: Sequence[int],
    *,
    k: int,
    alpha: float,
    beta: float,
    new_tokens: int,
    end_id: int,
    window: int = WINDOW,
) -> Answer:
    """Generate `new_tokens` tokens after `prompt` for the image whose normalised features are `image`, `[d]`.

    The released code writes on after an end token and then cuts what follows it; here nothing follows.
    """
    context, margins = list(prompt), []
    for _ in range(new_tokens):
        margin = Margin()
        logits, history = run(model, context)
        tokens, probabilities = candidates(logits, k, margin)
        contrastive = (1 - alpha) * probabilities - alpha * penalties(model, context, tokens, history)
        said = context[len(prompt) :]
        texts = [candidate_text(tokenizer, said, token, end_id, window) for token in tokens]
        score = contrastive + beta * magic_score(clip, image, texts)
        margin.between_first_two(score)
        margins.append(margin.smallest)
        context.append(tokens[int(torch.argmax(score))])
        if context[-1] == end_id:
            break
    return Answer(tuple(context[len(prompt) :]), min(margins))
