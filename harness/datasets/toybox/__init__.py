"""Toybox, the embedded data set: drawn scenes in two hands (plain, ornate) and stories. Needs no download and no disk.

world.py       what scenes there are, and which split each belongs to
draw.py        a scene as an image
captions.py    a scene in words, and words back to claims
stories.py     a scene as a title and five sentences
recipe.py      training the tiny models of this world from random weights (with clip.py, language.py and gates.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from pydantic import Field

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.toybox.captions import references
from harness.datasets.toybox.draw import png
from harness.datasets.toybox.stories import About, story, title
from harness.datasets.toybox.world import Scene, Style, scenes
from harness.suites.examples import Example

__all__ = ["Toybox", "ToyboxOptions"]

Domain = Literal["plain", "ornate", "stories"]

IMAGE_SIZE = 192
"""Pixels of an example's image; models reduce it to what they take."""
DEFAULT_SIZES = {"dev": 256, "test": 256, "index": 1400, "lm": 3000}
"""Scenes of a split; each comes with five captions, or one story."""
LARGEST = 4096
"""Scenes that every split of every domain surely has."""


class ToyboxOptions(DatasetOptions):
    """`[data]` keys of Toybox."""

    domain: Domain
    """In which hand the references are written; stories are about plain scenes."""
    split: Literal["dev", "test", "lm", "index"] = "test"
    """No scene is in two splits, whatever the domains; `lm` and `index` never show a held-out composition."""
    size: int | None = Field(default=None, ge=1, le=LARGEST)
    """How many scenes; the first n are the same however many are asked for. None: 256 to decode, 1400 for an index."""
    compositions: Literal["all", "seen", "novel"] = "all"
    """Only scenes whose colours of things language models have seen, or only scenes with one they have not."""
    titles: About = "place"
    """What a story's title tells; the embedded language model was trained on places."""


class Toybox(Dataset):
    """Scenes with images, five captions or one story each, and what is truly to be seen under `meta["scene"]`."""

    Options = ToyboxOptions
    options: ToyboxOptions

    def examples(self) -> list[Example]:
        """The scenes in order. The id is the scene's key, so that the same scene has the same id in every selection.

        Drawing takes about 10 ms an image; a process draws each once.
        """
        return [self._example(number, scene, draw=True) for number, scene in enumerate(self._scenes())]

    def texts(self) -> list[Example]:
        """The same, without drawing anything."""
        return [self._example(number, scene, draw=False) for number, scene in enumerate(self._scenes())]

    def _example(self, number: int, scene: Scene, *, draw: bool) -> Example:
        options = self.options
        name = scene.key.replace("/", "-")
        return Example(
            id=f"{number:04d}-{name}" if options.split in ("lm", "index") else name,  # where scenes repeat
            prompt=title(scene, about=options.titles) if options.domain == "stories" else "",
            image=png(scene, IMAGE_SIZE) if draw else None,
            references=texts(scene, options.domain),
            meta={"scene": scene.to_json()},
        )

    def part(self, name: str) -> ToyboxOptions:
        """Language models learn from `lm`, and are chosen by all of `dev`."""
        split: Literal["lm", "dev"] = "lm" if name == "train" else "dev"
        return ToyboxOptions(domain=self.options.domain, split=split)

    def _scenes(self) -> Iterator[Scene]:
        options = self.options
        stream = scenes(style_of(options.domain), options.split)
        if options.compositions != "all":
            novel = options.compositions == "novel"
            if novel and options.split in ("lm", "index"):
                return iter(())  # by construction: these splits never show one
            stream = (scene for scene in stream if scene.held_out == novel)
        return islice(stream, options.size or DEFAULT_SIZES[options.split])


def style_of(domain: Domain) -> Style:
    """Whose scenes a domain shows."""
    return "ornate" if domain == "ornate" else "plain"


def texts(scene: Scene, domain: Domain) -> tuple[str, ...]:
    """What people wrote about a scene in a domain: five captions, or one story."""
    return (story(scene),) if domain == "stories" else references(scene, style_of(domain))
