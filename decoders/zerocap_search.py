"""What ZeroCap needs beside its gradients: the beam, the cosines of candidates, and rules about single tokens."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from decoders.errors import ModelMismatch
from decoders.loop import top_ids
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel

FILLER = 0
"""What the released code lets a finished text go on with; seen only where finished texts still count in a joint norm."""
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


def extend(
    beam: Sequence[Hypothesis], scores: Tensor, size: int, ends: Collection[int]
) -> tuple[list[Hypothesis], list[int]]:
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

    The likeliest tokens are almost the same at each of the gradient steps of a token, and all images share the first text.
    """

    _PREFIXES = 64
    """Texts whose candidates are remembered at least."""

    def __init__(self, lm: LanguageModel, clip: ImageTextModel, always: str | None = None) -> None:
        """Start without any features.

        Args:
            lm: its tokens are the candidates.
            clip: encodes the texts.
            always: a text whose candidates are never forgotten: the one that all captions start from.
        """
        self._lm, self._clip, self._always = lm, clip, always
        self._pieces: dict[int, str] = {}
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, prefixes: Sequence[str], ids: Tensor, images: Tensor) -> Tensor:
        """Cosines of each row's image with its text continued by each candidate, `[rows, k]` float32.

        Args:
            prefixes: the text of each row.
            ids: `[rows, k]` int64.
            images: `[rows, d]`, unit length.
        """
        self._learn(prefixes, ids)
        rows = []
        for prefix, candidates, image in zip(prefixes, ids, images, strict=True):
            places, features = self._known[prefix]
            rows.append(features[places[candidates.to(places.device)]] @ image)
        for prefix in list(self._known)[: -max(self._PREFIXES, len(prefixes))]:
            if prefix != self._always:
                del self._known[prefix]
        return torch.stack(rows).to(ids.device)

    @torch.no_grad()
    def _learn(self, prefixes: Sequence[str], ids: Tensor) -> None:
        """Encode the texts that are new, all in one call."""
        rows_of: dict[str, list[int]] = {}
        for row, prefix in enumerate(prefixes):
            rows_of.setdefault(prefix, []).append(row)
        listed = ids.tolist()
        texts: list[str] = []
        missing: list[tuple[str, Tensor]] = []
        for prefix, rows in rows_of.items():
            candidates = torch.tensor(sorted({int(i) for row in rows for i in listed[row]}), device=self._clip.device)
            if prefix in self._known:
                self._known[prefix] = self._known.pop(prefix)  # forgotten last
                candidates = candidates[self._known[prefix][0][candidates] < 0]
            if len(candidates):
                missing.append((prefix, candidates))
                texts += [prefix + self._piece(token) for token in candidates.tolist()]
        if not texts:
            return
        features = self._clip.text_features(texts)
        found_by = torch.split(features, [len(candidates) for _, candidates in missing])
        for (prefix, candidates), found in zip(missing, found_by, strict=True):
            if prefix not in self._known:
                places = torch.full((self._lm.vocab_size,), -1, device=self._clip.device)
                self._known[prefix] = places, found.new_empty(0, found.shape[1])
            places, known = self._known[prefix]
            places[candidates] = torch.arange(len(known), len(known) + len(candidates), device=places.device)
            self._known[prefix] = places, torch.cat([known, found])

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._lm.decode([token], skip_special=False)
        return self._pieces[token]
