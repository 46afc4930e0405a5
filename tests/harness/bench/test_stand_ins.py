"""The recipe of the stand-ins on models of two layers: uncertain as asked, unlike as asked, of real words, and loadable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from decoders.models import torchvision_schemas
from harness.bench import stand_ins
from harness.bench.stand_ins import pictures
from tests.reference.image_text import ImageText


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return stand_ins.tokenizer()


def language(*, ends: bool) -> stand_ins.Language:
    return stand_ins.Language(range(10, 1500), stop=3, end=0, start=1, size=1600, ends=ends)


def test_tokens_are_words(tokenizer: object) -> None:
    ids = tokenizer("<-start_of_text-> a man with the dog on street.").input_ids  # type: ignore[operator]
    pieces = tokenizer.convert_ids_to_tokens(ids)  # type: ignore[attr-defined]
    assert pieces == ["<-start_of_text->", "Ġa", "Ġman", "Ġwith", "Ġthe", "Ġdog", "Ġon", "Ġstreet", "."]
    assert len(tokenizer) == 50_257 + 2  # type: ignore[arg-type]


def test_texts_end_and_stories_go_on() -> None:
    spoken = language(ends=True)
    sentences = [spoken.sentence() for _ in range(200)]
    assert all(ids[0] == 1 and ids[-2:] == [3, 0] for ids in sentences)
    assert 9 < np.mean([len(ids) - 1 for ids in sentences]) < 13
    story = language(ends=False).sentence()
    assert 0 not in story
    assert story.count(3) >= 1
    assert len(story) == stand_ins._LONGEST


def test_the_head_is_as_uncertain_as_asked_and_speaks_the_language() -> None:
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    spoken = language(ends=True)
    config = GPT2Config(vocab_size=1600, n_layer=2, n_embd=192, n_head=4, tie_word_embeddings=False)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        stand_ins.set_embeddings(model, spoken)
        stand_ins.fit_head(model, spoken)
        texts = [spoken.sentence() for _ in range(40)]
        log_p = [torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1) for ids in texts]
    entropy = torch.cat([-(each.exp() * each).sum(dim=-1) for each in log_p])
    assert float(entropy.mean()) == pytest.approx(stand_ins.ENTROPY, abs=0.3)
    ranks = [
        int((each[at] > each[at, ids[at + 1]]).sum())
        for ids, each in zip(texts, log_p, strict=True) for at in range(len(ids) - 1)
    ]  # fmt: skip
    assert np.mean([rank < 45 for rank in ranks]) > 0.6
    behind_stop = [float(each[ids.index(3), 0].exp()) for ids, each in zip(texts, log_p, strict=True)]
    behind_words = [float(each[4, 0].exp()) for each in log_p]
    assert np.median(behind_stop) > 0.5
    assert max(behind_words) < 0.1


def test_texts_and_images_differ_as_asked(clip_folder: Path) -> None:
    before, after = ImageText.load(clip_folder), ImageText.load(clip_folder)
    with torch.no_grad():
        pixels = torch.stack([after.transform(picture) for picture in pictures(8)])
        stand_ins.spread_features(after.model, pixels)
        images = torch.nn.functional.normalize(after.model.encode_image(pixels), dim=-1)
    assert float((images @ images.T).fill_diagonal_(0).mean()) < 0.1
    assert not torch.equal(after.model.ln_final.bias, before.model.ln_final.bias)


def test_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "made"
    calls = []

    def write(inside: Path) -> None:
        calls.append(inside)
        (inside / "config.json").write_text("{}")

    state = torch.random.get_rng_state()
    stand_ins._in_place(folder, write)
    assert (folder / "config.json").is_file()
    assert not calls[0].exists()
    assert torch.equal(torch.random.get_rng_state(), state)

    def fail(inside: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        stand_ins._in_place(tmp_path / "other", fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]
