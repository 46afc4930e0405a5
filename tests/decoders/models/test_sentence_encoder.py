"""Sentence encoders of real, tiny checkpoints against transformers itself, one text at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models.load import load_sentence_encoder
from decoders.models.names import model_digest
from decoders.models.sentence_encoder import Pooling
from tests.checkpoints import write_bert
from tests.harness.metrics.bad_texts import BAD

TEXTS = ("A red boat on the sea.", "dogs", "two dogs in the grass " * 40, "A café!")


@torch.no_grad()
def by_hand(folder: Path, text: str, pooling: Pooling, longest: int) -> np.ndarray:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    output = AutoModel.from_pretrained(folder).eval()(
        **tokenizer(text, return_tensors="pt", truncation=True, max_length=longest, return_token_type_ids=False)
    )
    hidden = output.last_hidden_state[0].double()
    vector = {"cls": hidden[0], "mean": hidden.mean(dim=0)}.get(pooling)
    vector = output.pooler_output[0].double() if vector is None else vector
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_equals_one_text_at_a_time(bert_folder: Path, pooling: Pooling) -> None:
    encoder = load_sentence_encoder(f"local:{bert_folder}")
    found = encoder.encode(TEXTS, pooling).numpy()
    for vector, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(vector, by_hand(bert_folder, text, pooling, 48), atol=2e-5)


def test_a_language_model_encodes_too(gpt2_folder: Path) -> None:
    encoder = load_sentence_encoder(f"local:{gpt2_folder}")
    assert encoder.longest == 64
    found = encoder.encode(TEXTS, "mean").numpy()
    for vector, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(vector, by_hand(gpt2_folder, text, "mean", 64), atol=2e-5)
    with pytest.raises(ModelMismatch, match="pooler"):
        encoder.encode(TEXTS, "pooler")
    assert not encoder.encode([""])[0].any()


def test_batches_order_and_repetition_do_not_matter(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_sentence_encoder(f"local:{bert_folder}")
    whole = encoder.encode(TEXTS).numpy()
    monkeypatch.setattr("decoders.models.sentence_encoder._TOKENS", 1)
    np.testing.assert_allclose(encoder.encode([*TEXTS[::-1], *TEXTS]).numpy(), [*whole[::-1], *whole], atol=2e-5)
    assert encoder.encode([]).shape == (0, 0)


def test_bad_texts_are_vectors_all_the_same(bert_folder: Path) -> None:
    found = load_sentence_encoder(f"local:{bert_folder}").encode(list(BAD.values()))
    np.testing.assert_allclose(found.norm(dim=1).numpy(), 1, atol=1e-5)


def test_is_remembered_and_has_the_digest_of_its_files(bert_folder: Path) -> None:
    encoder = load_sentence_encoder(f"local:{bert_folder}")
    assert load_sentence_encoder(f"local:{bert_folder}") is encoder
    assert encoder.digest == model_digest(f"local:{bert_folder}")


def test_a_checkpoint_without_pooler_serves_who_does_not_ask_for_it(tmp_path: Path) -> None:
    encoder = load_sentence_encoder(f"local:{write_bert(tmp_path / 'masked', pooler=False)}")
    assert encoder.encode(["a"], "cls").shape == (1, 32)
    with pytest.raises(ModelMismatch, match="pooler"):
        encoder.encode(["a"], "pooler")


def test_says_what_is_missing(tmp_path: Path, clip_folder: Path) -> None:
    with pytest.raises(ModelNotFound, match="sentence encoder"):
        load_sentence_encoder("bert")
    with pytest.raises(ModelNotFound, match="no folder"):
        load_sentence_encoder(f"local:{tmp_path / 'none'}")
