"""METEOR's paraphrases, narrowed to those that could match: its table has five million pairs, a data set needs some thousands.

Loading the whole table takes METEOR most of its time and more than a gigabyte. A pair can only match where one phrase stands
in a reference and the other in a text, so the rest may go without moving a score. The table is unpacked once a machine, into
an index of keys and lines; that is read once a reference set; what is left is kept by content, and narrowed further to the
texts at hand whenever METEOR starts. Both lie under `$SEETELL_CACHE`.

Phrases are compared by their letters and digits alone, `[a-z0-9]` in order with all else dropped. METEOR normalises texts
before it looks phrases up: it splits and replaces punctuation, but leaves those characters and their order alone. So whatever
it would match has equal keys here, and phrases that only look alike are kept too many, never too few.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import MetricError
from harness.store.runs import cache_folder, replacing, write_bytes

Keys = NDArray[np.uint32]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

LONGEST = 40
"""Words of the longest phrase looked up by its key; those that could be longer are kept unseen."""
NOTHING = np.uint32(0)
"""Key of a phrase without letters and digits, or of a very long one: it counts as standing everywhere."""

_LAYOUT = 2
_ARRAYS = ("first", "second", "first_asked", "second_asked", "start", "lines")
_READ = 1 << 18
_CHUNK = 1 << 18
_BLOCK = 1 << 22
"""Bytes of lines a block of the index holds at least."""
_MAGIC = f"SeeTell paraphrases {_LAYOUT}.1\n".encode()
_HEAD = struct.Struct("<QQI")
"""Of a block: records, bytes of their lines, checksum of what follows."""
_ABANDONED = 3600.0
"""Seconds after which a half-written index is nobody's any more."""
_NEWLINE = 10
_MULTIPLIER = 0x9E3779B1
_INVERSE = pow(_MULTIPLIER, -1, 1 << 32)

_ENTITY = re.compile("&(?:quot|apos|lt|gt|amp);", re.IGNORECASE)
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"
_IS_LETTER = np.zeros(256, np.bool_)
_IS_LETTER[list(_LETTERS)] = True
_NEITHER_LETTER_NOR_END = bytes(sorted(set(range(256)) - set(_LETTERS) - {_NEWLINE}))


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """The pairs of the table of which at least one phrase is in a reference."""

    first: Keys
    second: Keys
    first_asked: Bools
    """Whether the first phrase of each pair is in a reference."""
    second_asked: Bools
    start: Ints
    """Where the lines of each pair start in `lines`; one more at the end."""
    lines: Bytes
    """Three lines a pair as in the table: probability, first phrase, second phrase."""

    def table(self, texts: Sequence[str]) -> bytes:
        """What METEOR needs for these texts, as the gzipped file it reads."""
        text_keys = phrase_keys(texts)
        kept = (_among(self.first, text_keys) & self.second_asked) | (_among(self.second, text_keys) & self.first_asked)
        where = np.flatnonzero(kept)
        return gzip.compress(_gather(self.lines, self.start[where], self.start[where + 1]).tobytes(), 1, mtime=0)


def narrowed(table: Path, references: Sequence[str], digest: str) -> Paraphrases:
    """The paraphrases that references can match, from the cache, else from the index, else from the table (some seconds).

    Args:
        table: `paraphrase-en.gz` as METEOR ships it: three lines a pair, probability and two phrases.
        references: all references, tokenised.
        digest: of their content.

    Raises:
        MetricError: the table is damaged.
    """
    path = cache_folder() / "paraphrases" / f"{_name(table, digest)}.npz"
    selected = _read(path)
    if selected is None:
        selected = _select(table, phrase_keys(references))
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            write_bytes(path, _packed(selected))
    return selected


def phrase_keys(texts: Iterable[str]) -> Keys:
    """Keys of all phrases of up to `LONGEST` words in the texts, sorted, each once; `NOTHING` is always among them.

    A word is a run of letters and digits here. METEOR reads `&lt;` and its like as the sign they stand for.
    """
    texts = list(texts)
    texts += [_ENTITY.sub(" ", text) for text in texts if "&" in text]
    plain = np.frombuffer("\n".join(texts).lower().encode("utf-8", "replace") + b"\n", np.uint8)
    letter = _IS_LETTER[plain]
    edges = np.diff(letter.astype(np.int8), prepend=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    line = np.cumsum(plain == _NEWLINE)[starts]
    hashes = _Hashes(plain[letter])
    passed = np.concatenate([[0], np.cumsum(letter)])
    starts, ends = passed[starts], passed[ends]
    parts = [np.array([NOTHING])]
    for words in range(1, LONGEST + 1):
        whole = np.flatnonzero(line[words - 1 :] == line[: max(0, len(line) - words + 1)])
        if not len(whole):
            break
        parts.append(hashes.between(starts[whole], ends[whole + words - 1]))
    keys = np.sort(np.concatenate(parts))
    first = np.diff(keys, prepend=keys[:1] - np.uint32(1)) != 0
    distinct: Keys = keys[first]
    return distinct


class _Hashes:
    """Polynomial hashes modulo 2**32 of any stretch of bytes, from running sums."""

    def __init__(self, letters: Bytes) -> None:
        self._sums = np.zeros(len(letters) + 1, np.uint32)
        np.multiply(letters, _powers(_MULTIPLIER, len(letters)), out=self._sums[1:])
        np.cumsum(self._sums, out=self._sums)

    def between(self, start: Ints, end: Ints) -> Keys:
        """Of the letters from `start` up to `end`, wherever they stand."""
        keys: Keys = (self._sums[end] - self._sums[start]) * _powers(_INVERSE, len(self._sums))[start]
        return keys


_POWERS: dict[int, Keys] = {}


def _powers(base: int, count: int) -> Keys:
    """base**0, base**1, ..., modulo 2**32."""
    if base not in _POWERS or len(_POWERS[base]) < count:
        factors = np.full(max(count, 2 * _CHUNK), base, np.uint32)
        factors[0] = 1
        _POWERS[base] = np.cumprod(factors, dtype=np.uint32)
    return _POWERS[base][:count]


def _among(keys: Keys, known: Keys) -> Bools:
    """Which keys are among the known, sorted ones."""
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    hits: Bools = known[place] == keys
    return hits


class _Sieve:
    """As `_among`, for many keys of which few are known: most fall through a table of bits."""

    BITS = 24

    def __init__(self, known: Keys) -> None:
        self._known = known
        self._bits = np.zeros(1 << self.BITS, np.bool_)
        self._bits[self._place(known)] = True

    def __call__(self, keys: Keys) -> Bools:
        hits = self._bits[self._place(keys)]
        maybe = np.flatnonzero(hits)
        hits[maybe] = _among(keys[maybe], self._known)
        return hits

    def _place(self, keys: Keys) -> Keys:
        return keys >> np.uint32(32 - self.BITS)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some records of the table, one after the other."""

    first: Keys
    second: Keys
    sizes: Keys
    """Bytes of each record."""
    lines: bytes


class _Torn(Exception):
    """An index that is of another layout, cut short or damaged."""


def _select(table: Path, wanted: Keys) -> Paraphrases:
    # Two sieves, one after the other. Here: a pair stays if one of its phrases is in any reference, which is the same for
    # every system of a suite and is kept on disk. Later, in `Paraphrases.table`: of these, a pair stays if its other phrase
    # is in a text at hand. Both only ever keep too much, since phrases are compared by 32-bit hashes of their letters.
    sieve = _Sieve(wanted)
    path = cache_folder() / "paraphrases" / f"{_identity(table)}.index"
    try:
        parts = [_select_from(block, sieve) for block in _indexed(path)]
    except (OSError, _Torn):
        parts = [_select_from(block, sieve) for block in _indexing(_blocks(table), path)]
    if not parts:
        raise MetricError(f"{table} holds no paraphrases; reinstall pycocoevalcap: pip install --force-reinstall pycocoevalcap")
    first, second, first_asked, second_asked, sizes, lines = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    start = np.concatenate([[0], np.cumsum(sizes)])
    return Paraphrases(first, second, first_asked, second_asked, start, lines)


def _select_from(block: _Block, sieve: _Sieve) -> tuple[Keys, Keys, Bools, Bools, Ints, Bytes]:
    """The records that have a phrase that is asked for."""
    first_asked, second_asked = sieve(block.first), sieve(block.second)
    kept = np.flatnonzero(first_asked | second_asked)
    end = np.cumsum(block.sizes, dtype=np.int64)[kept]
    sizes = block.sizes[kept].astype(np.int64)
    lines = _gather(np.frombuffer(block.lines, np.uint8), end - sizes, end)
    return block.first[kept], block.second[kept], first_asked[kept], second_asked[kept], sizes, lines


def _blocks(table: Path) -> Iterator[_Block]:
    """The whole table, unpacked, with the keys of its phrases."""
    parts: list[_Block] = []
    held = 0
    for records, ends in _whole_records(table):
        parts.append(_keyed(records, ends))
        held += len(records)
        if held >= _BLOCK:
            yield _joined(parts)
            parts, held = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: Sequence[_Block]) -> _Block:
    first, second, sizes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "sizes"))
    return _Block(first, second, sizes, b"".join(part.lines for part in parts))


def _keyed(records: bytes, ends: Ints) -> _Block:
    """Keys of whole records of the table, given the places of their line ends."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    dense = np.frombuffer(records.translate(None, _NEITHER_LETTER_NOR_END), np.uint8)
    dense_ends = np.flatnonzero(dense == _NEWLINE)
    hashes = _Hashes(dense)
    keys = []
    for column in (1, 2):
        row_hashes = hashes.between(dense_ends[column - 1 :: 3] + 1, dense_ends[column::3])
        row_hashes[ends[column::3] - starts[column::3] >= 2 * LONGEST] = NOTHING  # as many words as that may be in it
        keys.append(row_hashes)
    return _Block(keys[0], keys[1], (ends[2::3] + 1 - starts[0::3]).astype(np.uint32), records)


def _whole_records(table: Path) -> Iterator[tuple[bytes, Ints]]:
    """The table in pieces that end with a record, and where their lines end."""
    rest = b""
    try:
        for content in _inflated(table):
            content = rest + content
            ends = np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE)
            ends = ends[: len(ends) // 3 * 3]
            cut = int(ends[-1]) + 1 if len(ends) else 0
            rest = content[cut:]
            if cut:
                yield content[:cut], ends
    except (OSError, zlib.error) as error:
        raise MetricError(
            f"{table} cannot be read ({error}); reinstall pycocoevalcap: pip install --force-reinstall pycocoevalcap"
        ) from error
    if rest.strip():
        raise MetricError(
            f"{table} ends in the middle of a record; reinstall pycocoevalcap: pip install --force-reinstall pycocoevalcap"
        )


def _inflated(table: Path) -> Iterator[bytes]:
    engine = zlib.decompressobj(31)
    with table.open("rb") as file:
        while packed := file.read(_READ):
            while packed:
                if content := engine.decompress(packed, _CHUNK):
                    yield content
                packed = engine.unconsumed_tail
    if not engine.eof:
        raise OSError("it is cut short")


def _gather(source: Bytes, begin: Ints, end: Ints) -> Bytes:
    """Stretches of bytes, one after the other."""
    sizes = end - begin
    offsets = np.cumsum(sizes) - sizes
    picked: Bytes = source[np.repeat(begin - offsets, sizes) + np.arange(int(sizes.sum()))]
    return picked


# ---------------------------------------------------------------------------------------------------------------------
# On disk


def _identity(table: Path) -> str:
    """Of the table's content: its size and, from the end of the gzipped file, the content's checksum and length."""
    with table.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 8))
        return f"{size}-{file.read().hex()}"


def _name(table: Path, digest: str) -> str:
    """Of the references and the table."""
    return hashlib.sha256(f"{_LAYOUT} {LONGEST} {_identity(table)} {digest}".encode()).hexdigest()[:32]


def _indexing(blocks: Iterator[_Block], path: Path) -> Iterator[_Block]:
    """The same blocks, written to an index as they pass; where the disk does not let us, they only pass."""
    _clear_away(path)
    try:
        with replacing(path) as file:
            file.write(_MAGIC)
            for block in blocks:
                yield block
                arrays = [column.astype("<u4", copy=False).tobytes() for column in (block.first, block.second, block.sizes)]
                content = [*arrays, block.lines]
                file.write(_HEAD.pack(len(block.first), len(block.lines), _checksum(content)))
                file.writelines(content)
            file.write(_HEAD.pack(0, 0, 0))
    except OSError:  # of the index: those of the table become MetricError
        yield from blocks


def _indexed(path: Path) -> Iterator[_Block]:
    """The blocks of an index.

    Raises:
        OSError: there is none.
        _Torn: it is not whole.
    """
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - len(_MAGIC)
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _Torn
        while True:
            head = file.read(_HEAD.size)
            left -= len(head)
            if len(head) != _HEAD.size:
                raise _Torn
            count, size, checksum = _HEAD.unpack(head)
            if not count:
                break
            left -= 12 * count + size
            if left < 0:  # also keeps a damaged length from asking for all memory
                raise _Torn
            content = [*(file.read(4 * count) for _ in range(3)), file.read(size)]
            if _checksum(content) != checksum:
                raise _Torn
            first, second, sizes = (np.frombuffer(column, "<u4").astype(np.uint32, copy=False) for column in content[:3])
            yield _Block(first, second, sizes, content[3])
        if left:
            raise _Torn


def _checksum(content: Iterable[bytes]) -> int:
    checksum = 0
    for part in content:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _clear_away(path: Path) -> None:
    """Remove what killed processes left half-written: a third of a gigabyte each."""
    for beside in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - beside.stat().st_mtime > _ABANDONED:
                beside.unlink()


def _packed(selected: Paraphrases) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: getattr(selected, name) for name in _ARRAYS})
    return buffer.getvalue()


def _read(path: Path) -> Paraphrases | None:
    """What is kept there; None for anything else (the format has checksums of its own), which is then made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return Paraphrases(**{name: content[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
        return None
