"""Everything that computes, once on the CPU and once on the stand-in device: a program, since the device cannot be taken back.

It prints, as JSON, what differed and what was counted, of decoders, metrics, training and the rules of the device.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from decoders import Generation, Limits, Models, Prompt
from decoders.loop import top_ids
from decoders.models.reading import last_vectors
from decoders.models.sentence_encoder import SentenceEncoder
from decoders.testing import Counts, StandInDevice, fake_models, fake_prompts, stand_in_device
from decoders.transfer import download, upload
from harness import metrics
from harness.suites import registry
from harness.suites.examples import Example, Sample
from harness.training import Adaptation, adapt

SETTINGS: dict[str, dict[str, Any]] = {
    "beam": {"width": 3},
    "constant": {"k": 4},
    "contrastive": {"k": 6, "alpha": 0.6},
    "magic": {"k": 6},
    "magic image last": {"k": 6, "alpha": 0.6, "beta": 0.4},
    "sample-rerank": {"n": 2},
    "zerocap": {"beam_size": 2, "candidates": 12, "cond_text": "A"},
}
"""Settings of decoders whose own are slow, or take one of two ways."""
TEXT = "a red kite over the old harbour and two children with one dog on a wooden table"
LIMITS = Limits(6, 14)
"""The second is of prompt and text together, so rows of different prompts leave the batch at different steps."""


def main() -> None:
    """Compute, compare, print."""
    torch.set_num_threads(1)
    on_cpu = with_encoder(fake_models(never_ends=True))
    with stand_in_device() as device:
        on_card = with_encoder(fake_models(never_ends=True, device=device.name))
        names = dict.fromkeys([*registry.decoders().entries, *SETTINGS])
        result = {
            "decoders": {name: decoded(name, on_cpu, on_card, device) for name in names},
            "deep": deep(device),
            "metrics": scored(on_cpu, on_card),
            "training": trained(on_cpu, device),
            "rules": rules(device),
        }
    print(json.dumps(result))


def with_encoder(models: Models) -> Models:
    """The models, and a sentence encoder that is the language model's own transformer."""
    lm = models.lm
    encoder = SentenceEncoder(lm.model.transformer, lm.tokenizer, name="fake:encoder", digest="fake-encoder")
    return Models(lm, models.clip, models.caption_index, encoder)


def decoded(name: str, on_cpu: Models, on_card: Models, device: StandInDevice) -> dict[str, Any]:
    """One decoder: texts that differ, and what was counted with eight prompts and with two."""
    kind = registry.decoders().load(name.partition(" ")[0])
    config, prompts = kind.Config(**SETTINGS.get(name, {})), fake_prompts(8)

    def answers(models: Models, prompts: Sequence[Prompt]) -> list[Generation]:
        return kind(config, models, LIMITS).decode(prompts, range(len(prompts)))

    expected = answers(on_cpu, prompts)
    on_card.clip.image_features([prompt.image for prompt in prompts if prompt.image])
    assert on_card.lm.sees_trees  # found out before the counting
    assert on_card.lm.plain_head
    computed, counts = counted(lambda: answers(on_card, prompts), device)
    two, fewer = counted(lambda: answers(on_card, prompts[3:5]), device)
    return {
        "differ": [a.text for a, b in zip(computed, expected, strict=True) if (a.tokens, a.text) != (b.tokens, b.text)],
        "eight": numbers(counts, computed),
        "two": numbers(fewer, two),
        "report": counts.report(),
    }


def deep(device: StandInDevice) -> dict[str, Any]:
    """MAGIC with twelve layers, as GPT-2 small and CLIP's text tower have: launches do not depend on a layer's width."""
    models, kind = fake_models(layers=12, never_ends=True, device=device.name), registry.decoders().load("magic")
    decoder = kind(kind.Config(k=45), models, Limits(8))
    assert models.lm.sees_trees
    assert models.lm.plain_head
    prompts = [Prompt(prompt.id, "A", prompt.image) for prompt in fake_prompts(8)]
    models.clip.image_features([prompt.image for prompt in prompts if prompt.image])
    answers, counts = counted(lambda: decoder.decode(prompts, range(8)), device)
    return numbers(counts, answers)


def counted(work: Any, device: StandInDevice) -> tuple[list[Generation], Counts]:
    """What some work returns, and what it did on the device."""
    with device.counting() as counts:
        result = work()
    return result, counts


def numbers(counts: Counts, answers: Sequence[Generation]) -> dict[str, int]:
    """Counts, and the tokens of the longest text."""
    kinds = ("launches", "waits", "uploads", "downloads", "uploaded")
    return {kind: getattr(counts, kind) for kind in kinds} | {"steps": max(len(answer.tokens) for answer in answers)}


def scored(on_cpu: Models, on_card: Models) -> dict[str, float]:
    """For every metric that computes with a model, how far its values are apart."""
    words = TEXT.split()
    examples = [
        Example(prompt.id, prompt.text, prompt.image, ("A red kite over the harbour.", " ".join(words[number : number + 6])))
        for number, prompt in enumerate(fake_prompts(8))
    ]
    samples = [Sample(example, text=" ".join(words[place : place + 5 + place % 4])) for place, example in enumerate(examples)]
    apart: dict[str, float] = {}
    settings = {"coherence": {"pooling": "mean"}}
    for name in metrics.registry().entries:
        kind = metrics.registry().load(name)
        if not kind.needs or name == "mauve":  # which wants a hundred texts; its features are below
            continue
        expected, computed = (kind(kind.Config(**settings.get(name, {})), models).rows(samples) for models in (on_cpu, on_card))
        assert np.isfinite(expected).any(), name
        apart[name] = float(np.nanmax(np.abs(expected - computed)))
    texts = [tuple(on_cpu.lm.encode(sample.text)) for sample in samples]
    apart["mauve"] = float(np.abs(last_vectors(on_cpu.lm, texts) - last_vectors(on_card.lm, texts)).max())
    return apart


def trained(on_cpu: Models, device: StandInDevice) -> dict[str, float]:
    """Two updates of a model with tied weights: how far the weights are apart, and whether the ties hold."""
    from transformers import GPT2LMHeadModel

    lm = on_cpu.lm
    settings = copy.deepcopy(lm.model.config)
    settings.tie_word_embeddings = True
    for part in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        setattr(settings, part, 0.0)
    torch.manual_seed(0)
    plain = GPT2LMHeadModel(settings)
    moved = copy.deepcopy(plain).to(device.name)
    texts = [[*lm.encode(text), lm.end_id] for text in ("A red kite over the harbour.", "Two children and a dog.", "A tram")]
    for model in (plain, moved):
        adapt(model, texts, Adaptation(steps=2, batch_size=3, learning_rate=1e-3, warm_up=1.0), seed=1)
    pairs = zip(plain.parameters(), moved.parameters(), strict=True)
    return {
        "apart": max(float((a - b.cpu()).abs().max().detach()) for a, b in pairs),
        "tied": float(moved.lm_head.weight is moved.transformer.wte.weight),
    }


def rules(device: StandInDevice) -> dict[str, Any]:
    """What the device refuses and counts."""
    card, host = torch.arange(6.0, device=device.name).view(2, 3), torch.ones(2, 3)
    refused, counts = {}, {}
    forbidden: dict[str, Callable[[], object]] = {
        "mixed": lambda: card + host,
        "mixed product": lambda: host @ card.T,
        "numpy": card.numpy,
        "array": lambda: np.asarray(card),
    }
    for name, attempt in forbidden.items():
        try:
            attempt()
        except (RuntimeError, TypeError) as error:
            refused[name] = str(error)
    counted_works: dict[str, Callable[[], object]] = {
        "item": lambda: card[0, 0].item(),
        "bool": lambda: bool(card[0, 1] > 0),
        "tolist": card.tolist,
        "cpu": lambda: card.cpu(),
        "nonzero": lambda: card.nonzero(),
        "mask": lambda: card[card > 2],
        "put by mask": lambda: card.clone().__setitem__(card > 2, 0.0),
        "number": lambda: card * 2 + 1,
        "upload": lambda: host.to(device.name),
        "tensor": lambda: torch.tensor([1, 2], device=device.name),
        "view": lambda: card.T[:, 0],
        "places of the host": lambda: card[torch.tensor([0, 1])],
    }
    for name, work in counted_works.items():
        with device.counting(launch_lines=True) as kept:
            work()
        counts[name] = [kept.launches, kept.waits, kept.uploads, kept.downloads, kept.uploaded, kept.downloaded]
        assert all("on_the_device.py" in line for lines in kept.lines.values() for line in lines), kept.report()
    arrays = [np.arange(5), np.array([True]), np.zeros((0, 3), bool), np.ones((1, 2), np.float32)]
    with device.counting() as kept:
        packed = upload(arrays, torch.device(device.name))
        copies = download(packed)
    same = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(arrays, copies, strict=True))
    logits = torch.tensor([[1.0, -2.0, 3.0, 3.0, -0.0, 0.0, 3.0, -torch.inf], [-1.0] * 8])
    ranked = [top_ids(logits, k).tolist() == top_ids(logits.to(device.name), k).tolist() for k in range(1, 9)]
    packed_counts = [kept.uploads, kept.downloads, kept.waits]
    return {"refused": refused, "counts": counts, "packed": [same, *packed_counts], "ranked": all(ranked)}


if __name__ == "__main__":
    main()
