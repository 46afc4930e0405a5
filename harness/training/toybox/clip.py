"""Train the tiny CLIP that sees the Toybox world, from random weights.

Two stages. First the image tower alone learns to name what it sees, so that it does not start from noise. Then both towers
learn together (Radford et al. 2021, section 2.3), in batches made hard: groups of four scenes that differ in one thing. Two
more measures, each against a failure of plain contrastive training on so small a world:

* captions are cut at a random word, because decoding asks the model about beginnings of captions;
* a text that is true of another image of the batch does not count against that image.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from decoders.models import torchvision_schemas
from harness.datasets.toybox.captions import (
    COLOUR_WORDS,
    NUMBERS,
    ORNATE_PLACES,
    ORNATE_RELATIONS,
    PLAIN_PLACES,
    PLAIN_RELATIONS,
    PLURALS,
    WORDS,
    caption,
    claims,
    references,
)
from harness.datasets.toybox.draw import draw
from harness.datasets.toybox.stories import story, title
from harness.datasets.toybox.world import (
    COLOURS,
    FLYERS,
    KINDS,
    PLACES,
    RELATIONS,
    SMALL,
    SUPPORTS,
    Scene,
    Style,
    Thing,
    scenes,
    split_of,
)

IMAGE_SIZE = 64
CONTEXT = 77
GROUP = 4
"""Scenes of a group: one, and three that differ from it in one thing each."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ClipRecipe:
    """How long and how hard to train."""

    groups: int = 2500
    """Groups of four images that training draws from."""
    naming_steps: int = 1500
    joint_steps: int = 2600
    batch_groups: int = 16
    """Groups a batch."""
    naming_rate: float = 2e-3
    joint_rate: float = 1.2e-3
    naming_weight: float = 0.2
    """Weight of the naming loss in the second stage."""
    cut: float = 0.4
    """Share of captions cut at a random word."""
    stories: int = 6
    """Every so many batches the texts are stories."""


def train_clip(folder: Path, recipe: ClipRecipe, seed: int, say: Say) -> None:
    """Train and write an open_clip checkpoint in its `local-dir:` layout, weights in float16.

    Args:
        folder: where to; made if missing.
        recipe: lengths and rates.
        seed: for weights, data and order.
        say: prints the progress.
    """
    torch.manual_seed(seed)
    tokenizer = write_tokenizer(folder)
    model = new_model(folder, len(tokenizer)).to(memory_format=torch.channels_last)  # twice as fast on a CPU
    pool = Pool(recipe.groups, seed, say)
    names = nn.Linear(model.visual.output_dim, sum(PRESENT) + 3 + len(PLACES))
    _learn_names(model, names, pool, recipe, seed, say)
    _learn_jointly(model, names, pool, tokenizer, recipe, seed, say)
    save(model, folder)


# The model


def vocabulary() -> list[str]:
    """Every word and mark that captions and stories use, sorted."""
    texts: list[str] = []
    for style in ("plain", "ornate"):
        texts += [text for scene in islice(scenes(style, "clip", seed=99), 1500) for text in references(scene, style)]
    for scene in islice(scenes("plain", "clip", seed=99), 1500):
        texts += [title(scene), story(scene)]
    words_seen = {word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    forms = {word for phrase in (*WORDS, *COLOUR_WORDS) for word in phrase.split()}
    return sorted(words_seen | forms)


def write_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A word-level tokenizer, lower-cased, with an unknown word for the rest; the end token has the highest id."""
    words = ["<pad>", "<unk>", "<start>", *vocabulary(), "<end>"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", len(words) - 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<start>",
        eos_token="<end>",
        model_max_length=CONTEXT,
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(str(folder))
    return fast


def new_model(folder: Path, words: int) -> Any:
    """A fresh open_clip model; its configuration is written into the folder."""
    torchvision_schemas.ensure()
    import open_clip

    config: dict[str, Any] = {
        "embed_dim": 128,
        "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": words,
            "width": 128,
            "heads": 4,
            "layers": 3,
            "hf_tokenizer_name": "toybox",
        },
    }
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")
    text_config = {key: value for key, value in config["text_cfg"].items() if key != "hf_tokenizer_name"}
    return open_clip.model.CLIP(config["embed_dim"], config["vision_cfg"], text_config)


def save(model: Any, folder: Path) -> None:
    """Write the weights in float16."""
    weights = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
    }
    save_file(weights, str(folder / "open_clip_model.safetensors"))


def encode_texts(model: Any, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tensor:
    """Unit text features, `[n, 128]`, computed on no more positions than the longest text needs."""
    ids = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=CONTEXT).input_ids
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(ids)), ids.argmax(dim=-1)] @ model.text_projection, dim=-1)


# What it learns from


class Pool:
    """Groups of scenes with their images, drawn once."""

    def __init__(self, groups: int, seed: int, say: Say) -> None:
        rng = random.Random(f"pool {seed}")
        streams = [scenes("plain", "clip", seed), scenes("ornate", "clip", seed)]
        self.scenes: list[Scene] = []
        for index in range(groups):
            scene = next(streams[index % 2])
            self.scenes += [scene, *(_neighbour(scene, rng) for _ in range(GROUP - 1))]
        say(f"drawing {len(self.scenes)} images")
        arrays = [np.asarray(draw(scene, IMAGE_SIZE, seed=rng.randrange(2**31))) for scene in self.scenes]
        self.pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        self.labels = torch.stack([_labels(scene) for scene in self.scenes])
        self.facts = [scene_facts(scene) for scene in self.scenes]

    def images(self, rows: Sequence[int]) -> Tensor:
        """Normalised images, `[n, 3, 64, 64]`."""
        pixels = self.pixels[list(rows)].float() / 255
        pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        return pixels.contiguous(memory_format=torch.channels_last)

    def groups(self, rng: random.Random, count: int) -> list[int]:
        """The rows of `count` groups."""
        return [GROUP * group + row for group in rng.sample(range(len(self.scenes) // GROUP), count) for row in range(GROUP)]


def _neighbour(scene: Scene, rng: random.Random) -> Scene:
    """A scene of the same split that differs in one thing (or in the two colours exchanged)."""
    while True:
        changed = _changed(scene, rng)
        if changed is not None and changed.key != scene.key and split_of(changed) == "clip":
            return changed


CHANGES = (*("kind", "second kind") * 3, *("colour", "swap") * 2, "second colour", "count", "place", "relation")
"""What may differ within a group; the more often it stands here, the more often it does."""


def _changed(scene: Scene, rng: random.Random) -> Scene | None:
    first, second = scene.first, scene.second
    change = rng.choice(CHANGES)
    if change == "kind":
        return _valid(replace(scene, first=Thing(rng.choice(KINDS), first.colour)))
    if change == "colour":
        return replace(scene, first=Thing(first.kind, rng.choice(COLOURS)))
    if change == "count":
        return _valid(replace(scene, count=rng.choice((1, 2, 3))))
    if change == "place":
        return replace(scene, place=rng.choice(PLACES))
    if second is None:
        return None
    if change == "second kind":
        return _valid(replace(scene, second=Thing(rng.choice(KINDS), second.colour)))
    if change == "second colour":
        return replace(scene, second=Thing(second.kind, rng.choice(COLOURS)))
    if change == "relation":
        return _valid(replace(scene, relation=rng.choice(RELATIONS)))
    return replace(scene, first=Thing(first.kind, second.colour), second=Thing(second.kind, first.colour))


def _valid(scene: Scene) -> Scene | None:
    """The scene, if the world allows it."""
    first, second = scene.first, scene.second
    if second is None:
        return scene
    allowed = {
        "beside": first.kind != second.kind,
        "above": first.kind in FLYERS and second.kind not in FLYERS,
        "on": first.kind in SMALL and second.kind in SUPPORTS and scene.count < 3,
    }
    return scene if allowed[str(scene.relation)] else None


def _labels(scene: Scene) -> Tensor:
    """Which kinds, colours and (kind, colour) pairs are there, as 0 or 1; then the count and the place as such."""
    kinds, colours = torch.zeros(len(KINDS)), torch.zeros(len(COLOURS))
    pairs = torch.zeros(len(KINDS), len(COLOURS))
    for thing in scene.things:
        kind, colour = KINDS.index(thing.kind), COLOURS.index(thing.colour)
        kinds[kind] = colours[colour] = pairs[kind, colour] = 1
    return torch.cat([kinds, colours, pairs.flatten(), torch.tensor([scene.count - 1.0, PLACES.index(scene.place)])])


Fact = tuple[str, ...]

_PLACE_WORDS = [(text, place) for table in (PLAIN_PLACES, ORNATE_PLACES) for place, texts in table.items() for text in texts]
_RELATION_WORDS = {
    text: relation for table in (PLAIN_RELATIONS, ORNATE_RELATIONS) for relation, texts in table.items() for text in texts
}
_PLURAL_WORDS = {word for word in WORDS if word.endswith("s") and word != "bus"} | set(PLURALS.values())


def scene_facts(scene: Scene) -> frozenset[Fact]:
    """Everything that a text may truly say of a scene."""
    facts: set[Fact] = {("place", scene.place), ("count", str(scene.count)), ("relation", str(scene.relation))}
    for index, thing in enumerate(scene.things):
        form = "several" if index == 0 and scene.count > 1 else "one"
        facts |= {("thing", thing.kind, thing.colour), ("colour", thing.colour), (form, thing.kind)}
    return frozenset(facts)


@lru_cache(maxsize=200_000)
def text_facts(text: str) -> frozenset[Fact]:
    """What a text (or its beginning) says, in the same terms."""
    lower = text.lower()
    facts: set[Fact] = {("thing", kind, colour) for kind, colour in claims(lower) if colour is not None}
    for word in re.findall(r"[a-z]+", lower):
        if word in COLOUR_WORDS:
            facts.add(("colour", COLOUR_WORDS[word]))
        elif word in WORDS:
            facts.add(("several" if word in _PLURAL_WORDS else "one", WORDS[word]))
        elif word in NUMBERS[2:]:
            facts.add(("count", str(NUMBERS.index(word))))
    facts |= {("place", place) for words, place in _PLACE_WORDS if words in lower}
    for words, relation in _RELATION_WORDS.items():
        if re.search(rf"\b{words} an? ", lower):
            facts.add(("relation", relation))
    return frozenset(facts)


# How it learns


PRESENT = (len(KINDS), len(COLOURS), len(KINDS) * len(COLOURS))
"""How many yes-or-no names there are: kinds, colours, pairs of both."""


def _naming_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of kinds, colours and pairs (all that are there equally right), of count and of place."""
    *present, count, place = torch.split(scores, [*PRESENT, 3, len(PLACES)], dim=1)
    loss = F.cross_entropy(count, labels[:, -2].long()) + F.cross_entropy(place, labels[:, -1].long())
    for named, wanted in zip(present, torch.split(labels[:, :-2], list(PRESENT), dim=1), strict=True):
        loss = loss + F.cross_entropy(named, wanted / wanted.sum(dim=1, keepdim=True))
    return loss


def _learn_names(model: Any, names: nn.Linear, pool: Pool, recipe: ClipRecipe, seed: int, say: Say) -> None:
    parameters = [*model.visual.parameters(), *names.parameters()]
    optimizer, schedule = _optimizer(parameters, recipe.naming_rate, recipe.naming_steps)
    rng = random.Random(f"naming {seed}")
    model.train()
    for step in range(recipe.naming_steps):
        rows = pool.groups(rng, recipe.batch_groups)
        loss = _naming_loss(names(model.visual(pool.images(rows))), pool.labels[rows])
        _update(loss, parameters, optimizer, schedule)
        if step % 100 == 99:
            say(f"naming {step + 1}/{recipe.naming_steps}: loss {loss.item():.3f}")


def _learn_jointly(
    model: Any, names: nn.Linear, pool: Pool, tokenizer: PreTrainedTokenizerFast, recipe: ClipRecipe, seed: int, say: Say
) -> None:
    parameters = [*model.parameters(), *names.parameters()]
    optimizer, schedule = _optimizer(parameters, recipe.joint_rate, recipe.joint_steps)
    rng = random.Random(f"joint {seed}")
    model.train()
    for step in range(recipe.joint_steps):
        rows = pool.groups(rng, recipe.batch_groups)
        stories = recipe.stories > 0 and step % recipe.stories == recipe.stories - 1
        texts = _texts([pool.scenes[row] for row in rows], rng, recipe.cut, stories)
        features = model.visual(pool.images(rows))
        logits = model.logit_scale.exp() * F.normalize(features, dim=-1) @ encode_texts(model, tokenizer, texts).T
        # Scenes of a group differ in one thing, so a cut caption is often true of several images; those are no negatives.
        logits = logits.masked_fill(_true_of_others([pool.facts[row] for row in rows], texts), -1e4)
        target = torch.arange(len(rows))
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        total = loss + recipe.naming_weight * _naming_loss(names(features), pool.labels[rows])
        _update(total, parameters, optimizer, schedule)
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)
        if step % 100 == 99:
            say(f"joint {step + 1}/{recipe.joint_steps}: loss {loss.item():.3f}, scale {model.logit_scale.exp().item():.1f}")
    model.eval()


def _texts(shown: Sequence[Scene], rng: random.Random, cut: float, stories: bool) -> list[str]:
    """A text a scene; within a group sometimes in the same words but for what differs."""
    texts: list[str] = []
    for start in range(0, len(shown), GROUP):
        same = None if rng.random() < 0.5 else rng.randrange(2**31)
        style: Style = rng.choice(("plain", "ornate"))
        for scene in shown[start : start + GROUP]:
            choice = random.Random(same if same is not None else rng.randrange(2**31))
            text = story(scene, choice.randrange(2**31)) if stories else caption(scene, style, choice)
            words = text.split()
            if choice.random() < cut:
                words = words[: choice.randint(1, len(words))]
            texts.append(" ".join(words))
    return texts


def _true_of_others(shown: Sequence[frozenset[Fact]], texts: Sequence[str]) -> Tensor:
    """`[images, texts]`: True where a text is true of an image that it was not written for."""
    facts_of_texts = [text_facts(text) for text in texts]
    mask = torch.tensor([[facts <= seen for facts in facts_of_texts] for seen in shown])
    return mask.fill_diagonal_(False)


def _optimizer(parameters: list[nn.Parameter], rate: float, steps: int) -> tuple[torch.optim.AdamW, Any]:
    grouped = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": 0.05},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(grouped, lr=rate, betas=(0.9, 0.98))
    warm = max(1, steps // 10)

    def factor(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _update(loss: Tensor, parameters: list[nn.Parameter], optimizer: torch.optim.AdamW, schedule: Any) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    schedule.step()
