"""CHAIR: how much of what a caption names is not in the image (Rohrbach et al. 2018, arXiv 1809.02156).

CHAIR-i is the share of named objects that are not there, CHAIR-s the share of captions that name at least one such. What is
there are the instance annotations of MS-COCO and whatever the references name. The words for its 80 categories are a list of
our own (`coco_objects.txt`), not the authors'; a list in their format can be given, and the signature says which was used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import MetricError, MetricUnavailable
from harness.metrics.base import Metric, MetricConfig, Output
from harness.suites.examples import Example, Sample
from harness.suites.provenance import Signature

OWN_LIST = "coco_objects.txt"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_NUMBER = re.compile(r"(\d+)$")


class ChairConfig(MetricConfig):
    """What is there, and which words name it."""

    instances: Path | None = None
    """COCO's instance annotations, such as `annotations/instances_val2014.json`."""
    synonyms: Path | None = None
    """A category a line, then its synonyms, separated by commas (the authors' `synonyms.txt` has this form); ours if left out."""
    count: Literal["mentions", "objects"] = "mentions"
    """What CHAIR-i counts: every mention, as the authors' program does, or every object a caption names once."""


class Chair(Metric):
    """CHAIR-i and CHAIR-s, object hallucination on MS-COCO; lower is better.

    A caption that names nothing hallucinates nothing, so read it beside a measure of what was said.
    """

    Config = ChairConfig
    config: ChairConfig

    row_names = ("hallucinated-objects", "named-objects", "hallucinating-texts", "texts")

    @property
    def outputs(self) -> tuple[Output, ...]:
        """CHAIR-i and CHAIR-s."""
        return (Output("chair-i", higher_is_better=False), Output("chair-s", higher_is_better=False))

    def variant(self) -> str:
        """The content of the files."""
        try:
            return " ".join(_digest(path) for path in (self.config.instances, self.config.synonyms) if path)
        except MetricError:
            return "missing"  # `rows` says what

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Objects named that are not there, objects named, whether any is not there, 1: `[n, 4]`.

        NaN for failed samples and for images that the annotations do not know.

        Raises:
            MetricUnavailable: no annotations were given.
            MetricError: a file is missing or not in its format, or no image is among the annotated ones.
        """
        if self.config.instances is None:
            raise MetricUnavailable(
                'CHAIR needs to know what is in each image; write instances = "annotations/instances_val2014.json" (from '
                "COCO's annotations) under [metrics.chair]"
            )
        words = self._lexicon()
        annotated = read_instances(self.config.instances, _digest(self.config.instances))
        present: dict[str, frozenset[str] | None] = {}
        rows = np.full((len(samples), 4), np.nan)
        for row, sample in zip(rows, samples, strict=True):
            example = sample.example
            if example.id not in present:
                present[example.id] = _objects_in_image(example, annotated, words)
            truth = present[example.id]
            if sample.failure is None and truth is not None:
                named = words.mentions(sample.text)
                if self.config.count == "objects":
                    named = list(dict.fromkeys(named))
                wrong = sum(name not in truth for name in named)
                row[:] = wrong, len(named), wrong > 0, 1
        if samples and all(truth is None for truth in present.values()):
            raise MetricError(
                f"none of the images is in {self.config.instances}; image {samples[0].example.id!r} was looked for by file name "
                "and by number. Give the annotations of the split that is described"
            )
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares; CHAIR-i is not defined where nothing is named."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]], axis=-1)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Everything named is wrong."""
        named = float(rows[:, 1].max(initial=1.0))
        return np.array([named, named, 1.0, 1.0])

    def signature(self) -> Signature:
        """Word list, annotations, and what is counted."""
        words = "own" if self.config.synonyms is None else "given"
        annotated = _digest(self.config.instances)[:8] if self.config.instances else "none"
        fields = {"words": f"{words}+{self._lexicon().digest[:8]}", "truth": f"instances+{annotated},references"}
        return Signature.of("chair", {**fields, "count": self.config.count})

    def _lexicon(self) -> Lexicon:
        path = self.config.synonyms
        return read_lexicon(path, _digest(path) if path else "")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and phrases for objects."""

    names: Mapping[tuple[str, ...], str | None]
    """Words in lower case to the category they name; None for a phrase that names none although a part of it would."""
    longest: int
    """Words of the longest phrase."""
    digest: str
    """SHA-256 of the list."""

    def mentions(self, text: str) -> list[str]:
        """The categories that a text names, in order, with repetitions; the longest phrase wins, left to right."""
        words = _WORD.findall(text.lower().replace("’", "'"))
        objects: list[str] = []
        at = 0
        while at < len(words):
            for length in range(min(self.longest, len(words) - at), 0, -1):
                phrase = self._known(tuple(words[at : at + length]))
                if phrase is not None:
                    if name := self.names[phrase]:
                        objects.append(name)
                    at += length
                    break
            else:
                at += 1
        return objects

    def _known(self, phrase: tuple[str, ...]) -> tuple[str, ...] | None:
        """The phrase as the list has it: as it stands, or with its last word in the singular."""
        options = ((*phrase[:-1], word) for word in _singulars(phrase[-1]))
        return next((option for option in options if option in self.names), None)


def _singulars(word: str) -> Iterator[str]:
    """The word, then what it may be the plural or the possessive of."""
    yield word
    if word.endswith("'s"):
        yield word[:-2]
    if word.endswith("ves"):
        yield from (word[:-3] + "f", word[:-3] + "fe")
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]


@lru_cache(maxsize=8)
def read_lexicon(path: Path | None, digest: str) -> Lexicon:
    """Read a list of words; our own without a path. `digest` is of its content, so that a list that changes is read again.

    Raises:
        MetricError: it cannot be read, or names no category.
    """
    try:
        own = resources.files("harness.metrics") / OWN_LIST
        content = own.read_bytes() if path is None else path.read_bytes()
        lines = content.decode("utf-8-sig").lower().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MetricError(f"the words for objects cannot be read: {error}; expected a category a line") from error
    names: dict[tuple[str, ...], str | None] = {}
    for line in lines:
        entries = [entry.strip() for entry in line.lstrip("- ").split(",") if entry.strip()]
        if not entries or line.startswith("#"):
            continue
        for entry in entries:
            phrase, _, meant = entry.partition("=")
            key = tuple(_WORD.findall(phrase))
            if key:
                names[key] = (meant.strip() or None) if line.startswith("-") else entries[0]
    if not any(names.values()):
        raise MetricError(f"{path} names no category; expected lines such as `dog, puppy, hound`")
    return Lexicon(names, max(map(len, names)), digest or hashlib.sha256(content).hexdigest())


@lru_cache(maxsize=4)
def read_instances(path: Path, digest: str) -> Mapping[str, frozenset[str]]:
    """The categories in each image of a COCO instances file, by file name, by its stem, and by number as text.

    Raises:
        MetricError: it is not in that format.
    """
    del digest  # a file that changes is read again
    try:
        document: Any = json.loads(path.read_bytes())
        names = {category["id"]: str(category["name"]).lower() for category in document["categories"]}
        objects_of: dict[int, set[str]] = {image["id"]: set() for image in document["images"]}
        for annotation in document["annotations"]:
            objects_of.setdefault(annotation["image_id"], set()).add(names[annotation["category_id"]])
        files = {image["id"]: str(image.get("file_name", "")) for image in document["images"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricError(
            f"{path} is no file of COCO instance annotations ({type(error).__name__}: {error}); expected images, annotations "
            "and categories, as in instances_val2014.json"
        ) from error
    by_key: dict[str, frozenset[str]] = {}
    for number, objects in objects_of.items():
        name = files.get(number, "")
        for key in (str(number), name, Path(name).stem):
            if key:
                by_key[key] = frozenset(objects)
    return by_key


def _objects_in_image(example: Example, annotated: Mapping[str, frozenset[str]], words: Lexicon) -> frozenset[str] | None:
    """What is in an example's image; None if the annotations do not know the image."""
    keys = [example.id, Path(example.id).stem]
    if example.image is not None and not isinstance(example.image, bytes):
        keys += [example.image.name, Path(example.image.name).stem]
    # COCO_val2014_000000336777 is image 336777, whichever split's name precedes it.
    keys += [str(int(match[1])) for key in keys if (match := _NUMBER.search(key))]
    known = next((annotated[key] for key in keys if key in annotated), None)
    return None if known is None else known | _named(example.references, words)


def _named(texts: Iterable[str], words: Lexicon) -> frozenset[str]:
    return frozenset(name for text in texts for name in words.mentions(text))


def _digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        MetricError: it cannot be read.
    """
    try:
        stat = path.stat()
        return _content_digest(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise MetricError(f"{path} cannot be read ({error.strerror}); relative paths start at the suite's folder") from error


@lru_cache(maxsize=16)
def _content_digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
