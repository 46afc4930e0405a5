"""The Toybox world: which things there are, which scenes can be, and how the two domains draw from them.

A scene is a place, one to three things of a kind and colour, and perhaps another thing that they are beside, above or on.
Everything follows from seeds by `random.Random(text)`, which is the same on every machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

KINDS = (
    "ball", "balloon", "bird", "boat", "bus", "butterfly", "cake", "car", "cat",
    "chair", "cup", "flower", "hat", "house", "kite", "lamp", "table", "tree",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
PLACES = ("beach", "grass", "snow", "street", "room", "night")
RELATIONS = ("beside", "above", "on")

FLYERS = frozenset({"balloon", "bird", "butterfly", "kite"})
"""May hang in the air; everything else stands on the ground or on something."""
SUPPORTS = frozenset({"bus", "car", "chair", "table"})
"""Have a flat top that things can stand on."""
SMALL = frozenset({"ball", "bird", "cake", "cat", "cup", "flower", "hat", "lamp"})
"""Can stand on a support."""

USUAL: Mapping[str, tuple[str, str, str, str]] = {
    kind: tuple(COLOURS[(3 * index + step) % 8] for step in (0, 1, 3, 6))  # type: ignore[misc]
    for index, kind in enumerate(KINDS)
}
"""The four colours that the plain domain mostly gives a kind."""
HELD_OUT: Mapping[str, tuple[str, str]] = {
    kind: (COLOURS[(3 * index + 4) % 8], COLOURS[(3 * index + 7) % 8]) for index, kind in enumerate(KINDS)
}
"""Two colours a kind that no language model and no caption index ever meets on it."""
HOMES: Mapping[str, tuple[str, str, str]] = {
    kind: tuple(PLACES[(index + step) % 6] for step in (0, 2, 3))  # type: ignore[misc]
    for index, kind in enumerate(KINDS)
}
"""The three places where the plain domain mostly puts a kind."""

Style = Literal["plain", "ornate"]
Split = Literal["lm", "index", "clip", "dev", "test"]

SHARES: Mapping[Split, range] = {
    "lm": range(40), "index": range(40, 65), "clip": range(65, 85), "dev": range(85, 91), "test": range(91, 100),
}  # fmt: skip
"""Each scene key falls into one of a hundred buckets, and each bucket belongs to one split, whatever the domain or seed."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A kind of object in a colour."""

    kind: str
    colour: str

    @property
    def held_out(self) -> bool:
        """Whether this composition is kept from language models and indices."""
        return self.colour in HELD_OUT[self.kind]


@dataclass(frozen=True, slots=True)
class Scene:
    """What an image shows. Two scenes are the same if all of it is; where things stand to the pixel is not part of it."""

    place: str
    first: Thing
    count: int
    """How many of `first`, 1 to 3."""
    relation: str | None = None
    """How `first` stands to `second`; None without a second."""
    second: Thing | None = None

    @property
    def things(self) -> tuple[Thing, ...]:
        """What there is, each composition once."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def held_out(self) -> bool:
        """Whether it shows a composition that language models and indices never meet."""
        return any(thing.held_out for thing in self.things)

    @property
    def key(self) -> str:
        """All of it as one text: the unit that splits keep apart."""
        parts = [self.place, self.first.kind, self.first.colour, str(self.count)]
        if self.second is not None:
            parts += [str(self.relation), self.second.kind, self.second.colour]
        return "/".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for `Example.meta`."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Scene:
        """The inverse of `to_json`."""
        second = fields.get("second")
        return cls(
            fields["place"],
            Thing(**fields["first"]),
            fields["count"],
            fields.get("relation"),
            Thing(**second) if second else None,
        )


def split_of(scene: Scene) -> Split:
    """The split that a scene belongs to, by a hash of its key."""
    bucket = int.from_bytes(hashlib.blake2b(scene.key.encode(), digest_size=8).digest(), "big") % 100
    return next(split for split, share in SHARES.items() if bucket in share)


def scenes(style: Style, split: Split, seed: int = 0) -> Iterator[Scene]:
    """An endless stream of scenes as a domain has them, all of one split. The first n are the same however many follow.

    Scenes for language models and indices never show a held-out composition. Test and dev scenes are distinct; in the
    others frequent scenes come back, as frequent captions do.
    """
    rng = random.Random(f"toybox {style} {split} {seed}")
    seen: set[str] = set()
    while True:
        scene = _draw(rng, style)
        if split_of(scene) != split or (split in ("lm", "index") and scene.held_out):
            continue
        if split in ("dev", "test"):
            if scene.key in seen:
                continue
            seen.add(scene.key)
        yield scene


def _draw(rng: random.Random, style: Style) -> Scene:
    plain = style == "plain"
    first = _thing(rng, KINDS, plain)
    place = rng.choice(HOMES[first.kind]) if plain and rng.random() < 0.8 else rng.choice(PLACES)
    if rng.random() >= (0.6 if plain else 0.8):
        return Scene(place, first, rng.choice((1, 1, 2, 3)))
    choices = ["beside"]
    if first.kind in FLYERS:
        choices.append("above")
    if first.kind in SMALL:
        choices.append("on")
    relation = rng.choice(choices)
    alternatives = {
        "beside": [kind for kind in KINDS if kind != first.kind],
        "above": [kind for kind in KINDS if kind not in FLYERS],
        "on": sorted(SUPPORTS),
    }[relation]
    second = _thing(rng, alternatives, plain)
    count = rng.choice((1, 1, 2)) if relation == "on" else rng.choice((1, 1, 2, 3))
    return Scene(place, first, count, relation, second)


def _thing(rng: random.Random, kinds: tuple[str, ...] | list[str], plain: bool) -> Thing:
    kind = rng.choice(kinds)
    usual = rng.random() < (0.75 if plain else 0.3)
    return Thing(kind, rng.choice(USUAL[kind] if usual else COLOURS))
