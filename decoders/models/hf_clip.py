"""Image-text models of transformers, CLIP and SigLIP, behind the interface of open_clip's.

A CLIP is copied into open_clip's own CLIP, weight by weight, so that its text tower can be continued token by token.
SigLIP's text tower sees both ways, which leaves nothing to gain: it is wrapped as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from decoders.errors import ModelMismatch

FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "preprocessor_config.json", "processor_config.json",
         "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")  # fmt: skip
"""What decides a feature."""


def read_hf_clip(
    folder: Path, name: str, device: str = "cpu"
) -> tuple[Any, Callable[[Image.Image], Tensor], Callable[[list[str]], Tensor], list[str]]:
    """Load a transformers CLIP or SigLIP.

    Args:
        folder: as `save_pretrained` of the model and of its processor writes it.
        name: what the user calls the model, for messages.
        device: where the weights go from their file.

    Returns:
        The model, its image transform, its tokenizer, and the tensors that its files lack or have in other shapes.

    Raises:
        ModelMismatch: another kind of model.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(folder, **where)
    if config.model_type not in ("clip", "siglip"):
        raise ModelMismatch(
            f"{name} is a {config.model_type} of transformers; hf-clip: takes CLIPModel and SiglipModel. Models of open_clip are "
            "named hf-hub: or local-dir:"
        )
    model, report = AutoModel.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
    )
    lacking = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **where)
    tokenizer = AutoTokenizer.from_pretrained(folder, **where)
    length = int(config.text_config.max_position_embeddings)

    def pixels(image: Image.Image) -> Tensor:
        values: Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return values

    def ids(texts: list[str]) -> Tensor:
        padded: Tensor = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt").input_ids
        return padded

    return (_as_open_clip(model, device) if config.model_type == "clip" else _Siglip(model)), pixels, ids, lacking


class _Siglip(nn.Module):
    """A SiglipModel with the methods that open_clip's models have."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the factor of the cosine."""
        scale: Tensor = self.model.logit_scale
        return scale

    def encode_image(self, pixels: Tensor) -> Tensor:
        """`[n, 3, size, size]` to `[n, d]`."""
        return _pooled(self.model.get_image_features(pixel_values=pixels))

    def encode_text(self, ids: Tensor) -> Tensor:
        """`[n, context]` to `[n, d]`."""
        return _pooled(self.model.get_text_features(input_ids=ids))


def _pooled(output: Any) -> Tensor:
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return features


def _as_open_clip(model: Any, device: str) -> Any:
    """An open_clip CLIP that computes what a transformers CLIPModel computes; made on its device, if that is not the CPU."""
    from open_clip.model import CLIP

    text, vision = model.config.text_config, model.config.vision_config
    # transformers pools at the first end token; files from before it stored that id say 2 and mean the highest id of a text.
    pooling = {"pool_type": "argmax"} if text.eos_token_id == 2 else {"pool_type": "eos", "eos_id": text.eos_token_id}
    with contextlib.nullcontext() if device == "cpu" else torch.device(device):
        clip = CLIP(
            embed_dim=model.config.projection_dim,
            quick_gelu=text.hidden_act == "quick_gelu",
            vision_cfg={
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                **_shape(vision),
                "head_width": vision.hidden_size // vision.num_attention_heads,
            },
            text_cfg={
                "context_length": text.max_position_embeddings,
                "vocab_size": text.vocab_size,
                **_shape(text),
                "heads": text.num_attention_heads,
                **pooling,
            },
        )
    if vision.hidden_act != text.hidden_act or text.hidden_act not in ("quick_gelu", "gelu"):
        raise ModelMismatch(f"a CLIP with activations {text.hidden_act} and {vision.hidden_act} has no counterpart here")
    weights = model.state_dict()
    state = {
        "logit_scale": weights["logit_scale"],
        "text_projection": weights["text_projection.weight"].t(),
        "token_embedding.weight": weights["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": weights["text_model.embeddings.position_embedding.weight"],
        "visual.proj": weights["visual_projection.weight"].t(),
        "visual.class_embedding": weights["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": weights["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": weights["vision_model.embeddings.position_embedding.weight"],
    }
    for target_norm, norm in (
        ("ln_final", "text_model.final_layer_norm"),
        ("visual.ln_pre", "vision_model.pre_layrnorm"),
        ("visual.ln_post", "vision_model.post_layernorm"),
    ):
        state |= {f"{target_norm}.{part}": weights[f"{norm}.{part}"] for part in ("weight", "bias")}
    state |= _blocks(weights, "text_model", "transformer", text.num_hidden_layers)
    state |= _blocks(weights, "vision_model", "visual.transformer", vision.num_hidden_layers)
    clip.load_state_dict(state)
    # The one number that the two libraries take from different places.
    for module in clip.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = text.layer_norm_eps
    return clip


def _shape(part: Any) -> dict[str, Any]:
    return {"width": part.hidden_size, "layers": part.num_hidden_layers, "mlp_ratio": part.intermediate_size / part.hidden_size}


def _blocks(weights: dict[str, Tensor], source: str, target: str, layers: int) -> dict[str, Tensor]:
    """Weights of the transformer blocks under open_clip's names; queries, keys and values are one matrix there."""
    state: dict[str, Tensor] = {}
    names = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
             "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}  # fmt: skip
    for layer in range(layers):
        target_block, source_block = f"{target}.resblocks.{layer}", f"{source}.encoder.layers.{layer}"
        for part in ("weight", "bias"):
            state |= {
                f"{target_block}.{target_name}.{part}": weights[f"{source_block}.{source_name}.{part}"]
                for target_name, source_name in names.items()
            }
            qkv = [weights[f"{source_block}.self_attn.{kind}_proj.{part}"] for kind in "qkv"]
            state[f"{target_block}.attn.in_proj_{part}"] = torch.cat(qkv)
    return state
