"""Token for token, the decoders say what the plain transcriptions in `tests.reference` say.

Every comparison first asks of the oracle that each of its decisions had a lead well above rounding noise, so that equality
is the only right answer. Prompts of different lengths go in one batch, so that padding, retiring and batching are compared
along with the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Decoder, Generation, Limits, Models, Prompt
from decoders.clipre import CaptionIndex, ClipRe
from decoders.contrastive import Contrastive
from decoders.magic import Magic
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text, load_language_model
from decoders.sampling import Greedy, Nucleus, TopK, Typical, gumbel_noise
from tests.checkpoints import CORPUS, START, captions_of
from tests.reference import magic as magic_oracle
from tests.reference import sampling
from tests.reference.clipre import retrieve
from tests.reference.contrastive import contrastive_search
from tests.reference.image_text import ImageText
from tests.reference.language import Answer, caption, run
from tests.reference.magic import magic_search

NOISE = 1e-5
"""Larger than any difference between two correct float32 programs here; measured ones stay below 3e-6."""

PROMPTS = ("A red boat", "The", "", "Two dogs, one brown and one black, are", "A woman isn't looking", "There is")
NEW = 12


@dataclass(frozen=True)
class Pair:
    """One checkpoint, loaded twice: by transformers for the oracle, by SeeTell for the decoders."""

    model: Any
    tokenizer: Any
    ours: LanguageModel
    start: int
    """What an empty prompt becomes."""

    @property
    def end(self) -> int:
        """The end token, as the tokenizer's own files have it."""
        return int(self.tokenizer.eos_token_id)

    def ids(self, text: str) -> list[int]:
        """Prompt ids by transformers alone."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids) or [self.start]


@pytest.fixture(params=["gpt2", "llama", "qwen"])
def lm(request: pytest.FixtureRequest) -> Pair:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = {
        "gpt2": tokenizer.convert_tokens_to_ids(START),
        "llama": tokenizer.bos_token_id,
        "qwen": tokenizer.eos_token_id,
    }[request.param]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), start)


@pytest.fixture(params=["clip", "siglip"])
def clip_pair(request: pytest.FixtureRequest) -> tuple[ImageText, Models]:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return ImageText.load(folder), Models(image_text=load_image_text(f"local-dir:{folder}"))


def prompts(texts: Sequence[str], images: Sequence[Path | None] = ()) -> list[Prompt]:
    pictures = list(images) or [None] * len(texts)
    return [Prompt(str(number), text, pictures[number]) for number, text in enumerate(texts)]


def agree(lm: Pair, said: Sequence[Generation], answers: Sequence[Answer]) -> None:
    """Same tokens, same text after the published post-processing, and the right reason for stopping."""
    for generation, answer in zip(said, answers, strict=True):
        assert answer.margin > NOISE, "too close a call to compare; choose another prompt"
        assert generation.tokens == answer.tokens
        assert generation.text == caption(lm.tokenizer, answer.tokens, lm.end)
        assert generation.finish == ("eos" if answer.tokens[-1] == lm.end else "length")


def decode(decoder: type[Decoder], lm: Pair, limits: Limits, batch: list[Prompt], **config: Any) -> list[Generation]:
    return decoder(decoder.Config(**config), Models(lm.ours), limits).decode(batch, range(100, 100 + len(batch)))


def test_greedy(lm: Pair) -> None:
    answers = [sampling.decode(lm.model, lm.ids(text), new_tokens=NEW, end_id=lm.end) for text in PROMPTS]
    agree(lm, decode(Greedy, lm, Limits(NEW), prompts(PROMPTS)), answers)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.6), (25, 0.1), (45, 0.1), (10, 0.0), (7, 1.0)])
def test_contrastive(lm: Pair, k: int, alpha: float) -> None:
    answers = [
        contrastive_search(lm.model, lm.ids(text), k=k, alpha=alpha, new_tokens=NEW, end_id=lm.end) for text in PROMPTS
    ]
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
    size = lm.ours.vocab_size
    answers = [
        sampling.decode(
            lm.model,
            lm.ids(text),
            keep=keep,
            noise=lambda step, seed=100 + row: torch.as_tensor(gumbel_noise(seed, step, size)),  # type: ignore[misc]
            temperature=config.get("temperature", 1.0),
            new_tokens=NEW,
            end_id=lm.end,
        )
        for row, text in enumerate(PROMPTS)
    ]
    agree(lm, decode(decoder, lm, Limits(NEW), prompts(PROMPTS), **config), answers)


def magic_answers(
    lm: Pair, clip: ImageText, texts: Sequence[str], images: Sequence[Path], *, new_tokens: int = NEW, **config: Any
) -> list[Answer]:
    return [
        magic_search(
            lm.model,
            lm.tokenizer,
            clip,
            clip.encode_image(image),
            lm.ids(text),
            **config,
            new_tokens=new_tokens,
            end_id=lm.end,
        )
        for text, image in zip(texts, images, strict=True)
    ]


@pytest.mark.parametrize(("k", "alpha", "beta"), [(45, 0.1, 2.0), (12, 0.1, 1.0), (5, 0.6, 0.15), (8, 0.0, 0.5)])
def test_magic(
    lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path], k: int, alpha: float, beta: float
) -> None:
    clip, models = clip_pair
    images = image_files[: len(PROMPTS)]
    answers = magic_answers(lm, clip, PROMPTS, images, k=k, alpha=alpha, beta=beta)
    decoder = Magic(Magic.Config(k=k, alpha=alpha, beta=beta), Models(lm.ours, models.image_text), Limits(NEW))
    agree(lm, decoder.decode(prompts(PROMPTS, images), [0] * len(PROMPTS)), answers)


def test_magic_sees_the_image(lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path]) -> None:
    _, models = clip_pair
    decoder = Magic(Magic.Config(k=12, alpha=0.1, beta=2.0), Models(lm.ours, models.image_text), Limits(NEW))
    said = decoder.decode(prompts(["A"] * 12, image_files), [0] * 12)
    assert len({generation.text for generation in said}) > 1


def test_magic_window(lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path]) -> None:
    """The image-text model reads the last tokens only, and the prompt never."""
    clip, models = clip_pair
    images = image_files[: len(PROMPTS)]
    config = {"k": 12, "alpha": 0.1, "beta": 2.0}
    narrow = magic_answers(lm, clip, PROMPTS, images, window=3, **config)
    wide = magic_answers(lm, clip, PROMPTS, images, **config)
    assert [a.tokens for a in narrow] != [a.tokens for a in wide], "the window must matter here"
    decoder = Magic(Magic.Config(clip_text_max_len=3, **config), Models(lm.ours, models.image_text), Limits(NEW))
    agree(lm, decoder.decode(prompts(PROMPTS, images), [0] * len(PROMPTS)), narrow)


def test_magic_scores_the_end_token_as_the_text_so_far(
    lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every token a candidate, the end token is one at each step: as empty text first, then as the text so far."""
    clip, models = clip_pair
    images = image_files[: len(PROMPTS)]
    size = len(lm.tokenizer)
    config = {"k": size, "alpha": 0.0, "beta": 3.0}
    answers = magic_answers(lm, clip, PROMPTS, images, new_tokens=3, **config)
    decoder = Magic(Magic.Config(**config), Models(lm.ours, models.image_text), Limits(3))
    agree(lm, decoder.decode(prompts(PROMPTS, images), [0] * len(PROMPTS)), answers)

    scored = magic_oracle.candidate_text(lm.tokenizer, lm.ids("A red"), lm.end, lm.end)
    assert scored == "A red"
    assert magic_oracle.candidate_text(lm.tokenizer, [], lm.end, lm.end) == ""


def test_beta_0_is_contrastive_search(lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path]) -> None:
    images = image_files[: len(PROMPTS)]
    models = Models(lm.ours, clip_pair[1].image_text)
    blind = decode(Contrastive, lm, Limits(NEW), prompts(PROMPTS), k=20, alpha=0.4)
    magic = Magic(Magic.Config(k=20, alpha=0.4, beta=0.0), models, Limits(NEW))
    assert [g.tokens for g in magic.decode(prompts(PROMPTS, images), [0] * len(PROMPTS))] == [g.tokens for g in blind]


def test_without_penalty_or_choice_everything_is_greedy(
    lm: Pair, clip_pair: tuple[ImageText, Models], image_files: list[Path]
) -> None:
    images = image_files[: len(PROMPTS)]
    models = Models(lm.ours, clip_pair[1].image_text)
    greedy = [g.tokens for g in decode(Greedy, lm, Limits(NEW), prompts(PROMPTS))]
    for config in ({"k": 20, "alpha": 0.0, "beta": 0.0}, {"k": 1, "alpha": 0.7, "beta": 2.0}):
        magic = Magic(Magic.Config(**config), models, Limits(NEW))
        assert [g.tokens for g in magic.decode(prompts(PROMPTS, images), [0] * len(PROMPTS))] == greedy
    for decoder, settings in (
        (Contrastive, {"k": 20, "alpha": 0.0}),
        (Contrastive, {"k": 1, "alpha": 0.7}),
        (TopK, {"k": 1}),
        (Nucleus, {"p": 1e-9}),
    ):
        assert [g.tokens for g in decode(decoder, lm, Limits(NEW), prompts(PROMPTS), **settings)] == greedy


@pytest.mark.parametrize("decoder", [Greedy, Contrastive, TopK])
def test_limits_count_new_tokens_or_all_tokens(lm: Pair, decoder: type[Decoder]) -> None:
    """A text under a tighter limit is the beginning of the text under a wider one."""
    wide = decode(decoder, lm, Limits(max_new_tokens=20), prompts(PROMPTS))
    tight = decode(decoder, lm, Limits(max_new_tokens=5), prompts(PROMPTS))
    total = decode(decoder, lm, Limits(max_length=16), prompts(PROMPTS))
    both = decode(decoder, lm, Limits(max_new_tokens=5, max_length=12), prompts(PROMPTS))
    for row, text in enumerate(PROMPTS):
        used = len(lm.ids(text))
        assert tight[row].tokens == wide[row].tokens[:5]
        assert total[row].tokens == wide[row].tokens[: 16 - used]
        assert both[row].tokens == wide[row].tokens[: min(5, 12 - used)]
        for generation, room in ((tight[row], 5), (total[row], 16 - used)):
            ended = generation.tokens[-1] == lm.end
            assert generation.finish == ("eos" if ended else "length")
            assert ended or len(generation.tokens) == room


def test_clipre(clip_pair: tuple[ImageText, Models], image_files: list[Path]) -> None:
    clip, models = clip_pair
    captions = [*CORPUS, *(text for number in range(30) for text in captions_of(number))]
    features = models.clip.text_features(captions).numpy()
    for first128 in (False, True):
        decoder = ClipRe(
            ClipRe.Config(first128=first128),
            Models(image_text=models.image_text, caption_index=CaptionIndex(captions, features)),
            Limits(),
        )
        said = decoder.decode(prompts([""] * 12, image_files), [0] * 12)
        for generation, image in zip(said, image_files, strict=True):
            best, lead = retrieve(clip, clip.encode_image(image), captions, first128=first128)
            assert lead > NOISE
            assert (generation.text, generation.tokens, generation.finish) == (best, (), "retrieved")
