"""Ids of candidate texts are those of the texts spelled out, whatever the pieces are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models

from decoders.models import torchvision_schemas
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text, load_language_model
from decoders.models.text_ids import CandidateIds, WordIds, starts_a_word

PIECES = (
    " a", " red", " bo", "at", "s", " dog", "'s", "n", " n", "'t", " '", "'", ".", " .", ",", " !", " ", "Ã", "©", " naÃ¯ve",
    " 25", "7", "-", "<|", "<end_of_text>", " <end_of_text>", "&", "amp", ";", " x&lt;", "\n", " SKATE", "board", " of the",
    "</", " n't", " well-known", " antidisestablishmentarianismishnessly", " re", " 's", " x.", " don't", "!$",
)  # fmt: skip
"""As a byte-level vocabulary spells them (a space becomes Ġ below); two are halves of one character, and the last has
CLIP's id 0, which fills tables up elsewhere."""
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    """A model that can say any of the pieces after any other."""
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    spelled = [piece.replace(" ", "Ġ").replace("\n", "Ċ") for piece in PIECES]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate([*spelled, END])}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(fast), n_positions=128, n_embd=8, n_layer=1, n_head=1))
    return LanguageModel(model, fast, name="pieces", digest="pieces")


def check(lm: LanguageModel, clip: ImageTextModel, said: list[list[int]], candidates: Any) -> None:
    ids = CandidateIds(lm, WordIds(clip._tokenizer))(said, candidates)
    texts = [lm.decode((*s, t), skip_special=False) for s, row in zip(said, candidates.tolist(), strict=True) for t in row]
    expected = clip._tokenizer(texts).numpy()
    assert ids.shape[1] <= expected.shape[1]
    for text, found, right in zip(texts, ids, expected, strict=True):
        assert found.tolist() == right[: ids.shape[1]].tolist(), text
        assert not right[ids.shape[1] :].any()


@pytest.mark.parametrize("seed", range(20))
def test_every_piece_after_anything(lm: LanguageModel, clip: ImageTextModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = [rng.integers(0, len(PIECES), rng.integers(0, 10)).tolist() for _ in range(5)]
    check(lm, clip, said, np.stack([rng.permutation(len(PIECES) + 1) for _ in said]))


def test_texts_at_the_length_limit(lm: LanguageModel, clip: ImageTextModel) -> None:
    word = PIECES.index(" dog")
    everything = np.arange(len(PIECES) + 1)
    for length in (70, 73, 74, 75, 76, 77, 90):
        check(lm, clip, [[word] * length, [word]], np.stack([everything, everything]))


def test_pieces_that_start_a_word_are_read_once(lm: LanguageModel, clip: ImageTextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second step asks the language model for the rows' texts, not for the candidates'."""
    long = PIECES.index(" antidisestablishmentarianismishnessly")
    pieces = [i for i, piece in enumerate(PIECES) if starts_a_word(piece) and i != long]
    assert len(pieces) > 8
    reader = CandidateIds(lm, WordIds(clip._tokenizer))
    candidates = np.array([pieces, pieces])
    reader([[0], [1]], candidates)
    asked: list[object] = []
    decode = LanguageModel.decode

    def counting(model: LanguageModel, ids: Any, **options: Any) -> str:
        asked.append(ids)
        return decode(model, ids, **options)

    monkeypatch.setattr(LanguageModel, "decode", counting)
    reader([[0, 1], [1, 5]], candidates)
    assert len(asked) == 2


@pytest.mark.parametrize("piece", [" .", " n't", " 's", "s", " é", " a&b", " ", " a b", "\n", " '"])
def test_pieces_that_depend_on_what_is_before_them(piece: str) -> None:
    assert not starts_a_word(piece)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen"])
def test_features_of_continuations(request: pytest.FixtureRequest, name: str, clip: ImageTextModel) -> None:
    """Kept features, repeated rows and new ones in one call: each is that of the whole text."""
    lm = load_language_model(f"local:{request.getfixturevalue(name + '_folder')}")
    scorer = clip.prefix_scorer()
    rng = np.random.default_rng(0)
    said = [rng.integers(0, len(lm.tokenizer) - 1, n).tolist() for n in (0, 3, 7, 3)]
    candidates = np.tile(rng.integers(0, len(lm.tokenizer), 20), (4, 1))
    for rows in ([0, 1], [1, 2, 1], [2, 0], [3, 1]):
        found = clip.continuation_features(lm, [said[row] for row in rows], candidates[rows], scorer)
        texts = [lm.decode((*said[row], t), skip_special=False) for row in rows for t in candidates[row].tolist()]
        torch.testing.assert_close(found.flatten(0, 1), clip.text_features(texts), rtol=1e-5, atol=1e-5)


def test_features_of_a_tower_that_sees_both_ways(siglip_folder: Path, gpt2_folder: Path) -> None:
    clip, lm = load_image_text(f"local-dir:{siglip_folder}"), load_language_model(f"local:{gpt2_folder}")
    found = clip.continuation_features(lm, [[5, 9]], np.array([[3, 4]]), None)
    texts = [lm.decode((5, 9, token), skip_special=False) for token in (3, 4)]
    torch.testing.assert_close(found[0], clip.text_features(texts))
