"""Looking ahead at candidates as a tree: what a whole forward pass over each candidate's own text says, on every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.models.language_model import Context, LanguageModel
from decoders.models.load import load_language_model
from tests.decoders.test_architectures import ARCHITECTURES, write

CLOSE = 2e-5
"""Largest difference between two float32 computations of one figure."""
TEXTS = ("A red boat", "The", "Two dogs, one brown and one black, are", "A woman")
TREES = ("gpt2", "llama", "qwen", "Qwen2", "GPTNeoX", "OPT")
"""Learned and rotary positions, tied and separate heads, shared keys."""
ROWS = ("Bloom", "GPTNeo", "Mistral", "Gemma2")
"""Models whose positions or windows go by cache slot."""


def load(request: pytest.FixtureRequest, name: str, folder: Path) -> LanguageModel:
    if name in ARCHITECTURES:
        tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue("qwen_folder"))
        return load_language_model(f"local:{write(name, ARCHITECTURES[name], tokenizer, folder / name)}")
    return load_language_model(f"local:{request.getfixturevalue(name + '_folder')}")


def alone(lm: LanguageModel, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Final hidden state and logits of the last token of one text, by transformers alone and without a cache."""
    model = AutoModelForCausalLM.from_pretrained(lm.name.removeprefix("local:")).eval()
    seen: list[Tensor] = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    return seen[0][0, -1], logits


def check(lm: LanguageModel, context: Context, texts: list[list[int]], candidates: Tensor) -> None:
    hidden = context.look_ahead(candidates)
    for row, ids in enumerate(texts):
        for place, token in enumerate(candidates[row].tolist()):
            torch.testing.assert_close(hidden[row, place], alone(lm, [*ids, token])[0], rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("name", [*TREES, *ROWS])
def test_look_ahead_and_commit(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    """Three tokens on ragged rows, one of which leaves; then a token without looking ahead, then looking again."""
    lm = load(request, name, tmp_path)
    assert lm.sees_trees == (name in TREES)
    texts = [lm.encode(text) for text in TEXTS]
    if not lm.pads_prompts:
        texts = [(ids * 2)[:2] for ids in texts]
    context = lm.prefill(texts)
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> Tensor:
        return torch.randint(len(lm.tokenizer) - 1, (len(texts), count), generator=generator)

    for step in range(3):
        candidates = draw(4)
        candidates[:, 1] = candidates[:, 0]  # equal candidates do not disturb each other
        check(lm, context, texts, candidates)
        choice = torch.arange(len(texts)).roll(step) % 4
        context.commit(choice)
        for row, ids in enumerate(texts):
            ids.append(int(candidates[row, choice[row]]))
        if step == 1:
            context.keep(torch.tensor([2, 0, 3]))
            texts = [texts[2], texts[0], texts[3]]
    tokens = draw(1)
    context.advance(tokens[:, 0])
    for ids, token in zip(texts, tokens[:, 0].tolist(), strict=True):
        ids.append(token)
    check(lm, context, texts, draw(1))
    context.commit(torch.zeros(len(texts), dtype=torch.int64))
    assert context.lengths.tolist() == [len(ids) + 1 for ids in texts]
    assert context.mask.sum(dim=1).tolist() == context.lengths.tolist()


@pytest.mark.parametrize("name", TREES[:3])
def test_logits_after_a_commit(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    lm = load(request, name, tmp_path)
    texts = [lm.encode(text) for text in TEXTS]
    context = lm.prefill(texts)
    candidates = torch.tensor([[1, 2, 3]] * len(texts))
    context.look_ahead(candidates)
    context.commit(torch.full((len(texts),), 2))
    for row, ids in enumerate(texts):
        torch.testing.assert_close(context.logits[row], alone(lm, [*ids, 3])[1], rtol=CLOSE, atol=CLOSE)


def test_a_head_that_is_not_all_of_it(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Gemma 2 caps its logits behind the head."""
    assert not load(request, "Gemma2", tmp_path).plain_head
    assert load(request, "gpt2", tmp_path).plain_head


def test_a_model_that_ignores_the_mask_gets_rows(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-ahead that lets candidates see each other is noticed before it is used."""
    from decoders.models import language_model

    model = AutoModelForCausalLM.from_pretrained(gpt2_folder)
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    lm = language_model.LanguageModel(model, tokenizer, name="masks nothing", digest="0")
    forward = model.forward

    def blind(**inputs: object) -> object:
        mask = inputs["attention_mask"]
        assert isinstance(mask, Tensor)
        return forward(**{**inputs, "attention_mask": mask if mask.dim() == 2 else torch.zeros_like(mask)})

    monkeypatch.setattr(model, "forward", blind)
    assert not lm.sees_trees


def test_no_cache_grows_by_the_number_of_candidates(gpt2_folder: Path) -> None:
    lm = load_language_model(f"local:{gpt2_folder}")
    context = lm.prefill([[1, 2, 3], [4, 5, 6]])
    context.look_ahead(torch.arange(80).view(2, 40))
    layer = context._cache.layers[0]
    assert layer.keys.shape[0] == 2
    assert layer.keys.shape[2] == 3 + 40
    context.commit(torch.tensor([7, 39]))
    assert layer.keys.shape[2] == 4
