"""Tiny checkpoints and data sets in the real formats, written by the real libraries from a fixed seed.

    write_gpt2, write_llama, write_qwen          a Hugging Face folder: config, safetensors, fast tokenizer
    write_bert                                   the same of a sentence encoder
    write_open_clip, write_siglip_like           an open_clip folder: open_clip_config.json, open_clip_model.safetensors
    write_images, write_karpathy, write_jsonl    real JPEG and PNG files, with captions

The weights are random but wide, so that their distributions have clear favourites: a decoder that is a little wrong picks
another token. Nothing here imports SeeTell, except for the repair of torchvision's import.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from decoders.models import torchvision_schemas

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

END = "<|endoftext|>"
START = "<-start_of_text->"
PAD = "<-pad->"

CORPUS = (
    "A red boat on the sea.",
    "A man is riding a skateboard down a street.",
    "Two dogs, one brown and one black, are playing in the grass.",
    "A woman in a blue shirt isn't looking at the camera.",
    "The cat's bowl , which was empty , stood on the floor .",
    "A yellow bus with three men sitting on top of it !",
    "A group of people standing around a table with cakes, cups and flowers.",
    "A café — naïve façade, 25 °C — on the corner of a square.",
    "An old house under two large trees, beside a small red car.",
    "They don't know whether it 's a bird or a plane ?",
)
"""What the tokenizers are trained on: apostrophes, spaces before punctuation, accents, so that each of them has tokens."""


def _bpe(special: list[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer as GPT-2's, trained on `CORPUS`; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _vocabulary(tokenizer: Tokenizer) -> dict[str, Any]:
    """Vocabulary and merges, as the slow-format classes want them."""
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def _widen(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    """Redraw every weight in place, in the order of the module tree: wide matrices, slightly uneven norms, small biases.

    Tokens of a single byte get short vectors, so that most of what is written are pieces of words; the end token gets a long
    one, so that some texts end.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    scale = torch.tensor([0.15 if len(piece) == 1 else 0.35 for piece in pieces])[:, None]
    scale[tokenizer.eos_token_id] = 0.55
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            is_embedding = any(part in name for part in ("wte", "embed_tokens", "lm_head"))
            if is_embedding and len(weight) == len(pieces):
                weight.copy_(noise * scale)
            elif weight.dim() > 1:
                weight.copy_(noise * 0.6)
            elif name.endswith("bias"):
                weight.copy_(noise * 0.1)
            else:
                weight.copy_(1 + noise * 0.1)


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_gpt2(folder: Path, *, seed: int = 4, context: int = 64, captions: bool = True) -> Path:
    """A GPT-2 of two layers; with `captions`, the two tokens that the caption models of MAGIC add to the vocabulary.

    Args:
        folder: where to write; made if need be.
        seed: of the weights.
        context: number of learned positions.
        captions: add `<-start_of_text->` and `<-pad->` at the end of the vocabulary.
    """
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    tokenizer = GPT2Tokenizer(**_vocabulary(_bpe([END], 480)), bos_token=END, eos_token=END, unk_token=END)
    if captions:
        tokenizer.add_special_tokens({"pad_token": PAD, "extra_special_tokens": [START]})
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = GPT2LMHeadModel(config)
    _widen(model, tokenizer, seed)
    return _save(folder, model, tokenizer)


def write_llama(folder: Path, *, seed: int = 0, context: int = 64) -> Path:
    """A Llama of two layers: rotary positions, four query heads over two key/value heads, a head of its own.

    As in Llama 3, encoding with special tokens prepends `<|begin_of_text|>`, and `<|end_of_text|>` ends a text.
    """
    torchvision_schemas.ensure()
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    trained = _bpe([begin, end], 470)
    trained.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, trained.token_to_id(begin))]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, bos_token=begin, eos_token=end)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _widen(model, tokenizer, seed)
    return _save(folder, model, tokenizer)


def write_qwen(folder: Path, *, seed: int = 0, context: int = 64) -> Path:
    """A Qwen3 of two layers: rotary positions, normed queries and keys, and, as the real one, no start token at all."""
    torchvision_schemas.ensure()
    from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

    tokenizer = Qwen2Tokenizer(**_vocabulary(_bpe([END], 470)), eos_token=END, pad_token=END, unk_token=None)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    _widen(model, tokenizer, seed)
    return _save(folder, model, tokenizer)


_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
_VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
_PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def _write_image_text(folder: Path, config: dict[str, Any], seed: int) -> Path:
    """Build the model that `config` describes with open_clip, give it wide weights, save it as `local-dir:` wants it."""
    torchvision_schemas.ensure()
    from open_clip.model import CLIP, CustomTextCLIP

    architecture = {key: value for key, value in config.items() if key != "custom_text"}
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = (CustomTextCLIP if config.get("custom_text") else CLIP)(**architecture)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                scale = 1.0 if "embedding" in name else 1.5 * weight.shape[-1] ** -0.5
                weight.copy_(torch.randn_like(weight) * scale)
        model.logit_scale.fill_(float(np.log(20.0)))
    torch.random.set_rng_state(torch_state)
    folder.mkdir(parents=True, exist_ok=True)
    document = {"model_cfg": config, "preprocess_cfg": _PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def write_open_clip(folder: Path, *, seed: int = 0, quick_gelu: bool = False) -> Path:
    """A CLIP of two small transformers with the usual 49,408-word tokenizer, 77-token texts and 32-pixel images."""
    config: dict[str, Any] = {"embed_dim": 24, "vision_cfg": dict(_VISION), "text_cfg": dict(_TEXT)}
    if quick_gelu:
        config["quick_gelu"] = True
    return _write_image_text(folder, config, seed)


def write_siglip_like(folder: Path, *, seed: int = 0) -> Path:
    """An image-text model whose text tower sees both ways and pools its last position, as SigLIP's; it has a logit bias.

    Its texts cannot be cropped: every padding position counts.
    """
    text = dict(_TEXT, context_length=64, no_causal_mask=True, proj_bias=True, pool_type="last")
    config: dict[str, Any] = {
        "embed_dim": 24,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": dict(_VISION),
        "text_cfg": text,
    }
    return _write_image_text(folder, config, seed)


def write_text_tower(folder: Path, *, seed: int = 0, context: int = 20) -> Path:
    """An image-text model whose text tower and tokenizer are a BERT's, in the model's own folder, and looked at through a mask.

    Args:
        folder: where to write; made if need be.
        seed: of the weights.
        context: tokens of a text.
    """
    write_bert(folder, seed=seed, context=context)
    (folder / "model.safetensors").unlink()
    text = {
        "hf_model_name": str(folder.resolve()),
        "hf_tokenizer_name": "someone/tokenizer",
        "hf_model_pretrained": False,
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "linear",
        "context_length": context,
    }
    config: dict[str, Any] = {"embed_dim": 24, "vision_cfg": dict(_VISION), "text_cfg": text, "custom_text": True}
    _write_image_text(folder, config, seed)
    document = json.loads((folder / "open_clip_config.json").read_text())
    document["model_cfg"]["text_cfg"]["hf_model_name"] = "."
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2))
    return folder


_COLOURS = {"red": "#d62828", "blue": "#1d6fd1", "green": "#2a9d43", "yellow": "#f2c21a", "purple": "#7b2cbf"}
_SHAPES = ("circle", "square", "triangle")


def _drawing(number: int) -> tuple[Image.Image, str, str]:
    """A shape on a ground, its colour and its name; every number gives its own size and place."""
    rng = np.random.default_rng(number)
    width, height = int(rng.integers(48, 96)), int(rng.integers(48, 96))
    colour = list(_COLOURS)[number % len(_COLOURS)]
    shape = _SHAPES[number % len(_SHAPES)]
    image = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(150, 256, 3)))
    draw = ImageDraw.Draw(image)
    side = int(rng.integers(20, 40))
    left, top = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    box = (left, top, left + side, top + side)
    if shape == "circle":
        draw.ellipse(box, fill=_COLOURS[colour])
    elif shape == "square":
        draw.rectangle(box, fill=_COLOURS[colour])
    else:
        draw.polygon([(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=_COLOURS[colour])
    return image, colour, shape


def captions_of(number: int, count: int = 5) -> list[str]:
    """What people might say about image `number` of `write_images`."""
    _, colour, shape = _drawing(number)
    sayings = (
        f"A {colour} {shape}.",
        f"A picture of a {colour} {shape} on a plain ground.",
        f"One {shape}, painted {colour}",
        f"There is a {colour} {shape} in the picture.",
        f"a small {shape} that is {colour}",
        f"The {shape} is {colour} .",
    )
    return list(sayings[:count])


def write_images(folder: Path, n: int) -> list[Path]:
    """`n` drawings of different sizes, JPEG and PNG in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(n):
        path = folder / f"{number:06d}.{'png' if number % 2 else 'jpg'}"
        _drawing(number)[0].save(path)
        paths.append(path)
    return paths


def write_karpathy(
    folder: Path, n: int, *, layout: Literal["list", "original"] = "list", splits: tuple[str, ...] = ("test",)
) -> Path:
    """`dataset.json` and `images/`; splits go round. Image 1 has six captions, as ten images of COCO do.

    Args:
        folder: where to write; made if need be.
        n: number of images.
        layout: "list" is the array of `{split, image_name, captions}` that MAGIC's files are; "original" is Karpathy's own
            `{"dataset", "images": [{filename, split, sentences: [{raw, tokens}]}]}`.
        splits: the split names, dealt out in turn.

    Returns:
        The path of the JSON file.
    """
    paths = write_images(folder / "images", n)
    said = [captions_of(number, 6 if number == 1 else 5) for number in range(n)]
    split = [splits[number % len(splits)] for number in range(n)]
    document: Any = [{"split": split[i], "image_name": path.name, "captions": said[i]} for i, path in enumerate(paths)]
    if layout == "original":
        sentences = [
            [{"raw": text, "tokens": text.lower().replace(".", "").split(), "imgid": i} for text in said[i]] for i in range(n)
        ]
        images = [
            {"filename": path.name, "filepath": "images", "imgid": i, "split": split[i], "sentences": sentences[i]}
            for i, path in enumerate(paths)
        ]
        document = {"dataset": "shapes", "images": images}
    target = folder / "dataset.json"
    target.write_text(json.dumps(document))
    return target


def write_jsonl(folder: Path, n: int) -> Path:
    """`dataset.jsonl`, one `{id, image, references}` a line with image paths relative to it, and `images/`."""
    lines = [
        json.dumps({"id": path.stem, "image": f"images/{path.name}", "references": captions_of(number)})
        for number, path in enumerate(write_images(folder / "images", n))
    ]
    target = folder / "dataset.jsonl"
    target.write_text("\n".join(lines) + "\n")
    return target


def write_bert(folder: Path, *, seed: int = 0, context: int = 48, pooler: bool = True) -> Path:
    """A BERT of two layers: a sentence encoder that sees both ways and begins each text with `[CLS]`.

    Args:
        folder: where to write; made if need be.
        seed: of the weights.
        context: number of learned positions.
        pooler: leave the weights of the pooling layer out if False, as masked language models do.
    """
    torchvision_schemas.ensure()
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trained = _bpe(special, 470)
    trained.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=context,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
    )
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = BertModel(config, add_pooling_layer=pooler)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn_like(weight) * 0.4)
    torch.random.set_rng_state(torch_state)
    return _save(folder, model, tokenizer)
