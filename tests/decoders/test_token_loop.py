"""What the loop promises to whoever writes a step decoder: rows, limits, look-ahead, texts, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from decoders.base import Decoder, DecoderConfig, Limits, Prompt
from decoders.contrastive import Contrastive
from decoders.errors import NeedMissing, PromptTooLong
from decoders.loop import Step, StepDecoder, counter_noise, gumbel_noise
from decoders.magic import Magic
from decoders.models import torchvision_schemas
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.noise import counter_noise_at
from decoders.sampling import Greedy, Nucleus


class Recorder(StepDecoder):
    """Greedy; keeps what each step showed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.steps: list[Step] = []

    def select(self, step: Step) -> Tensor:
        self.steps.append(step)
        return step.logits.argmax(dim=-1)


def build(kind: type[Decoder], models: Models, limits: Limits, **config: Any) -> Any:
    return kind(kind.Config(**config), models, limits)


@pytest.fixture(scope="module")
def lm(llama_folder: Path) -> LanguageModel:
    return load_language_model(f"local:{llama_folder}")


TEXTS = ["A red boat", "", "The cat 's bowl , which was empty", "Two dogs", "A man is riding", "An old house"]


def prompts(texts: list[str]) -> list[Prompt]:
    return [Prompt(f"p{n}", text) for n, text in enumerate(texts)]


def test_rows_stop_at_the_end_token_and_leave(lm: LanguageModel) -> None:
    decoder = build(Recorder, Models(lm), Limits(max_new_tokens=40))
    said = decoder.decode(prompts(TEXTS), range(len(TEXTS)))
    lengths = [len(generation.tokens) for generation in said]
    assert len({generation.finish for generation in said}) == 2, "choose prompts of which some end and some do not"
    for step in decoder.steps:
        assert len(step.prompts) == sum(length > step.index for length in lengths)
        assert step.logits.shape == (len(step.prompts), lm.vocab_size)
        assert all(len(generated) == step.index for generated in step.generated)
    for generation in said:
        assert lm.end_id not in generation.tokens[:-1]
        assert (generation.finish == "eos") == (generation.tokens[-1] == lm.end_id)
        assert generation.finish == "eos" or len(generation.tokens) == 40
        assert generation.text == " ".join(generation.text.split())
        assert "<|" not in generation.text
        assert generation.trace["log_probability"] < 0


def test_a_step_shows_each_row_its_own(lm: LanguageModel) -> None:
    decoder = build(Recorder, Models(lm), Limits(max_new_tokens=5))
    decoder.decode(prompts(TEXTS[:3]), range(10, 13))
    for step in decoder.steps:
        expected = [len(lm.encode(prompt.text)) + step.index for prompt in step.prompts]
        assert step.history_mask.sum(dim=1).tolist() == expected
        assert step.history.shape[:2] == step.history_mask.shape
        torch.testing.assert_close(step.log_probs.exp(), step.probs)
        for row, prompt in enumerate(step.prompts):
            seed = 10 + int(prompt.id[1:])
            assert step.noise[row].tolist() == counter_noise(seed, step.index, lm.vocab_size).tolist()
            torch.testing.assert_close(step.gumbel[row], -torch.log(-torch.log(step.noise[row])))


def test_limits(lm: LanguageModel) -> None:
    length = len(lm.encode(TEXTS[2]))
    for limits, most in ((Limits(3), 3), (Limits(None, length + 4), 4), (Limits(6, length + 2), 2)):
        [generation] = build(Greedy, Models(lm), limits).decode(prompts(TEXTS[2:3]), [0])
        assert len(generation.tokens) <= most
        assert generation.finish == ("length" if len(generation.tokens) == most else "eos")
    for limits in (Limits(max_new_tokens=0), Limits(max_length=length)):
        with pytest.raises(PromptTooLong, match="has 11 tokens, which leaves no room" if limits.max_length else "'p0'"):
            build(Greedy, Models(lm), limits).decode(prompts(["A", TEXTS[2]]), [0, 0])


def test_the_context_is_a_limit_too(lm: LanguageModel) -> None:
    assert lm.context_length == 64
    decoder = build(Nucleus, Models(lm), Limits())
    for generation in decoder.decode(prompts(TEXTS), range(len(TEXTS))):
        assert generation.finish == "eos" or len(generation.tokens) >= 64 - len(lm.encode(TEXTS[2]))
    with pytest.raises(PromptTooLong):
        decoder.decode(prompts(["boat " * 80]), [0])


def test_an_empty_batch_and_too_few_seeds(lm: LanguageModel) -> None:
    decoder = build(Greedy, Models(lm), Limits(4))
    assert decoder.decode([], []) == []
    with pytest.raises(ValueError, match="seed"):
        decoder.decode(prompts(TEXTS[:2]), [1])


def test_candidates_are_the_likeliest(lm: LanguageModel) -> None:
    class Check(StepDecoder):
        def select(self, step: Step) -> Tensor:
            found = step.candidates(9)
            expected = step.probs.sort(dim=-1, descending=True)
            assert torch.equal(found.ids, expected.indices[:, :9])
            torch.testing.assert_close(found.probs, expected.values[:, :9])
            assert step.candidates(10**6).ids.shape[1] == lm.vocab_size
            return found.ids[:, 1]

    assert build(Check, Models(lm), Limits(3)).decode(prompts(TEXTS), [0] * 6)


def test_equally_likely_candidates_come_by_id(lm: LanguageModel) -> None:
    class Tied(StepDecoder):
        def select(self, step: Step) -> Tensor:
            step.logits[:] = 0
            step.logits[:, 300] = 5
            assert step.candidates(4).ids.tolist() == [[300, 0, 1, 2]] * len(step.prompts)
            step.logits[:, 7] = 5
            assert step.candidates(1).ids.tolist() == [[7]] * len(step.prompts)
            return step.candidates(1).ids[:, 0]

    build(Tied, Models(lm), Limits(1)).decode(prompts(TEXTS), [0] * 6)


def test_a_step_decoder_may_look_once_and_must_choose_what_it_saw(lm: LanguageModel) -> None:
    class Outside(StepDecoder):
        def select(self, step: Step) -> Tensor:
            ids = step.candidates(3).ids
            step.look_ahead(ids[:, :2])
            return ids[:, 2]

    class Twice(StepDecoder):
        def select(self, step: Step) -> Tensor:
            ids = step.candidates(3).ids
            step.look_ahead(ids)
            step.look_ahead(ids)
            return ids[:, 0]

    with pytest.raises(ValueError, match="among the candidates"):
        build(Outside, Models(lm), Limits(3)).decode(prompts(TEXTS), [0] * 6)
    with pytest.raises(RuntimeError, match="once"):
        build(Twice, Models(lm), Limits(3)).decode(prompts(TEXTS), [0] * 6)


def test_looking_changes_nothing(lm: LanguageModel) -> None:
    class Looker(StepDecoder):
        def select(self, step: Step) -> Tensor:
            ids = step.candidates(5).ids.flip(1)
            assert step.look_ahead(ids).shape[:2] == ids.shape
            return ids[:, -1]

    for texts in (TEXTS, TEXTS[:1]):
        seeds = [0] * len(texts)
        looked = build(Looker, Models(lm), Limits(20)).decode(prompts(texts), seeds)
        plain = build(Greedy, Models(lm), Limits(20)).decode(prompts(texts), seeds)
        assert [generation.tokens for generation in looked] == [generation.tokens for generation in plain]


def test_what_the_image_text_model_reads(gpt2_folder: Path) -> None:
    lm = load_language_model(f"local:{gpt2_folder}")
    decoder = build(Recorder, Models(lm), Limits(5))
    decoder.decode(prompts(["<-start_of_text->A red boat"]), [0])
    first, *_, last = decoder.steps
    dog = lm.encode("dog")[0]
    assert first.texts(torch.tensor([[lm.end_id, dog]]), 60) == [["", "d" if len(lm.encode("dog")) > 1 else "dog"]]
    said = lm.tokenizer.decode(last.generated[0])
    ended, longer = last.texts(torch.tensor([[lm.end_id, dog]]), 60)[0]
    assert ended == lm.decode(last.generated[0], skip_special=False)
    assert longer == lm.decode([*last.generated[0], dog], skip_special=False)
    assert "red boat" not in longer
    assert said
    [[end_alone, window]] = last.texts(torch.tensor([[lm.end_id, dog]]), 2)
    assert end_alone == lm.decode(last.generated[0][-1:], skip_special=False)
    assert window == lm.decode([last.generated[0][-1], dog], skip_special=False)


def test_images_are_asked_for_by_name(lm: LanguageModel, clip_folder: Path) -> None:
    models = Models(lm, load_image_text(f"local-dir:{clip_folder}"))
    with pytest.raises(NeedMissing, match="'p0' has no image"):
        build(Magic, models, Limits(3), k=3).decode(prompts(TEXTS), [0] * 6)
    with pytest.raises(NeedMissing, match="image-text model"):
        build(Magic, Models(lm), Limits(3), k=3).decode(prompts(TEXTS), [0] * 6)
    with pytest.raises(NeedMissing, match="language model"):
        build(Greedy, Models(), Limits(3)).decode(prompts(TEXTS), [0] * 6)


def test_noise_is_a_function_of_seed_and_step() -> None:
    assert np.array_equal(gumbel_noise(3, 0, 50), gumbel_noise(3, 0, 50))
    drawn = np.stack([gumbel_noise(seed, step, 200) for seed in (0, 1, 2**64 - 1) for step in range(3)])
    correlation = np.corrcoef(drawn) - np.eye(9)
    assert np.abs(correlation).max() < 0.35
    # Steps are far apart in the counter: the second is no shifted first.
    assert not np.isin(gumbel_noise(3, 1, 200), gumbel_noise(3, 0, 2000)).any()
    # Mean and variance of the standard Gumbel distribution: Euler's constant and pi^2 / 6.
    many = gumbel_noise(11, 4, 200_000)
    assert many.mean() == pytest.approx(0.5772, abs=0.01)
    assert many.var() == pytest.approx(np.pi**2 / 6, abs=0.03)
    assert np.isfinite(many).all()


def test_noise_of_a_few_tokens_is_that_of_all() -> None:
    tokens = torch.tensor([0, 1, 2, 3, 4, 999, 37, 501])
    for seed in (0, 5, 2**63 + 5, 2**64 - 1):
        words = torch.from_numpy(np.full(len(tokens), seed, dtype=np.uint64).view(np.int64))
        for step in (0, 7):
            assert counter_noise_at(words, step, tokens).tolist() == counter_noise(seed, step, 1000)[tokens.numpy()].tolist()


def test_noise_never_changes() -> None:
    """Published texts hang on these numbers; they may change with a bump of the decoders' version only."""
    expected = [0.8228072614924045, 0.21332125503628147, 0.2135146999604674]
    assert counter_noise(2**63 + 5, 2, 3).tolist() == expected


def test_a_sliding_window_model_takes_prompts_of_one_length_at_a_time(qwen_folder: Path, tmp_path: Path) -> None:
    """Padding would fall into the window, so such rows are grouped by length; the texts are those of each row alone."""
    torchvision_schemas.ensure()
    from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig, MistralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=4, max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lm = load_language_model(f"local:{tmp_path}")
    assert not lm.pads_prompts
    raw = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    for kind, settings in ((Greedy, {}), (Contrastive, {"k": 4, "alpha": 0.5})):
        decoder = build(kind, Models(lm), Limits(10), **settings)
        together = decoder.decode(prompts(TEXTS), [0] * 6)
        alone = [decoder.decode([prompt], [0])[0] for prompt in prompts(TEXTS)]
        assert [generation.tokens for generation in together] == [generation.tokens for generation in alone]
    greedy = build(Greedy, Models(lm), Limits(10)).decode(prompts(TEXTS), [0] * 6)
    for text, generation in zip(TEXTS, greedy, strict=True):
        ids = lm.encode(text)
        for token in generation.tokens:
            assert int(raw(torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


@pytest.mark.parametrize(
    ("kind", "config"),
    [(Contrastive, {"alpha": 1.2}), (Contrastive, {"k": 0}), (Magic, {"beta": -1}), (Magic, {"clip_text_max_len": 0}),
     (Magic, {"gamma": 1}), (Nucleus, {"p": 0}), (Nucleus, {"temperature": 0}), (Greedy, {"k": 1})],
)  # fmt: skip
def test_settings_out_of_range_are_refused(kind: type[Decoder], config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(config))):
        kind.Config(**config)


def test_published_defaults() -> None:
    assert Contrastive.Config().model_dump() == {"k": 45, "alpha": 0.1}
    assert Magic.Config().model_dump() == {"k": 45, "alpha": 0.1, "beta": 2.0, "clip_text_max_len": 60}
    assert issubclass(Magic.Config, DecoderConfig)
