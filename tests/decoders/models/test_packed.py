"""Packed weights compute what plain ones do, forwards and backwards, and stay away where they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from decoders.base import Limits, Prompt
from decoders.magic import Magic
from decoders.models import load, packed
from decoders.models.loaded import Models
from decoders.models.packed import PackedAttention, PackedLinear, pack_language_model

CLOSE = {"rtol": 1e-5, "atol": 1e-4}
"""Sums of some forty products of about one, in two orders."""
pytestmark = pytest.mark.skipif(not packed.available(), reason="this processor or build of torch packs no weights")


def packed_modules(model: nn.Module) -> int:
    return sum(isinstance(module, PackedLinear) for module in model.modules())


@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (24,), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_is_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    weight, offset = torch.randn(40, 24), torch.randn(40) if bias else None
    layer = PackedLinear(weight, offset)
    x, plain_x = (torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    found, expected = layer(x), F.linear(plain_x, weight, offset)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert torch.equal(layer.weight, weight)
    gradients = torch.autograd.grad(found.square().sum(), x)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.square().sum(), plain_x), **CLOSE)


@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_attention_is_the_attention(batch_first: bool) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(32, 4, batch_first=batch_first).eval()
    x = torch.randn(3, 5, 32) if batch_first else torch.randn(5, 3, 32)
    mask = torch.full((5, 5), -torch.inf).triu_(1)
    for each in (None, mask):
        with torch.no_grad():
            expected, _ = attention(x, x, x, need_weights=False, attn_mask=each)
            found, _ = PackedAttention(attention)(x, x, x, need_weights=False, attn_mask=each)
        torch.testing.assert_close(found, expected, **CLOSE)
    with pytest.raises(ValueError, match="to itself"):
        PackedAttention(attention)(x, x, x.clone())


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen"])
def test_a_packed_model_says_the_same(
    request: pytest.FixtureRequest, name: str, clip_folder: Path, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(f"{name}_folder")
    prompts = [Prompt(text, text, image_files[n]) for n, text in enumerate(("A red boat", "The", "", "Two dogs are"))]
    texts = {}
    for switch in ("0", "1"):
        monkeypatch.setenv(packed.SWITCH, switch)
        monkeypatch.setattr(load, "_loaded", {})
        models = Models(load.load_language_model(f"local:{folder}"), load.load_image_text(f"local-dir:{clip_folder}"))
        assert (packed_modules(models.lm.model) > 0) == (switch == "1")
        assert (packed_modules(models.clip.model) > 0) == (switch == "1")
        decoder = Magic(Magic.Config(k=12, alpha=0.1, beta=1.0), models, Limits(10))
        texts[switch] = [generation.tokens for generation in decoder.decode(prompts, [0] * len(prompts))]
    assert texts["0"] == texts["1"]


def test_what_is_not_float32_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).to(torch.bfloat16)
    assert packed_modules(pack_language_model(model)) == 0


def test_a_build_without_the_operators_leaves_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(weight: torch.Tensor) -> torch.Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(packed, "_pack", missing)
    packed._works.cache_clear()
    try:
        assert packed_modules(pack_language_model(nn.Sequential(nn.Linear(4, 4)))) == 0
    finally:
        packed._works.cache_clear()
