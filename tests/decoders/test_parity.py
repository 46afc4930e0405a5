"""Token for token, the decoders say what the plain transcriptions in `tests.reference` say.

Every comparison first asks of the oracle that each of its decisions had a lead well above rounding noise, so that equality
is the only right answer. Prompts of different lengths go in one batch, so that padding, retiring and batching are compared
along with the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Decoder, Limits, Prompt
from decoders.clipre import ClipRe
from decoders.contrastive import Contrastive
from decoders.magic import Magic
from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.nearest import CaptionIndex
from decoders.sampling import Greedy, Nucleus, TopK, Typical
from tests.checkpoints import CORPUS, START, captions_of
from tests.decoders.parity import NOISE, Pair, agree, decode, magic_answers, noise_of, prompts
from tests.reference import magic as magic_oracle
from tests.reference import sampling
from tests.reference.clipre import retrieve
from tests.reference.contrastive import contrastive_search
from tests.reference.image_text import ImageText
from tests.reference.language import run, words
from tests.reference.magic import candidate_text

PROMPTS = ("A red boat", "The", "", "Two dogs, one brown and one black, are", "A woman isn't looking", "There is")
NEW = 9


def loaded(folder: Path) -> Pair:
    """A tiny checkpoint in both hands."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = {"gpt2": tokenizer.convert_tokens_to_ids(START), "llama": tokenizer.bos_token_id, "qwen": tokenizer.eos_token_id}[
        folder.name
    ]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), start)


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> Pair:
    """The model for what is no matter of the model."""
    return loaded(gpt2_folder)


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen"])
def lm(request: pytest.FixtureRequest, gpt2: Pair) -> Pair:
    return gpt2 if request.param == "gpt2" else loaded(request.getfixturevalue(f"{request.param}_folder"))


@pytest.fixture(scope="module")
def clips(clip_folder: Path) -> tuple[ImageText, ImageTextModel]:
    """One image-text checkpoint in both hands."""
    return ImageText.load(clip_folder), load_image_text(f"local-dir:{clip_folder}")


@pytest.fixture(scope="module")
def siglips(siglip_folder: Path) -> tuple[ImageText, ImageTextModel]:
    """Another, whose text tower sees both ways."""
    return ImageText.load(siglip_folder), load_image_text(f"local-dir:{siglip_folder}")


@pytest.fixture
def batch(image_files: list[Path]) -> list[Prompt]:
    """Four prompts of different lengths, each with its own image."""
    return prompts(PROMPTS[:4], image_files[:4])


def test_greedy(lm: Pair) -> None:
    answers = [sampling.decode(lm.model, lm.ids(text), new_tokens=NEW, end_id=lm.end) for text in PROMPTS]
    agree(lm, decode(Greedy, lm, Limits(NEW), prompts(PROMPTS)), answers)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.6), (25, 0.1), (45, 0.1), (10, 0.0), (7, 1.0)])
def test_contrastive(lm: Pair, k: int, alpha: float) -> None:
    answers = [contrastive_search(lm.model, lm.ids(text), k=k, alpha=alpha, new_tokens=NEW, end_id=lm.end) for text in PROMPTS]
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
    temperature = config.get("temperature", 1.0)
    fixed: dict[str, Any] = {"keep": keep, "temperature": temperature, "new_tokens": NEW, "end_id": lm.end}
    answers = [sampling.decode(lm.model, lm.ids(text), noise=noise_of(lm, row), **fixed) for row, text in enumerate(PROMPTS)]
    agree(lm, decode(decoder, lm, Limits(NEW), prompts(PROMPTS), **config), answers)


@pytest.mark.parametrize(("k", "alpha", "beta"), [(45, 0.1, 2.0), (12, 0.1, 1.0), (5, 0.6, 0.15), (8, 0.0, 0.5)])
def test_magic(lm: Pair, clips: tuple[ImageText, ImageTextModel], batch: list[Prompt], k: int, alpha: float, beta: float) -> None:
    config = {"k": k, "alpha": alpha, "beta": beta}
    answers = magic_answers(lm, clips[0], batch, new_tokens=NEW, **config)
    agree(lm, decode(Magic, lm, Limits(NEW), batch, clips[1], **config), answers)


def test_magic_with_a_text_tower_that_sees_both_ways(
    gpt2: Pair, siglips: tuple[ImageText, ImageTextModel], batch: list[Prompt]
) -> None:
    config = {"k": 12, "alpha": 0.1, "beta": 1.0}
    answers = magic_answers(gpt2, siglips[0], batch, new_tokens=NEW, **config)
    agree(gpt2, decode(Magic, gpt2, Limits(NEW), batch, siglips[1], **config), answers)


def test_magic_sees_the_image(gpt2: Pair, clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    batch = prompts(["A"] * len(image_files), image_files)
    said = decode(Magic, gpt2, Limits(NEW), batch, clips[1], k=12, alpha=0.1, beta=2.0)
    assert len({generation.text for generation in said}) > 1


def test_magic_window(gpt2: Pair, clips: tuple[ImageText, ImageTextModel], batch: list[Prompt]) -> None:
    """The image-text model reads the last tokens only, and the prompt never."""
    config = {"k": 12, "alpha": 0.1, "beta": 2.0}
    narrow = magic_answers(gpt2, clips[0], batch, new_tokens=NEW, window=3, **config)
    wide = (magic_answers(gpt2, clips[0], [prompt], new_tokens=NEW, **config)[0] for prompt in batch)
    assert any(a.tokens != b.tokens for a, b in zip(narrow, wide, strict=True)), "the window must matter here"
    agree(gpt2, decode(Magic, gpt2, Limits(NEW), batch, clips[1], clip_text_max_len=3, **config), narrow)


def end_candidate_is_empty(tokenizer: Any, said: Sequence[int], candidate: int, end_id: int, window: int = 60) -> str:
    """A wrong rule: the end token reads as nothing."""
    return "" if candidate == end_id else candidate_text(tokenizer, said, candidate, end_id, window)


def end_candidate_is_spelled_out(tokenizer: Any, said: Sequence[int], candidate: int, end_id: int, window: int = 60) -> str:
    """Another wrong rule: open_clip's tokenizer does not know the language model's end token."""
    return words(tokenizer, [*said, candidate][-window:], skip_special=False)


def test_magic_scores_the_end_token_as_the_text_so_far(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], batch: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step has the end token among its candidates, as the empty text; wrong rules would give other texts."""
    config = {"k": 25, "alpha": 0.0, "beta": 4.0}
    firsts = [torch.topk(run(lm.model, lm.ids(text))[0], 25).indices.tolist() for text in PROMPTS]
    assert any(lm.end in first for first in firsts)
    answers = magic_answers(lm, clips[0], batch, new_tokens=NEW, **config)
    agree(lm, decode(Magic, lm, Limits(NEW), batch, clips[1], **config), answers)
    for wrong in (end_candidate_is_empty, end_candidate_is_spelled_out):
        monkeypatch.setattr(magic_oracle, "candidate_text", wrong)
        otherwise = (magic_answers(lm, clips[0], [prompt], new_tokens=NEW, **config)[0] for prompt in batch)
        assert any(a.tokens != b.tokens for a, b in zip(answers, otherwise, strict=True))


def test_beta_0_is_contrastive_search(lm: Pair, clips: tuple[ImageText, ImageTextModel], batch: list[Prompt]) -> None:
    blind = decode(Contrastive, lm, Limits(NEW), batch, k=20, alpha=0.4)
    magic = decode(Magic, lm, Limits(NEW), batch, clips[1], k=20, alpha=0.4, beta=0.0)
    assert [g.tokens for g in magic] == [g.tokens for g in blind]


@pytest.mark.parametrize(
    ("decoder", "config"),
    [
        (Magic, {"k": 20, "alpha": 0.0, "beta": 0.0}),
        (Magic, {"k": 1, "alpha": 0.7, "beta": 2.0}),
        (Contrastive, {"k": 20, "alpha": 0.0}),
        (Contrastive, {"k": 1, "alpha": 0.7}),
        (TopK, {"k": 1}),
        (Nucleus, {"p": 1e-9}),
    ],
)
def test_without_penalty_or_choice_it_is_greedy(
    lm: Pair, clips: tuple[ImageText, ImageTextModel], batch: list[Prompt], decoder: type[Decoder], config: Any
) -> None:
    greedy = decode(Greedy, lm, Limits(NEW), batch)
    said = decode(decoder, lm, Limits(NEW), batch, clips[1], **config)
    assert [g.tokens for g in said] == [g.tokens for g in greedy]


@pytest.mark.parametrize("decoder", [Greedy, Contrastive, TopK])
def test_limits_count_new_tokens_or_all_tokens(lm: Pair, decoder: type[Decoder]) -> None:
    """A text under a tighter limit is the beginning of the text under a wider one."""
    wide = decode(decoder, lm, Limits(max_new_tokens=20), prompts(PROMPTS))
    tight = decode(decoder, lm, Limits(max_new_tokens=5), prompts(PROMPTS))
    total = decode(decoder, lm, Limits(max_length=24), prompts(PROMPTS))
    both = decode(decoder, lm, Limits(max_new_tokens=5, max_length=20), prompts(PROMPTS))
    for row, text in enumerate(PROMPTS):
        used = len(lm.ids(text))
        for said, room in ((tight, 5), (total, 24 - used), (both, min(5, 20 - used))):
            tokens = said[row].tokens
            assert tokens == wide[row].tokens[: min(room, 20)] or room > 20
            ended = tokens[-1] == lm.end
            assert said[row].finish == ("eos" if ended else "length")
            assert ended or len(tokens) == room


def test_the_context_of_the_model_is_a_limit_too(lm: Pair) -> None:
    """The checkpoints have 64 positions; a text that does not end fills them all and no more."""
    said = decode(Greedy, lm, Limits(), prompts(PROMPTS))
    rooms = [64 - len(lm.ids(text)) for text in PROMPTS]
    assert all(g.finish == "eos" or len(g.tokens) == room for g, room in zip(said, rooms, strict=True))
    assert any(len(g.tokens) == room for g, room in zip(said, rooms, strict=True))


@pytest.mark.parametrize("checkpoint", ["clips", "siglips"])
def test_clipre(request: pytest.FixtureRequest, checkpoint: str, image_files: list[Path]) -> None:
    clips: tuple[ImageText, ImageTextModel] = request.getfixturevalue(checkpoint)
    captions = [*CORPUS, *(text for number in range(30) for text in captions_of(number))]
    index = CaptionIndex(captions, clips[1].text_features(captions).numpy())
    models, features = Models(image_text=clips[1], caption_index=index), clips[0].encode_texts(captions)
    for first128 in (False, True):
        decoder = ClipRe(ClipRe.Config.model_validate({"first128": first128}), models, Limits())
        said = decoder.decode(prompts([""] * len(image_files), image_files), [0] * len(image_files))
        for generation, image in zip(said, image_files, strict=True):
            best, lead = retrieve(clips[0], clips[0].encode_image(image), captions, first128=first128, features=features)
            assert lead > NOISE
            assert (generation.text, generation.tokens, generation.finish) == (best, (), "retrieved")


def test_clipre_first128_and_the_full_index_differ(clips: tuple[ImageText, ImageTextModel], image_files: list[Path]) -> None:
    """Only a caption behind the first 128 fits; equal captions do not disturb."""
    picture = prompts([""], image_files[:1])
    ranked = [retrieve(clips[0], clips[0].encode_image(image_files[0]), CORPUS)[0]]
    others = [text for text in CORPUS if text not in ranked]
    captions = [*(others[number % len(others)] for number in range(128)), ranked[0], ranked[0]]
    index = CaptionIndex(captions, clips[1].text_features(captions).numpy())
    models = Models(image_text=clips[1], caption_index=index)
    full = ClipRe(ClipRe.Config(), models, Limits()).decode(picture, [0])[0]
    first = ClipRe(ClipRe.Config.model_validate({"first128": True}), models, Limits()).decode(picture, [0])[0]
    assert full.text == ranked[0]
    assert first.text in others
