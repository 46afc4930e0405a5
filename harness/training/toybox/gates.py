"""Can the CLIP see? Its accuracy on held-out scenes, where the wrong answer differs from the right one in one word.

Retrieval among random scenes is no test: a model can reach 97 % of it while it knows one kind of thing in three.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from harness.datasets.toybox.captions import caption
from harness.datasets.toybox.draw import png
from harness.datasets.toybox.world import COLOURS, KINDS, Scene, Style, Thing, scenes

GATES = {"object": 0.95, "colour": 0.95, "count": 0.90, "binding": 0.70}
"""What the shipped CLIP has to reach on dev scenes: the kind among 18, the colour among 8, the count among 3, and which of
two colours belongs to which of two things."""

Similarity = Callable[[bytes, Sequence[str]], NDArray[np.float32]]
"""Cosines of one image with several texts."""


def measure(similarity: Similarity, scenes_per_style: int = 150, seed: int = 0) -> dict[str, float]:
    """Accuracy at each gate, over dev scenes of both domains.

    Args:
        similarity: the model.
        scenes_per_style: how many scenes of each domain.
        seed: of captions and positions.
    """
    hits: dict[str, list[bool]] = {gate: [] for gate in GATES}
    for style in ("plain", "ornate"):
        for scene in islice(scenes(style, "dev", seed), scenes_per_style):
            image = png(scene, 192, seed)
            for gate, alternatives_of_gate in alternatives(scene).items():
                texts = [_say(variant, style, f"{scene.key} {seed}") for variant in (scene, *alternatives_of_gate)]
                hits[gate].append(int(np.argmax(similarity(image, texts))) == 0)
    return {gate: float(np.mean(answers)) for gate, answers in hits.items()}


def alternatives(scene: Scene) -> dict[str, list[Scene]]:
    """By gate, the scenes whose captions must fit the image worse."""
    first, second = scene.first, scene.second
    taken = {thing.kind for thing in scene.things}
    scenes_by_gate = {
        "object": [replace(scene, first=Thing(kind, first.colour)) for kind in KINDS if kind not in taken],
        "colour": [replace(scene, first=Thing(first.kind, colour)) for colour in COLOURS if colour != first.colour],
        "count": [replace(scene, count=count) for count in (1, 2, 3) if count != scene.count],
    }
    if second is not None and second.colour != first.colour:
        scenes_by_gate["binding"] = [
            replace(scene, first=Thing(first.kind, second.colour), second=Thing(second.kind, first.colour))
        ]
    return scenes_by_gate


def _say(scene: Scene, style: Style, words: str) -> str:
    """A scene in the words that `words` decides: the same for every scene but for what differs."""
    return caption(scene, style, random.Random(f"gates {words}"))
