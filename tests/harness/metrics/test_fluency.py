"""Perplexity of real, tiny models against a token-by-token transcription, and of texts that nobody should write."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from decoders.models.language_model import LanguageModel
from decoders.models.load import load_language_model
from decoders.models.loaded import Models
from decoders.models.reading import plain_ids
from harness.errors import NeedMissing
from harness.metrics.fluency import Perplexity, PerplexityConfig
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from tests.harness.metrics.bad_texts import BAD, SILENT
from tests.reference.likelihood import load, log_likelihood

TEXTS = ("A red boat on the sea.", "dogs", "An old house under two large trees, beside a small red car.", "A café!")


@pytest.fixture(scope="module")
def lm(gpt2_folder: Path) -> LanguageModel:
    return load_language_model(f"local:{gpt2_folder}")


def samples(*texts: str) -> list[Sample]:
    return [Sample(Example(str(i)), text=text) for i, text in enumerate(texts)]


def scorer(lm: LanguageModel | None, **options: object) -> Perplexity:
    return Perplexity(PerplexityConfig.model_validate(options), Models(lm))


@pytest.mark.parametrize("folder", ["gpt2_folder", "llama_folder", "qwen_folder"])
def test_equals_the_definition(folder: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(folder)
    judge = load_language_model(f"local:{path}")
    model, tokenizer = load(path)
    metric = scorer(judge)
    rows = metric.rows(samples(*TEXTS))
    start = tokenizer.convert_tokens_to_ids("<-start_of_text->") if folder == "gpt2_folder" else tokenizer.bos_token_id
    start = tokenizer.eos_token_id if start is None else start
    total = tokens = 0.0
    for row, text in zip(rows, TEXTS, strict=True):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        expected = log_likelihood(model, [start], ids)
        np.testing.assert_allclose(row, [expected, len(ids)], rtol=1e-5)
        total, tokens = total + expected, tokens + len(ids)
    assert metric.finalise(rows.sum(axis=0))[0] == pytest.approx(math.exp(-total / tokens), rel=1e-5)


def test_tokens_weigh_the_same_not_texts() -> None:
    sums = np.array([[-6.0, 3.0], [-2.0, 2.0]])
    assert Perplexity(PerplexityConfig(), Models()).finalise(sums.sum(axis=0))[0] == pytest.approx(math.exp(8 / 5))


def test_batches_and_order_do_not_matter(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    given = samples(*TEXTS, *TEXTS[::-1])
    whole = scorer(lm).rows(given)
    monkeypatch.setattr("decoders.models.reading._LOGITS", 1)
    np.testing.assert_allclose(scorer(lm).rows(given[::-1])[::-1], whole, rtol=1e-5)


def test_bad_texts_are_judged_or_unscored_and_disturb_nobody(lm: LanguageModel) -> None:
    alone = scorer(lm).rows(samples(*TEXTS))
    given = [*samples(*TEXTS), *(Sample(Example(name), text=text) for name, text in BAD.items())]
    given.append(Sample(Example("gone"), failure=Failure("OutOfMemory", "no")))
    rows = scorer(lm).rows(given)
    np.testing.assert_allclose(rows[: len(TEXTS)], alone, rtol=1e-5)
    for name, row in zip(BAD, rows[len(TEXTS) : -1], strict=True):
        assert np.isfinite(row).all() == (name != "empty"), name
        assert name not in SILENT or name == "blank" or np.isnan(row).all()
    assert np.isnan(rows[-1]).all()
    assert rows[len(TEXTS) + list(BAD).index("long"), 1] == 63  # the context holds 64, the start token is one of them


def test_special_tokens_spelled_out_are_mere_text(lm: LanguageModel) -> None:
    assert lm.end_id not in plain_ids(lm, "<|endoftext|>")
    assert len(plain_ids(lm, "<|endoftext|>")) > 3


def test_cuts_where_it_is_told(lm: LanguageModel) -> None:
    one, five = (scorer(lm, max_tokens=n).rows(samples(TEXTS[2]))[0] for n in (1, 5))
    assert (one[1], five[1]) == (1, 5)
    assert five[0] < one[0]


def test_the_judge_is_the_metrics_own_or_the_suites() -> None:
    assert list(PerplexityConfig(model="toybox:plain").own_models().values()) == ["toybox:plain"]
    assert PerplexityConfig(model="").own_models() == {}
    with pytest.raises(NeedMissing):
        scorer(None).rows(samples("a"))


def test_signature_names_what_moves_the_value(lm: LanguageModel) -> None:
    plain = scorer(lm).signature()
    assert Signature.parse(str(plain)) == plain
    fields = dict(plain.fields)
    assert fields["max"] == "63"
    assert lm.digest[:8] in fields["lm"]
    assert str(scorer(lm, max_tokens=7).signature()) != str(plain)
