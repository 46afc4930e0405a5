"""Real models with random weights, made in memory in a moment: a GPT-2, a CLIP, an index of captions, and prompts for them.

They are untrained, so their texts mean nothing. But their weights are wide, so that distributions have
clear favourites, texts of different prompts and images differ, and a decoder that is a little wrong writes something else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from decoders.base import Prompt
from decoders.models import torchvision_schemas
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import START_TOKENS, LanguageModel
from decoders.models.loaded import Models
from decoders.nearest import CaptionIndex

_END, _PAD = "<|endoftext|>", "<-pad->"
_VOCABULARY = 400
_WIDTH = 32
_CERTAIN = 60.0
"""A logit that is this far above or below all others leaves nothing to chance in float32."""
_OFTEN, _SOMETIMES = 4.8, 4.4
"""Logits of the end token and of the other special tokens; the best of the others mostly lie between 4 and 7."""
_SENTENCES = (
    "A red kite over the harbour.",
    "Two children are building a castle of sand, and a dog is watching.",
    "The old tram isn't full today , but it 's late !",
    "There is a bowl of green apples on a wooden table.",
    "A woman with a yellow umbrella crosses the street.",
    "Three goats, one black and two white, stand under a tree.",
    "Who has painted the café's door blue ?",
)
"""What the tokenizer is trained on."""
_BEGINNINGS = ("A", "", "There is a", "Some goats", "Two children, one with a dog, are", "A woman in blue", "Three", "Who ate it")
_COLOURS = ("#c1121f", "#2a6f97", "#3a7d44", "#f4a300", "#6a4c93", "#111111", "#f5f5f5")


def fake_language_model(
    *, seed: int = 0, context: int = 64, end_at_once: bool = False, never_ends: bool = False, layers: int = 2, device: str = "cpu"
) -> LanguageModel:
    """A small GPT-2 with a byte-level tokenizer, which can encode any text.

    It has an end token, a start token that an empty prompt becomes, and a padding token, as the caption models of MAGIC do.

    Args:
        seed: of the weights.
        context: positions it has.
        end_at_once: the end token is certain after any prompt, and all hidden states are alike, so that nothing that looks
            at them prefers another token.
        never_ends: the end token has probability 0.
        layers: how many it has.
        device: where it computes.

    Raises:
        ValueError: both `end_at_once` and `never_ends`.
    """
    if end_at_once and never_ends:
        raise ValueError("a model that ends at once cannot be one that never ends; choose one of them")
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    tokenizer = GPT2Tokenizer(**_trained(), bos_token=_END, eos_token=_END, unk_token=_END)
    tokenizer.add_special_tokens({"pad_token": _PAD, "extra_special_tokens": [START_TOKENS[0]]})
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=_WIDTH,
        n_layer=layers,
        n_head=4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):  # making layers draws numbers, and nobody's may be used up
        model = GPT2LMHeadModel(config)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() > 1:
                weight.copy_(noise * (0.4 if name.startswith("lm_head") else 0.6))
            else:
                weight.copy_(noise * 0.1 + (0 if name.endswith("bias") else 1))
        # One of the numbers that the head sees is always 1, so that its column adds to the logit of each token. Single bytes
        # are rarer than pieces of words. Special tokens have that logit alone: they come where nothing else is likely.
        norm, head = model.transformer.ln_f, model.lm_head.weight
        norm.weight[0], norm.bias[0] = 0, 1
        head[:, 0] = torch.tensor([-3.0 if len(piece) == 1 else 0.0 for piece in pieces])
        head[torch.tensor(tokenizer.all_special_ids)] = 0
        head[torch.tensor(tokenizer.all_special_ids), 0] = _SOMETIMES
        head[tokenizer.eos_token_id, 0] = -_CERTAIN if never_ends else _OFTEN
        if end_at_once:
            norm.weight[:], norm.bias[1:] = 0, 0
            head[:, 0] = 0
            head[tokenizer.eos_token_id, 0] = _CERTAIN
    kind = "end-at-once" if end_at_once else "never-ends" if never_ends else "plain"
    digest = f"fake-gpt2-{kind}-{seed}-{context}-{layers}"
    return LanguageModel(model.to(device), tokenizer, name=f"fake:gpt2-{kind}", digest=digest)


def fake_image_text(*, seed: int = 0, indifferent: bool = False, layers: int = 2, device: str = "cpu") -> ImageTextModel:
    """A CLIP of two small transformers with the usual tokenizer, 77-token texts and 32-pixel images.

    Args:
        seed: of the weights.
        indifferent: to every image, all texts are equally good.
        layers: how many each of its transformers has.
        device: where it computes.
    """
    torchvision_schemas.ensure()
    from open_clip.model import CLIP

    vision = {"image_size": 32, "layers": layers, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": layers}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # biases are drawn by the layers themselves
        model = CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                scale = 1.0 if "embedding" in name else 1.5 * weight.shape[-1] ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
        model.logit_scale.fill_(float(np.log(20.0)))
        if indifferent:
            # Every text becomes the first unit vector, to the last digit, so that no rounding decides.
            model.ln_final.weight.fill_(0)
            model.ln_final.bias.fill_(1)
            model.text_projection.fill_(0)
            model.text_projection[0, 0] = 1
    kind = "indifferent" if indifferent else "plain"
    names = {"name": f"fake:clip-{kind}", "digest": f"fake-clip-{kind}-{seed}"}
    return ImageTextModel(model.to(device), _pixels, _clip_tokenizer(), **names)


def fake_caption_index(image_text: ImageTextModel | None = None, captions: Sequence[str] = _SENTENCES) -> CaptionIndex:
    """An index over a few captions.

    Args:
        image_text: the model that will look at the images; by default `fake_image_text()`.
        captions: what it may choose from.
    """
    model = image_text or fake_image_text()
    return CaptionIndex(captions, model.text_features(captions).cpu().numpy())


def fake_models(
    *, seed: int = 0, context: int = 64, end_at_once: bool = False, never_ends: bool = False, layers: int = 2, device: str = "cpu"
) -> Models:
    """All three, so that any decoder can be made with them.

    Args:
        seed: of the weights.
        context: positions that the language model has.
        end_at_once: see `fake_language_model`; the image-text model then is indifferent, so that nothing speaks against it.
        never_ends: see `fake_language_model`.
        layers: of each transformer.
        device: where the first two compute.
    """
    shared: dict[str, Any] = {"seed": seed, "layers": layers, "device": device}
    lm = fake_language_model(context=context, end_at_once=end_at_once, never_ends=never_ends, **shared)
    clip = fake_image_text(indifferent=end_at_once, **shared)
    return Models(lm, clip, fake_caption_index(clip))


def fake_prompts(n: int) -> list[Prompt]:
    """`n` prompts of different lengths, one of the first two empty, each with an image of its own: the bytes of a PNG file."""
    return [Prompt(f"fake-{number}", _BEGINNINGS[number % len(_BEGINNINGS)], _picture(number)) for number in range(n)]


@cache
def _trained() -> dict[str, Any]:
    """Vocabulary and merges of a byte-level BPE tokenizer (Radford et al. 2019, section 2.2)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[_END], show_progress=False
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


@cache
def _clip_tokenizer() -> Any:
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


def _pixels(image: Image.Image) -> Tensor:
    """An image as the fake CLIP takes it: `[3, 32, 32]`, about -1 to 1."""
    small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float32)
    return torch.from_numpy(small / 127.5 - 1).permute(2, 0, 1)


def _picture(number: int) -> bytes:
    """A PNG file with a bar and a disc whose colours, places and sizes follow from the number."""
    width, height = 40 + number * 7 % 30, 40 + number * 11 % 30
    image = Image.new("RGB", (width, height), _COLOURS[number % 7])
    draw = ImageDraw.Draw(image)
    left, side = number * 5 % 20, 8 + number * 3 % 13
    draw.rectangle((left, 0, left + side, height), fill=_COLOURS[(number * 3 + 1) % 7])
    draw.ellipse((8, number % 16, 8 + side, number % 16 + side), fill=_COLOURS[(number * 2 + 3 + number // 7) % 7])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
