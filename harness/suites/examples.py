"""An example is what is asked, a sample is what was answered; seeds tie the two to one draw."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decoders.errors import UnreadableImage
from decoders.models.images import ImageLike


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to be told: an image, a title, or both, with what people said about it."""

    id: str
    """Unique within its dataset; results are joined by it, never by position."""
    prompt: str = ""
    """The example's own words to start from (a story's title); a suite's prompt template may wrap it."""
    image: ImageLike | None = None
    """An image file, its bytes, or where to read them."""
    references: tuple[str, ...] = ()
    """What people wrote, as they wrote it."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the dataset knows (JSON values only), such as the scene behind a Toybox image."""

    @property
    def cluster(self) -> str:
        """What is drawn together when samples are resampled: all images that were found for one title, else the example."""
        retrieved = self.meta.get("retrieved")
        return str(retrieved["of"]) if isinstance(retrieved, Mapping) and "of" in retrieved else self.id


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an example has no text."""

    kind: str
    """The name of the error class, such as `UnreadableImage`."""
    message: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer to one example: a text, or a typed failure, never a failure dressed as a text."""

    example: Example
    draw: int = 0
    """Which of several draws of a sampling decoder this is, from 0."""
    text: str = ""
    tokens: tuple[int, ...] = ()
    finish: str = ""
    failure: Failure | None = None


def read_image(image: ImageLike) -> bytes:
    """The bytes of an image file, wherever it lies.

    Raises:
        UnreadableImage: it is not there, or what holds it is damaged.
    """
    if isinstance(image, bytes):
        return image
    if not isinstance(image, Path):
        return image.read()
    try:
        return image.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{image} cannot be read ({error.strerror}); expected an image file") from error


def ranked_id(title_id: str, rank: int) -> str:
    """The id of the example that a title's image of some rank makes: the first keeps the title's own."""
    return title_id if rank == 0 else f"{title_id}#{rank}"


def title_of(example_id: str) -> str:
    """The inverse of `ranked_id`, for a suite that has several images a title."""
    title, mark, rank = example_id.rpartition("#")
    return title if mark and rank.isdigit() else example_id


def seed_for(identity: str, example_id: str, draw: int) -> int:
    """The 64-bit seed of one draw: a hash of the run's identity, the example and the draw, so it needs no order."""
    key = f"{identity}\x1f{example_id}\x1f{draw}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
