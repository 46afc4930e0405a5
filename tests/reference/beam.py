"""Beam search over whole texts: Graves 2012, "Sequence Transduction with Recurrent Neural Networks", section 2.5, with the
length-normalised scores of Wu et al. 2016 and the stopping rule that Hugging Face transformers has by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tests.reference.language import Answer, Margin, run


def beam_search(
    model: Any,
    prompt: Sequence[int],
    *,
    width: int,
    new_tokens: int,
    end_id: int,
    length_penalty: float = 1.0,
    early_stopping: bool = False,
) -> Answer:
    """The best finished text; every text is run through the model from its beginning at every step."""
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    margin = Margin()
    for length in range(1, new_tokens + 1):
        longer = []
        for score, said in running:
            log_p = torch.log_softmax(run(model, [*prompt, *said])[0], dim=-1)
            longer += [(score + float(value), [*said, token]) for token, value in enumerate(log_p)]
        longer.sort(key=lambda item: -item[0])
        for rank in (width, 2 * width):
            margin.between_first_two(torch.tensor([item[0] for item in longer[rank - 1 : rank + 1]]))
        running = []
        for rank, (score, said) in enumerate(longer[: 2 * width]):
            if said[-1] == end_id or length == new_tokens:
                finished += [(score / length**length_penalty, said)] if rank < width else []
            elif len(running) < width:
                running.append((score, said))
        finished.sort(key=lambda item: -item[0])
        if len(finished) > width:
            margin.between_first_two(torch.tensor([item[0] for item in finished[width - 1 : width + 1]]))
        finished = finished[:width]
        if len(finished) == width and running:
            scores = [running[0][0] / length**length_penalty, finished[-1][0]]
            margin.between_first_two(torch.tensor(scores))
            if early_stopping or scores[0] <= scores[1]:
                break
    margin.between_first_two(torch.tensor([score for score, _ in finished]))
    return Answer(tuple(finished[0][1]), margin.smallest)
