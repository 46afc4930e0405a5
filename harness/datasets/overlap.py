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


def same_examples(first: Iterable[Example], second: Iterable[Example]) -> list[str]:
    """Ids of examples that are in both: the same id and a text in common.

    The name alone proves little: train/1.jpg and test/1.jpg are two images. A number proves nothing, as it may be a place in a
    list; there all texts must be the same, and several. Where one of the two has no texts, a name has to do.
    """
    known = {example.id: example for example in second}
    return [example.id for example in first if example.id in known and _same(example, known[example.id])]


def _same(first: Example, second: Example) -> bool:
    first_references, second_references = folded(first.references), folded(second.references)
    if first.id.isdigit():
        return len(first_references) >= _SEVERAL and first_references == second_references
    return not first_references.isdisjoint(second_references) if first_references and second_references else True


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


def check_apart(first: Sequence[Example], second: Sequence[Example], name: str, second_name: str) -> list[str]:
    """Refuse two parts that share data.

    Args:
        first: a part.
        second: another.
        name: what the first is called in messages.
        second_name: what the second is called.

    Returns:
        What the user should know: how many texts are equal.

    Raises:
        DataError: naming what is in both.
    """
    remedy = f"take the {name} data from another split than the {second_name} data"
    if shared := same_examples(first, second):
        raise DataError(f"{len(shared)} {name} examples are {second_name} examples too, such as {shared[0]!r}; {remedy}")
    if twice := _shared_images(_images(first), _images(second)):
        raise DataError(f"{len(twice)} {name} images are {second_name} images too, such as {twice[0]}; {remedy}")
    sets = {folded(example.references) for example in second}
    same = [example for example in first if len(set(example.references)) >= _SEVERAL and folded(example.references) in sets]
    first_texts, second_texts = (
        {_words(text): text for example in part for text in example.references} for part in (first, second)
    )
    common = [words for words in first_texts if words in second_texts]
    long = [
        text
        for example in first
        if second_texts.keys() >= folded(example.references)
        for text in example.references
        if _is_long(text)
    ]
    if common and len(common) > _MOST * min(len(first_texts), len(second_texts)):
        raise DataError(
            f"{len(common)} of {len(first_texts)} different {name} texts are {second_name} texts too, such as "
            f"{first_texts[common[0]][:80]!r}; {remedy}"
        )
    if long:
        raise DataError(f"{len(long)} long {name} texts are {second_name} texts too, such as {long[0][:80]!r}; {remedy}")
    if same:
        raise DataError(
            f"{len(same)} {name} examples have exactly the texts of {second_name} examples, such as "
            f"{same[0].references[0][:80]!r}; {remedy}"
        )
    return [f"{len(common)} of {len(first_texts)} different {name} texts are {second_name} texts too"] if common else []


def _is_long(text: str) -> bool:
    return len(text.split()) >= _LONG


def folded(texts: Iterable[str]) -> frozenset[str]:
    """Texts as they are compared: without case, and with single spaces."""
    return frozenset(_words(text) for text in texts)


def _images(examples: Iterable[Example]) -> list[ImageLike]:
    return [example.image for example in examples if example.image is not None]


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _shared_images(first: Sequence[ImageLike], second: Sequence[ImageLike]) -> list[str]:
    """Images of the first that are among the second: the same file, or other files of the same bytes."""
    paths = {str(image.resolve()) for image in second if isinstance(image, Path)}
    sizes: dict[int, list[ImageLike]] = {}
    for image in second:
        if (size := _size(image)) is not None:
            sizes.setdefault(size, []).append(image)
    digests: dict[int, set[str]] = {}  # of the others, by size, where a size occurs on both sides
    shared = []
    for image in first:
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
