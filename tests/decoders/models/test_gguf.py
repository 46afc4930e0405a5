"""Language models in GGUF files against the same models in safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models import gguf_file
from decoders.models.load import check_model, load_language_model
from decoders.models.names import model_digest

gguf: Any = pytest.importorskip("gguf", reason="needs the package gguf (pip install 'seetell[gguf]')")


@pytest.fixture(scope="module")
def gguf_path(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama, as llama.cpp's converter would write it in float32."""
    path = tmp_path_factory.mktemp("gguf") / "llama.gguf"
    lm = load_language_model(f"local:{llama_folder}")
    config, tokenizer = lm.model.config, lm.tokenizer
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    writer.add_token_types([3 if piece in special else 1 for piece in pieces])
    import json

    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    from safetensors.torch import load_file

    for key, tensor in load_file(llama_folder / "model.safetensors").items():
        for kind, count in heads.items():
            if kind in key:  # llama.cpp pairs the two halves of a head's rotary dimensions
                tensor = tensor.view(count, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        stem, _, suffix = key.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_computes_what_the_same_model_in_safetensors_computes(llama_folder: Path, gguf_path: Path) -> None:
    expected, lm = load_language_model(f"local:{llama_folder}"), load_language_model(f"local:{gguf_path}")
    ids = expected.encode("A red dog and a table")
    assert lm.encode("A red dog and a table") == ids
    assert (lm.end_id, lm.context_length, lm.decode(ids)) == (expected.end_id, 64, expected.decode(ids))
    torch.testing.assert_close(lm.read([ids])[1], expected.read([ids])[1], atol=1e-5, rtol=1e-5)
    assert load_language_model(f"local:{gguf_path}", dtype="bfloat16").model.dtype is torch.bfloat16
    check_model(f"local:{gguf_path}")


def test_its_digest_is_of_the_file(gguf_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(gguf_path.read_bytes())
    assert model_digest(f"local:{copy}") == model_digest(f"local:{gguf_path}")
    copy.write_bytes(gguf_path.read_bytes() + b"\0")
    assert model_digest(f"local:{copy}") != model_digest(f"local:{gguf_path}")


def test_what_is_no_gguf_file_or_cannot_be_read_says_so(gguf_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFound, match=r"no file .*lost\.gguf"):
        model_digest("local:/no/lost.gguf")
    (tmp_path / "pointer.gguf").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelMismatch, match="Git LFS pointer"):
        model_digest(f"local:{tmp_path / 'pointer.gguf'}")
    (tmp_path / "cut.gguf").write_bytes(gguf_path.read_bytes()[:-5000])
    with pytest.raises(ModelMismatch, match="cut.gguf"):
        load_language_model(f"local:{tmp_path / 'cut.gguf'}")
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match=r"seetell\[gguf\]"):
        model_digest(f"local:{gguf_path}")
