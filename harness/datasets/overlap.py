"""Two parts of a corpus that must not share data: test data must be neither training data nor captions to retrieve.

Single captions may be equal by chance ("A man riding a wave on a surfboard.") and are counted, not refused. What is not
chance: the same example, the same image, the same set of captions, the same long text, or most of the texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from decoders.models.images import ImageLike
from harness.errors import DataError, UnreadableImage
from harness.suites.examples import Example, read_image

_LONG = 20
"""Words of a text that nobody writes twice. Among several captions of an image it may be a phrase that somebody pasted, so all
texts of its example have to be in both."""
_SEVERAL = 3
"""Different captions of an image that are hardly all those of another."""
_MOST = 0.5
"""Share of different texts above which two parts are taken for the same."""


def same_examples(one: Iterable[Example], other: Iterable[Example]) -> list[str]:
    """Ids of examples that are in both: the same id and a text in common.

    The name alone proves little: train/1.jpg and test/1.jpg are two images. A number proves nothing, as it may be a place in a
    list; there all texts must be the same, and several. Where one of the two has no texts, a name has to do.
    """
    known = {example.id: example for example in other}
    return [example.id for example in one if example.id in known and _same(example, known[example.id])]


def _same(one: Example, other: Example) -> bool:
    ours, theirs = folded(one.references), folded(other.references)
    if one.id.isdigit():
        return len(ours) >= _SEVERAL and ours == theirs
    return not ours.isdisjoint(theirs) if ours and theirs else True


def refuse_shared(tested: Sequence[Example], offered: Sequence[Example], suite: str) -> None:
    """Refuse captions to choose from that hold what a suite tests on.

    Args:
        tested: the suite's own examples.
        offered: those whose captions retrieval chooses from.
        suite: its name, for the message.

    Raises:
        DataError: naming some of what is in both.
    """
    if shared := same_examples(tested, offered):
        raise DataError(
            f"{len(shared)} of the {len(tested)} examples that suite {suite!r} tests are in its [captions] too, such as "
            f"{shared[0]!r}: the right answer would be there to choose. Take another split in one of them"
        )


def check_apart(one: Sequence[Example], other: Sequence[Example], name: str, other_name: str) -> list[str]:
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
    if shared := same_examples(one, other):
        raise DataError(f"{len(shared)} {name} examples are {other_name} examples too, such as {shared[0]!r}; {remedy}")
    if twice := _shared_images(_images(one), _images(other)):
        raise DataError(f"{len(twice)} {name} images are {other_name} images too, such as {twice[0]}; {remedy}")
    sets = {folded(example.references) for example in other}
    same = [example for example in one if len(set(example.references)) >= _SEVERAL and folded(example.references) in sets]
    mine, theirs = ({_words(text): text for example in part for text in example.references} for part in (one, other))
    both = [words for words in mine if words in theirs]
    long = [
        text for example in one if theirs.keys() >= folded(example.references) for text in example.references if _is_long(text)
    ]
    if both and len(both) > _MOST * min(len(mine), len(theirs)):
        raise DataError(
            f"{len(both)} of {len(mine)} different {name} texts are {other_name} texts too, such as "
            f"{mine[both[0]][:80]!r}; {remedy}"
        )
    if long:
        raise DataError(f"{len(long)} long {name} texts are {other_name} texts too, such as {long[0][:80]!r}; {remedy}")
    if same:
        raise DataError(
            f"{len(same)} {name} examples have the very texts of {other_name} examples, such as "
            f"{same[0].references[0][:80]!r}; {remedy}"
        )
    return [f"{len(both)} of {len(mine)} different {name} texts are {other_name} texts too"] if both else []


def _is_long(text: str) -> bool:
    return len(text.split()) >= _LONG


def folded(texts: Iterable[str]) -> frozenset[str]:
    """Texts as they are compared: without case, and with single spaces."""
    return frozenset(_words(text) for text in texts)


def _images(examples: Iterable[Example]) -> list[ImageLike]:
    return [example.image for example in examples if example.image is not None]


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
    shared = []
    for image in one:
        size = _size(image)
        if isinstance(image, Path) and str(image.resolve()) in paths:
            shared.append(str(image))
        elif size in sizes:
            if size not in digests:
                digests[size] = {_hash(same_size) for same_size in sizes[size]}
            if _hash(image) in digests[size]:
                shared.append("one that is no file" if isinstance(image, bytes) else str(image))
    return shared


def _size(image: ImageLike) -> int | None:
    """Bytes of an image; None for one that cannot be read."""
    try:
        return image.stat().st_size if isinstance(image, Path) else len(read_image(image))
    except (OSError, UnreadableImage):
        return None


def _hash(image: ImageLike) -> str:
    return hashlib.sha256(read_image(image)).hexdigest()
