"""Two parts of a corpus that must not share data: the best checkpoint is not to be chosen by what is tested on.

Single captions may be equal by chance ("A man riding a wave on a surfboard.") and are counted, not refused. What is no
chance: the same image, the same set of captions, the same long text, or most of the texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from decoders.base import ImageLike
from harness.errors import DataError, UnreadableImage
from harness.examples import Example, read_image

_LONG = 20
"""Words of a text that nobody writes twice."""
_SEVERAL = 3
"""Different captions of an image that are hardly all those of another."""
_MOST = 0.5
"""Share of different texts above which two parts are taken for the same."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a part of a corpus holds."""

    pairs: Sequence[tuple[str, str]]
    images: Sequence[ImageLike]
    groups: Sequence[tuple[str, ...]]
    """The texts of each image; they are known as one only where the examples were looked at."""


def held(examples: Iterable[Example]) -> Held:
    """Of examples, what is compared."""
    pairs: list[tuple[str, str]] = []
    images: list[ImageLike] = []
    groups: list[tuple[str, ...]] = []
    for example in examples:
        pairs += [(example.prompt, text) for text in example.references]
        groups.append(example.references)
        if example.image is not None:
            images.append(example.image)
    return Held(pairs, images, groups)


def check_apart(one: Held, other: Held, name: str, other_name: str) -> list[str]:
    """Refuse two parts that share data.

    Args:
        one: a part.
        other: another.
        name: what the first is called in messages.
        other_name: what the second is called.

    Returns:
        What the user should know: how many texts are equal.

    Raises:
        DataError: naming what is in both.
    """
    remedy = f"take the {name} data from another split than the {other_name} data"
    if twice := _shared_images(one.images, other.images):
        raise DataError(f"{len(twice)} {name} images are {other_name} images too, such as {twice[0]}; {remedy}")
    sets = {_fold(group) for group in other.groups}
    same = [group for group in one.groups if len(set(group)) >= _SEVERAL and _fold(group) in sets]
    mine, theirs = ({_words(text): text for _, text in part.pairs} for part in (one, other))
    both = [words for words in mine if words in theirs]
    long = [mine[words] for words in both if len(words.split()) >= _LONG]
    if both and len(both) > _MOST * min(len(mine), len(theirs)):
        raise DataError(
            f"{len(both)} of {len(mine)} different {name} texts are {other_name} texts too, such as "
            f"{mine[both[0]][:80]!r}; {remedy}"
        )
    if long:
        raise DataError(f"{len(long)} long {name} texts are {other_name} texts too, such as {long[0][:80]!r}; {remedy}")
    if same:
        raise DataError(
            f"{len(same)} {name} examples have the very texts of {other_name} examples, such as {same[0][0][:80]!r}; {remedy}"
        )
    return [f"{len(both)} of {len(mine)} different {name} texts are {other_name} texts too"] if both else []


def _fold(group: Sequence[str]) -> frozenset[str]:
    return frozenset(_words(text) for text in group)


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _shared_images(one: Sequence[ImageLike], other: Sequence[ImageLike]) -> list[str]:
    """Images of the first that are among the second: the same file, or other files of the same bytes."""
    paths = {str(image.resolve()) for image in other if isinstance(image, Path)}
    sizes: dict[int, list[ImageLike]] = {}
    for image in other:
        if (size := _size(image)) is not None:
            sizes.setdefault(size, []).append(image)
    digests: dict[int, set[str]] = {}  # of the others, by size, where a size occurs on both sides
    found = []
    for image in one:
        size = _size(image)
        if isinstance(image, Path) and str(image.resolve()) in paths:
            found.append(str(image))
        elif size in sizes:
            if size not in digests:
                digests[size] = {_hash(each) for each in sizes[size]}
            if _hash(image) in digests[size]:
                found.append("one that is no file" if isinstance(image, bytes) else str(image))
    return found


def _size(image: ImageLike) -> int | None:
    """Bytes of an image; None for one that cannot be read."""
    try:
        return image.stat().st_size if isinstance(image, Path) else len(read_image(image))
    except (OSError, UnreadableImage):
        return None


def _hash(image: ImageLike) -> str:
    return hashlib.sha256(read_image(image)).hexdigest()
