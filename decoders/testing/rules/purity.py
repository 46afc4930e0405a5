"""Nothing but config, models, prompt and seed decides the text, and nothing that was lent is changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from decoders.models.loaded import Models
from decoders.testing.fakes import fake_models
from decoders.testing.trial import PURITY, Trial, items


def _same_twice(trial: Trial) -> None:
    """The same again, from the same instance, from a new one, and from new models."""
    decoder = trial.make()
    expected = trial.decode(items(), by=decoder)
    remedy = f"{PURITY}; take random numbers from `step.noise`, and keep no state that changes what is said"
    trial.same(trial.decode(items(), by=decoder), expected, items(), "when asked again", remedy)
    trial.same(trial.decode(items()), expected, items(), "from a new instance", remedy)
    trial.same(trial.decode(items(), fake_models()), expected, items(), "with the models made again", remedy)


def _batch_size(trial: Trial) -> None:
    """Batches of 1, 2, 3 and 7 give what one batch gives."""
    expected, decoder = trial.decode_items(), trial.make()
    for size in (1, 2, 3, 7):
        answer = [
            generation
            for start in range(0, len(items()), size)
            for generation in trial.decode(items()[start : start + size], by=decoder)
        ]
        trial.same(answer, expected, items(), f"in batches of {size}", f"{PURITY}, and so never how many are decoded together")


def _order(trial: Trial) -> None:
    """Prompts may come in any order."""
    expected = trial.decode_items()
    places = range(len(items()))
    for order in (list(places)[::-1], random.Random(1).sample(places, len(places))):
        work = [items()[place] for place in order]
        trial.same(
            trial.decode(work),
            [expected[place] for place in order],
            work,
            f"in the order {order}",
            f"{PURITY}; answer each prompt in its own place, with its own seed",
        )


def _subset(trial: Trial) -> None:
    """Who else is in the batch makes no difference."""
    expected = trial.decode_items()
    for places in ([0, 2, 4, 6], [1, 5], [7, 0, 1]):
        work = [items()[place] for place in places]
        trial.same(
            trial.decode(work),
            [expected[place] for place in places],
            work,
            f"beside the prompts {[prompt.text for prompt, _ in work]} alone",
            f"{PURITY}, and so never the neighbours; look at padding first",
        )


def _duplicates(trial: Trial) -> None:
    """A prompt that comes several times gets the same text every time, and with another seed what that seed alone gives."""
    remedy = f"{PURITY}, and so never what was said before"
    for place in (0, 3):
        prompt, seed = items()[place]
        work = [(prompt, seed), items()[5], (prompt, seed + 1), (prompt, seed), (prompt, seed + 1)]
        expected = [trial.decode([item])[0] for item in work]
        trial.same(trial.decode(work), expected, work, "when it comes several times", remedy)


def _ids(trial: Trial) -> None:
    """The id of a prompt is a name for messages and decides nothing."""
    work = [(replace(prompt, id="x" * (number % 3)), seed) for number, (prompt, seed) in enumerate(items())]
    trial.same(trial.decode(work), trial.decode_items(), work, "under another id", f"{PURITY}; the id is none of these")


def _seeds(trial: Trial) -> None:
    """The seed decides where `seeded` is declared, and nowhere else; all 64 bits are taken."""
    for bits, seeds in {"low": list(range(8)), "high": [3 + (number << 61) for number in range(8)]}.items():
        kinds = []
        for place in (0, 2):
            prompt = items()[place][0]
            work = [(prompt, seed) for seed in seeds]
            answer = trial.decode(work)
            trial.same(trial.decode(work), answer, work, "when asked again", "Derive all noise from the seed")
            kinds.append(len({(generation.text, generation.tokens) for generation in answer}))
        if trial.kind.seeded:
            trial.hold(
                max(kinds) > 1,
                f"8 seeds that differ in their {bits} bits give the same text",
                "Draw with `step.noise` or `step.gumbel`; a decoder that draws nothing declares `seeded = False`",
            )
        else:
            trial.hold(
                max(kinds) == 1,
                f"8 seeds give {max(kinds)} different texts, though it declares `seeded = False`",
                "Declare `seeded = True`, or ignore the seed",
            )


def _global_randomness(trial: Trial) -> None:
    """The random state of the process is neither used nor changed, and neither is its switch for gradients."""
    before = _random_states()
    try:
        answers = []
        for seed in (1, 2):
            _seed_everything(seed)
            state = _random_states()
            answers.append(trial.decode(items()))
            moved = [name for name, value in _random_states().items() if not _equal(value, state[name])]
            trial.hold(
                not moved,
                f"it draws from or sets the global generator of {', '.join(moved)}",
                "Take random numbers from `step.noise`, or from a generator of your own that starts from the seed",
            )
            trial.hold(torch.is_grad_enabled(), "it switches gradients off for the whole process", "Use `torch.no_grad()`")
        trial.same(answers[1], answers[0], items(), "after another global seed", "Derive all noise from the seed")
    finally:
        random.setstate(before["random"])
        np.random.set_state(before["numpy.random"])  # noqa: NPY002
        torch.random.set_rng_state(before["torch"])
        torch.set_grad_enabled(True)


def _random_states() -> dict[str, Any]:
    return {"random": random.getstate(), "numpy.random": np.random.get_state(), "torch": torch.random.get_rng_state()}  # noqa: NPY002


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, (torch.Tensor, np.ndarray)):
        return bool((first == second).all())
    if isinstance(first, Sequence) and not isinstance(first, str):
        return len(first) == len(second) and all(_equal(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


def _inputs(trial: Trial) -> None:
    """Prompts, seeds, config and models are left as they were."""
    models = fake_models()
    prompts, seeds = [prompt for prompt, _ in items()], [seed for _, seed in items()]
    weights = {name: value.clone() for name, value in _weights(models).items()}
    settings, captions, size = trial.config.model_dump(), list(models.index.captions), len(models.lm.tokenizer)
    decoder = trial.make(models)
    trial.well(trial.ask(prompts, seeds, lambda: decoder))
    trial.hold(
        prompts == [prompt for prompt, _ in items()] and seeds == [seed for _, seed in items()],
        f"the batch it was given is now {len(prompts)} prompts, beginning with {prompts[:1]}, and {len(seeds)} seeds",
        "Copy a list before you change it",
    )
    trial.hold(
        decoder.config.model_dump() == settings == trial.config.model_dump(),
        f"its settings were {settings} and are {decoder.config.model_dump()}",
        "Keep what changes elsewhere",
    )
    changed = [name for name, value in _weights(models).items() if not torch.equal(value, weights[name])]
    trial.hold(not changed, f"it changed the weights {changed[:3]}", "Models are shared; copy what you change")
    modules = (models.lm.model, models.clip.model)
    trial.hold(
        not any(module.training or any(p.requires_grad for p in module.parameters()) for module in modules),
        "a model is left in training mode or with gradients",
        "Models are shared and frozen; leave them in evaluation mode",
    )
    trial.hold(
        list(models.index.captions) == captions,
        "it changed the captions of the index",
        "The index is shared; copy what you change",
    )
    trial.hold(len(models.lm.tokenizer) == size, "it added tokens to the tokenizer", "The tokenizer is shared")


def _weights(models: Models) -> dict[str, torch.Tensor]:
    return {
        f"{kind}.{name}": value
        for kind, module in (("language_model", models.lm.model), ("image_text", models.clip.model))
        for name, value in module.state_dict().items()
    }


RULES: dict[str, Callable[[Trial], None]] = {
    "same-twice": _same_twice,
    "batch-size": _batch_size,
    "order": _order,
    "subset": _subset,
    "duplicates": _duplicates,
    "ids": _ids,
    "seeds": _seeds,
    "global-randomness": _global_randomness,
    "inputs": _inputs,
}
