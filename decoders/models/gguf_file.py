"""Language models in one GGUF file, as llama.cpp writes them: dequantised on reading, then transformers models like others."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models.files import Files, content_hash

_MAGIC = b"GGUF"


def gguf_files(path: Path, name: str) -> Files:
    """Check a GGUF file from outside.

    Raises:
        ModelNotFound: no such file, or the package that reads it is not installed.
        ModelMismatch: it is something else.
    """
    if not path.is_file():
        raise ModelNotFound(f"{name}: there is no file {path}; give the path of a GGUF file, or of a model's folder")
    with path.open("rb") as file:
        start = file.read(7)
    if start[:4] != _MAGIC:
        actual = "a Git LFS pointer; run `git lfs pull` where it was cloned" if start == b"version" else "no GGUF file"
        raise ModelMismatch(f"{name}: {path} ({path.stat().st_size:,} bytes) is {actual}; download the file itself")
    if find_spec("gguf") is None:
        raise ModelNotFound(f"{name} is a GGUF file, which needs the package gguf: pip install 'seetell[gguf]'")
    return Files(path.resolve(), (path.resolve(),), content_hash(path))


def read_gguf(path: Path, dtype: torch.dtype) -> tuple[Any, Any, list[str]]:
    """The transformers model in a GGUF file, its tokenizer, and the tensors that the file lacks.

    Args:
        path: the file.
        dtype: of the weights after dequantising, whatever the file stores.
    """
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    # `from_pretrained(gguf_file=...)` would do the same, but insists on the package accelerate.
    tokenizer, config = read_gguf_beside(path)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
        loaded = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model, torch_dtype=dtype)
    tensors = loaded["tensors"]
    missing = set(model.load_state_dict(tensors, strict=False).missing_keys)
    model.tie_weights()
    tied = {key for key in missing if key == "lm_head.weight" and model.config.tie_word_embeddings}
    return model, tokenizer, sorted(missing - tied)


def read_gguf_beside(path: Path) -> tuple[Any, Any]:
    """The tokenizer and the configuration in a GGUF file."""
    from transformers import AutoConfig, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(path.parent, **where)
    return _as_in_the_file(AutoTokenizer.from_pretrained(path.parent, **where), config.vocab_size), config


def _as_in_the_file(tokenizer: Any, rows: int) -> Any:
    """The tokenizer without tokens that the conversion adds behind the file's own (GPT-2's end token, by default)."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    document = json.loads(tokenizer.backend_tokenizer.to_str())
    own = [token for token in document["added_tokens"] if token["id"] < rows]
    if len(own) == len(document["added_tokens"]):
        return tokenizer
    document["added_tokens"] = own
    known = tokenizer.get_vocab()
    special = {
        key: token
        for key, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str) and known.get(token, rows) < rows
    }
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(document)), **special)
