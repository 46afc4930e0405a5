"""Ids of many texts that differ in their last word: what open_clip's tokenizer says, without asking it for every word again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_REMEMBERED = 1 << 16
"""Words whose ids are kept; a vocabulary of captions is a tenth of it."""


class WordIds:
    """A tokenizer for texts, in front of open_clip's.

    The pattern of CLIP's tokenizer never matches across white space, so a text's ids are those of its words in a row, and a
    word's ids can be kept. That holds for printable ASCII without `&`, which its cleaning (ftfy, HTML entities) leaves alone;
    other texts, and other tokenizers, are asked about whole.
    """

    def __init__(self, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self._tokenizer: Any = tokenizer
        self._words: dict[str, list[int]] = {}
        self._by_word = _splits_at_white_space(tokenizer)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids as the tokenizer pads and cuts them, `[n, context]` int64."""
        if not self._by_word:
            ids: Tensor = self._tokenizer(list(texts))
            return ids
        length = int(self._tokenizer.context_length)
        start, end = int(self._tokenizer.sot_token_id), int(self._tokenizer.eot_token_id)
        rows = []
        for text in texts:
            row = [start, *self._encode(text), end]
            if len(row) > length:
                row[length - 1 :] = [end]
            rows.append(row + [0] * (length - len(row)))
        return torch.tensor(rows)

    def _encode(self, text: str) -> list[int]:
        if not text.isascii() or "&" in text or any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
            whole: list[int] = self._tokenizer.encode(text)
            return whole
        ids: list[int] = []
        for word in text.split():
            found = self._words.get(word)
            if found is None:
                if len(self._words) >= _REMEMBERED:
                    self._words.clear()
                found = self._words[word] = self._tokenizer.encode(word)
            ids += found
        return ids


def _splits_at_white_space(tokenizer: Any) -> bool:
    """Whether it is CLIP's own tokenizer as open_clip sets it up."""
    from open_clip import tokenizer as clip

    return (
        type(tokenizer) is clip.SimpleTokenizer
        and tokenizer.clean_fn is clip._clean_lower
        and tokenizer.reduction_fn is None
        and tokenizer.context_length is not None
    )
