"""Stories of the Toybox world: a title that names the place at most, and five sentences about what the picture shows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

from harness.datasets.toybox.captions import PLAIN_RELATIONS, PLURALS, phrase
from harness.datasets.toybox.world import Scene

TITLES: Mapping[str, tuple[str, ...]] = {
    "beach": ("A Day at the Beach", "By the Sea"),
    "grass": ("A Walk in the Meadow", "On the Field"),
    "snow": ("A Winter Morning", "Snow Day"),
    "street": ("In the City", "Down the Street"),
    "room": ("At Home", "A Rainy Day Inside"),
    "night": ("After Dark", "A Quiet Night"),
}
About = Literal["place", "thing"]
"""What a title tells: where it is, or which thing is to be seen (which is what an image can be found by)."""
NAMES = ("Tom", "Anna", "Ben", "Lucy", "Max", "Ella")
OPENINGS: Mapping[str, str] = {
    "beach": "{name} went to the beach.",
    "grass": "{name} took a walk in the meadow.",
    "snow": "{name} went out into the snow.",
    "street": "{name} walked down the street.",
    "room": "{name} stayed inside all day.",
    "night": "{name} could not sleep that night.",
}
SIGHTS = ("Soon {name} saw {a}.", "There {name} found {a}.", "All at once {name} noticed {a}.")
PLACED = ("{They} {were} {rel} {b}.", "{They} stood {rel} {b}.")
ALONE = ("There was nothing else around.", "Nobody else was there.")
FEELINGS = ("{name} liked the {things} very much.", "{name} wanted to take the {things} home.")
ENDINGS = ("It was a very good day.", "Then {name} went to bed happy.", "{name} told everyone about it.")


def title(scene: Scene, seed: int = 0, about: About = "place") -> str:
    """A title; it tells the place and nothing of the things, or the first thing and nothing of the place."""
    if about == "thing":
        kind = scene.first.kind
        return f"The {scene.first.colour} {PLURALS.get(kind, kind + 's') if scene.count > 1 else kind}".title()
    return random.Random(f"title {scene.key} {seed}").choice(TITLES[scene.place])


def story(scene: Scene, seed: int = 0) -> str:
    """Five sentences."""
    rng = random.Random(f"story {scene.key} {seed}")
    name = rng.choice(NAMES)
    several = scene.count > 1
    kind = scene.first.kind
    words = {
        "name": name,
        "a": phrase(scene.first, scene.count, "plain", 0.0),
        "things": f"{scene.first.colour} {PLURALS.get(kind, kind + 's') if several else kind}",
        "They": "They" if several else "It",
        "were": "were" if several else "was",
    }
    sentences = [OPENINGS[scene.place], rng.choice(SIGHTS)]
    if scene.second is not None and scene.relation is not None:
        words["b"] = phrase(scene.second, 1, "plain", 0.0)
        words["rel"] = rng.choice(PLAIN_RELATIONS[scene.relation])
        sentences.append(rng.choice(PLACED))
    else:
        sentences.append(rng.choice(ALONE))
    sentences += [rng.choice(FEELINGS), rng.choice(ENDINGS)]
    return " ".join(sentences).format(**words)
