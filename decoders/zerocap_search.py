"""What ZeroCap needs beside its gradients: the beam, the cosines of candidates, and rules about single tokens."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoders.errors import ModelMismatch
from decoders.loop import top_ids
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel

FILLER = 0
"""What the released code continues a finished text with; seen only where finished texts still count in a joint norm."""
_NUMBER = re.compile("[0-9]+")
_FORBIDDEN = frozenset({"!", "(", ")", ",", ":", "\n", "Ċ", "<0x0A>"})
"""The last three are the line break, in the spellings of the vocabularies in use."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One caption of a beam."""

    context: tuple[int, ...]
    """All ids the language model has read: what the caption continues, the caption, and fillers once it has ended."""
    tokens: tuple[int, ...] = ()
    """The caption."""
    score: float = 0.0
    """Sum of its log-probabilities."""
    stopped: bool = False
    """Whether it has ended."""


def averages(beam: Sequence[Hypothesis], log_probs: Tensor, row_of: Mapping[int, int]) -> Tensor:
    """Mean log-probability per token of every continuation.

    Args:
        beam: hypotheses of one image.
        log_probs: `[rows, vocabulary]`, normalised, of the next token of hypotheses of any image.
        row_of: the row of each hypothesis of the beam that has one; all unfinished ones do.

    Returns:
        `[hypotheses, vocabulary]`; a finished hypothesis keeps its mean, in the column of the filler.
    """
    scores = log_probs.new_full((len(beam), log_probs.shape[1]), -torch.inf)
    for place, hypothesis in enumerate(beam):
        if hypothesis.stopped:
            scores[place, FILLER] = hypothesis.score / len(hypothesis.tokens)
        else:
            scores[place] = (hypothesis.score + log_probs[row_of[place]]) / (len(hypothesis.tokens) + 1)
    return scores


def extend(beam: Sequence[Hypothesis], scores: Tensor, size: int, ends: Collection[int]) -> tuple[list[Hypothesis], list[int]]:
    """The `size` best continuations of a beam.

    Args:
        beam: hypotheses of one image.
        scores: as `averages` gives them.
        size: how many to keep.
        ends: tokens that end a caption.

    Returns:
        The new beam, best first, and which hypothesis each of it continues.
    """
    places = top_ids(scores.view(1, -1), min(size, scores.numel()))[0]
    best = scores.view(-1)[places].tolist()
    new, parents = [], []
    for place, average in zip(places.tolist(), best, strict=True):
        parent, token = divmod(place, scores.shape[1])
        old = beam[parent]
        if average == -torch.inf:
            continue
        if old.stopped:
            new.append(Hypothesis((*old.context, FILLER), old.tokens, old.score, stopped=True))
        else:
            tokens = (*old.tokens, token)
            new.append(Hypothesis((*old.context, token), tokens, average * len(tokens), stopped=token in ends))
        parents.append(parent)
    return new, parents


def joint_norms(log_weights: Tensor, owners: Tensor) -> Tensor:
    """Log of the sum of the weights of all rows of an image, for each row.

    Args:
        log_weights: `[rows, vocabulary]`.
        owners: `[rows]` int64, the image of each row.

    Returns:
        `[rows]`.
    """
    sums = log_weights.logsumexp(dim=-1)
    same = owners[:, None] == owners
    return sums.expand(len(sums), -1).masked_fill(~same, -torch.inf).logsumexp(dim=-1)


def scale_down(logits: Tensor, factor: float) -> Tensor:
    """Logits made less likely by a factor, whatever their sign; more likely if it is below 1."""
    return torch.where(logits > 0, logits / factor, logits * factor)


def single_id(lm: LanguageModel, text: str) -> int:
    """The id of a text that is one token (its last, where a tokenizer puts a token for the beginning of a word before it).

    Raises:
        ModelMismatch: it has none.
    """
    ids = lm.encode(text) if text else []
    if not ids or lm.decode(ids[-1:]).strip() != text.strip():
        raise ModelMismatch(f"the tokenizer of {lm.name} has no token for {text!r}; set end_token to one that it has")
    return ids[-1]


def forbidden_ids(lm: LanguageModel) -> Tensor:
    """Tokens that ZeroCap all but forbids, `[n]` int64: numbers without a space before them, `! ( ) , :`, the line break.

    The released code lists them for GPT-2's vocabulary; here they are computed from any.
    """
    vocabulary = lm.tokenizer.get_vocab()
    ids = [i for piece, i in vocabulary.items() if piece in _FORBIDDEN or _NUMBER.fullmatch(piece)]
    return torch.tensor(sorted(ids), dtype=torch.int64)


def context_text(lm: LanguageModel, context: Sequence[int]) -> str:
    """What the image-text model reads of a context: all of it but the special tokens."""
    return lm.decode([token for token in context if token != lm.end_id])


class CandidateCosines:
    """Cosines between images and texts with one more token; the features of each text are computed once.

    The likeliest tokens are almost the same at each of the gradient steps of a token, images and beams may stand on the same
    text, and all images start from one.
    """

    _TEXTS = 64
    """Texts whose candidates are remembered at least; about 1.4 MB each with GPT-2, ViT-B/32 and 512 candidates."""

    def __init__(self, lm: LanguageModel, clip: ImageTextModel, always: str | None = None) -> None:
        """Start without any features.

        Args:
            lm: its tokens are the candidates.
            clip: encodes the texts.
            always: a text whose candidates are never forgotten: the one that all captions start from.
        """
        self._lm, self._clip, self._always = lm, clip, always
        self._scorer = clip.prefix_scorer()
        self._pieces: dict[int, str] = {}
        self._slots: dict[str, int] = {}
        """The place of each text in the tables; the most recently used is last."""
        self._places = torch.empty(0, lm.vocab_size, dtype=torch.int32, device=clip.device)
        """`[slots, vocabulary]`: where among its text's features a candidate's are; -1 if it has none."""
        self._features = torch.empty(0, 0, 0, device=clip.device)
        """`[slots, places, d]`."""
        self._taken: list[int] = []
        """Places of each slot that hold features."""
        self._free: list[int] = []
        """Slots of texts that were forgotten."""

    def start(self) -> None:
        """Begin a decoding run: what was kept to continue the texts of the last one is of no use."""
        self._scorer = self._clip.prefix_scorer()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], ids: Tensor, images: Tensor) -> Tensor:
        """Cosines of each row's image with its text continued by each candidate, `[rows, k]` float32.

        Args:
            texts: the text of each row.
            ids: `[rows, k]` int64.
            images: `[rows, d]`, unit length.
        """
        self._make_room(dict.fromkeys(texts))
        slots = torch.tensor([self._slots[text] for text in texts], device=self._places.device)[:, None]
        candidates = ids.to(slots.device)
        new = self._places[slots, candidates] < 0
        # What has to be encoded is the one thing that the host must know; equal rows want it once.
        names = np.unique((slots * self._places.shape[1] + candidates)[new].cpu().numpy())
        if len(names):
            self._learn(*np.divmod(names, self._places.shape[1]))
        features = self._features[slots, self._places[slots, candidates].long()]
        return torch.einsum("rkd,rd->rk", features, images.to(features.device)).to(ids.device)

    def _make_room(self, texts: Collection[str]) -> None:
        """Give each text a slot. Where there are too many, long texts go first: few captions share them."""
        new = [text for text in texts if text not in self._slots]
        for text in texts:
            if text in self._slots:
                self._slots[text] = self._slots.pop(text)
        excess = len(self._slots) + len(new) - max(self._TEXTS, len(texts))
        spare = sorted((t for t in self._slots if t not in texts and t != self._always), key=lambda t: -t.count(" "))
        self._free += [self._slots.pop(text) for text in spare[: max(0, excess)]]
        lacking = len(new) - len(self._free)
        if lacking > 0:
            self._free += range(len(self._taken), len(self._taken) + lacking)
            self._taken += [0] * lacking
            self._places = torch.cat([self._places, self._places.new_empty(lacking, self._places.shape[1])])
            self._features = torch.cat([self._features, self._features.new_empty(lacking, *self._features.shape[1:])])
        for text in new:
            slot = self._slots[text] = self._free.pop()
            self._taken[slot] = 0
            self._places[slot] = -1

    def _learn(self, slots: NDArray[np.int64], tokens: NDArray[np.int64]) -> None:
        """Encode candidates that have no features yet: token `tokens[i]` behind the text in slot `slots[i]`, `[n]` each."""
        text_in = {slot: text for text, slot in self._slots.items()}
        wanted = {int(slot): tokens[slots == slot].tolist() for slot in np.unique(slots)}
        width = max(map(len, wanted.values()))
        rows = [[text_in[slot] + self._piece(token) for token in ids] for slot, ids in wanted.items()]
        rows = [[*row, *row[-1:] * (width - len(row))] for row in rows]  # equal texts are computed once
        features = self._clip.candidate_features(rows, self._scorer)
        for (slot, ids), of_row in zip(wanted.items(), features, strict=True):
            self._keep(slot, ids, of_row[: len(ids)])

    def _keep(self, slot: int, ids: Sequence[int], features: Tensor) -> None:
        """Note the features of candidates, `[len(ids), d]`."""
        first, last = self._taken[slot], self._taken[slot] + len(ids)
        if last > self._features.shape[1]:
            added = max(last - self._features.shape[1], last // 8)
            room = features.new_empty(len(self._taken), added, features.shape[1])
            self._features = torch.cat([self._features, room], dim=1) if self._features.shape[1] else room
        self._features[slot, first:last] = features
        self._places[slot, torch.tensor(ids, device=self._places.device)] = torch.arange(
            first, last, dtype=torch.int32, device=self._places.device
        )
        self._taken[slot] = last

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._lm.decode([token], skip_special=False)
        return self._pieces[token]
