"""Control texts, which show whether a scale is used as described: each lowers one aspect and leaves another unchanged.

A *swap* is a caption of another image: relevance has to fall, fluency must not. A *scramble* has the same words out of order:
fluency has to fall. A *reference* is a person's text, the ceiling. (A *repeat* is no text of its own: see `claims`.)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.suites.examples import Example

_CANDIDATES = 24
"""Texts of other images that are looked at, to take the one that has least in common with this image's."""
_FEWEST_WORDS = 4
"""Of a text that is put out of order: shorter ones may come out right by chance."""


@dataclass(frozen=True, slots=True)
class ControlText:
    """A text that a control shows."""

    kind: str
    text: str
    system: str | None
    """Whose words they are; None for a person's."""
    source: str | None = None
    """Of a swap: the example that the text was written for."""


def swap(
    example: Example, texts: Mapping[str, Mapping[str, str]], candidates: Sequence[Example], random: np.random.Generator
) -> ControlText | None:
    """Another image's text that shares least words with what is said about this one.

    Args:
        example: what it is shown with.
        texts: by system and example id.
        candidates: examples whose texts may be taken.
        random: which are looked at.
    """
    own = _words(" ".join([*(by_id[example.id] for by_id in texts.values()), *example.references]))
    system_texts = {by_id[example.id] for by_id in texts.values()}
    names = sorted(texts)
    best: tuple[float, ControlText] | None = None
    for index in random.permutation(len(candidates))[:_CANDIDATES]:
        donor = candidates[int(index)]
        name = names[int(random.integers(len(names)))]
        text = texts[name][donor.id]
        if donor.id == example.id or text in system_texts or not text.strip():
            continue
        words = _words(text)
        shared = len(words & own) / max(1, len(words))
        if best is None or shared < best[0]:
            best = shared, ControlText("swap", text, name, donor.id)
    return best[1] if best else None


def scramble(example: Example, texts: Mapping[str, Mapping[str, str]], random: np.random.Generator) -> ControlText | None:
    """A text about this image with its words out of order; None if all are too short."""
    for index in random.permutation(len(texts)):
        name = sorted(texts)[int(index)]
        shuffled = out_of_order(texts[name][example.id], random)
        if shuffled:
            return ControlText("scramble", shuffled, name)
    return None


def out_of_order(text: str, random: np.random.Generator) -> str:
    """The same words in an order in which few neighbours are left together; empty if there are too few words."""
    words = text.split()
    if len(set(words)) < _FEWEST_WORDS:
        return ""
    pairs = set(itertools.pairwise(words))
    orders = [[words[index] for index in random.permutation(len(words))] for _ in range(16)]
    best = min(orders, key=lambda order: sum(pair in pairs for pair in itertools.pairwise(order)))
    return " ".join(best) if best != words else ""


def reference(example: Example, texts: Mapping[str, Mapping[str, str]], random: np.random.Generator) -> ControlText | None:
    """What a person said about this image, other than what a system said; None if there is nothing."""
    system_texts = {by_id[example.id].strip() for by_id in texts.values()}
    choices = [text for text in example.references if text.strip() and text.strip() not in system_texts]
    return ControlText("reference", choices[int(random.integers(len(choices)))], None) if choices else None


EXPECTED: Mapping[str, Mapping[str, tuple[int, int, str]]] = {
    "reference": {
        "coherence": (4, 5, "A person wrote this, and its parts belong together."),
        "fluency": (4, 5, "A person wrote this, and it reads like it."),
        "informativeness": (2, 5, "It tells the main thing at least; how much more is for you to judge."),
        "relevance": (4, 5, "A person wrote this about this very image."),
    },
    "swap": {
        "coherence": (3, 5, "The text makes sense by itself; that it belongs to another image does not matter here."),
        "fluency": (3, 5, "The language is fine; that it belongs to another image does not matter here."),
        "relevance": (1, 2, "This text was written about another image."),
    },
    "scramble": {
        "coherence": (1, 3, "With its words out of order, the thought can only be guessed."),
        "fluency": (1, 2, "Its words are out of order."),
    },
}
"""What a practice text may get, by kind and aspect, and why; other aspects are for everyone to judge."""


def expected(kind: str, aspects: Sequence[str]) -> dict[str, dict[str, object]]:
    """The expected ranges of a practice text, for the aspects of a study."""
    ranges = EXPECTED[kind]
    free = (1, 5, "Any value can be right here: judge for yourself.")
    return {aspect: dict(zip(("low", "high", "why"), ranges.get(aspect, free), strict=True)) for aspect in aspects}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
