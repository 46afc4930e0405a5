"""ZeroCap says what the plain transcription says, and never what its neighbours in the batch make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Limits, Prompt
from decoders.errors import ModelMismatch, NeedMissing, PromptTooLong
from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.models.shifted_cache import ShiftedCache
from decoders.zerocap import ZeroCap, ZeroCapConfig
from decoders.zerocap_search import CandidateCosines, forbidden_ids, joint_norms
from tests.checkpoints import START
from tests.decoders.parity import Pair, decode, prompts
from tests.reference.image_text import ImageText
from tests.reference.zerocap import Settings, ZeroCapOracle

CLOSE = 2e-4
"""Decisions with a smaller lead are not compared: gradients that are divided by their own norm carry rounding further."""


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> Pair:
    """The model for what is no matter of the model."""
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    model = AutoModelForCausalLM.from_pretrained(gpt2_folder).eval()
    start = tokenizer.convert_tokens_to_ids(START)
    return Pair(model, tokenizer, load_language_model(f"local:{gpt2_folder}"), start)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest, gpt2: Pair) -> Pair:
    if request.param == "gpt2":
        return gpt2
    folder: Path = request.getfixturevalue("llama_folder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), tokenizer.bos_token_id)


@pytest.fixture(scope="module")
def clips(clip_folder: Path) -> tuple[ImageText, ImageTextModel]:
    return ImageText.load(clip_folder), load_image_text(f"local-dir:{clip_folder}")


def compare(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], images: list[Path], new: int, ours: dict[str, Any], **theirs: Any
) -> list[tuple[int, ...]]:
    """Decode all images at once and hold each to the oracle; the tokens that were compared."""
    said = decode(ZeroCap, lm, Limits(new), prompts([""] * len(images), images), clips[1], **ours)
    start = lm.tokenizer.bos_token_id
    prompt = [start, *lm.tokenizer("Image of a", add_special_tokens=False).input_ids]
    compared = []
    for image, generation in zip(images, said, strict=True):
        oracle = ZeroCapOracle(lm.model, lm.tokenizer, clips[0], Settings(**theirs))
        answer = oracle.caption(clips[0].encode_image(image), prompt, new)
        if answer.margin > CLOSE:
            assert generation.tokens == answer.tokens
            compared.append(answer.tokens)
    assert len(compared) >= 0.5 * len(images), "too many close calls to compare"
    return compared


def test_one_beam(lm: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    ours = {"variant": "magic-repo", "candidates": 24}
    compared = compare(lm, clips, image_files[:3], 4, ours, beam_size=1, top=24)
    assert len(set(compared)) > 1


@pytest.mark.parametrize(
    "shared",
    [{"fusion": 0.8, "ce_scale": 1.0}, {"repetition_penalty": 1.5}, {"stepsize": 0.6, "grad_norm_factor": 0.8}],
    ids=["fusion", "repetition", "steps"],
)
def test_other_settings(
    gpt2: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path], shared: dict[str, float]
) -> None:
    ours = {{"fusion": "fusion_factor"}.get(key, key): value for key, value in shared.items()}
    ours |= {"variant": "magic-repo", "candidates": 24}
    compared = compare(gpt2, clips, image_files[:3], 3, ours, beam_size=1, top=24, **shared)
    assert len(set(compared)) > 1


@pytest.mark.parametrize("normalise", ["row", "joint"])
def test_several_beams(gpt2: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path], normalise: str) -> None:
    ours = {"beam_size": 3, "normalise": normalise, "end_factor": 1.3, "candidates": 16}
    compare(gpt2, clips, image_files[:2], 3, ours, beam_size=3, joint=normalise == "joint", end_factor=1.3, top=16)


def test_more_candidates_than_tokens(gpt2: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    """512 candidates are the whole of a small vocabulary, the end token and other special tokens included."""
    compare(gpt2, clips, image_files[:1], 2, {"beam_size": 1}, beam_size=1)


def test_texts_end_at_the_stop_token(gpt2: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    """With the full stop pushed hard, beams end, at different lengths, and finished ones are kept as they are."""
    ours = {"beam_size": 3, "end_factor": 8.0, "candidates": 16}
    compared = compare(gpt2, clips, image_files[:4], 4, ours, beam_size=3, end_factor=8.0, top=16)
    assert any(tokens[-1] == gpt2.tokenizer.convert_tokens_to_ids(".") for tokens in compared)


@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_rows_on_the_same_text_and_on_others(
    gpt2: Pair, image_files: list[Path], tower: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows of a batch continue equal texts, some not; the tower can be continued, or not."""
    lm = gpt2
    monkeypatch.setattr(CandidateCosines, "_TEXTS", 2)
    folder = request.getfixturevalue(f"{tower}_folder")
    theirs, ours = ImageText.load(folder), load_image_text(f"local-dir:{folder}")
    texts = ["A red boat on", "A red boat on", "A red boat on", "Two dogs are playing", "A woman in"]
    files = [image_files[i] for i in (0, 1, 0, 1, 2)]
    config = {"cond_text": False, "beam_size": 1, "candidates": 12, "num_iterations": 3}
    said = decode(ZeroCap, lm, Limits(3), prompts(texts, files), ours, **config)
    assert said[0].tokens == said[2].tokens
    oracle = {"model": lm.model, "tokenizer": lm.tokenizer, "clip": theirs}
    compared = 0
    for number, generation in enumerate(said):
        one = ZeroCapOracle(**oracle, settings=Settings(beam_size=1, top=12, iterations=3))
        answer = one.caption(theirs.encode_image(files[number]), lm.ids(texts[number]), 3)
        if answer.margin > CLOSE:
            assert generation.tokens == answer.tokens, number
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("tower", ["clip", "siglip"])
@pytest.mark.parametrize("remembered", [64, 2])
def test_candidates_are_encoded_once_and_never_taken_for_those_of_another_text(
    lm: Pair, tower: str, remembered: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CandidateCosines, "_TEXTS", remembered)
    clip = load_image_text(f"local-dir:{request.getfixturevalue(f'{tower}_folder')}")
    asked: list[str] = []
    encode = clip.candidate_features

    def listen(texts: Sequence[Sequence[str]], scorer: Any) -> torch.Tensor:
        asked.extend(text for row in texts for text in dict.fromkeys(row))
        return encode(texts, scorer)

    monkeypatch.setattr(clip, "candidate_features", listen)
    generator = torch.Generator().manual_seed(0)
    width = clip.text_features([""]).shape[1]
    start, red, dogs, far = "Image of a", "Image of a red", "Image of a dogs", "Image of a red boat on the sea"
    cosines = CandidateCosines(lm.ours, clip, start)
    steps = [[start] * 3, [start] * 3, [red, dogs, red], [red, dogs, red], [far], [red, start], [dogs, far, start, red]]
    for number, texts in enumerate(steps):
        if number == 4:
            cosines.start()
        images = torch.nn.functional.normalize(torch.randn(len(texts), width, generator=generator), dim=-1)
        ids = torch.stack([torch.randperm(lm.ours.vocab_size, generator=generator)[:20] for _ in texts])
        found = cosines(texts, ids, images)
        for row, text in enumerate(texts):
            whole = clip.text_features([text + lm.ours.decode([i], skip_special=False) for i in ids[row].tolist()])
            assert torch.allclose(found[row], whole @ images[row], atol=1e-5), (number, row)
    pieces = len({lm.ours.decode([i], skip_special=False) for i in range(lm.ours.vocab_size)})
    first = [text for text in asked if text.startswith(start) and not text.startswith((red, dogs))]
    assert len(set(first)) <= pieces
    spelled = lm.ours.vocab_size - pieces  # tokens that read alike are candidates of their own
    assert len(first) - len(set(first)) <= spelled * 3, "the text that all start from is never forgotten"
    if remembered > len(steps):
        assert len(asked) - len(set(asked)) <= spelled * 4


def test_long_texts_are_forgotten_first(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CandidateCosines, "_TEXTS", 3)
    cosines = CandidateCosines(lm.ours, clips[1], "Image of a")
    image, ids = torch.ones(1, 24), torch.tensor([[5, 6]])
    for text in ("Image of a", "a b c", "a b", "a", "b", "c"):
        cosines([text], ids, image)
    assert list(cosines._slots) == ["Image of a", "b", "c"]


def test_half_precision_speaks(gpt2_folder: Path, clip_folder: Path, image_files: list[Path]) -> None:
    lm = load_language_model(f"local:{gpt2_folder}", dtype="bfloat16")
    models = Models(lm, load_image_text(f"local-dir:{clip_folder}", dtype="bfloat16"))
    decoder = ZeroCap(ZeroCapConfig(beam_size=2, candidates=24, num_iterations=2), models, Limits(3))
    said = decoder.decode(prompts([""] * 3, image_files[:3]), [0] * 3)
    assert all(generation.tokens and generation.trace["cosine"] <= 1.01 for generation in said)


def test_the_prompt_itself_can_be_asked_for_in_a_suite() -> None:
    config = ZeroCapConfig.model_validate({"cond_text": False})
    assert config.model_dump(mode="json")["cond_text"] is False
    assert ZeroCapConfig.model_validate(config.model_dump(mode="json")) == config
    assert ZeroCapConfig.model_validate({"cond_text": ""}).cond_text == ""
    with pytest.raises(ValueError, match="cond_text"):
        ZeroCapConfig.model_validate({"cond_text": True})


@pytest.mark.parametrize(
    "config",
    [{"beam_size": 3}, {"beam_size": 2, "normalise": "joint"}, pytest.param({"beam_size": 1}, marks=pytest.mark.heavy)],
    ids=["beams", "joint", "one-beam"],
)
def test_neither_batch_size_nor_order_matter(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path], config: dict[str, Any]
) -> None:
    texts = ["A red boat", "", "Two dogs", "The", "An old house"]
    batch = prompts(texts, image_files[:5])
    fixed: dict[str, Any] = {"cond_text": False, "candidates": 24, "num_iterations": 2, **config}
    models = Models(lm.ours, clips[1])

    def says(part: list[Prompt]) -> dict[str, tuple[int, ...]]:
        decoder = ZeroCap(ZeroCapConfig(**fixed), models, Limits(4))
        return {p.id: g.tokens for p, g in zip(part, decoder.decode(part, [0] * len(part)), strict=True)}

    expected = says(batch)
    assert len(set(expected.values())) > 3
    for size, count in ((1, 1), (3, 5)):
        turned = batch[::-1]
        for start in range(0, count, size):
            for name, tokens in says(turned[start : start + size]).items():
                assert tokens == expected[name], (size, name)


def test_without_gradients_all_images_get_one_text_and_with_them_they_do_not(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]
) -> None:
    batch = prompts([""] * 6, image_files[:6])
    blind, steered = (
        decode(ZeroCap, lm, Limits(5), batch, clips[1], beam_size=1, candidates=64, num_iterations=n, ce_scale=0.0)
        for n in (0, 5)
    )
    assert len({generation.tokens for generation in blind}) == 1
    assert len({generation.tokens for generation in steered}) > 1


def test_a_shift_of_zero_changes_nothing_and_advancing_keeps_the_cache(lm: Pair) -> None:
    contexts = [lm.ids("A red boat on")[:3], lm.ids("Two dogs are")[:3]]
    cache = ShiftedCache(lm.ours, contexts)
    for step in range(3):
        whole = torch.stack([lm.model(torch.tensor([list(ids)])).logits[0, -1] for ids in contexts]).detach()
        assert torch.allclose(cache.logits(cache.no_shift() if step else ()), whole, atol=1e-4)
        assert torch.allclose(cache.shifted_logits(cache.no_shift()), whole, atol=1e-4)
        tokens = whole.argmax(dim=-1).flip(0)
        contexts = [[*contexts[1], int(tokens[0])], [*contexts[0], int(tokens[1])]]
        cache.advance(torch.tensor([1, 0]), tokens)


def test_advancing_before_the_last_token_is_read_is_refused(lm: Pair) -> None:
    cache = ShiftedCache(lm.ours, [[1, 2]])
    with pytest.raises(RuntimeError, match="logits before"):
        cache.advance(torch.tensor([0]), torch.tensor([3]))


def test_the_forbidden_tokens_are_the_published_kinds(lm: Pair) -> None:
    pieces = {lm.tokenizer.convert_ids_to_tokens(int(i)) for i in forbidden_ids(lm.ours)}
    assert pieces >= {"!", "(", ")", ",", ":", "Ċ", "0", "7"}
    assert not pieces & {".", "?", "Ġ7", "a", "Ġ,", "-", "°"}


def test_a_norm_over_all_beams_of_an_image() -> None:
    weights = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.5]])
    norms = joint_norms(weights.log(), torch.tensor([0, 0, 1])).exp()
    assert torch.allclose(norms, torch.tensor([1.0, 1.0, 1.0]))
    apart = joint_norms(weights.log(), torch.tensor([0, 1, 1])).exp()
    assert torch.allclose(apart, torch.tensor([0.3, 1.7, 1.7]))


def test_variants() -> None:
    assert ZeroCapConfig().beam_size == 5
    assert ZeroCapConfig(variant="magic-repo").beam_size == 1
    assert ZeroCapConfig(variant="magic-repo", beam_size=3).beam_size == 3
    assert ZeroCapConfig.model_validate(ZeroCapConfig(variant="magic-repo").model_dump()).beam_size == 1


def test_what_cannot_be_is_refused(lm: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    with pytest.raises(NeedMissing, match="has no image"):
        decode(ZeroCap, lm, Limits(3), [Prompt("blind", "")], clips[1])
    with pytest.raises(ModelMismatch, match="end_token"):
        decode(ZeroCap, lm, Limits(3), prompts([""], image_files[:1]), clips[1], end_token="")
    with pytest.raises(PromptTooLong, match="'0'"):
        decode(ZeroCap, lm, Limits(max_length=2), prompts([""], image_files[:1]), clips[1])
    assert decode(ZeroCap, lm, Limits(3), [], clips[1]) == []
