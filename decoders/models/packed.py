"""Weights laid out once for oneDNN's matrix products, instead of at every product or not at all.

On a CPU, torch hands plain float32 weights to a general BLAS; with few rows, as in decoding, that leaves much of the machine
idle. oneDNN is faster with weights in a blocked layout of its own, which torch reaches through two operators that its
compiler uses (`mkldnn::_reorder_linear_weight`, `mkldnn::_linear_pointwise`). They are not public, so this file is the only one
that names them, and whatever is not as expected leaves a model as it was. The products are float32 as before: sums of the same
terms, in another order.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SWITCH = "SEETELL_PACK"
"""Environment variable: 0 keeps weights in torch's own layout."""


class PackedLinear(nn.Module):
    """`x @ weight.T + bias` with a packed weight. Gradients reach `x`, never the weight.

    Attributes:
        in_features: width of `x`.
        out_features: width of the result.
        bias: `[out]`, or None.
    """

    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Pack a copy of `weight`, `[out, in]` float32 on the CPU."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self._packed = _pack(weight.detach().contiguous())
        # The gradient in x is a product with the transposed weight, which needs a packed copy of its own. Only ZeroCap
        # differentiates, so that second copy is made when the first gradient asks for it.
        self._backward: Tensor | None = None
        self.register_buffer("bias", None if bias is None else bias.detach().clone(), persistent=False)

    @property
    def weight(self) -> Tensor:
        """A plain copy of the weight, `[out, in]`, made at every access."""
        return self._packed.to_dense()

    @property
    def packed_for_gradients(self) -> Tensor:
        """The transposed weight, packed when the first gradient asks for it."""
        if self._backward is None:
            self._backward = _pack(self.weight.t().contiguous())
        return self._backward

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        if torch.is_grad_enabled() and x.requires_grad:
            return cast("Tensor", _Product.apply(x, self))  # type: ignore[no-untyped-call]
        return _product(x, self._packed, self.bias)


class _Product(torch.autograd.Function):
    """The product, differentiable in `x` alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: PackedLinear) -> Tensor:
        ctx.linear = linear
        return _product(x, linear._packed, linear.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _product(gradients[0], ctx.linear.packed_for_gradients, None), None


class PackedAttention(nn.Module):
    """Multi-head self-attention as `torch.nn.MultiheadAttention` computes it, its two products packed.

    Attributes:
        num_heads: heads.
        qkv: queries, keys and values of `x`, one after another.
        out_proj: what the mixed values go through.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads, self._batch_first = attention.num_heads, attention.batch_first
        self.qkv = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self.out_proj = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, *, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attention of `x` to itself, `[batch, tokens, width]` or tokens first, as the original; `key` and `value` are `x`."""
        if key is not x or value is not x or need_weights:
            raise ValueError("packed attention is attention of a sequence to itself, without its weights")
        states = x if self._batch_first else x.transpose(0, 1)
        heads = (*states.shape[:2], 3, self.num_heads, -1)
        q, k, v = self.qkv(states).view(heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2)
        out = self.out_proj(mixed)
        return (out if self._batch_first else out.transpose(0, 1)), None


def pack_language_model(model: Any) -> Any:
    """Replace the linear layers of a frozen transformers model by packed ones, in place, where that can be done.

    Elsewhere than on a CPU, it replaces nothing but GPT-2's activation, by torch's own.

    Args:
        model: a transformers model.

    Returns:
        The model.
    """
    from transformers.activations import NewGELUActivation
    from transformers.pytorch_utils import Conv1D

    # Decoding runs the model on one token a text: products of a few rows with large matrices, whose time is the time to read the
    # matrices. oneDNN reads its own blocked layout in order, and packing once pays for itself within a few tokens.
    packs = can_pack(model)
    if packs or next(model.parameters()).device.type != "cpu":
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is NewGELUActivation:  # torch has the same function in one pass over memory, one launch of eight
                    setattr(parent, name, nn.GELU(approximate="tanh"))
    if packs:
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, PackedLinear(child.weight, child.bias))
                elif type(child) is Conv1D:  # GPT-2's linear layer, which stores its weight transposed
                    setattr(parent, name, PackedLinear(child.weight.t(), child.bias))
        _detach_from_files(model)
    return model


def pack_image_text(model: Any) -> Any:
    """The same for the transformer blocks of a frozen open_clip model; towers of other makes stay as they are."""
    from open_clip.transformer import ResidualAttentionBlock

    if can_pack(model):
        for block in [module for module in model.modules() if type(module) is ResidualAttentionBlock]:
            if type(block.attn) is nn.MultiheadAttention and is_plain(block.attn) and not hasattr(block, "ln_1_kv"):
                block.attn = PackedAttention(block.attn)
            if type(block.mlp.c_fc) is nn.Linear and type(block.mlp.c_proj) is nn.Linear:
                _pack_mlp(block.mlp)
        _detach_from_files(model)
    return model


@torch.no_grad()
def _detach_from_files(model: nn.Module) -> None:
    """Copy what is left unpacked, so that no tensor keeps the whole of a memory-mapped weights file alive."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


@torch.no_grad()
def _pack_mlp(mlp: Any) -> None:
    """The two layers of an MLP and what is between them.

    QuickGELU is x * sigmoid(1.702 x). With 1.702 moved into the layer before it and out of the layer behind it, it is
    y * sigmoid(y), which torch has as one pass over memory.
    """
    from open_clip.transformer import QuickGELU

    slope = 1.702 if type(mlp.gelu) is QuickGELU else 1.0
    if slope != 1:
        mlp.gelu = nn.SiLU(inplace=True)
    mlp.c_fc = PackedLinear(mlp.c_fc.weight * slope, mlp.c_fc.bias * slope)
    mlp.c_proj = PackedLinear(mlp.c_proj.weight / slope, mlp.c_proj.bias)


def is_plain(attention: nn.MultiheadAttention) -> bool:
    """Whether queries, keys and values come from one weight and nothing is added to them."""
    return (
        attention.in_proj_weight is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and (attention.dropout == 0 or not attention.training)
    )


def weight_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights, packed or not."""
    packed = sum(4 * module.in_features * module.out_features for module in model.modules() if isinstance(module, PackedLinear))
    return packed + sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))


def can_pack(model: nn.Module) -> bool:
    """Whether all weights are float32 on the CPU and packing works on this machine."""
    return available() and all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in model.parameters())


def available() -> bool:
    """Whether packing works here, found out by trying, and `SEETELL_PACK` is not 0."""
    return os.environ.get(SWITCH, "1") != "0" and _works()


@cache
def _works() -> bool:
    """Pack a small layer and compare it with the plain product, backwards too."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    weight = torch.linspace(-1, 1, 48 * 32).view(48, 32)
    x, bias = torch.linspace(-2, 1, 5 * 32).view(5, 32), torch.linspace(0, 1, 48)
    try:
        packed = PackedLinear(weight, bias)
        right = torch.allclose(packed(x), F.linear(x, weight, bias), atol=1e-4)
        return right and torch.equal(packed.weight, weight)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False  # this build of torch has no such operator, or another one


def _pack(weight: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    with torch.no_grad():
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), packed, bias, "none", [], "")
    return result
