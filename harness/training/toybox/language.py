"""Train the tiny language models of the Toybox world from random weights: plain captions, ornate captions, stories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from decoders.models import torchvision_schemas
from harness.datasets.toybox.captions import references
from harness.datasets.toybox.stories import story, title
from harness.datasets.toybox.world import Split, scenes
from harness.training import Adaptation, adapt, perplexity

START, PAD, END = "<-start_of_text->", "<-pad->", "<|endoftext|>"
Domain = Literal["plain", "ornate", "stories"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LanguageRecipe:
    """Size of a corpus and of a model, and how long to train."""

    scenes: int = 1600
    vocabulary: int = 900
    """Of the byte-level BPE; enough that every word of the world is one token."""
    layers: int = 4
    width: int = 128
    heads: int = 4
    adaptation: Adaptation = field(default_factory=lambda: Adaptation(steps=500))


RECIPES: dict[Domain, LanguageRecipe] = {
    "plain": LanguageRecipe(),
    "ornate": LanguageRecipe(adaptation=Adaptation(steps=600)),
    "stories": LanguageRecipe(scenes=4000, adaptation=Adaptation(steps=900, batch_size=24)),
}


def corpus(domain: Domain, split: Split, count: int, seed: int = 0) -> list[str]:
    """Texts of a domain's scenes, as its language model reads them, special tokens spelled out."""
    if domain == "stories":
        return [f"{title(scene, seed)} {END} {story(scene, seed)} {END}" for scene in islice(scenes("plain", split, seed), count)]
    return [
        f"{START}{text}{END}" for scene in islice(scenes(domain, split, seed), count) for text in references(scene, domain, seed)
    ]


def train_language_model(folder: Path, domain: Domain, recipe: LanguageRecipe, seed: int, say: Say) -> float:
    """Train one language model and write it as transformers does, weights in float16.

    Returns:
        Its perplexity on dev scenes.
    """
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    texts = corpus(domain, "lm", recipe.scenes, seed)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bpe(texts, recipe.vocabulary),
        bos_token=START if domain != "stories" else END,
        eos_token=END,
        pad_token=PAD,
    )
    longest = 64 if domain != "stories" else 128
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=longest,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(config)
    adapt(model, _ids(tokenizer, texts, longest), recipe.adaptation, seed=seed, say=lambda line: say(f"{domain} {line}"))
    held_out = perplexity(model, _ids(tokenizer, corpus(domain, "dev", 100, seed), longest))
    model.half().save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return held_out


def _bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer, as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, START, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain = [text.replace(START, "").replace(END, "") for text in texts]
    tokenizer.train_from_iterator(plain, trainer)
    return tokenizer


def _ids(tokenizer: object, texts: Sequence[str], longest: int) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False).input_ids  # type: ignore[operator]
    return [ids[:longest] for ids in encoded]
