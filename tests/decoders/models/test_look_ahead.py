"""Looking ahead at candidates as a tree: what a whole forward pass over each candidate's own text says, on every family."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.models.context import Context, TreeContext
from decoders.models.language_model import LanguageModel
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


@cache
def by_transformers(folder: str) -> Any:
    """A checkpoint, loaded once however many texts it is asked about."""
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def alone(lm: LanguageModel, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Final hidden state and logits of the last token of one text, by transformers alone and without a cache."""
    model = by_transformers(lm.name.removeprefix("local:"))
    seen: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    hook.remove()
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


def test_only_what_is_wanted_is_computed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Texts want different numbers of candidates, on a model of either kind; one token each goes through the model."""
    for name in ("gpt2", "llama", "GPTNeo"):
        lm = load(request, name, tmp_path)
        texts = [lm.encode(text) for text in TEXTS]
        if not lm.pads_prompts:
            texts = [(ids * 2)[:2] for ids in texts]
        context = lm.prefill(texts)
        candidates = torch.arange(5, 5 + 6 * len(texts)).view(len(texts), 6)
        wanted = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0]]).bool()
        seen: list[int] = []
        hook = lm.model.get_input_embeddings().register_forward_hook(
            lambda _, inputs, __, seen=seen: seen.append(inputs[0].numel())
        )
        hidden = context.look_ahead(candidates, wanted)
        hook.remove()
        assert seen == [int(wanted.sum())]
        assert not hidden[~wanted].any()
        for row, place in wanted.nonzero().tolist():
            expected, _ = alone(lm, [*texts[row], int(candidates[row, place])])
            torch.testing.assert_close(hidden[row, place], expected, rtol=CLOSE, atol=CLOSE)
        choice = torch.tensor([3, 5, 4, 2])
        context.commit(choice)
        texts = [[*ids, int(candidates[row, choice[row]])] for row, ids in enumerate(texts)]
        check(lm, context, texts, candidates[:, :2])


def test_texts_can_be_kept_several_times(gpt2_folder: Path) -> None:
    """As beam search does: a text goes on in two ways, another is dropped."""
    lm = load_language_model(f"local:{gpt2_folder}")
    context = lm.prefill([[1, 2, 3], [4, 5], [6]])
    context.keep(torch.tensor([1, 2, 1]))
    context.advance(torch.tensor([7, 8, 9]))
    check(lm, context, [[4, 5, 7], [6, 8], [4, 5, 9]], torch.tensor([[10], [11], [12]]))


def test_a_tree_that_comes_out_wrong_is_not_used(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-ahead that takes all texts for one is noticed before it is used."""
    from decoders.models import language_model, tree_attention

    model = AutoModelForCausalLM.from_pretrained(gpt2_folder)
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    lm = language_model.LanguageModel(model, tokenizer, name="masks nothing", digest="0")
    monkeypatch.setattr(tree_attention.Tree, "spread", lambda tree, packed: packed.transpose(0, 1)[None].transpose(1, 2))
    assert not lm.sees_trees


def test_no_cache_grows_by_the_number_of_candidates(gpt2_folder: Path) -> None:
    lm = load_language_model(f"local:{gpt2_folder}")
    context = lm.prefill([[1, 2, 3], [4, 5, 6]])
    assert isinstance(context, TreeContext)
    before = context._states.numel()
    context.look_ahead(torch.arange(80).view(2, 40))
    assert context._states.numel() == before
    context.commit(torch.tensor([7, 39]))
    assert context._states.shape[1] == 2
    assert context._states.shape[3] <= 2 * (3 + 1)
