"""Folders of models as people have them: damaged, incomplete, naming things elsewhere. Each loads right or is refused by name."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from decoders.errors import ModelMismatch, ModelNotFound, SeeTellError
from decoders.models.load import check_model, load_image_text, load_language_model
from decoders.models.names import find_image_text, hub_sources_of, model_digest
from tests.checkpoints import write_open_clip, write_text_tower

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture(scope="session")
def tower_folder(checkpoints: Path) -> Path:
    """An image-text model with a text tower of transformers."""
    return write_text_tower(checkpoints / "tower")


def copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def change_tensor(path: Path, key: str, change: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
    state = load_file(path)
    tensor = state.pop(key)
    if change is not None:
        state[key] = change(tensor)
    save_file(state, path, metadata={"format": "pt"})


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[3] = torch.nan
    return tensor


def refused(name: str, *words: str, load: Callable[..., Any] = load_language_model) -> None:
    with pytest.raises(SeeTellError) as caught:
        load(name)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


# --- damaged files ----------------------------------------------------------------------------------------------------


def test_a_folder_without_a_tokenizer_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = copy(gpt2_folder, tmp_path / "lm")
    for path in (*folder.glob("*token*"), *folder.glob("vocab*"), *folder.glob("merges*")):
        path.unlink()
    refused(f"local:{folder}", "no tokenizer", "save_pretrained")
    refused(f"local:{folder}", "no tokenizer", load=model_digest)


def test_a_vocabulary_far_smaller_than_the_embedding_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = copy(gpt2_folder, tmp_path / "lm")
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit(folder / "config.json", lambda config: config.update(vocab_size=3 * size))
    change_tensor(folder / "model.safetensors", "transformer.wte.weight", lambda weight: weight.repeat(3, 1))
    refused(f"local:{folder}", f"{size:,} tokens", f"{3 * size:,}")
    refused(f"local:{folder}", f"{size:,} tokens", load=check_model)


@pytest.mark.parametrize("kind", ["lm", "clip"])
def test_weights_say_what_is_wrong_with_them(kind: str, gpt2_folder: Path, clip_folder: Path, tmp_path: Path) -> None:
    source, file, prefix, load, key = {
        "lm": (gpt2_folder, "model.safetensors", "local:", load_language_model, "transformer.h.1.mlp.c_fc.weight"),
        "clip": (clip_folder, "open_clip_model.safetensors", "local-dir:", load_image_text, "visual.proj"),
    }[kind]
    pointer, cut, foreign, nan, lacking = (
        copy(source, tmp_path / name) for name in ("pointer", "cut", "foreign", "nan", "lacking")
    )
    (pointer / file).write_text(POINTER)
    refused(f"{prefix}{pointer}", "Git LFS pointer", "git lfs pull", load=load)
    refused(f"{prefix}{pointer}", "Git LFS pointer", load=model_digest)
    whole = (cut / file).read_bytes()
    (cut / file).write_bytes(whole[:-100])
    refused(f"{prefix}{cut}", "cut short", f"{len(whole) - 100:,} of {len(whole):,} bytes", load=load)
    (foreign / file).write_bytes(b"<html>" * 50)
    refused(f"{prefix}{foreign}", "does not begin as a safetensors file does", load=load)
    change_tensor(nan / file, key, with_nan)
    refused(f"{prefix}{nan}", "NaN", "1 tensors", load=load)
    change_tensor(lacking / file, key, None)
    refused(f"{prefix}{lacking}", key, load=load)


def test_a_shard_that_is_missing_is_named(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = copy(gpt2_folder, tmp_path / "lm")
    shards = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    refused(f"local:{folder}", "model-00002-of-00002.safetensors", load=model_digest)


# --- text towers of transformers --------------------------------------------------------------------------------------


def test_the_digest_covers_whatever_decides_a_text_feature(tower_folder: Path, tmp_path: Path) -> None:
    folder = copy(tower_folder, tmp_path / "model")
    before, features = (model_digest(f"local-dir:{folder}"), load_image_text(f"local-dir:{folder}").text_features(["a dog"]))
    edit(folder / "config.json", lambda config: config.update(hidden_act="relu"))
    after = model_digest(f"local-dir:{folder}")
    assert after != before
    assert not torch.allclose(load_image_text(f"local-dir:{folder}").text_features(["a dog"]), features, atol=1e-3)
    elsewhere = tmp_path / "elsewhere"  # the tower's configuration outside the folder decides as much
    elsewhere.mkdir()
    shutil.move(folder / "config.json", elsewhere / "config.json")
    edit(folder / "open_clip_config.json", lambda config: config["model_cfg"]["text_cfg"].update(hf_model_name=str(elsewhere)))
    outside = model_digest(f"local-dir:{folder}")
    edit(elsewhere / "config.json", lambda config: config.update(hidden_act="gelu"))
    assert len({before, after, outside, model_digest(f"local-dir:{folder}")}) == 4


def test_digests_of_models_without_a_hole_stay(tmp_path: Path) -> None:
    """The digest is that of the files' names and content, as it has always been: stored runs go by it."""
    import hashlib

    folder = write_open_clip(tmp_path / "clip")
    expected = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        expected.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    assert model_digest(f"local-dir:{folder}") == expected.hexdigest()
    (folder / "config.json").write_text("{}")  # nobody reads it
    assert model_digest(f"local-dir:{folder}") == expected.hexdigest()


def test_a_model_in_a_folder_never_asks_the_hub(tower_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(httpx.Client, "send", forbidden)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert load_image_text(f"local-dir:{copy(tower_folder, tmp_path / 'own')}").text_features(["a"]).shape == (1, 24)
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
    for key, value in (("hf_model_name", "someone/tower"), ("timm_model_name", "hf-hub:someone/tower")):
        folder = copy(tower_folder, tmp_path / key)
        section = "text_cfg" if key == "hf_model_name" else "vision_cfg"
        edit(folder / "open_clip_config.json", lambda c, s=section, k=key, v=value: c["model_cfg"][s].update({k: v}))  # type: ignore[misc]
        for load in (load_image_text, model_digest):
            refused(f"local-dir:{folder}", value, load=load)


def test_a_text_tower_without_its_tokenizer_is_refused(tower_folder: Path, tmp_path: Path) -> None:
    folder = copy(tower_folder, tmp_path / "model")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    refused(f"local-dir:{folder}", "lacks the tokenizer", load=check_model)


def cached(folder: Path, cache: Path, repository: str, commit: str, *files: str) -> None:
    """Files of `folder` laid out as the hub's client caches a repository."""
    base = cache / f"models--{repository.replace('/', '--')}"
    target = base / "snapshots" / commit
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if not files or path.name in files:
            shutil.copy(path, target)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(commit)


def test_a_hub_model_takes_its_text_side_from_the_repositories_that_it_names(
    tower_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    name, cache = "hf-hub:someone/clip", tmp_path / "hub"
    expected = load_image_text(f"local-dir:{tower_folder}").text_features(["a red dog"])
    model = copy(tower_folder, tmp_path / "model")
    names = {"hf_model_name": "someone/tower", "hf_tokenizer_name": "someone/words"}
    edit(model / "open_clip_config.json", lambda config: config["model_cfg"]["text_cfg"].update(names))
    assert [source.repository for source in hub_sources_of(name)] == ["someone/clip"]
    cached(model, cache, "someone/clip", "a" * 40, "open_clip_config.json", "open_clip_model.safetensors")
    assert [source.repository for source in hub_sources_of(name)] == ["someone/clip", "someone/tower", "someone/words"]
    refused(name, "someone/tower", "hf download", load=model_digest)
    cached(tower_folder, cache, "someone/tower", "b" * 40, "config.json")
    refused(name, "someone/words", load=check_model)
    words = [path.name for path in tower_folder.glob("*token*")]
    cached(tower_folder, cache, "someone/words", "c" * 40, "config.json", *words)
    assert model_digest(name) == "+".join(letter * 40 for letter in "abc")
    torch.testing.assert_close(load_image_text(name).text_features(["a red dog"]), expected)


def test_xlm_roberta_and_siglip_name_all_that_they_need() -> None:
    sources = hub_sources_of("open_clip:xlm-roberta-base-ViT-B-32@laion5b_s13b_b90k")
    assert [source.weights for source in sources] == [True, False]
    assert sources[1].repository == "xlm-roberta-base"
    assert "config.json" in sources[1].patterns
    (own,) = hub_sources_of("open_clip:ViT-B-16-SigLIP@webli")
    assert "tokenizer*" in own.patterns


def test_open_clip_is_imported_behind_the_guard_for_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded: list[str] = []
    monkeypatch.setattr("decoders.models.torchvision_schemas.ensure", lambda: guarded.append("ensure"))
    monkeypatch.setitem(sys.modules, "open_clip", None)  # its import stops here
    for look_up in (hub_sources_of, find_image_text):
        guarded.clear()
        with pytest.raises(ImportError):
            look_up("open_clip:ViT-B-32-quickgelu@openai")
        assert guarded


def test_nothing_is_asked_of_the_hub_that_a_name_does_not_lead_to(clip_folder: Path) -> None:
    assert hub_sources_of(f"local-dir:{clip_folder}") == []
    assert hub_sources_of("hf-clip:someone/clip")[0].repository == "someone/clip"
    assert hub_sources_of(f"hf-clip:{clip_folder}") == []
    with pytest.raises((ModelNotFound, ModelMismatch)):
        model_digest("hf-clip:/no/such/folder")


# --- padding behind a mask --------------------------------------------------------------------------------------------


def test_masked_padding_is_left_out_where_it_makes_no_difference(tower_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_image_text(f"local-dir:{tower_folder}")
    texts = ["a dog", "A woman with a yellow umbrella", "", "dogs " * 40, "two dogs"]
    with torch.no_grad():
        full = torch.nn.functional.normalize(model.model.encode_text(model._tokenizer(texts)), dim=-1)
    widths: list[int] = []
    forward = model.model.encode_text
    monkeypatch.setattr(model.model, "encode_text", lambda ids: widths.append(ids.shape[1]) or forward(ids))
    torch.testing.assert_close(model.text_features(texts), full, atol=1e-5, rtol=0)
    assert max(widths) == 20  # one text fills the context
    widths.clear()
    torch.testing.assert_close(model.text_features(["a dog", "two dogs"]), full[[0, 4]], atol=1e-5, rtol=0)
    assert max(widths) < 20


def test_a_tower_that_sees_both_ways_encodes_few_tokens_at_once_and_equal_ids_once(
    tower_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_image_text(f"local-dir:{tower_folder}")
    words = ["dog", "dogs", "red", "blue", "woman", "umbrella", "two", "yellow"]
    texts = [f"{first} {second}" for first in words for second in words]
    expected = torch.cat([model.text_features([text]) for text in texts])
    passes: list[torch.Tensor] = []
    forward = model.model.encode_text
    monkeypatch.setattr(model.model, "encode_text", lambda ids: passes.append(ids) or forward(ids))
    monkeypatch.setattr("decoders.models.image_text._TEXT_TOKENS_BOTH_WAYS", 96)
    # More white space and a text again: other strings, the same ids. Each comes back in its own place.
    spaced = [text.replace(" ", "   ") for text in texts]
    features = model.text_features([*spaced, *reversed(texts)])
    torch.testing.assert_close(features, torch.cat([expected, expected.flip(0)]), atol=1e-5, rtol=0)
    assert max(ids.numel() for ids in passes) <= 96
    assert sum(map(len, passes)) == len(torch.unique(model._tokenizer(texts), dim=0))


def test_a_pooler_that_looks_at_padding_gets_all_of_it(tower_folder: Path, tmp_path: Path) -> None:
    folder = copy(tower_folder, tmp_path / "model")
    pooling = {"hf_pooler_type": "max_pooler"}
    edit(folder / "open_clip_config.json", lambda config: config["model_cfg"]["text_cfg"].update(pooling))
    model = load_image_text(f"local-dir:{folder}")
    model._tower.pooler.forward = lambda x, attention_mask: x.last_hidden_state.max(1).values  # padding counts
    assert model._masked_padding is None
