"""Image-text models of transformers behind `hf-clip:` against transformers' own calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from decoders.errors import ModelMismatch
from decoders.models import torchvision_schemas
from decoders.models.load import load_image_text
from decoders.models.names import model_digest
from tests.checkpoints import write_bert

torchvision_schemas.ensure()

TEXTS = ["a red dog", "Two children are building a castle of sand, and a dog is watching.", "", "dogs " * 60]


def shape(length: int, vocabulary: int, **more: Any) -> dict[str, Any]:
    """A small text tower."""
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": length,
        "vocab_size": vocabulary,
        **more,
    }


def write_hf_clip(folder: Path, kind: str, *, act: str = "quick_gelu") -> Path:
    """A CLIP or SigLIP of transformers, with its tokenizer and image processor, as `save_pretrained` writes them."""
    from tokenizers import processors
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
    )

    from tests.checkpoints import _bpe

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    trained = _bpe(["<pad>", "<start>", "<end>"], 470)
    trained.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="<pad>", bos_token="<start>", eos_token="<end>")
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(3)
    text = shape(24, len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2 if kind == "old-clip" else 3)
    if kind == "siglip":
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        processor: Any = SiglipImageProcessor(size={"height": 32, "width": 32})
    else:
        if kind == "clip":  # the end token is neither the highest id nor 2
            trained = _bpe(["<pad>", "<start>", "<unused>", "<end>"], 470)
            trained.post_processor = processors.TemplateProcessing(
                single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 3)]
            )
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_object=trained, pad_token="<pad>", bos_token="<start>", eos_token="<end>"
            )
        text |= {"hidden_act": act, "vocab_size": len(tokenizer)}
        config = CLIPConfig(text_config=text, vision_config={**vision, "hidden_act": act}, projection_dim=24)
        model = CLIPModel(config)
        processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn_like(weight) * 0.3)
    torch.random.set_rng_state(torch_state)
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "act"), [("clip", "quick_gelu"), ("clip", "gelu"), ("old-clip", "quick_gelu"), ("siglip", "")])
def test_features_are_those_of_transformers(kind: str, act: str, tmp_path: Path, image_files: list[Path]) -> None:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = write_hf_clip(tmp_path / kind, kind, act=act)
    model, plain = load_image_text(f"hf-clip:{folder}"), AutoModel.from_pretrained(folder).eval()
    assert load_image_text(f"hf-clip:{folder}") is model
    images = [Image.open(path).convert("RGB") for path in image_files[:3]]
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=images, return_tensors="pt")
    ids = AutoTokenizer.from_pretrained(folder)(TEXTS, padding="max_length", truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        output = plain(input_ids=ids.input_ids, pixel_values=pixels["pixel_values"])
    text, image = model.text_features(TEXTS), model.image_features(image_files[:3])
    torch.testing.assert_close(text, output.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(image, output.image_embeds, atol=1e-5, rtol=0)
    assert model.logit_scale == pytest.approx(float(plain.logit_scale.detach().exp()), rel=1e-6)
    scorer = model.prefix_scorer()
    assert (scorer is None) == (kind == "siglip")
    candidates = [["a red dog", "a red cat", "a red table"], ["two", "the", "a"]]
    expected = model.text_features([text for row in candidates for text in row]).view(2, 3, -1)
    torch.testing.assert_close(model.candidate_features(candidates, scorer), expected, atol=1e-5, rtol=0)


def test_its_digest_covers_the_image_processor(tmp_path: Path) -> None:
    folder = write_hf_clip(tmp_path / "clip", "clip")
    before = model_digest(f"hf-clip:{folder}")
    path = next(folder.glob("*processor_config.json"))
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "image_mean": [0.1, 0.2, 0.3]}))
    assert model_digest(f"hf-clip:{folder}") != before


def test_other_models_of_transformers_are_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert")
    with pytest.raises(ModelMismatch, match="is a bert of transformers"):
        load_image_text(f"hf-clip:{folder}")
