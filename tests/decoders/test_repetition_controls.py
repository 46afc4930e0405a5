"""The settings against repetition: what `generate` of transformers says with them, and what the plain transcription says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Decoder, DecoderConfig, Limits, Prompt
from decoders.beam import Beam
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.repetition import RepetitionConfig, held_back
from decoders.rerank import SampleRerank
from decoders.sampling import Greedy, Nucleus, TopK, Typical
from tests.checkpoints import START
from tests.decoders.parity import Pair, agree, decode, noise_of, prompts
from tests.reference import sampling

PROMPTS = (
    "A red boat on a red boat",
    "The",
    "",
    "Two dogs, one brown and one black, are two dogs, one",
    "There is there is there",
)
NEW = 14
SETTINGS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.15, "no_repeat_ngram_size": 3},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 1},
]
NAMES = ["penalty", "bigrams", "both", "reward", "unigrams"]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> Pair:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = tokenizer.convert_tokens_to_ids(START) if request.param == "gpt2" else tokenizer.bos_token_id
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Pair(model, tokenizer, load_language_model(f"local:{folder}"), start)


def theirs(lm: Pair, text: str, **config: Any) -> list[int]:
    """New tokens by `generate`, one prompt at a time, so without padding."""
    ids = torch.tensor([lm.ids(text)])
    said = lm.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=lm.end,
        pad_token_id=lm.end,
        **config,
    )[0, ids.shape[1] :].tolist()
    return said[: said.index(lm.end) + 1] if lm.end in said else said


@pytest.mark.parametrize("config", SETTINGS, ids=NAMES)
def test_greedy_says_what_transformers_says(lm: Pair, config: dict[str, Any]) -> None:
    said = [list(generation.tokens) for generation in decode(Greedy, lm, Limits(NEW), prompts(PROMPTS), **config)]
    assert said == [theirs(lm, text, **config) for text in PROMPTS]
    plain = [list(generation.tokens) for generation in decode(Greedy, lm, Limits(NEW), prompts(PROMPTS))]
    assert said != plain, "the setting must matter here"


@pytest.mark.parametrize(
    ("width", "config"), [(10, SETTINGS[2]), (3, SETTINGS[0]), (3, SETTINGS[1])], ids=["wide-both", *NAMES[:2]]
)
def test_beam_says_what_transformers_says(lm: Pair, width: int, config: dict[str, Any]) -> None:
    said = decode(Beam, lm, Limits(NEW), prompts(PROMPTS), width=width, **config)
    assert [list(g.tokens) for g in said] == [theirs(lm, text, num_beams=width, **config) for text in PROMPTS]
    plain = decode(Beam, lm, Limits(NEW), prompts(PROMPTS), width=width)
    assert [g.tokens for g in said] != [g.tokens for g in plain], "the setting must matter here"


@pytest.mark.parametrize(
    ("decoder", "own", "keep"),
    [
        (Greedy, {}, None),
        (TopK, {"k": 5, "temperature": 0.8}, sampling.top_k(5)),
        (Nucleus, {"p": 0.8, "temperature": 1.3}, sampling.nucleus(0.8)),
        (Typical, {"mass": 0.4}, sampling.typical(0.4)),
    ],
    ids=["greedy", "top-k", "nucleus", "typical"],
)
def test_it_says_what_the_equations_say(
    lm: Pair, decoder: type[Decoder], own: dict[str, Any], keep: sampling.Keep | None
) -> None:
    config = SETTINGS[2]
    fixed: dict[str, Any] = {"temperature": own.get("temperature", 1.0), "new_tokens": NEW, "end_id": lm.end, **config}
    answers = [
        sampling.decode(lm.model, lm.ids(text), **fixed)
        if keep is None
        else sampling.decode(lm.model, lm.ids(text), keep=keep, noise=noise_of(lm, row), **fixed)
        for row, text in enumerate(PROMPTS)
    ]
    agree(lm, decode(decoder, lm, Limits(NEW), prompts(PROMPTS), **own, **config), answers, at_least=0.8)


@pytest.mark.parametrize(("decoder", "own"), [(Nucleus, {}), (Beam, {"width": 4})], ids=["nucleus", "beam"])
def test_neither_batch_nor_order_matter(lm: Pair, decoder: type[Decoder], own: dict[str, Any]) -> None:
    work = list(zip(prompts(PROMPTS), range(len(PROMPTS)), strict=True))
    made = decoder(decoder.Config(**own, repetition_penalty=1.4, no_repeat_ngram_size=2), Models(lm.ours), Limits(NEW))
    expected = {p.id: made.decode([p], [seed])[0].tokens for p, seed in work}
    for size in (2, 5):
        turned = work[::-1]
        for start in range(0, len(work), size):
            part = turned[start : start + size]
            said = made.decode([p for p, _ in part], [seed for _, seed in part])
            assert [g.tokens for g in said] == [expected[p.id] for p, _ in part]


def test_no_run_of_tokens_comes_twice(lm: Pair) -> None:
    for text, generation in zip(
        PROMPTS, decode(Nucleus, lm, Limits(40), prompts(PROMPTS), no_repeat_ngram_size=2, temperature=0.3), strict=True
    ):
        ids = [*lm.ids(text), *generation.tokens]
        before = len(lm.ids(text))
        pairs = [tuple(ids[place : place + 2]) for place in range(len(ids) - 1)]
        assert all(pair not in pairs[:place] for place, pair in enumerate(pairs) if place >= before - 1)


def test_scores_by_hand() -> None:
    scores = torch.tensor([[2.0, -1.0, 3.0, 0.5], [2.0, -1.0, 3.0, 0.5]])
    as_it_was = scores.clone()
    penalised = held_back(RepetitionConfig(repetition_penalty=2), scores, [[0, 1, 0], [2]])
    assert penalised.tolist() == [[1.0, -2.0, 3.0, 0.5], [2.0, -1.0, 1.5, 0.5]]
    # 0 1 | 0 was followed by 1, so after the second 0 no 1 may come; the other row is too short for a run.
    forbidden = held_back(RepetitionConfig(no_repeat_ngram_size=2), scores, [[0, 1, 0], [0]])
    assert forbidden.tolist() == [[2.0, -torch.inf, 3.0, 0.5], [2.0, -1.0, 3.0, 0.5]]
    assert torch.equal(scores, as_it_was)


def test_off_is_off() -> None:
    scores = torch.zeros(1, 4)
    assert held_back(RepetitionConfig(), scores, [[0, 0, 0]]) is scores
    for decoder in (Greedy, TopK, Nucleus, Typical, Beam, SampleRerank):
        dump = decoder.Config().model_dump()
        assert (dump["repetition_penalty"], dump["no_repeat_ngram_size"]) == (1.0, 0)
        assert issubclass(decoder.Config, DecoderConfig)


@pytest.mark.parametrize("wrong", [{"repetition_penalty": 0}, {"repetition_penalty": float("inf")}, {"no_repeat_ngram_size": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Greedy.Config.model_validate(wrong)


def test_a_beam_with_nothing_left_to_say_says_something(lm: Pair) -> None:
    """Every token of the vocabulary stands in the text and none may come twice."""
    search = decode(Beam, lm, Limits(3), prompts(["A"]), width=2, no_repeat_ngram_size=1)
    assert len(search[0].tokens) > 0
    made = Beam(Beam.Config(width=2, no_repeat_ngram_size=1), Models(lm.ours), Limits(3))
    text = "".join(lm.ours.tokenizer.convert_ids_to_tokens([lm.end]))
    assert made.decode([Prompt("x", text)], [0])[0].tokens


@pytest.mark.parametrize("sampler", ["nucleus", "top-k", "typical"])
def test_reranked_draws_are_held_back_too(gpt2_folder: Path, clip_folder: Path, image_files: list[Path], sampler: str) -> None:
    models = Models(load_language_model(f"local:{gpt2_folder}"), load_image_text(f"local-dir:{clip_folder}"))
    batch = prompts(PROMPTS, image_files[: len(PROMPTS)])
    kind: type[Decoder] = {"nucleus": Nucleus, "top-k": TopK, "typical": Typical}[sampler]  # type: ignore[type-abstract]
    shared = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "temperature": 0.7}
    said = SampleRerank(SampleRerank.Config(n=1, sampler=sampler, **shared), models, Limits(NEW)).decode(
        batch, range(len(PROMPTS))
    )
    alone = kind(kind.Config(**shared), models, Limits(NEW)).decode(batch, range(len(PROMPTS)))
    assert [g.tokens for g in said] == [g.tokens for g in alone]
    free = kind(kind.Config(temperature=0.7), models, Limits(NEW)).decode(batch, range(len(PROMPTS)))
    assert [g.tokens for g in said] != [g.tokens for g in free]
