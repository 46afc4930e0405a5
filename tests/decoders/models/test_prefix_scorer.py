"""Incremental text features against open_clip's own `encode_text` on the full context, over texts as a decoder makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text
from decoders.models.prefix_scorer import PrefixScorer
from decoders.models.text_ids import WordIds
from decoders.models.text_tree import shared_beginnings

CLOSE = 1e-5
PIECES = (
    " a", " red", " bo", "at", "s", " dog", "'s", "n", "'t", ".", ",", " !", "", " ", "é", " naïve", " 25", "7", "-", "<|",
    " <end_of_text>", "&", "amp", ";", " &lt;", "\n", "“", " 🙂", "\ufffd", " SKATE", "board", " of the", "</", " ﬁ",
)  # fmt: skip
"""Beginnings and endings of words, entities, ligatures, halves of characters, white space, CLIP's own end token."""


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}")


def whole(clip: ImageTextModel, texts: list[list[str]]) -> Tensor:
    """Each text padded to the full context, through open_clip alone."""
    ids = clip._tokenizer([text for row in texts for text in row])
    with torch.no_grad():
        return torch.nn.functional.normalize(clip.model.encode_text(ids), dim=-1).view(len(texts), len(texts[0]), -1)


def check(clip: ImageTextModel, scorer: PrefixScorer | None, texts: list[list[str]]) -> None:
    assert scorer is not None
    difference = (clip.candidate_features(texts, scorer) - whole(clip, texts)).abs().max()
    assert difference < CLOSE, (float(difference), texts)


pieces = st.sampled_from(PIECES)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_random_runs(clip: ImageTextModel, data: st.DataObject) -> None:
    """Steps of a run on one state: rows grow by one of their candidates, leave, change places, lose their first pieces."""
    scorer = clip.prefix_scorer()
    rows: list[list[str]] = data.draw(st.lists(st.lists(pieces, max_size=30), min_size=1, max_size=4))
    window = data.draw(st.sampled_from([3, 8, 60]))
    for _ in range(data.draw(st.integers(1, 5))):
        k = data.draw(st.integers(1, 8))
        choices = [data.draw(st.lists(pieces, min_size=k, max_size=k)) for _ in rows]
        check(clip, scorer, [["".join([*r, c][-window:]) for c in cs] for r, cs in zip(rows, choices, strict=True)])
        rows = [[*row, data.draw(st.sampled_from(cs))] for row, cs in zip(rows, choices, strict=True)]
        rows = data.draw(st.permutations(rows))[: data.draw(st.integers(1, len(rows)))]


@pytest.mark.heavy
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_random_candidate_sets(clip: ImageTextModel, data: st.DataObject) -> None:
    beginning = "".join(data.draw(st.lists(pieces, max_size=40)))
    check(clip, clip.prefix_scorer(), [[beginning + piece for piece in data.draw(st.lists(pieces, min_size=1, max_size=12))]])


def test_a_run_past_the_context(clip: ImageTextModel) -> None:
    """Up to 77 ids and beyond, where the new token falls off the end."""
    scorer = clip.prefix_scorer()
    for length in (1, 70, 73, 74, 75, 76, 77, 80):
        said = " boat" * length
        check(clip, scorer, [[said, said + " red", said + "s", said + " a dog"], [said + "!", "", " a", said]])


def test_a_token_that_extends_the_last_word(clip: ImageTextModel) -> None:
    scorer = clip.prefix_scorer()
    check(clip, scorer, [["a bo", "a bo is", "a boat", "a bo ."]])
    check(clip, scorer, [["a boat", "a boats", "a boat is", "a boathouse"]])
    check(clip, scorer, [["a boat is", "a boat isn't", "a boat is a"], ["a bo", "a boat is", "the"]])


def test_only_what_is_new_is_computed(clip: ImageTextModel) -> None:
    """Twenty words, 45 candidates: a token or two and an end token each, once for rows that say the same."""
    scorer = clip.prefix_scorer()
    assert scorer is not None
    passed: list[int] = []
    hook = clip._tower.token_embedding.register_forward_hook(lambda _, inputs, __: passed.append(inputs[0].numel()))
    said = "a red boat on the sea " * 3
    words = [chr(97 + n // 26) + chr(97 + n % 26) + "q" for n in range(45)]
    clip.candidate_features([[said + word for word in words]] * 6, scorer)
    clip.candidate_features([[said + "aaq " + word for word in words]] * 6, scorer)
    hook.remove()
    ids = WordIds(clip._tokenizer)([said, *words])
    lengths = (ids.argmax(dim=-1) + 1).tolist()
    new = sum(length - 1 for length in lengths[1:])
    assert passed[0] <= lengths[0] - 1 + new
    assert passed[1] <= lengths[1] - 2 + new


def test_a_tower_that_sees_both_ways_encodes_every_candidate_whole(siglip_folder: Path) -> None:
    clip = load_image_text(f"local-dir:{siglip_folder}")
    assert clip.prefix_scorer() is None
    texts = [["a", "a red boat"], ["", "two dogs"]]
    torch.testing.assert_close(clip.candidate_features(texts, None), whole(clip, texts), rtol=CLOSE, atol=CLOSE)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(texts=st.lists(st.lists(pieces, max_size=90).map("".join) | st.text(max_size=20), min_size=1, max_size=5))
def test_ids_are_those_of_the_tokenizer(clip: ImageTextModel, texts: list[str]) -> None:
    ours = WordIds(clip._tokenizer)
    assert torch.equal(ours(texts), clip._tokenizer(texts))
    assert torch.equal(ours(texts), clip._tokenizer(texts))


def test_other_tokenizers_are_asked_whole() -> None:
    asked: list[Any] = []

    def tokenizer(texts: list[str]) -> Tensor:
        asked.append(texts)
        return torch.tensor([[len(text)] for text in texts])

    assert WordIds(tokenizer)(["a b", "c"]).tolist() == [[3], [1]]
    assert asked == [["a b", "c"]]


def test_the_beginning_is_what_more_than_half_share() -> None:
    rows = [
        [[0, 5, 6, -1], [0, 5, 7, -1], [0, 5, 7, 8], [0, 4, -1, -1], [0, 5, 7, 2]],
        [[0, 1, -1, -1], [0, 1, -1, -1], [0, -1, -1, -1], [0, 2, -1, -1], [0, 3, -1, -1]],
    ]
    assert shared_beginnings(np.array(rows)).tolist() == [[0, 5, 7, -1], [0, -1, -1, -1]]
    assert shared_beginnings(np.array(rows)[:, :1]).tolist() == [[0, 5, 6, -1], [0, 1, -1, -1]]
