"""An image-text model of open_clip: unit vectors for images and for texts, and the scale of their cosine."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from decoders.errors import UnreadableImage
from decoders.models.devices import Fit
from decoders.models.images import ImageLike, open_image
from decoders.models.prefix_scorer import PrefixScorer, project
from decoders.models.text_ids import CandidateIds, WordIds

if TYPE_CHECKING:
    from decoders.models.language_model import LanguageModel

__all__ = ["ImageTextModel", "open_image"]

_IMAGE_BATCH = 32
_TEXT_TOKENS = 16384
"""Tokens in one pass of the text tower; enough to keep a processor busy, little enough for any memory."""
_TEXT_TOKENS_BOTH_WAYS = 2048
"""The same of a tower that sees both ways, on a CPU. It encodes each of ZeroCap's and MAGIC's candidates whole, and the
activations of so few tokens stay in the processor's cache: a third less time than with 16384, an eighth of their memory."""
_REMEMBERED = 32768
"""Images whose features are kept, so that decoders and metrics encode each once; 64 MiB at 512 numbers an image."""
_CONTINUATIONS = 512
"""Beginnings of texts for which the features of all candidates are kept: most captions start alike."""


class ImageTextModel:
    """A CLIP-like model, frozen and in evaluation mode.

    Attributes:
        model: the open_clip model.
        name: the name that it was loaded by.
        digest: hash of its files, or the commit of a hub model.
        dtype: name of the weights' dtype, such as `float32`.
        logit_scale: the learned factor of the cosine (exp of the stored parameter; 100 for OpenAI's models).
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        *,
        name: str,
        digest: str,
        dtype: str = "float32",
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.name, self.digest, self.dtype = name, digest, dtype
        self.device: torch.device = next(model.parameters()).device
        self.logit_scale = float(model.logit_scale.detach().float().exp().reshape(-1)[0])
        self._weights_dtype: torch.dtype = next(model.parameters()).dtype
        self._preprocess, self._tokenizer = preprocess, tokenizer
        self._tower = model.text if hasattr(model, "text") else model
        self._images = _Recent(_REMEMBERED)
        self._fit_images, self._fit_texts = Fit(), Fit()
        self._word_ids = WordIds(tokenizer)
        self._incremental: bool | None = None
        self._candidate_ids: tuple[LanguageModel, CandidateIds] | None = None
        self._continuations = _Recent(_CONTINUATIONS)

    @torch.no_grad()
    def image_features(
        self, images: Sequence[ImageLike], *, opened: Callable[[ImageLike], Image.Image] = open_image, remembered: bool = True
    ) -> Tensor:
        """Features of images, `[n, d]` float32 of unit length.

        Images seen lately are remembered, files by path, size and time of change, bytes by content, images in archives by
        their place.

        Args:
            images: files, bytes, or where to read them.
            opened: how they are opened: `open_image`, or `open_as_stored` for the pixels as the model's own preprocessing makes
                them of Pillow's image.
            remembered: take features of images seen lately. They are those of the batch in which an image was seen first, whose
                other images move the last digits; without, equal calls give equal bits.

        Raises:
            UnreadableImage: the first image that cannot be opened.
        """
        recent = self._images if remembered else _Recent(_REMEMBERED)
        features = recent.of(
            [image_key(image) if opened is open_image else (opened, image_key(image)) for image in images],
            lambda new: self._encode([images[i] for i in new], opened),
        )
        return torch.stack(features) if features else torch.empty(0, 0, device=self.device)

    def _encode(self, images: Sequence[ImageLike], opened: Callable[[ImageLike], Image.Image]) -> Iterator[Tensor]:
        for start in range(0, len(images), _IMAGE_BATCH):
            pixels = torch.stack([self._pixels(opened(image), image) for image in images[start : start + _IMAGE_BATCH]])
            for features in self._fit_images.batches(pixels, len(pixels), self._encode_pixels):
                yield from features

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        return _unit(self.model.encode_image(pixels.to(self.device, self._weights_dtype)))

    def _pixels(self, picture: Image.Image, image: ImageLike) -> Tensor:
        try:
            pixels: Tensor = self._preprocess(picture)
        except ValueError as error:  # Pillow cannot resize every mode that it opens
            name = f"an image of {len(image)} bytes" if isinstance(image, bytes) else str(image)
            raise UnreadableImage(f"{name} cannot be scaled as it is stored ({error})") from error
        return pixels

    def forget(self) -> None:
        """Encode images and candidate texts again from here on, so that a measurement includes it."""
        self._images.clear()
        self._continuations.clear()

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Features of texts, `[n, d]` float32 of unit length.

        Texts longer than the model's context (77 tokens for CLIP) lose their end. Equal texts are encoded once. Where the
        text tower is causal, what follows a text's end token cannot matter, so texts of like length are encoded together
        and cropped to the longest; so are those of a tower that looks at padding through a mask. Other towers that see both ways
        get their full context.
        """
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return torch.empty(0, 0, device=self.device)
        ids = self._tokenizer(distinct)
        ends, budget = self._ends(ids), _TEXT_TOKENS
        encode, text_of = self._encode_cropped, torch.arange(len(distinct))
        if ends is None:
            # Such a tower encodes every text whole, and many candidates differ in nothing that its tokenizer keeps, such as case.
            ids, text_of = torch.unique(ids, dim=0, return_inverse=True)
            budget = _TEXT_TOKENS_BOTH_WAYS if self.device.type == "cpu" else _TEXT_TOKENS
            if self._masked_padding is not None:
                ends, encode = _last_token(ids, self._masked_padding), self._encode_masked
        if ends is None:
            rows = max(1, budget // ids.shape[1])
            order = torch.arange(len(ids))
            parts = [order[start : start + rows] for start in range(0, len(ids), rows)]
            features = [
                part_features
                for part in parts
                for part_features in self._fit_texts.batches(
                    part, len(part), lambda picked: _unit(self.model.encode_text(ids[picked].to(self.device)))
                )
            ]
        else:
            order = torch.argsort(ends, stable=True)
            features = [
                part_features
                for part in _by_length(order, ends, budget)
                for part_features in self._fit_texts.batches(part, len(part), lambda picked: encode(ids[picked], ends[picked]))
            ]
        places = {text: place for place, text in enumerate(distinct)}
        where = torch.empty(len(ids), dtype=torch.int64)
        where[order] = torch.arange(len(ids))
        return torch.cat(features)[where[text_of[[places[text] for text in texts]]].to(self.device)]

    @cached_property
    def _masked_padding(self) -> int | None:
        """The id that the text tower masks out, where texts padded to the longest come out as texts padded in full; else None.

        Found out by trying: open_clip builds a mask for every tower of transformers, but what pools behind it may not use it.
        """
        from open_clip.hf_model import HFTextEncoder

        if type(self._tower) is not HFTextEncoder or self._tower.config.pad_token_id is None:
            return None
        padding = int(self._tower.config.pad_token_id)
        ids = self._tokenizer(["a dog", "two dogs and a cat on a beach"])
        ends = _last_token(ids, padding)
        full, cropped = _unit(self.model.encode_text(ids.to(self.device))), self._encode_masked(ids, ends)
        same = bool((full - cropped).abs().max() <= torch.finfo(self._weights_dtype).eps ** 0.5)
        return padding if same and int(ends.max()) + 1 < ids.shape[1] else None

    def _encode_masked(self, ids: Tensor, ends: Tensor) -> Tensor:
        """A tower that masks padding, on `ids`, `[n, context]`, cropped behind the last of `ends`, `[n]`."""
        return _unit(self.model.encode_text(ids[:, : int(ends.max()) + 1].to(self.device)))

    def prefix_scorer(self) -> PrefixScorer | None:
        """A fresh state for `candidate_features`; None where the text tower sees both ways or is of another make."""
        if self._incremental is None:
            self._incremental = self._ends(torch.zeros(1, 1, dtype=torch.int64)) is not None and PrefixScorer.can(self._tower)
            if not self._incremental:
                message = "the text tower of %s cannot be continued token by token; every candidate is encoded whole"
                logging.getLogger(__name__).info(message, self.name)
        return PrefixScorer(self._tower) if self._incremental else None

    def candidate_features(self, texts: Sequence[Sequence[str]], scorer: PrefixScorer | None) -> Tensor:
        """Features of candidate texts, `[rows, k, d]` float32 of unit length: `text_features` within rounding.

        Args:
            texts: `k` texts a row that begin alike.
            scorer: from `prefix_scorer`; it remembers beginnings from one call to the next.
        """
        flat = [text for row in texts for text in row]
        features = self.text_features(flat) if scorer is None else self._score(scorer, self._word_ids(flat), len(texts))
        return features.view(len(texts), -1, features.shape[-1])

    def continuation_features(
        self, lm: LanguageModel, contexts: Sequence[Sequence[int]], candidates: NDArray[np.int64], scorer: PrefixScorer | None
    ) -> Tensor:
        """Features of texts continued by each of some tokens, `[rows, k, d]` float32 of unit length.

        What was computed for the same tokens before, in this batch or lately, is not computed again.

        Args:
            lm: whose tokens they are.
            contexts: the tokens that each row's candidates follow.
            candidates: `[rows, k]`.
            scorer: from `prefix_scorer`.
        """
        keys = [(lm.digest, tuple(tokens), candidates[row].tobytes()) for row, tokens in enumerate(contexts)]

        def compute(new: Sequence[int]) -> list[Tensor]:
            features = self._continue(lm, [contexts[row] for row in new], candidates[new], scorer)
            return [of_row.clone() for of_row in features]  # a view would keep its whole batch alive

        return torch.stack(self._continuations.of(keys, compute))

    def _continue(
        self, lm: LanguageModel, contexts: Sequence[Sequence[int]], candidates: NDArray[np.int64], scorer: PrefixScorer | None
    ) -> Tensor:
        if scorer is None or not self._word_ids.splits:
            texts = [
                [lm.decode((*tokens, token), skip_special=False) for token in row]
                for tokens, row in zip(contexts, candidates.tolist(), strict=True)
            ]
            return self.candidate_features(texts, scorer)
        if self._candidate_ids is None or self._candidate_ids[0] is not lm:
            self._candidate_ids = lm, CandidateIds(lm, self._word_ids)
        ids = torch.from_numpy(self._candidate_ids[1](contexts, candidates))
        return self._score(scorer, ids, len(contexts)).view(*candidates.shape, -1)

    def _score(self, scorer: PrefixScorer, ids: Tensor, rows: int) -> Tensor:
        ends = self._ends(ids)
        if ends is None:
            raise ValueError(f"the text tower of {self.name} is not causal, so it has no prefix scorer; pass None")
        return scorer.features(ids, ends, rows)

    def _ends(self, ids: Tensor) -> Tensor | None:
        """Position of the token that each text is pooled at, `[n]`; None where later tokens matter."""
        tower = self._tower
        causal = getattr(tower, "attn_mask", None) is not None
        plain = getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
        if not (causal and plain and hasattr(tower, "positional_embedding")):
            return None
        pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", ""))
        if pool == "argmax":
            return ids.argmax(dim=-1)
        if pool == "eos":
            end = int(getattr(tower, "text_eos_id", getattr(tower, "eos_id", 2)))
            return ids.eq(end).int().argmax(dim=-1)
        return None

    def _encode_cropped(self, ids: Tensor, ends: Tensor) -> Tensor:
        """The causal text tower on `ids`, `[n, context]`, cropped behind the last of `ends`, `[n]`.

        The same computation as open_clip's `encode_text` (Radford et al. 2021, section 2.4), which insists on full length.
        """
        tower, length = self._tower, int(ends.max()) + 1
        dtype = tower.transformer.get_cast_dtype()
        ids, ends = ids[:, :length].to(self.device), ends.to(self.device)
        x = tower.token_embedding(ids).to(dtype) + tower.positional_embedding[:length].to(dtype)
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        return project(tower, x[torch.arange(len(ids), device=self.device), ends])


class _Recent(OrderedDict[object, Tensor]):
    """Features by what they are of; the ones that were used last are kept."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def of(self, keys: Sequence[object], compute: Callable[[list[int]], Iterable[Tensor]]) -> list[Tensor]:
        """The features of each key.

        Args:
            keys: what features are wanted of.
            compute: gives the features of the keys at some places, in order; called for those that are not kept, equal keys once.
        """
        new: dict[object, int] = {}
        for place, key in enumerate(keys):
            if key not in self:
                new.setdefault(key, place)
        features = {key: self[key] for key in keys if key in self}
        if new:
            features.update(zip(new, compute(list(new.values())), strict=True))
        for key in keys:
            self[key] = features[key]
            self.move_to_end(key)
        while len(self) > self._size:
            self.popitem(last=False)
        return [features[key] for key in keys]


def _last_token(ids: Tensor, padding: int) -> Tensor:
    """The place of the last token of each text that is no padding, `[n]`."""
    return ((ids != padding) * torch.arange(ids.shape[1])).amax(dim=1)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


def image_key(image: ImageLike) -> object:
    """What an image is remembered by: a file by path, time of change and size, bytes by content."""
    if isinstance(image, bytes):
        return hashlib.blake2b(image, digest_size=16).digest()
    if not isinstance(image, Path):
        return image
    try:
        stat = image.stat()
    except OSError:
        return image, None, None  # opening it will say what is wrong
    return image, stat.st_mtime_ns, stat.st_size


def _by_length(order: Tensor, ends: Tensor, budget: int) -> list[Tensor]:
    """Cut `order`, sorted by length, into runs whose padded size stays within a budget of tokens."""
    parts, start = [], 0
    lengths = (ends[order] + 1).tolist()
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * lengths[stop] > budget:
            parts.append(order[start:stop])
            start = stop
    return parts
