"""Coherence, by embeddings and by likelihood, against plain transcriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decoders.base import Need
from decoders.models.load import load_language_model, load_sentence_encoder
from decoders.models.loaded import Models
from harness.errors import MetricUnavailable, ModelMismatch, NeedMissing
from harness.metrics.coherence import Coherence, CoherenceConfig, CoherenceLm, CoherenceLmConfig
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from tests.harness.metrics.bad_texts import BAD, SILENT
from tests.reference.likelihood import load, log_likelihood

STORIES = (("A red boat", "The boat is on the sea."), ("Dogs", "Two dogs are playing in the grass."), ("Dogs", "Dogs"))


def samples() -> list[Sample]:
    return [Sample(Example(str(i), prompt=prompt), text=text) for i, (prompt, text) in enumerate(STORIES)]


def embeddings(folder: Path, **options: object) -> Coherence:
    encoder = load_sentence_encoder(f"local:{folder}")
    return Coherence(CoherenceConfig.model_validate(options), Models(sentence_encoder=encoder))


def likelihood(folder: Path, **options: object) -> CoherenceLm:
    return CoherenceLm(CoherenceLmConfig.model_validate(options), Models(load_language_model(f"local:{folder}")))


def test_is_the_cosine_of_prompt_and_text(bert_folder: Path) -> None:
    metric = embeddings(bert_folder, pooling="cls")
    rows = metric.rows(samples())
    vectors = metric.models.encoder.encode([text for story in STORIES for text in story], "cls").double().numpy()
    expected = [float(vectors[2 * i] @ vectors[2 * i + 1]) for i in range(3)]
    np.testing.assert_allclose(rows, np.column_stack([expected, np.ones(3)]), atol=1e-6)
    assert rows[2, 0] == pytest.approx(1)
    assert rows[0, 0] < 0.999
    assert metric.finalise(rows.sum(axis=0))[0] == pytest.approx(np.mean(expected), abs=1e-6)


def test_pooling_matters_and_is_signed(bert_folder: Path) -> None:
    values = {p: embeddings(bert_folder, pooling=p).rows(samples())[0, 0] for p in ("cls", "mean", "pooler")}
    assert len({round(value, 3) for value in values.values()}) == 3
    signatures = [embeddings(bert_folder, pooling=p).signature() for p in values]
    assert len(set(map(str, signatures))) == 3
    assert all(Signature.parse(str(each)) == each for each in signatures)


@pytest.mark.parametrize("separator", [" ", "", ": ", " <|endoftext|> "])
def test_likelihood_is_that_of_the_text_behind_its_prompt(gpt2_folder: Path, separator: str) -> None:
    metric = likelihood(gpt2_folder, separator=separator)
    rows = metric.rows(samples())
    model, tokenizer = load(gpt2_folder)

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids if text else []

    for row, (prompt, text) in zip(rows, STORIES, strict=True):
        joint, space = separator.rstrip(), separator[len(separator.rstrip()) :]
        said = ids(space + text)
        expected = log_likelihood(model, ids(prompt) + ids(joint), said) / len(said)
        np.testing.assert_allclose(row, [expected, 1], rtol=1e-5)
    assert metric.finalise(rows.sum(axis=0))[0] == pytest.approx(rows[:, 0].mean())
    signature = metric.signature()
    assert dict(signature.fields)["sep"] == separator
    assert Signature.parse(str(signature)) == signature


def test_a_special_separator_is_one_token(gpt2_folder: Path) -> None:
    plain, special = (likelihood(gpt2_folder, separator=s).rows(samples())[0, 0] for s in (" ", " <|endoftext|> "))
    assert plain != pytest.approx(special)


@pytest.mark.parametrize("kind", ["embeddings", "likelihood"])
def test_what_cannot_be_judged_is_unscored(kind: str, bert_folder: Path, gpt2_folder: Path) -> None:
    metric: Coherence | CoherenceLm = embeddings(bert_folder) if kind == "embeddings" else likelihood(gpt2_folder)
    alone = metric.rows(samples())
    odd = [Sample(Example(name, prompt="A dog"), text=text) for name, text in BAD.items()]
    odd += [Sample(Example("as prompt " + name, prompt=text), text="A dog") for name, text in BAD.items()]
    lost = [Sample(Example("f", prompt="a"), failure=Failure("OutOfMemory", "no")), Sample(Example("n"), text="a dog")]
    rows = metric.rows([*samples(), *odd, *lost])
    np.testing.assert_allclose(rows[:3], alone, atol=2e-5)
    assert np.isnan(rows[-2:]).all()
    scored = dict(zip((each.example.id for each in odd), np.isfinite(rows[3:-2]).all(axis=1), strict=True))
    unscored = {name for name, each in scored.items() if not each}
    silent = {prefix + name for name in SILENT for prefix in ("", "as prompt ")}
    # A prompt that fills the model's context leaves no room for a text; an encoder cuts it.
    assert unscored == silent | ({"as prompt long"} if kind == "likelihood" else set())
    assert np.isfinite(metric.finalise(rows[np.isfinite(rows).all(axis=1)].sum(axis=0))).all()


def test_says_what_is_missing(bert_folder: Path, gpt2_folder: Path) -> None:
    for metric in (embeddings(bert_folder), likelihood(gpt2_folder)):
        with pytest.raises(MetricUnavailable, match="prompt"):
            metric.rows([Sample(Example("a"), text="a caption")])
    with pytest.raises(NeedMissing, match="sentence encoder"):
        Coherence(CoherenceConfig(), Models()).rows(samples())
    with pytest.raises(ModelMismatch, match="pooler"):
        embeddings(gpt2_folder).rows(samples())


def test_brings_the_published_encoder() -> None:
    assert "simcse" in CoherenceConfig().own_models()[Need.ENCODER]
    assert CoherenceLmConfig(model="").own_models() == {}
