"""Loading models by every kind of name, and what a loaded model computes against the libraries' own plain calls."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.errors import ModelMismatch, ModelNotFound, PromptTooLong
from decoders.models.load import load_image_text, load_language_model
from decoders.models.names import model_digest
from tests.checkpoints import CORPUS, END, START, write_gpt2, write_images, write_open_clip
from tests.reference.image_text import ImageText
from tests.reference.language import run

CLOSE = 2e-5
"""Largest difference between two float32 computations of one figure; measured ones stay below 5e-6."""

FOLDERS = ("gpt2_folder", "llama_folder", "qwen_folder")


def copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cached_on_the_hub(folder: Path, cache: Path, repository: str, commit: str) -> None:
    """Lay `folder` out as the hub's client caches a repository whose main branch stands at `commit`."""
    base = cache / f"models--{repository.replace('/', '--')}"
    copy(folder, base / "snapshots" / commit)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(commit)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", FOLDERS)
def test_local_language_models(request: pytest.FixtureRequest, fixture: str) -> None:
    folder: Path = request.getfixturevalue(fixture)
    lm = load_language_model(f"local:{folder}")
    assert lm.name == f"local:{folder}"
    assert lm.context_length == 64
    assert lm.end_id == AutoTokenizer.from_pretrained(folder).eos_token_id
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in lm.model.parameters())
    assert not lm.model.training
    assert load_language_model(f"local:{folder}") is lm


def test_relative_folders_are_relative_to_here(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gpt2_folder.parent)
    assert load_language_model("local:gpt2").digest == load_language_model(f"local:{gpt2_folder}").digest


def test_image_text_models(clip_folder: Path, siglip_folder: Path) -> None:
    for folder in (clip_folder, siglip_folder):
        model = load_image_text(f"local-dir:{folder}")
        assert model.logit_scale == pytest.approx(20.0, rel=1e-5)
        assert load_image_text(f"local-dir:{folder}") is model


def test_hub_names_resolve_to_the_commit(hub: Path, gpt2_folder: Path, clip_folder: Path) -> None:
    cached_on_the_hub(gpt2_folder, hub, "someone/captions", "a" * 40)
    cached_on_the_hub(clip_folder, hub, "someone/clip", "b" * 40)
    assert load_language_model("hf:someone/captions").digest == "a" * 40
    assert model_digest(f"hf:someone/captions@{'a' * 40}") == "a" * 40
    assert model_digest("hf-hub:someone/clip@main") == "b" * 40
    assert load_image_text("hf-hub:someone/clip").text_features(["A red boat"]).shape == (1, 24)


@pytest.mark.parametrize(
    ("load", "name", "error", "says"),
    [
        (load_language_model, "gpt2", ModelNotFound, "hf:"),
        (load_language_model, "", ModelNotFound, "hf:"),
        (load_language_model, "local:", ModelNotFound, "local:"),
        (load_language_model, "lokal:/models/a", ModelNotFound, "did you mean local:/models/a"),
        (load_language_model, "local:/no/such/folder", ModelNotFound, "/no/such/folder"),
        (load_language_model, "toybox:plane", ModelNotFound, "toybox:plain"),
        (load_language_model, "open_clip:ViT-B-32@openai", ModelNotFound, "language model"),
        (load_language_model, "hf:no-one/nothing", ModelNotFound, "no-one/nothing"),
        (load_language_model, "hf:no-one/nothing@", ModelNotFound, "revision"),
        (load_language_model, "hf:../../etc", ModelNotFound, "etc"),
        (load_image_text, "ViT-B-32", ModelNotFound, "open_clip:"),
        (load_image_text, "open_clip:ViT-B-33@openai", ModelNotFound, "ViT-B-32"),
        (load_image_text, "open_clip:ViT-B-32", ModelNotFound, "openai"),
        (load_image_text, "open_clip:ViT-B-32@opanai", ModelNotFound, "openai"),
        (load_image_text, "open_clip:ViT-B-32@openai", ModelMismatch, "open_clip:ViT-B-32-quickgelu@openai"),
        (load_image_text, "open_clip:ViT-B-32-quickgelu@openai", ModelNotFound, "ViT-B-32-quickgelu@openai"),
        (load_image_text, "local-dir:/no/such/folder", ModelNotFound, "/no/such/folder"),
        (load_image_text, "hf-hub:no-one/nothing", ModelNotFound, "no-one/nothing"),
        (load_image_text, "toybox:plain", ModelNotFound, "clip"),
    ],
)
def test_bad_names(hub: Path, load: Callable[[str], Any], name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        load(name)
    assert says in str(caught.value)
    with pytest.raises((ModelNotFound, ModelMismatch)):
        model_digest(name if name != "toybox:plain" else "toybox:plane")


def test_unknown_dtypes_and_devices(gpt2_folder: Path) -> None:
    with pytest.raises(ModelMismatch, match="float64"):
        load_language_model(f"local:{gpt2_folder}", dtype="float64")
    with pytest.raises(ModelMismatch, match="toaster"):
        load_language_model(f"local:{gpt2_folder}", device="toaster")


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file(gpt2_folder: Path, tmp_path: Path, missing: str) -> None:
    folder = copy(gpt2_folder, tmp_path / "lm")
    (folder / missing).unlink()
    with pytest.raises(ModelNotFound, match=r"config\.json" if missing == "config.json" else "safetensors"):
        load_language_model(f"local:{folder}")


def test_damaged_or_foreign_files(gpt2_folder: Path, clip_folder: Path, tmp_path: Path) -> None:
    torn = copy(gpt2_folder, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:-100])
    lacking = copy(gpt2_folder, tmp_path / "lacking")
    state = load_file(lacking / "model.safetensors")
    state.pop("transformer.h.1.attn.c_attn.weight")
    save_file(state, lacking / "model.safetensors", metadata={"format": "pt"})
    small = copy(gpt2_folder, tmp_path / "small")
    edit_json(small / "config.json", n_embd=16)
    no_json = copy(gpt2_folder, tmp_path / "no_json")
    (no_json / "config.json").write_text("{")
    for folder in (torn, lacking, small, no_json):
        with pytest.raises(ModelMismatch, match=folder.name):
            load_language_model(f"local:{folder}")
    broken = copy(clip_folder, tmp_path / "broken")
    (broken / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 24}}')
    with pytest.raises(ModelMismatch, match="open_clip_config"):
        load_image_text(f"local-dir:{broken}")


def test_a_tokenizer_of_another_model(gpt2_folder: Path, tmp_path: Path) -> None:
    plain = write_gpt2(tmp_path / "plain", captions=False)  # two rows fewer than the caption tokenizer needs
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(gpt2_folder / file, plain / file)
    with pytest.raises(ModelMismatch, match="tokenizer"):
        load_language_model(f"local:{plain}")


@pytest.mark.parametrize("offset", [-1, -1000])
def test_the_digest_covers_every_weight_byte(gpt2_folder: Path, clip_folder: Path, tmp_path: Path, offset: int) -> None:
    for scheme, folder in (("local", gpt2_folder), ("local-dir", clip_folder)):
        before = model_digest(f"{scheme}:{folder}")
        other = copy(folder, tmp_path / scheme)
        assert model_digest(f"{scheme}:{other}") == before
        (other / "README.md").write_text("Nothing to do with what it computes.")
        assert model_digest(f"{scheme}:{other}") == before
        weights = next(other.glob("*.safetensors"))
        stat, content = weights.stat(), bytearray(weights.read_bytes())
        content[offset] ^= 1
        weights.write_bytes(content)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert model_digest(f"{scheme}:{other}") != before


def test_the_digest_covers_the_tokenizer(gpt2_folder: Path, tmp_path: Path) -> None:
    other = copy(gpt2_folder, tmp_path / "lm")
    edit_json(other / "tokenizer_config.json", add_prefix_space=True)
    assert model_digest(f"local:{other}") != model_digest(f"local:{gpt2_folder}")


def test_a_changed_folder_is_loaded_anew(tmp_path: Path) -> None:
    first = load_language_model(f"local:{write_gpt2(tmp_path / 'lm', seed=1)}")
    second = load_language_model(f"local:{write_gpt2(tmp_path / 'lm', seed=2)}")
    assert first is not second
    assert not torch.equal(first.prefill([[1, 2]]).logits, second.prefill([[1, 2]]).logits)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_pickles_are_never_opened(gpt2_folder: Path, clip_folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(mark))
    both = copy(gpt2_folder, tmp_path / "both")
    (both / "pytorch_model.bin").write_bytes(bomb)
    assert load_language_model(f"local:{both}").end_id == 0
    only = copy(both, tmp_path / "only")
    (only / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="pickle"):
        load_language_model(f"local:{only}")
    for name in ("open_clip_pytorch_model.bin", "open_clip_model.pth"):
        clip = copy(clip_folder, tmp_path / name.partition(".")[0])
        (clip / name).write_bytes(bomb)
        assert load_image_text(f"local-dir:{clip}").logit_scale == pytest.approx(20.0)
        (clip / "open_clip_model.safetensors").rename(clip / "other.safetensors")
        with pytest.raises((ModelNotFound, ModelMismatch), match="safetensors"):
            load_image_text(f"local-dir:{clip}")
    assert not mark.exists()
    pickle.loads(bomb)  # noqa: S301 - the bomb is live
    assert mark.exists()


def test_code_beside_the_weights_is_never_run(gpt2_folder: Path, tmp_path: Path) -> None:
    folder, mark = copy(gpt2_folder, tmp_path / "lm"), tmp_path / "ran"
    (folder / "modeling_mine.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    auto = {"AutoConfig": "modeling_mine.C", "AutoModelForCausalLM": "modeling_mine.M"}
    edit_json(folder / "config.json", auto_map=auto)
    assert load_language_model(f"local:{folder}").end_id == 0  # a known architecture: its own code is enough
    edit_json(folder / "config.json", model_type="mine")
    with pytest.raises(ModelMismatch):
        load_language_model(f"local:{folder}")
    assert not mark.exists()


# --- what a language model computes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", FOLDERS)
def test_ragged_prompts_give_the_logits_of_each_alone(request: pytest.FixtureRequest, fixture: str) -> None:
    """A prompt, two tokens, a look-ahead and a retired row, all in one batch of different lengths."""
    folder: Path = request.getfixturevalue(fixture)
    raw = AutoModelForCausalLM.from_pretrained(folder).eval()
    lm = load_language_model(f"local:{folder}")
    texts = [lm.encode(text) for text in (CORPUS[2], "", "A red boat", CORPUS[4])]
    context = lm.prefill(texts)

    def check(kept: list[list[int]]) -> None:
        for row, ids in enumerate(kept):
            logits, hidden = run(raw, ids)
            assert torch.allclose(context.logits[row], logits, atol=CLOSE, rtol=1e-5)
            assert torch.allclose(context.hidden[row][context.mask[row]], hidden, atol=CLOSE, rtol=1e-5)

    check(texts)
    context.advance(torch.tensor([5, 6, 7, 8]))
    texts = [[*ids, token] for ids, token in zip(texts, (5, 6, 7, 8), strict=True)]
    check(texts)
    context.keep(torch.tensor([0, 1, 3]))
    texts = [texts[0], texts[1], texts[3]]
    check(texts)
    candidates = torch.tensor([[9, 10, 11], [12, 13, 14], [300, 16, 17]])
    ahead = context.look_ahead(candidates)
    for row, ids in enumerate(texts):
        for place, token in enumerate(candidates[row].tolist()):
            expected = run(raw, [*ids, token])[1][-1]
            assert torch.allclose(ahead[row, place], expected, atol=CLOSE, rtol=1e-5)
    context.commit(torch.tensor([2, 0, 1]))
    texts = [[*texts[0], 11], [*texts[1], 12], [*texts[2], 16]]
    check(texts)
    context.advance(torch.tensor([20, 21, 22]))
    check([[*ids, token] for ids, token in zip(texts, (20, 21, 22), strict=True)])


def test_a_prompt_longer_than_the_context(gpt2_folder: Path) -> None:
    lm = load_language_model(f"local:{gpt2_folder}")
    assert lm.prefill([[1] * 64]).logits.shape == (1, lm.vocab_size)
    with pytest.raises(PromptTooLong, match="65 tokens"):
        lm.prefill([[1] * 65])


def test_what_prompts_become(gpt2_folder: Path, llama_folder: Path, qwen_folder: Path) -> None:
    gpt2, llama, qwen = (load_language_model(f"local:{folder}") for folder in (gpt2_folder, llama_folder, qwen_folder))
    start = gpt2.tokenizer.convert_tokens_to_ids(START)
    assert gpt2.encode("") == [start]
    assert gpt2.encode(f"{START}A red boat{END}") == [start, *gpt2.encode("A red boat"), gpt2.end_id]
    assert llama.encode("") == [llama.tokenizer.bos_token_id]
    assert llama.tokenizer.bos_token_id not in llama.encode("A red boat")
    assert qwen.encode("") == [qwen.end_id]
    for lm in (gpt2, llama, qwen):
        assert lm.decode([*lm.encode("The cat 's bowl , isn't it ?"), lm.end_id, 7]) == "The cat's bowl, isn't it?"


# --- what an image-text model computes --------------------------------------------------------------------------------

TEXTS = ["A red boat on the sea.", "", "dog", "A red boat on the sea.", " ".join(CORPUS * 3), "café — naïve", "don't"]


@pytest.mark.parametrize("fixture", ["clip_folder", "siglip_folder"])
def test_text_features_are_those_of_the_full_context(request: pytest.FixtureRequest, fixture: str) -> None:
    folder: Path = request.getfixturevalue(fixture)
    plain = ImageText.load(folder)
    features = load_image_text(f"local-dir:{folder}").text_features(TEXTS)
    expected = torch.stack([plain.encode_text(text) for text in TEXTS])
    assert features.dtype == torch.float32
    assert torch.allclose(features, expected, atol=1e-5)
    assert torch.equal(features[0], features[3])


def test_many_texts_keep_their_order(clip_folder: Path) -> None:
    """More texts than fit one pass of the text tower, of mixed lengths."""
    model = load_image_text(f"local-dir:{clip_folder}")
    texts = [" ".join(["boat", "dog", "red"][: 1 + n % 3] * (1 + n % 23)) + f" {n}" for n in range(1500)]
    features = model.text_features(texts)
    for n in (0, 1, 22, 700, 1499):
        assert torch.allclose(features[n], model.text_features([texts[n]])[0], atol=1e-5)


def test_image_features(clip_folder: Path, image_files: list[Path]) -> None:
    plain = ImageText.load(clip_folder)
    model = load_image_text(f"local-dir:{clip_folder}")
    features = model.image_features([*image_files, image_files[0].read_bytes()])
    expected = torch.stack([plain.encode_image(path) for path in image_files])
    assert torch.allclose(features[:-1], expected, atol=1e-5)
    assert torch.allclose(features[-1], features[0], atol=1e-5)


def test_a_changed_image_file_is_read_anew(clip_folder: Path, tmp_path: Path) -> None:
    model = load_image_text(f"local-dir:{clip_folder}")
    first, second, _ = write_images(tmp_path, 3)
    before = model.image_features([first])[0]
    assert torch.equal(model.image_features([first])[0], before)
    stat = first.stat()
    first.write_bytes(second.read_bytes())
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert torch.allclose(model.image_features([first])[0], model.image_features([second])[0], atol=1e-5)
    assert not torch.allclose(model.image_features([first])[0], before, atol=1e-3)


def test_the_activation_of_the_configuration_is_used(tmp_path: Path) -> None:
    plain = load_image_text(f"local-dir:{write_open_clip(tmp_path / 'gelu')}")
    quick = load_image_text(f"local-dir:{write_open_clip(tmp_path / 'quick', quick_gelu=True)}")
    assert not torch.allclose(plain.text_features(["dog"]), quick.text_features(["dog"]), atol=1e-3)
