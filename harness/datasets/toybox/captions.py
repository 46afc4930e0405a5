"""What people in the Toybox world write about a scene: five captions in a plain or an ornate hand."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from harness.datasets.toybox.world import COLOURS, KINDS, Scene, Style, Thing

T = TypeVar("T")

REFERENCES = 5
"""Captions an image has."""

PLURALS: Mapping[str, str] = {"butterfly": "butterflies", "bus": "buses", "coach": "coaches"}
NUMBERS = ("", "a", "two", "three")

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "boat": ("sailboat",), "bus": ("coach",), "car": ("automobile",), "cat": ("kitten",), "chair": ("stool",), "cup": ("mug",),
    "flower": ("blossom",), "hat": ("bonnet",), "house": ("cottage",), "lamp": ("lantern",), "table": ("desk",),
}  # fmt: skip
COLOUR_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "red": ("crimson",), "yellow": ("golden",), "green": ("emerald",), "blue": ("azure",), "purple": ("violet",),
    "pink": ("rosy",), "orange": ("amber",), "brown": ("chestnut",),
}  # fmt: skip
ADJECTIVES = ("lovely", "little", "bright", "charming", "curious", "handsome")

PLAIN_PLACES: Mapping[str, tuple[str, ...]] = {
    "beach": ("on the sand", "at the beach", "by the sea"),
    "grass": ("in the grass", "on a meadow", "on the green field"),
    "snow": ("in the snow", "on a snowy day", "in winter"),
    "street": ("in the street", "in the city", "on the road"),
    "room": ("in a room", "on the wooden floor", "inside"),
    "night": ("at night", "under the moon", "in the dark"),
}
ORNATE_PLACES: Mapping[str, tuple[str, ...]] = {
    "beach": ("along the sunny shore", "where the waves meet the sand"),
    "grass": ("amid the soft spring grass", "across a rolling meadow"),
    "snow": ("across the frozen ground", "beneath the falling snow"),
    "street": ("between the tall buildings", "along a busy avenue"),
    "room": ("inside a cosy room", "upon the polished floor"),
    "night": ("beneath a pale moon", "during a quiet starry night"),
}
PLAIN_RELATIONS: Mapping[str, tuple[str, ...]] = {
    "beside": ("next to", "beside", "near"),
    "above": ("above", "over"),
    "on": ("on", "on top of"),
}
ORNATE_RELATIONS: Mapping[str, tuple[str, ...]] = {
    "beside": ("close to", "alongside"),
    "above": ("high above", "floating over"),
    "on": ("perched on", "resting upon"),
}

PLAIN_TEMPLATES = (
    "{a} {rel} {b} {at}.",
    "There {is} {a} {rel} {b} {at}.",
    "{at}, {a} {rel} {b}.",
    "{a} {at} {rel} {b}.",
    "This is a picture of {a} {rel} {b} {at}.",
)
PLAIN_ALONE = ("{a} {at}.", "There {is} {a} {at}.", "{at}, {a}.", "This is a picture of {a} {at}.", "We see {a} {at}.")
ORNATE_TEMPLATES = (
    "{a} {waits} {rel} {b} {at}.",
    "{at}, {a} {waits} {rel} {b}.",
    "Here {at} {waits} {a} {rel} {b}.",
    "Behold {a} {rel} {b} {at}.",
    "How peacefully {a} {waits} {rel} {b} {at}.",
)
ORNATE_ALONE = (
    "{a} {waits} {at}.",
    "{at}, {a} {waits} alone.",
    "Here {at} {waits} {a}.",
    "Behold {a} {at}.",
    "How peacefully {a} {waits} {at}.",
)
VERBS = (("waits", "wait"), ("rests", "rest"), ("lingers", "linger"))

WORDS: Mapping[str, str] = {
    form: kind for kind in KINDS for word in (kind, *SYNONYMS.get(kind, ())) for form in (word, PLURALS.get(word, word + "s"))
}
"""Every word for a kind of thing, singular and plural, to the kind."""
COLOUR_WORDS: Mapping[str, str] = {word: colour for colour in COLOURS for word in (colour, *COLOUR_SYNONYMS.get(colour, ()))}
"""Every word for a colour, to the colour."""


def caption(scene: Scene, style: Style, rng: random.Random) -> str:
    """One caption.

    The random draws do not depend on what the scene shows, so that the same draws on a scene with one thing exchanged give
    the same caption with one word exchanged.
    """
    plain = style == "plain"
    template, first, second, place, relation, verb = (rng.random() for _ in range(6))
    forms = (PLAIN_TEMPLATES, PLAIN_ALONE) if plain else (ORNATE_TEMPLATES, ORNATE_ALONE)
    relations = PLAIN_RELATIONS if plain else ORNATE_RELATIONS
    text = _pick(forms[0] if scene.second else forms[1], template)
    several = scene.count > 1
    text = text.format(
        a=phrase(scene.first, scene.count, style, first),
        b=phrase(scene.second, 1, style, second) if scene.second else "",
        at=_pick((PLAIN_PLACES if plain else ORNATE_PLACES)[scene.place], place),
        rel=_pick(relations[scene.relation], relation) if scene.relation else "",
        waits=_pick(VERBS, verb)[several],
        **{"is": "are" if several else "is"},
    )
    return text[0].upper() + text[1:]


def references(scene: Scene, style: Style, seed: int = 0) -> tuple[str, ...]:
    """Five different captions of a scene."""
    rng = random.Random(f"references {style} {scene.key} {seed}")
    captions: dict[str, None] = {}
    while len(captions) < REFERENCES:
        captions[caption(scene, style, rng)] = None
    return tuple(captions)


def phrase(thing: Thing, count: int, style: Style, draw: float) -> str:
    """A thing in words, such as `two lovely crimson kittens`; `draw` in [0, 1) decides the choice of words."""
    kind, colour, adjective = thing.kind, thing.colour, ""
    if style == "ornate":
        choice = random.Random(str(draw))
        if choice.random() < 0.5:
            kind = choice.choice(SYNONYMS.get(kind, (kind,)))
        if choice.random() < 0.5:
            colour = choice.choice(COLOUR_SYNONYMS[colour])
        if choice.random() < 0.4:
            adjective = choice.choice(ADJECTIVES) + " "
    words = f"{adjective}{colour} {kind if count == 1 else PLURALS.get(kind, kind + 's')}"
    if count > 1:
        return f"{NUMBERS[count]} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def claims(text: str) -> list[tuple[str, str | None]]:
    """What a text says there is: (kind, colour) for each noun of the world, with None where no colour goes with it.

    A colour belongs to the next noun after it, across adjectives but not across punctuation or another noun.
    """
    things: list[tuple[str, str | None]] = []
    colour: str | None = None
    for token in re.findall(r"[a-z]+|[^\sa-z]", text.lower()):
        if token in COLOUR_WORDS:
            colour = COLOUR_WORDS[token]
        elif token in WORDS:
            things.append((WORDS[token], colour))
            colour = None
        elif not token.isalpha():
            colour = None
    return things


def _pick(choices: Sequence[T], draw: float) -> T:
    return choices[int(draw * len(choices))]
