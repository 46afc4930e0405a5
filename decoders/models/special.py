"""Special tokens that a prompt spells out: which of them its tokenizer does not have."""

from __future__ import annotations

import re
from typing import Any

_SPECIAL = re.compile(
    r"<\|[^<>|\s]+\|>|<-[^<>\s]+->|</?s>|<(?:bos|eos|pad|unk|mask|sep|cls|startoftext|endoftext)>|<(?:start|end|begin)_of_\w+>"
    r"|\[(?:BOS|EOS|CLS|SEP|PAD|UNK|MASK)\]"
)
"""How models of Hugging Face and the caption models of MAGIC write them."""


def looks_special(text: str) -> bool:
    """Whether a text holds anything that is written as a special token."""
    return _SPECIAL.search(text) is not None


def spelled_out(tokenizer: Any, text: str) -> dict[str, int]:
    """What is written as a special token and is none to this tokenizer, with the number of ordinary tokens it is read as."""
    pieces = {piece: tokenizer(piece, add_special_tokens=False).input_ids for piece in _SPECIAL.findall(text)}
    return {piece: len(ids) for piece, ids in pieces.items() if len(ids) > 1}
