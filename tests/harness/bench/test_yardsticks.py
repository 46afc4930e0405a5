"""The yardsticks say what the oracles and the product say, so what is timed is the same work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from harness.bench import yardsticks
from harness.bench.meters import Clock
from harness.bench.scenarios import SCENARIOS, Setup, Stage
from harness.bench.yardsticks import Published, until_end
from tests.reference.contrastive import contrastive_search
from tests.reference.image_text import ImageText
from tests.reference.magic import magic_search
from tests.reference.sampling import decode
from tests.reference.zerocap import Settings, ZeroCapOracle

NOISE = 1e-5
"""Decisions with a smaller lead are not compared."""


@pytest.fixture(scope="module")
def published(gpt2_folder: Path, clip_folder: Path) -> Published:
    end = AutoTokenizer.from_pretrained(gpt2_folder).eos_token_id
    return Published.load(f"local:{gpt2_folder}", f"local-dir:{clip_folder}", end=end, device="cpu")


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ImageText:
    return ImageText.load(clip_folder)


def prompts(published: Published) -> list[list[int]]:
    texts = ["<-start_of_text->", "The cat's bowl <|endoftext|>", "A red", "Two dogs are", "An old"]
    return [published.tokenizer(text).input_ids for text in texts]


def test_contrastive_search_is_the_oracle_s(published: Published) -> None:
    compared = 0
    for prompt in prompts(published):
        said = yardsticks.contrastive_or_magic(published, prompt, None, k=6, alpha=0.4, beta=None, new_tokens=9)
        answer = contrastive_search(published.model, prompt, k=6, alpha=0.4, new_tokens=9, end_id=published.end)
        assert len(said) == 9
        if answer.margin > NOISE:
            assert until_end(said, published.end) == answer.tokens
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("window", [60, 3])
def test_magic_search_is_the_oracle_s(published: Published, clip: ImageText, image_files: list[Path], window: int) -> None:
    compared: list[tuple[int, ...]] = []
    fixed = {"k": 8, "alpha": 0.3, "beta": 1.5, "new_tokens": 8}
    for prompt, image in zip(prompts(published), image_files, strict=False):
        said = yardsticks.contrastive_or_magic(published, prompt, image, window=window, **fixed)  # type: ignore[arg-type]
        answer = magic_search(
            published.model, published.tokenizer, clip, clip.encode_image(image), prompt, end_id=published.end,
            window=window, **fixed,
        )  # type: ignore[arg-type]  # fmt: skip
        assert len(said) == 8
        if answer.margin > NOISE:
            assert until_end(said, published.end) == answer.tokens
            compared.append(answer.tokens)
    assert len(compared) >= 3
    assert any(tokens[-1] == published.end for tokens in compared) or any(len(tokens) == 8 for tokens in compared)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_zerocap_is_the_oracle_s(published: Published, clip: ImageText, image_files: list[Path], beam_size: int) -> None:
    prompt = [published.end, *published.tokenizer("Image of a").input_ids]
    compared = 0
    for image in image_files[:3]:
        said = yardsticks.zerocap(published, prompt, image, beam_size=beam_size, new_tokens=3, candidates=16)
        oracle = ZeroCapOracle(published.model, published.tokenizer, clip, Settings(beam_size=beam_size, top=16, joint=True))
        answer = oracle.caption(clip.encode_image(image), prompt, 3)
        if answer.margin > 2e-4:
            assert tuple(said) == answer.tokens
            compared += 1
    assert compared >= 1


def test_generate_is_greedy_decoding(published: Published) -> None:
    batch = [prompts(published)[0]] * 2
    rows = yardsticks.generate(published, batch, new_tokens=7, top_p=None).tolist()
    answer = decode(published.model, batch[0], new_tokens=7, end_id=published.end)
    assert [until_end(row, published.end) for row in rows] == [answer.tokens] * 2


def test_texts_are_read_up_to_the_first_end_token(published: Published, clip: ImageText) -> None:
    texts = ["A red boat", "a dog<|endoftext|> and more<|endoftext|>", "", "naïve café façade", "word " * 90]
    expected = clip.encode_texts([text.partition("<|endoftext|>")[0] for text in texts])
    assert torch.allclose(published.text_features(texts), expected, atol=1e-5)


def test_texts_are_padded_to_the_longest_alone(published: Published) -> None:
    ids = published._text_ids(["a", "a b c"])
    assert ids.shape == (2, 5)


@pytest.mark.parametrize("name", ["magic-coco", "magic-stories", "contrastive-stories", "greedy"])
def test_the_product_says_the_same(gpt2_folder: Path, clip_folder: Path, name: str) -> None:
    setup = Setup(
        images=4, published_images=4, batch_sizes=(1, 3), language_model=f"local:{gpt2_folder}",
        image_text=f"local-dir:{clip_folder}",
    )  # fmt: skip
    stage = Stage(SCENARIOS[name].changed(None, 6), setup, Clock())
    yardstick, *products = stage.contestants()
    expected = yardstick.work()
    assert all(expected)
    for each in products:
        assert [theirs == ours for theirs, ours in zip(expected, each.work(), strict=False)].count(False) == 0
