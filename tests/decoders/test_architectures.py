"""Any causal transformer will do: positions that are learned, rotary or biases; windows; heads that share keys.

Each is held to the oracles on a batch of prompts of different lengths, which is where they differ: some can be padded, some
cannot, and both have to come out the same as each prompt alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoders.base import Limits
from decoders.contrastive import Contrastive
from decoders.errors import ModelMismatch
from decoders.models.load import load_language_model
from decoders.sampling import Greedy
from tests.decoders.parity import Pair, agree, decode, prompts
from tests.reference import sampling
from tests.reference.contrastive import contrastive_search

PROMPTS = ("A red boat", "The", "Two dogs, one brown and one black, are", "A woman")
NEW = 12

_LLAMA_LIKE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
_WINDOW = {**_LLAMA_LIKE, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "OPT": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 64,
        "max_position_embeddings": 64,
    },
    "GPTNeoX": _LLAMA_LIKE,
    "GPTNeo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
        "max_position_embeddings": 64,
    },
    "GPTJ": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Mistral": _WINDOW,
    "Gemma2": _WINDOW,
    "Qwen2": {**_LLAMA_LIKE, "num_key_value_heads": 2},
}
"""Name in transformers -> the sizes of a tiny one. GPT-Neo's and Mistral's windows are shorter than the prompts."""


def write(architecture: str, sizes: dict[str, Any], tokenizer: Any, folder: Path, model: str = "ForCausalLM") -> Path:
    """A random checkpoint of one architecture, with weights wide enough for clear decisions."""
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=0, **sizes
    )
    built = getattr(transformers, f"{architecture}{model}")(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if weight.dim() > 1:
                scale = 0.35 if any(part in name for part in ("emb", "wte", "head")) else 0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    built.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parity_on(architecture: str, qwen_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    folder = write(architecture, ARCHITECTURES[architecture], tokenizer, tmp_path / architecture)
    raw = AutoModelForCausalLM.from_pretrained(folder).eval()
    lm = Pair(raw, tokenizer, load_language_model(f"local:{folder}"), tokenizer.eos_token_id)
    fixed: dict[str, Any] = {"new_tokens": NEW, "end_id": lm.end}
    answers = [sampling.decode(raw, lm.ids(text), **fixed) for text in PROMPTS]
    agree(lm, decode(Greedy, lm, Limits(NEW), prompts(PROMPTS)), answers)
    answers = [contrastive_search(raw, lm.ids(text), k=6, alpha=0.5, **fixed) for text in PROMPTS]
    agree(lm, decode(Contrastive, lm, Limits(NEW), prompts(PROMPTS), k=6, alpha=0.5), answers)


@pytest.mark.parametrize(
    ("architecture", "model", "sizes"),
    [
        ("Mamba", "ForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2}),
        ("T5", "ForConditionalGeneration", {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 64}),
        ("Bert", "ForMaskedLM", _LLAMA_LIKE),
    ],
)
def test_models_that_cannot_continue_a_text_are_refused(
    architecture: str, model: str, sizes: dict[str, Any], qwen_folder: Path, tmp_path: Path
) -> None:
    """One with a recurrent state, one with an encoder, one that sees both ways."""
    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    folder = write(architecture, sizes, tokenizer, tmp_path / "model", model)
    with pytest.raises(ModelMismatch, match=str(folder)):
        load_language_model(f"local:{folder}")
