"""The same parity on the trained Toybox models: peaked distributions, real captions, texts that end by themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Limits, Prompt
from decoders.clipre import ClipRe
from decoders.contrastive import Contrastive
from decoders.magic import Magic
from decoders.models import torchvision_schemas
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.models.names import TOYBOX
from decoders.nearest import CaptionIndex
from decoders.sampling import Greedy, Nucleus, TopK, Typical
from tests.checkpoints import START
from tests.decoders.parity import NOISE, Pair, agree, decode, magic_answers, noise_of, prompts
from tests.reference import sampling
from tests.reference.clipre import retrieve
from tests.reference.contrastive import contrastive_search
from tests.reference.image_text import ImageText

pytestmark = pytest.mark.skipif(
    not (TOYBOX / "manifest.json").is_file(), reason="needs the trained Toybox models in decoders/models/toybox"
)

ENOUGH = 0.75
"""Share of the answers that must be clear enough to compare; the weights may be trained again."""


@cache
def pair(part: str) -> Pair:
    """A Toybox language model in both hands, in the float32 that SeeTell computes in."""
    torchvision_schemas.ensure()  # transformers may not import without
    tokenizer = AutoTokenizer.from_pretrained(TOYBOX / part)
    model = AutoModelForCausalLM.from_pretrained(TOYBOX / part, dtype=torch.float32).eval()
    start = tokenizer.convert_tokens_to_ids(START)
    return Pair(model, tokenizer, load_language_model(f"toybox:{part}"), start)


@cache
def clip() -> ImageText:
    return ImageText.load(TOYBOX / "clip")


@cache
def scenes(domain: str, size: int) -> list[Prompt]:
    """Development examples; a story continues its title and an end token."""
    from harness.datasets.toybox import Toybox

    examples = Toybox(Toybox.Options.model_validate({"domain": domain, "split": "dev", "size": size}), Path()).examples()
    ending = f" {pair(domain).tokenizer.eos_token}" if domain == "stories" else ""
    return [Prompt(example.id, example.prompt + ending, example.image) for example in examples]


@pytest.mark.parametrize(("domain", "k"), [("plain", 12), pytest.param("plain", 25, marks=pytest.mark.heavy), ("ornate", 12)])
def test_magic_on_captions(domain: str, k: int) -> None:
    lm, batch = pair(domain), scenes(domain, 4)
    answers = magic_answers(lm, clip(), batch, new_tokens=24, k=k, alpha=0.1, beta=1.0)
    said = decode(Magic, lm, Limits(24), batch, load_image_text("toybox:clip"), k=k, alpha=0.1, beta=1.0)
    agree(lm, said, answers, ENOUGH)
    assert sum(generation.finish == "eos" for generation in said) >= 3
    assert len({generation.text for generation in said}) > 2


def test_magic_on_stories() -> None:
    lm, batch = pair("stories"), scenes("stories", 2)
    answers = magic_answers(lm, clip(), batch, new_tokens=50, k=5, alpha=0.6, beta=0.15)
    said = decode(Magic, lm, Limits(50), batch, load_image_text("toybox:clip"), k=5, alpha=0.6, beta=0.15)
    agree(lm, said, answers, ENOUGH)


@pytest.mark.parametrize(
    ("domain", "k", "alpha"),
    [
        ("plain", 45, 0.1),
        ("ornate", 45, 0.1),
        ("stories", 5, 0.6),
        ("plain", 1, 0.0),
        ("stories", 1, 0.0),
        pytest.param("stories", 45, 0.1, marks=pytest.mark.heavy),
        pytest.param("plain", 5, 0.6, marks=pytest.mark.heavy),
        pytest.param("ornate", 5, 0.6, marks=pytest.mark.heavy),
        pytest.param("ornate", 1, 0.0, marks=pytest.mark.heavy),
    ],
)
def test_contrastive_and_greedy(domain: str, k: int, alpha: float) -> None:
    lm = pair(domain)
    batch = scenes(domain, 3) if domain == "stories" else prompts(["", f"{START}A", f"{START}There is a red"])
    answers = [contrastive_search(lm.model, lm.ids(p.text), k=k, alpha=alpha, new_tokens=30, end_id=lm.end) for p in batch]
    agree(lm, decode(Contrastive, lm, Limits(30), batch, k=k, alpha=alpha), answers, ENOUGH)
    if k == 1:
        agree(lm, decode(Greedy, lm, Limits(30), batch), answers, ENOUGH)


@pytest.mark.parametrize("domain", ["plain", "ornate"])
def test_sampling_given_the_noise(domain: str) -> None:
    lm, batch = pair(domain), prompts([""] * 5)
    for decoder, keep in ((TopK, sampling.top_k(40)), (Nucleus, sampling.nucleus(0.95)), (Typical, sampling.typical(0.2))):
        answers = [
            sampling.decode(lm.model, [lm.start], keep=keep, noise=noise_of(lm, row), new_tokens=24, end_id=lm.end)
            for row in range(5)
        ]
        said = decode(decoder, lm, Limits(24), batch)
        agree(lm, said, answers, ENOUGH)
        assert len({generation.text for generation in said}) > 1


@pytest.mark.parametrize("domain", ["plain", "ornate"])
def test_clipre(domain: str) -> None:
    from harness.datasets.toybox import Toybox

    options = Toybox.Options.model_validate({"domain": domain, "split": "index"})
    captions = Toybox(options, Path()).captions()[:150]
    features = clip().encode_texts(captions)
    ours, batch = load_image_text("toybox:clip"), scenes(domain, 8)
    index = CaptionIndex(captions, ours.text_features(captions).numpy())
    said = ClipRe(ClipRe.Config(), Models(image_text=ours, caption_index=index), Limits()).decode(batch, [0] * 8)
    clear = 0
    for prompt, generation in zip(batch, said, strict=True):
        assert prompt.image is not None
        best, lead = retrieve(clip(), clip().encode_image(prompt.image), captions, features=features)
        if lead > NOISE:
            clear += 1
            assert generation.text == best
    assert clear >= ENOUGH * len(batch)
