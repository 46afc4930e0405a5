"""The oracles against other people's code and against sums done by hand, before anything of ours is held to them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from tests.checkpoints import CORPUS, END, write_gpt2, write_llama, write_qwen
from tests.reference import contrastive, language, magic, sampling
from tests.reference.clipre import retrieve
from tests.reference.image_text import ImageText


@pytest.fixture(params=["gpt2_folder", "llama_folder", "qwen_folder"])
def raw(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them."""
    folder = request.getfixturevalue(request.param)
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("prompt", [CORPUS[0][:10], CORPUS[2], "The"])
def test_greedy_is_what_generate_does(raw: tuple[Any, Any], prompt: str) -> None:
    model, tokenizer = raw
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    answer = sampling.decode(model, ids, new_tokens=12, end_id=tokenizer.eos_token_id)
    batch = torch.tensor([ids])
    generated = model.generate(batch, attention_mask=torch.ones_like(batch), do_sample=False, max_new_tokens=12)
    assert answer.tokens == tuple(generated[0, len(ids) :].tolist())


@pytest.mark.parametrize(
    ("keep", "warper"),
    [
        (sampling.top_k(7), TopKLogitsWarper(7)),
        (sampling.top_k(1), TopKLogitsWarper(1)),
        (sampling.nucleus(0.95), TopPLogitsWarper(0.95)),
        (sampling.nucleus(0.3), TopPLogitsWarper(0.3)),
        (sampling.typical(0.2), TypicalLogitsWarper(0.2)),
        (sampling.typical(0.9), TypicalLogitsWarper(0.9)),
    ],
    ids=["top-7", "top-1", "nucleus-95", "nucleus-30", "typical-20", "typical-90"],
)
def test_kept_tokens_are_those_of_transformers(keep: sampling.Keep, warper: Any) -> None:
    for seed in range(20):
        logits = 3 * torch.randn(200, generator=torch.Generator().manual_seed(seed))
        warped: Tensor = warper(torch.zeros(1, 1, dtype=torch.long), logits[None].clone())[0]
        assert sorted(keep(logits, 0.0)) == torch.isfinite(warped).nonzero()[:, 0].tolist()


def test_gumbel_noise_draws_from_the_softmax(gpt2_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(gpt2_folder).eval()
    with torch.no_grad():
        output = model(torch.tensor([[5, 6]]), output_hidden_states=True)
    probabilities = torch.softmax(output.logits[0, -1], dim=-1)
    rng = np.random.default_rng(0)

    def noise(step: int) -> Tensor:
        return torch.from_numpy(rng.gumbel(size=len(probabilities)))

    draws = 2000
    first = [
        sampling.decode(lambda *_, **__: output, [5, 6], noise=noise, new_tokens=1, end_id=-1).tokens[0] for _ in range(draws)
    ]
    for token in torch.topk(probabilities, 3).indices.tolist():
        p = float(probabilities[token])
        assert abs(first.count(token) / draws - p) < 4 * (p * (1 - p) / draws) ** 0.5


def test_contrastive_score_by_hand() -> None:
    """Three tokens in the plane: the likeliest repeats the context, the second is at right angles to it."""
    hidden = {0: [1.0, 0.0], 1: [2.0, 0.0], 2: [0.0, 1.0]}
    logits = torch.log(torch.tensor([0.1, 0.5, 0.4]))

    class Output:
        def __init__(self, ids: Tensor) -> None:
            self.logits = logits.expand(*ids.shape, 3)
            self.hidden_states = (torch.tensor([[hidden[i] for i in row] for row in ids.tolist()]),)

    def model(ids: Tensor, **_: bool) -> Output:
        return Output(ids)

    # token 1: .5 * .5 - .5 * 1 = -.25; token 2: .5 * .4 - .5 * 0 = .2
    answer = contrastive.contrastive_search(model, [0], k=2, alpha=0.5, new_tokens=1, end_id=-1)
    assert answer.tokens == (2,)
    assert answer.margin == pytest.approx(min(0.45, np.log(4)), abs=1e-6)
    # Two steps on, both directions are in the context, so both are penalised fully and the likelier wins.
    assert contrastive.contrastive_search(model, [0], k=2, alpha=0.5, new_tokens=2, end_id=-1).tokens == (2, 1)


def test_contrastive_history_includes_the_prompt(raw: tuple[Any, Any]) -> None:
    """With alpha 1 the candidate least like anything before it wins, wherever the likeness lies."""
    model, tokenizer = raw
    ids = tokenizer("The dog, the dog", add_special_tokens=False).input_ids
    answer = contrastive.contrastive_search(model, ids, k=6, alpha=1.0, new_tokens=1, end_id=-1)
    logits, past = language.run(model, ids)
    likeness = []
    for token in torch.topk(logits, 6).indices.tolist():
        own = language.run(model, [*ids, token])[1][-1]
        likeness.append((float((past @ own / (past.norm(dim=1) * own.norm())).max()), token))
    assert answer.tokens == (min(likeness)[1],)


def test_magic_text_by_hand(gpt2_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    end = tokenizer.eos_token_id
    red, boat, dot = (tokenizer(text).input_ids for text in (" red", " boat", " ."))
    assert [len(ids) for ids in (red, boat, dot)] == [1, 1, 1]
    said = [*red, *boat]
    assert magic.candidate_text(tokenizer, said, dot[0], end) == " red boat."
    assert magic.candidate_text(tokenizer, said, end, end) == " red boat"
    assert magic.candidate_text(tokenizer, [], end, end) == ""
    assert magic.candidate_text(tokenizer, [*said, end], red[0], end) == " red boat"
    assert magic.candidate_text(tokenizer, said, dot[0], end, window=2) == " boat."


def test_magic_score_is_a_softmax_over_the_candidates(clip_folder: Path, image_files: list[Path]) -> None:
    clip = ImageText.load(clip_folder)
    image = clip.encode_image(image_files[0])
    texts = ["A red boat", "A dog", "", "A dog"]
    score = magic.magic_score(clip, image, texts)
    assert float(score.sum()) == pytest.approx(1, abs=1e-6)
    assert float(score[1]) == pytest.approx(float(score[3]), abs=1e-7)
    cosine = [float(torch.cosine_similarity(clip.encode_text(text), image, dim=0)) for text in texts]
    odds = np.exp(20.0 * (cosine[0] - cosine[1]))
    assert float(score[0] / score[1]) == pytest.approx(odds, rel=1e-4)


def test_image_and_text_features_are_open_clips(clip_folder: Path, image_files: list[Path]) -> None:
    clip = ImageText.load(clip_folder)
    texts = ["A red boat", "Two dogs on the grass."]
    with torch.no_grad():
        together = clip.model.encode_text(clip.tokenizer(texts), normalize=True)
    for text, row in zip(texts, together, strict=True):
        assert torch.allclose(clip.encode_text(text), row, atol=1e-5)
    features = [clip.encode_image(path) for path in image_files]
    assert all(float(f.norm()) == pytest.approx(1, abs=1e-5) for f in features)
    gaps = [float((a - b).abs().max()) for a, b in itertools.combinations(features, 2)]
    assert min(gaps) > 1e-3  # twelve different images have twelve different features


def test_retrieval_takes_the_earliest_of_equals(clip_folder: Path, image_files: list[Path]) -> None:
    clip = ImageText.load(clip_folder)
    image = clip.encode_image(image_files[0])
    best, lead = retrieve(clip, image, CORPUS)
    assert lead > 1e-5
    again, as_much = retrieve(clip, image, [*CORPUS, best])
    assert (again, as_much) == (best, pytest.approx(lead, abs=1e-6))
    others = [text for text in CORPUS if text != best]
    crowd = [others[number % len(others)] for number in range(128)]
    assert retrieve(clip, image, [*crowd, best])[0] == best
    assert retrieve(clip, image, [*crowd, best], first128=True)[0] != best


def test_clean_up_is_the_one_of_transformers(gpt2_folder: Path) -> None:
    words = "he said , \" it 's n't ' so ' ! \" they 're , I 'm ? we 've ."

    class Verbatim:
        def decode(self, ids: list[int], **_: bool) -> str:
            return words

    theirs = AutoTokenizer.from_pretrained(gpt2_folder).clean_up_tokenization(words)
    assert language.words(Verbatim(), [], skip_special=False) == theirs


def test_caption_stops_at_the_end_and_drops_special_tokens(gpt2_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    ids = tokenizer(f"<-start_of_text->A  red\n boat .{END} and more").input_ids
    assert language.caption(tokenizer, ids, tokenizer.eos_token_id) == "A red boat."


@pytest.mark.parametrize("write", [write_gpt2, write_llama, write_qwen])
def test_checkpoints_are_the_same_each_time(write: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = write(tmp_path / "a")
    torch.manual_seed(2)
    second = write(tmp_path / "b")
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    other = write(tmp_path / "c", seed=9)
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
