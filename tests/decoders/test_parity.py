"""Token for token, the decoders say what the plain transcriptions in `tests.reference` say.

Every comparison first asks of the oracle that each of its decisions had a lead well above rounding noise, so that equality
is the only right answer. Prompts of different lengths go in one batch, so that padding, retiring and batching are compared
along with the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Decoder, Generation, Limits, Models, Prompt
from decoders.clipre import CaptionIndex, ClipRe
from decoders.contrastive import Contrastive
from decoders.magic import Magic
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text, load_language_model
from decoders.sampling import Greedy, Nucleus, TopK, Typical, gumbel_noise
from tests.checkpoints import CORPUS, START, captions_of
from tests.reference import magic as magic_oracle
from tests.reference import sampling
from tests.reference.clipre import retrieve
from tests.reference.contrastive import contrastive_search
from tests.reference.image_text import ImageText
from tests.reference.language import Answer, caption, run
from tests.reference.magic import magic_search

NOISE = 1e-5
"""Larger than any difference between two correct float32 programs here; measured ones stay below 3e-6."""

PROMPTS = ("A red boat", "The", "", "Two dogs, one brown and one black, are", "A woman isn't looking", "There is")
NEW = 12


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


@pytest.fixture(params=["gpt2", "llama", "qwen"])
def lm(request: pytest.FixtureRequest) -> Pair:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = {
        "gpt2": tokenizer.convert_tokens_to_ids(START),
        "llama": tokenizer.bos_token_id,
        "qwen": tokenizer.eos_token_id,
    }[request.param]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), start)


@pytest.fixture(params=["clip", "siglip"])
def clip_pair(request: pytest.FixtureRequest) -> tuple[ImageText, Models]:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return ImageText.load(folder), Models(image_text=load_image_text(f"local-dir:{folder}"))


def prompts(texts: Sequence[str], images: Sequence[Path | None] = ()) -> list[Prompt]:
    pictures = list(images) or [None] * len(texts)
    return [Prompt(str(number), text, pictures[number]) for number, text in enumerate(texts)]


def agree(lm: Pair, said: Sequence[Generation], answers: Sequence[Answer]) -> None:
    """Same tokens, same text after the published post-processing, and the right reason for stopping."""
    for generation, answer in zip(said, answers, strict=True):
        assert answer.margin > NOISE, "too close a call to compare; choose another prompt"
        assert generation.tokens == answer.tokens
        assert generation.text == caption(lm.tokenizer, answer.tokens, lm.end)
        assert generation.finish == ("eos" if answer.tokens[-1] == lm.end else "length")


def decode(decoder: type[Decoder], lm: Pair, limits: Limits, batch: list[Prompt], **config: Any) -> list[Generation]:
    return decoder(decoder.Config(**config), Models(lm.ours), limits).decode(batch, range(100, 100 + len(batch)))


def test_greedy(lm: Pair) -> None:
    answers = [sampling.decode(lm.model, lm.ids(text), new_tokens=NEW, end_id=lm.end) for text in PROMPTS]
    agree(lm, decode(Greedy, lm, Limits(NEW), prompts(PROMPTS)), answers)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.6), (25, 0.1), (45, 0.1), (10, 0.0), (7, 1.0)])
def test_contrastive(lm: Pair, k: int, alpha: float) -> None:
    answers = [
        contrastive_search(lm.model, lm.ids(text), k=k, alpha=alpha, new_tokens=NEW, end_id=lm.end) for text in PROMPTS
    ]
    agree(lm, decode(Contrastive, lm, Limits(NEW), prompts(PROMPTS), k=k, alpha=alpha), answers)


@pytest.mark.parametrize(
    ("decoder", "config", "keep"),
    [
        (TopK, {"k": 40}, sampling.top_k(40)),
        (TopK, {"k": 3, "temperature": 1.7}, sampling.top_k(3)),
        (Nucleus, {"p": 0.95}, sampling.nucleus(0.95)),
        (Nucleus, {"p": 0.5, "temperature": 0.7}, sampling.nucleus(0.5)),
        (Typical, {"mass": 0.2}, sampling.typical(0.2)),
        (Typical, {"mass": 0.8}, sampling.typical(0.8)),
    ],
)
def test_sampling_given_the_noise(lm: Pair, decoder: type[Decoder], config: Any, keep: sampling.Keep) -> None:
    size = lm.ours.vocab_size
    answers = [
        sampling.decode(
            lm.model,
            lm.ids(text),
            keep=keep,
            noise=lambda step, seed=100 + row: torch.as_tensor(gumbel_noise(seed, step, size)),  # type: ignore[misc]
            temperature=config.get("temperature", 1.0),
            new_tokens=NEW,
            end_id=lm.end,
        )
        for row, text in enumerate(PROMPTS)
    ]
    agree(lm, decode(decoder, lm, Limits(NEW), prompts(PROMPTS), **config), answers)
