"""Ids of texts that differ in their last token: those of open_clip's tokenizer, without running it on every text again.

`WordIds` remembers the ids of words; `CandidateIds` those of a language model's pieces, so that the candidates of a step cost
no Python each, but for the few that continue a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from decoders.models.language_model import LanguageModel

Ids = NDArray[np.int64]
_REMEMBERED = 1 << 16
"""Words whose ids are kept; a vocabulary of captions is a tenth of it."""
_PIECE = 8
"""The most ids that a piece may have to be remembered; longer ones are rare."""
_STARTS_A_WORD = re.compile(r" [A-Za-z0-9][!-%'-~]*")
"""A space, a letter or digit, and whatever printable ASCII without `&` follows."""


class WordIds:
    """A tokenizer for texts, in front of open_clip's.

    The pattern of CLIP's tokenizer never matches across white space, so a text's ids are those of its words in a row, and a
    word's ids can be kept. That holds for printable ASCII without `&`, which its cleaning (ftfy, HTML entities) leaves alone;
    other texts, and those of other tokenizers, are tokenised whole.

    Attributes:
        splits: whether it is CLIP's own tokenizer as open_clip sets it up, so that words can be taken by themselves.
    """

    def __init__(self, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self._tokenizer: Any = tokenizer
        self._words: dict[str, list[int]] = {}
        self.splits = _splits_at_white_space(tokenizer)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids as the tokenizer pads and cuts them, `[n, context]` int64."""
        if not self.splits:
            ids: Tensor = self._tokenizer(list(texts))
            return ids
        rows = []
        for text in texts:
            row = [self.start, *self.encode(text), self.end]
            if len(row) > self.context:
                row[self.context - 1 :] = [self.end]
            rows.append(row + [0] * (self.context - len(row)))
        return torch.tensor(rows)

    @property
    def context(self) -> int:
        """Ids in a text, start and end included."""
        return int(self._tokenizer.context_length)

    @property
    def start(self) -> int:
        """The id that all texts start with."""
        return int(self._tokenizer.sot_token_id)

    @property
    def end(self) -> int:
        """The id that all texts end with."""
        return int(self._tokenizer.eot_token_id)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, start and end not included."""
        if not is_plain(text):
            whole: list[int] = self._tokenizer.encode(text)
            return whole
        ids: list[int] = []
        for word in text.split():
            ids_of_word = self._words.get(word)
            if ids_of_word is None:
                if len(self._words) >= _REMEMBERED:
                    self._words.clear()
                ids_of_word = self._words[word] = self._tokenizer.encode(word)
            ids += ids_of_word
        return ids


class CandidateIds:
    """Ids of texts continued by each of some candidate tokens of a language model.

    A piece that starts a word adds the same ids whatever precedes it, so these are kept in a table. The others (pieces that
    continue a word, accents, `&`, quotation marks that spaces are removed around) are read as whole texts.
    """

    def __init__(self, lm: LanguageModel, words: WordIds) -> None:
        self._lm, self._words = lm, words
        self._table = np.zeros((lm.vocab_size, _PIECE), np.int64)
        self._lengths = np.full(lm.vocab_size, _UNSEEN)
        # Pieces are texts of their own in byte-level vocabularies alone; elsewhere a text depends on its neighbours.
        self._byte_level = words.splits and _is_byte_level(lm.tokenizer)
        if self._byte_level:
            self._lengths[lm.end_id] = 0  # the text so far

    def __call__(self, contexts: Sequence[Sequence[int]], candidates: Ids) -> Ids:
        """Ids of all texts as the tokenizer cuts them, `[rows * k, width]`, zeros behind their ends.

        Args:
            contexts: the tokens that each row's candidates follow.
            candidates: `[rows, k]`.
        """
        words, lm = self._words, self._lm
        texts = [lm.decode(tokens, skip_special=False) for tokens in contexts]
        bases = [words.encode(text) for text in texts]
        if self._byte_level:
            self._learn(candidates)
        lengths = self._lengths[candidates]
        # An apostrophe between spaces loses them when the next word comes (`clean_up`), so the base itself would change.
        alone = np.array([is_plain(text) and not text.endswith(" '") for text in texts])
        in_table = (lengths >= 0) & alone[:, None]
        starts = np.array([1 + len(base) for base in bases])
        table = np.zeros((*candidates.shape, int(starts.max()) + _PIECE + 1), np.int64)
        for row, base in enumerate(bases):
            table[row, :, : len(base) + 1] = [words.start, *base]
        row, place = in_table.nonzero()
        behind = starts[row, None] + np.arange(_PIECE)
        table[row[:, None], place[:, None], behind] = self._table[candidates[row, place]]
        table[row, place, starts[row] + lengths[row, place]] = words.end
        sizes = 1 + starts[:, None] + lengths
        for row, place in np.argwhere(~in_table).tolist():
            text = lm.decode((*contexts[row], int(candidates[row, place])), skip_special=False)
            ids = [words.start, *words.encode(text), words.end]
            if len(ids) > table.shape[2]:
                table = np.pad(table, ((0, 0), (0, 0), (0, len(ids) - table.shape[2])))
            table[row, place] = 0
            table[row, place, : len(ids)] = ids
            sizes[row, place] = len(ids)
        table[sizes > words.context, words.context - 1 :] = words.end  # 0 is a word too, so it does not tell an end
        return table[:, :, : words.context].reshape(candidates.size, -1)

    def _learn(self, candidates: Ids) -> None:
        """Fill the table in for candidates that come for the first time."""
        for token in np.unique(candidates[self._lengths[candidates] == _UNSEEN]).tolist():
            piece = self._lm.tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            ids = self._words.encode(piece) if starts_a_word(piece) else []
            if 0 < len(ids) <= _PIECE:
                self._table[token, : len(ids)] = ids
                self._lengths[token] = len(ids)
            else:
                self._lengths[token] = _DEPENDS


_UNSEEN, _DEPENDS = -1, -2
"""Lengths of pieces that have not come yet, and of those whose ids depend on what precedes them."""


def starts_a_word(piece: str) -> bool:
    """Whether a piece reads the same, in words and in CLIP ids, whatever plain text precedes it."""
    from decoders.models.language_model import clean_up

    return _STARTS_A_WORD.fullmatch(piece) is not None and clean_up("a" + piece) == "a" + piece


def is_plain(text: str) -> bool:
    """Whether CLIP's cleaning leaves a text alone: printable ASCII without `&`."""
    return text.isascii() and text.isprintable() and "&" not in text


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(backend, "decoder", None)).__name__ == "ByteLevel"


def _splits_at_white_space(tokenizer: Any) -> bool:
    """Whether it is CLIP's own tokenizer as open_clip sets it up."""
    from open_clip import tokenizer as clip

    return (
        type(tokenizer) is clip.SimpleTokenizer
        and tokenizer.clean_fn is clip._clean_lower
        and tokenizer.reduction_fn is None
        and tokenizer.context_length is not None
    )
