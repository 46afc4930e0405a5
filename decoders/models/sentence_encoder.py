"""A sentence encoder: one unit vector a text, from any transformer of Hugging Face's `AutoModel` and its tokenizer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from decoders.errors import ModelMismatch
from decoders.models.devices import Fit

Pooling = Literal["cls", "mean", "pooler"]
"""How a sentence encoder makes one vector of a text's tokens: the first one's, the mean of all, or the model's own layer
behind the first one's (as supervised SimCSE was trained; Gao et al. 2021, arXiv 2104.08821)."""

_TOKENS = 8192
"""Tokens in one forward pass, padding included."""
_NO_LIMIT = 10**6
"""Tokenizers that know no length limit give an astronomic one."""


class SentenceEncoder:
    """A text encoder, frozen and in evaluation mode.

    Attributes:
        model: the transformers model.
        tokenizer: its fast tokenizer.
        name: the name that it was loaded by.
        digest: hash of its files, or the commit of a hub model.
        dtype: name of the weights' dtype, such as `float32`.
        pooler: whether the weights of the model's own pooling layer are there.
        longest: tokens a text may have, special ones included; the rest of a longer text is not seen. None for no limit.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str, digest: str, dtype: str = "float32", pooler: bool = False
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name, self.digest, self.dtype, self.pooler = name, digest, dtype, pooler
        self.device: torch.device = next(model.parameters()).device
        self.longest = _longest(model, tokenizer)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], pooling: Pooling = "mean") -> Tensor:
        """Vectors of texts, `[n, d]` float32 of unit length; zeros for a text without any token.

        Equal texts are encoded once, texts of like length together. Right padding is masked, so a text's vector does not
        depend on its neighbours beyond rounding.

        Raises:
            ModelMismatch: it has no pooler to pool with.
        """
        if pooling == "pooler" and not self.pooler:
            raise ModelMismatch(f'{self.name} came without the weights of a pooler; choose pooling = "cls" or "mean"')
        distinct = list(dict.fromkeys(texts))
        ids = [self._ids(text) for text in distinct]
        order = sorted((place for place in range(len(ids)) if ids[place]), key=lambda place: len(ids[place]))
        vectors: dict[str, Tensor] = {}
        fit = Fit()
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(ids[order[stop]]) <= _TOKENS:
                stop += 1
            places = order[start:stop]
            pooled = fit.batches([ids[place] for place in places], len(places), lambda batch: self._pooled(batch, pooling))
            vectors.update(zip((distinct[place] for place in places), itertools.chain.from_iterable(pooled), strict=True))
            start = stop
        nothing = torch.zeros(int(self.model.config.hidden_size), device=self.device)
        return torch.stack([vectors.get(text, nothing) for text in texts]) if texts else nothing[:0].view(0, 0)

    def _ids(self, text: str) -> list[int]:
        known = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to a tokenizer
        encoding = self.tokenizer(known, truncation=self.longest is not None, max_length=self.longest, split_special_tokens=True)
        return [int(i) for i in encoding.input_ids]

    def _pooled(self, ids: Sequence[Sequence[int]], pooling: Pooling) -> Tensor:
        pad = self.tokenizer.pad_token_id or 0
        longest = max(map(len, ids))
        padded = torch.tensor([[*text, *[pad] * (longest - len(text))] for text in ids], device=self.device)
        lengths = torch.tensor([len(text) for text in ids], device=self.device)
        mask = torch.arange(longest, device=self.device) < lengths[:, None]
        output = self.model(input_ids=padded, attention_mask=mask.long(), return_dict=True)
        if pooling == "pooler":
            vectors = output.pooler_output
        elif pooling == "cls":
            vectors = output.last_hidden_state[:, 0]
        else:
            hidden = output.last_hidden_state.float() * mask[..., None]
            vectors = hidden.sum(dim=1) / lengths[:, None]
        return F.normalize(vectors.float(), dim=-1)


def _longest(model: Any, tokenizer: Any) -> int | None:
    """The smaller of the tokenizer's limit and the model's positions; None where neither has a limit."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # their positions start behind the padding id
    known = [limit for limit in (positions, tokenizer.model_max_length) if limit is not None and limit < _NO_LIMIT]
    return min(known, default=None)
