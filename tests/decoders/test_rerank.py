"""Sampling and re-ranking: the draws are those of the sampler, and the winner is the one the image-text model likes best."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from decoders.base import Decoder, Limits, Prompt
from decoders.errors import NeedMissing
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.rerank import SampleRerank, SampleRerankConfig, draw_seeds
from decoders.sampling import Nucleus, TopK, Typical
from tests.reference.image_text import ImageText

LIMITS = Limits(max_new_tokens=8)


@pytest.fixture(scope="module")
def models(gpt2_folder: Path, clip_folder: Path) -> Models:
    return Models(load_language_model(f"local:{gpt2_folder}"), load_image_text(f"local-dir:{clip_folder}"))


@pytest.fixture
def batch(image_files: list[Path]) -> list[Prompt]:
    texts = ("A red boat", "The", "", "Two dogs, one brown", "A woman", "There is", "An old")
    return [Prompt(str(n), text, image_files[n]) for n, text in enumerate(texts)]


def reranked(models: Models, batch: list[Prompt], seeds: list[int], **config: object) -> list[tuple[int, ...]]:
    decoder = SampleRerank(SampleRerankConfig.model_validate(config), models, LIMITS)
    return [generation.tokens for generation in decoder.decode(batch, seeds)]


@pytest.mark.parametrize(
    ("sampler", "kind", "settings"),
    [("nucleus", Nucleus, {"p": 0.9}), ("top-k", TopK, {"k": 9}), ("typical", Typical, {"mass": 0.5})],
)
def test_the_winner_is_the_draw_nearest_to_the_image(
    models: Models, batch: list[Prompt], clip_folder: Path, sampler: str, kind: type[Decoder], settings: dict[str, float]
) -> None:
    clip, seeds = ImageText.load(clip_folder), list(range(50, 57))
    said = reranked(models, batch, seeds, n=6, sampler=sampler, temperature=1.3, **settings)
    not_the_first = 0
    for prompt, seed, tokens in zip(batch, seeds, said, strict=True):
        alone = kind(kind.Config.model_validate({"temperature": 1.3, **settings}), models, LIMITS)
        draws = [alone.decode([prompt], [each])[0] for each in draw_seeds(seed, 6)]
        assert prompt.image is not None
        cosines = clip.encode_texts([draw.text for draw in draws]) @ clip.encode_image(prompt.image)
        ranked = sorted({round(float(cosine), 6) for cosine in cosines})
        assert len(ranked) == 1 or ranked[-1] - ranked[-2] > 2e-6
        assert tokens == draws[int(cosines.argmax())].tokens
        not_the_first += tokens != draws[0].tokens
    assert not_the_first > 2


def test_one_draw_is_the_sampler(models: Models, batch: list[Prompt]) -> None:
    seeds = [3] * 7
    alone = Nucleus(Nucleus.Config(), models, LIMITS).decode(batch, seeds)
    assert reranked(models, batch, seeds, n=1) == [generation.tokens for generation in alone]


def test_more_draws_fit_better(models: Models, batch: list[Prompt]) -> None:
    cosines = []
    for n in (1, 4, 16):
        decoder = SampleRerank(SampleRerankConfig(n=n), models, LIMITS)
        cosines.append([generation.trace["cosine"] for generation in decoder.decode(batch, range(7))])
    for few, more in pairwise(cosines):
        assert all(b >= a - 1e-6 for a, b in zip(few, more, strict=True))
        assert sum(more) > sum(few)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_neither_batch_size_nor_order_matter(models: Models, batch: list[Prompt], size: int) -> None:
    seeds = [11 * n + 2**63 for n in range(7)]
    expected = dict(zip((p.id for p in batch), reranked(models, batch, seeds, n=5), strict=True))
    work = list(zip(batch, seeds, strict=True))[::-1]
    for start in range(0, 7, size):
        part = work[start : start + size]
        said = reranked(models, [p for p, _ in part], [s for _, s in part], n=5)
        assert said == [expected[prompt.id] for prompt, _ in part]


def test_seeds_are_distinct_and_fixed() -> None:
    assert draw_seeds(7, 4) == draw_seeds(7, 9)[:4]
    assert len({seed for start in range(200) for seed in draw_seeds(start, 10)}) == 2000
    assert all(0 <= seed < 2**64 for seed in draw_seeds(2**64 - 1, 10))


def test_images_are_needed_and_nothing_gives_nothing(models: Models) -> None:
    with pytest.raises(NeedMissing, match="has no image"):
        reranked(models, [Prompt("blind", "A")], [0])
    assert reranked(models, [], []) == []
