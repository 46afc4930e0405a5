"""The text for a prompt depends on the prompt and its seed, never on the batch it is decoded in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from decoders.base import Decoder, Limits, Prompt
from decoders.clipre import ClipRe
from decoders.constant import Constant
from decoders.contrastive import Contrastive
from decoders.magic import Magic
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.models.names import TOYBOX
from decoders.nearest import CaptionIndex
from decoders.sampling import Greedy, Nucleus, TopK, Typical
from tests.checkpoints import captions_of

FEW = {1: 3, 2: 4, 7: 14, 16: 20}
"""Batch size -> how many of the prompts are decoded again in such batches: small batches are slow, and show in any three prompts
what they show in seventy. The largest number is that of all prompts."""
ALL = dict.fromkeys((1, 2, 7, 64), 70)
DECODERS: list[tuple[type[Decoder], dict[str, Any]]] = [
    (Greedy, {}),
    (TopK, {"k": 7}),
    (Nucleus, {"p": 0.9, "temperature": 0.8}),
    (Typical, {"mass": 0.4}),
    (Contrastive, {"k": 6, "alpha": 0.6}),
    (Magic, {"k": 6, "alpha": 0.3, "beta": 1.0}),
    (ClipRe, {}),
    (Constant, {}),
]


def toybox(part: str) -> str:
    if not (TOYBOX / part).is_dir():
        pytest.skip(f"the weights of toybox:{part} are not in this checkout")
    return f"toybox:{part}"


@pytest.fixture(scope="module", params=["gpt2", "llama", pytest.param("qwen", marks=pytest.mark.heavy), "toybox"])
def models(request: pytest.FixtureRequest, clip_folder: Path) -> Models:
    lm: LanguageModel
    clip: ImageTextModel
    if request.param == "toybox":
        lm, clip = load_language_model(toybox("plain")), load_image_text(toybox("clip"))
    else:
        lm = load_language_model(f"local:{request.getfixturevalue(request.param + '_folder')}")
        clip = load_image_text(f"local-dir:{clip_folder}")
    captions = [text for number in range(12) for text in captions_of(number)]
    return Models(lm, clip, CaptionIndex(captions, clip.text_features(captions).numpy()))


@pytest.mark.parametrize("sizes", [FEW, pytest.param(ALL, marks=pytest.mark.heavy)], ids=["few", "all"])
@pytest.mark.parametrize(("kind", "config"), DECODERS, ids=[kind.__name__ for kind, _ in DECODERS])
def test_neither_batch_size_nor_order_matter(
    models: Models, kind: type[Decoder], config: dict[str, Any], sizes: dict[int, int], image_files: list[Path]
) -> None:
    rng = random.Random(7)
    words = ["A", "red", "boat", "on", "the", "sea", "and", "two", "dogs", "beside", "an", "old", "house"]
    prompts = [
        Prompt(str(n), " ".join(rng.choices(words, k=rng.randint(0, 6))), image_files[n % len(image_files)])
        for n in range(max(sizes.values()))
    ]
    seeds = [rng.getrandbits(64) for _ in prompts]
    decoder = kind(kind.Config(**config), models, Limits(max_new_tokens=9))
    expected = decoder.decode(prompts, seeds)
    assert len({generation.text for generation in expected}) > 3
    for size, count in sizes.items():
        order = rng.sample(range(len(prompts)), count)
        for start in range(0, count, size):
            part = order[start : start + size]
            said = decoder.decode([prompts[n] for n in part], [seeds[n] for n in part])
            for n, generation in zip(part, said, strict=True):
                assert (generation.text, generation.tokens) == (expected[n].text, expected[n].tokens), (size, n)


@pytest.mark.parametrize("kind", [TopK, Nucleus, Typical])
def test_a_seed_is_a_draw(models: Models, kind: type[Decoder]) -> None:
    decoder = kind(kind.Config(), models, Limits(max_new_tokens=8))
    prompts = [Prompt("same", "A red")] * 12
    different = decoder.decode(prompts, range(12))
    assert len({generation.tokens for generation in different}) > 6
    assert len({generation.tokens for generation in decoder.decode(prompts, [5] * 12)}) == 1
    assert decoder.decode(prompts[:1], [5])[0].tokens == different[5].tokens
    assert kind.seeded


@pytest.mark.parametrize("kind", [TopK, Nucleus, Typical])
def test_several_draws_of_a_prompt_are_those_that_would_be_drawn_one_by_one(models: Models, kind: type[Decoder]) -> None:
    decoder = kind(kind.Config(), models, Limits(max_new_tokens=10))
    prompts, seeds = [Prompt("same", "A red")] * 6, [2**63 + 17 * draw for draw in range(6)]
    together = [generation.tokens for generation in decoder.decode(prompts, seeds)]
    assert together == [decoder.decode(prompts[:1], [seed])[0].tokens for seed in seeds]
    assert len(set(together)) > 3  # chance may draw a short text twice
