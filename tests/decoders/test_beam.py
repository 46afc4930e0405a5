"""Beam search: what the plain transcription says, and what transformers' own `generate` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Limits
from decoders.beam import Beam
from decoders.errors import PromptTooLong
from decoders.models.load import load_language_model
from decoders.sampling import Greedy
from tests.checkpoints import START
from tests.decoders.parity import Pair, agree, decode, prompts
from tests.reference.beam import beam_search

PROMPTS = ("A red boat", "The", "", "Two dogs, one brown and one black, are", "A woman isn't looking", "There is")
NEW = 7


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> Pair:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = tokenizer.convert_tokens_to_ids(START) if request.param == "gpt2" else tokenizer.bos_token_id
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), start)


@pytest.mark.parametrize(
    "config",
    [
        {"width": 3},
        {"width": 5, "length_penalty": 0.0},
        {"width": 4, "length_penalty": 2.0},
        {"width": 3, "early_stopping": True},
        {"width": 3, "length_penalty": -1.0},
    ],
)
def test_it_says_what_the_equations_say(lm: Pair, config: dict[str, Any]) -> None:
    answers = [beam_search(lm.model, lm.ids(text), new_tokens=NEW, end_id=lm.end, **config) for text in PROMPTS]
    agree(lm, decode(Beam, lm, Limits(NEW), prompts(PROMPTS), **config), answers, at_least=0.7)


@pytest.mark.parametrize(("width", "length_penalty", "early"), [(10, 1.0, False), (4, 0.0, False), (4, 1.5, True)])
def test_it_says_what_transformers_says(lm: Pair, width: int, length_penalty: float, early: bool) -> None:
    config: dict[str, Any] = {"width": width, "length_penalty": length_penalty, "early_stopping": early}
    said = decode(Beam, lm, Limits(NEW), prompts(PROMPTS), **config)
    assert length_penalty > 0 or "eos" in {generation.finish for generation in said}
    for text, generation in zip(PROMPTS, said, strict=True):
        ids = torch.tensor([lm.ids(text)])
        theirs = lm.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=width,
            max_new_tokens=NEW,
            do_sample=False,
            length_penalty=length_penalty,
            early_stopping=early,
            eos_token_id=lm.end,
            pad_token_id=lm.end,
        )[0, ids.shape[1] :].tolist()
        if lm.end in theirs:
            theirs = theirs[: theirs.index(lm.end) + 1]
        assert list(generation.tokens) == theirs


def test_one_beam_that_stops_early_is_greedy(lm: Pair) -> None:
    narrow = decode(Beam, lm, Limits(NEW), prompts(PROMPTS), width=1, early_stopping=True)
    greedy = decode(Greedy, lm, Limits(NEW), prompts(PROMPTS))
    same = [ours.tokens == theirs.tokens for ours, theirs in zip(narrow, greedy, strict=True)]
    assert all(same)


def test_a_wide_beam_finds_likelier_texts(lm: Pair) -> None:
    """With no length penalty the score is the log-probability; the widest beam must beat the narrowest somewhere."""
    narrow, wide = (decode(Beam, lm, Limits(NEW), prompts(PROMPTS), width=width, length_penalty=0.0) for width in (1, 12))
    gains = [b.trace["score"] - a.trace["score"] for a, b in zip(narrow, wide, strict=True)]
    assert max(gains) > 0.1
    assert sum(gains) > 0


@pytest.mark.parametrize("size", [1, 2, 7])
def test_neither_batch_size_nor_order_matter(lm: Pair, size: int) -> None:
    batch = prompts(PROMPTS * 2)
    expected = {p.id: g.tokens for p, g in zip(batch, decode(Beam, lm, Limits(NEW), batch, width=4), strict=True)}
    assert len(set(expected.values())) > 3
    turned = batch[::-1][3:] + batch[::-1][:3]
    for start in range(0, len(turned), size):
        part = turned[start : start + size]
        for prompt, generation in zip(part, decode(Beam, lm, Limits(NEW), part, width=4), strict=True):
            assert generation.tokens == expected[prompt.id]


def test_a_beam_wider_than_the_vocabulary_and_a_single_token(lm: Pair) -> None:
    said = decode(Beam, lm, Limits(max_new_tokens=1), prompts(PROMPTS), width=600)
    greedy = decode(Greedy, lm, Limits(max_new_tokens=1), prompts(PROMPTS))
    assert [g.tokens for g in said] == [g.tokens for g in greedy]


def test_a_prompt_that_leaves_no_room_is_named(lm: Pair) -> None:
    with pytest.raises(PromptTooLong, match="'0'"):
        decode(Beam, lm, Limits(max_length=2), prompts(["Two dogs, one brown"]))
