"""One checkpoint in two hands: loaded by transformers for the oracles, by SeeTell for the decoders; and what "equal" means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from decoders.base import Decoder, Generation, Limits, Prompt
from decoders.loop import gumbel_noise
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.loaded import Models
from tests.reference.image_text import ImageText
from tests.reference.language import Answer, caption
from tests.reference.magic import magic_search

NOISE = 1e-5
"""Larger than any difference between two correct float32 programs here."""

SEED = 100
"""The seed of the first prompt of a batch; the others follow."""


@dataclass(frozen=True)
class Pair:
    """One checkpoint, loaded twice: by transformers for the oracle, by SeeTell for the decoders."""

    model: Any
    tokenizer: Any
    ours: LanguageModel
    start: int
    """What an empty prompt becomes."""

    @property
    def end(self) -> int:
        """The end token, as the tokenizer's own files have it."""
        return int(self.tokenizer.eos_token_id)

    def ids(self, text: str) -> list[int]:
        """Prompt ids by transformers alone."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids) or [self.start]


def prompts(texts: Sequence[str], images: Sequence[Path | bytes] = ()) -> list[Prompt]:
    """One prompt a text, each with its image if there are images."""
    pictures: Sequence[Path | bytes | None] = images or [None] * len(texts)
    return [Prompt(str(number), text, pictures[number]) for number, text in enumerate(texts)]


def decode(
    decoder: type[Decoder], lm: Pair, limits: Limits, batch: Sequence[Prompt], clip: ImageTextModel | None = None, **config: Any
) -> list[Generation]:
    """What `decoder` says to the whole batch at once."""
    models = Models(lm.ours, clip)
    return decoder(decoder.Config(**config), models, limits).decode(batch, range(SEED, SEED + len(batch)))


def noise_of(lm: Pair, row: int) -> Callable[[int], Tensor]:
    """The Gumbel noise that row `row` of a batch decoded by `decode` gets at a step."""
    return lambda step: torch.from_numpy(gumbel_noise(SEED + row, step, lm.ours.vocab_size))


def agree(lm: Pair, said: Sequence[Generation], answers: Sequence[Answer], at_least: float = 1.0) -> None:
    """Same tokens, same text after the published post-processing, and the right reason for stopping.

    Args:
        lm: the language model.
        said: by a decoder.
        answers: by its oracle.
        at_least: the share of answers that must be clear enough to compare; below 1 for weights that may be trained again.
    """
    clear = [(g, answer) for g, answer in zip(said, answers, strict=True) if answer.margin > NOISE]
    assert len(clear) >= at_least * len(answers), "too many close calls to compare; choose other prompts"
    for generation, answer in clear:
        assert generation.tokens == answer.tokens
        assert generation.text == caption(lm.tokenizer, answer.tokens, lm.end)
        assert generation.finish == ("eos" if answer.tokens[-1] == lm.end else "length")


def magic_answers(lm: Pair, clip: ImageText, batch: Sequence[Prompt], *, new_tokens: int, **config: Any) -> list[Answer]:
    """What the oracle of MAGIC search says, one prompt at a time."""
    answers = []
    for prompt in batch:
        assert prompt.image is not None
        image, ids = clip.encode_image(prompt.image), lm.ids(prompt.text)
        fixed: dict[str, Any] = {"new_tokens": new_tokens, "end_id": lm.end}
        answers.append(magic_search(lm.model, lm.tokenizer, clip, image, ids, **config, **fixed))
    return answers
