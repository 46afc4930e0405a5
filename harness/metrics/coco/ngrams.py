"""n-grams as numbers: every reference set is counted once, and systems are compared with it by sorted look-ups.

An n-gram of order n is the pair (n-gram of order n-1, next word), so its id follows from the id of its beginning. Ids of
reference n-grams are ranks among all of them; what only a system says gets ids after those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ORDERS = 4
_SHIFT = np.int64(2**31)


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each text says each n-gram of one order: parallel arrays, sorted by text, then by n-gram."""

    text: Ints
    gram: Ints
    count: Ints


class References:
    """The tokenised references of a data set, counted.

    Args:
        tokens: for each image its references, each as tokens joined by spaces.
    """

    def __init__(self, tokens: Sequence[Sequence[str]]) -> None:
        self.tokens = tuple(tuple(texts) for texts in tokens)
        self.per_image: Ints = np.array([len(texts) for texts in self.tokens], np.int64)
        self.first: Ints = np.concatenate([[0], np.cumsum(self.per_image)]).astype(np.int64)
        """Row of each image's first reference; one more at the end."""
        self.image_of: Ints = np.repeat(np.arange(len(self.tokens)), self.per_image)
        self.words: dict[str, int] = {}
        self._keys: list[Ints] = []
        flat = [reference.split() for texts in self.tokens for reference in texts]
        self.lengths: Ints = np.array([len(text) for text in flat], np.int64)
        self.counts: list[Counts] = self._count(flat)

    @cached_property
    def digest(self) -> str:
        """Hash of all tokens, in order."""
        return hashlib.sha256("\x1e".join("\x1f".join(texts) for texts in self.tokens).encode()).hexdigest()

    @cached_property
    def document_frequency(self) -> list[Floats]:
        """For each order, in how many images each reference n-gram occurs."""
        frequencies = []
        for counts, keys in zip(self.counts, self._keys, strict=True):
            pairs = np.sort(self.image_of[counts.text] * _SHIFT + counts.gram)
            grams = pairs[np.diff(pairs, prepend=-1) != 0] % _SHIFT
            frequencies.append(np.bincount(grams, minlength=len(keys)).astype(np.float64))
        return frequencies

    @cached_property
    def most_in_one(self) -> list[tuple[Ints, Ints]]:
        """For each order, sorted (image, n-gram) keys and the most that a single reference of the image says it."""
        parts = []
        for counts in self.counts:
            keys, inverse = np.unique(self.image_of[counts.text] * _SHIFT + counts.gram, return_inverse=True)
            most = np.zeros(len(keys), np.int64)
            np.maximum.at(most, inverse, counts.count)
            parts.append((keys, most))
        return parts

    def count_others(self, texts: Sequence[str]) -> tuple[Ints, list[Counts]]:
        """Lengths and n-gram counts of other texts, n-grams that they share with the references under the same ids."""
        flat = [text.split() for text in texts]
        fresh: dict[str, int] = {}
        words = [
            self.words[word] if word in self.words else fresh.setdefault(word, len(self.words) + len(fresh))
            for text in flat
            for word in text
        ]
        lengths = np.array([len(text) for text in flat], np.int64)
        text = np.repeat(np.arange(len(flat)), lengths)
        parts = []
        gram: Ints = np.zeros(len(words), np.int64)
        word = np.array(words, np.int64)
        for order in range(ORDERS):
            text, gram, keys = _next_order(text, gram, word, order)
            gram = _ids_among(self._keys[order], keys)
            parts.append(_tally(text, gram))
        return lengths, parts

    def _count(self, flat: Sequence[Sequence[str]]) -> list[Counts]:
        word = np.array([self.words.setdefault(token, len(self.words)) for text in flat for token in text], np.int64)
        text = np.repeat(np.arange(len(flat)), self.lengths)
        gram: Ints = np.zeros(len(word), np.int64)
        parts = []
        for order in range(ORDERS):
            text, gram, keys = _next_order(text, gram, word, order)
            known, gram = np.unique(keys, return_inverse=True)
            self._keys.append(known)
            parts.append(_tally(text, gram))
        return parts


def _next_order(text: Ints, gram: Ints, word: Ints, order: int) -> tuple[Ints, Ints, Ints]:
    """From the n-grams that start at each place to keys of those one word longer; the last place of each text goes.

    Returns:
        The text of each place that is left, its n-gram, and the key of the longer one: a pair of overlapping n-grams.
    """
    if order == 0:
        return text, gram, word
    left = np.flatnonzero(text[:-1] == text[1:])
    return text[left], gram[left], gram[left] * _SHIFT + gram[left + 1]


def _ids_among(known: Ints, keys: Ints) -> Ints:
    """Rank of each key among the known ones; unknown keys get numbers after them, equal keys the same."""
    if not len(known):
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    hit = known[place] == keys
    ids = place.astype(np.int64)
    ids[~hit] = len(known) + np.unique(keys[~hit], return_inverse=True)[1]
    return ids


def _tally(text: Ints, gram: Ints) -> Counts:
    keys, count = np.unique(text * _SHIFT + gram, return_counts=True)
    return Counts(keys // _SHIFT, keys % _SHIFT, count.astype(np.int64))


def look_up(keys: Ints, values: NDArray[np.generic], wanted: Ints) -> NDArray[np.generic]:
    """The value of each wanted key among sorted keys, 0 where it is not there."""
    if not len(keys):
        return np.zeros(len(wanted), values.dtype)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], values.dtype.type(0))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by bit-parallel dynamic programming (Hyyrö 2004)."""
    where: dict[str, int] = {}
    for place, word in enumerate(first):
        where[word] = where.get(word, 0) | (1 << place)
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        hits = row & where.get(word, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(first) - row.bit_count()
