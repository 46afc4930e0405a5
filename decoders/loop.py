"""The one token loop: it batches, asks the decoder for the next token of every row, and retires rows that are done.

A decoder sees a `Step` and answers with one token a row. What it looks at is computed when it is asked for: a decoder that
never asks for candidates pays for no look-ahead, and one that never asks about images loads no image.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoders.base import Decoder, Generation, Limits, Prompt
from decoders.errors import NeedMissing, PromptTooLong
from decoders.models.context import Context
from decoders.models.images import ImageLike
from decoders.models.language_model import LanguageModel
from decoders.models.loaded import Models
from decoders.models.prefix_scorer import PrefixScorer
from decoders.noise import counter_noise_at
from decoders.transfer import download, upload, upload_ids

Item = TypeVar("Item")


@dataclass(slots=True)
class _Row:
    """One text being written."""

    place: int
    """Index in the batch that the decoder was given."""
    prompt: Prompt
    seed: int
    room: int
    """New tokens it may have."""
    tokens: list[int]
    """Its new tokens so far."""
    log_probability: float = 0.0
    prompt_ids: Sequence[int] = ()


class _Sight:
    """What the image-text model has seen in this run: the prompts' images, and the beginnings of texts."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._images: dict[int, Tensor] = {}

    @cached_property
    def scorer(self) -> PrefixScorer | None:
        """Made when the first text is scored."""
        return self._models.clip.prefix_scorer()

    def images(self, prompts: Sequence[Prompt]) -> Tensor:
        """Features of the prompts' images, `[batch, d]`."""
        new = {id(prompt): prompt for prompt in prompts if id(prompt) not in self._images}
        if new:
            features = self._models.clip.image_features(images_of(list(new.values())))
            self._images.update(zip(new, features, strict=True))
        return torch.stack([self._images[id(prompt)] for prompt in prompts])


@dataclass(frozen=True, slots=True)
class Candidates:
    """The likeliest next tokens of each row, likeliest first; among equals, the lower id."""

    ids: Tensor
    """`[batch, k]` int64."""
    probs: Tensor
    """`[batch, k]` float32: their probabilities under the whole vocabulary."""


@dataclass(slots=True)
class _Likeliest:
    """Ids of the likeliest next tokens of each row."""

    ids: Tensor
    """`[batch, k]`, on the device."""
    version: int
    """Of the logits, which a decoder may change."""
    on_host: NDArray[np.int64] | None = None
    """The same on the host, once that is known."""


class Step:
    """What a decoder may look at when it chooses the next token of each row.

    Attributes:
        index: how many new tokens each row already has; the same for all rows of a batch.
        prompts: what each row started from.
        generated: ids of the new tokens of each row, prompt excluded.
        lm: the language model.
        logits: `[batch, vocabulary]` float32.
        history: final hidden states of all tokens so far, prompt included, `[batch, slots, hidden]` float32.
        directions: `history` at unit length.
        history_mask: `[batch, slots]` bool, False where `history` holds padding.
    """

    def __init__(
        self,
        rows: Sequence[_Row],
        context: Context,
        lm: LanguageModel,
        models: Models,
        sight: _Sight,
        likeliest: _Likeliest | None = None,
    ) -> None:
        self.index = len(rows[0].tokens)
        self.prompts = tuple(row.prompt for row in rows)
        self.generated = tuple(tuple(row.tokens) for row in rows)
        self.lm = lm
        self._seeds = tuple(row.seed for row in rows)
        self._prompt_ids = tuple(row.prompt_ids for row in rows)
        self.logits, self.history, self.history_mask = context.logits, context.hidden, context.mask
        self.directions = context.directions
        self._context = context
        self._models = models
        self._sight = sight
        self._ahead: tuple[Tensor, Tensor | None] | None = None
        self._likeliest = likeliest
        self._reads_candidates = 0
        """How many candidates a row the decoder has read the texts of."""

    @property
    def tokenizer(self) -> Any:
        """The language model's tokenizer."""
        return self.lm.tokenizer

    @property
    def context_ids(self) -> list[list[int]]:
        """Ids of the prompt and the new tokens of each row, without padding."""
        return [[*prompt, *new] for prompt, new in zip(self._prompt_ids, self.generated, strict=True)]

    @cached_property
    def log_mass(self) -> Tensor:
        """What a logit is above its log-probability, `[batch, 1]` float32: the log-sum-exp of the row."""
        return self.logits.logsumexp(dim=-1, keepdim=True)

    @cached_property
    def log_probs(self) -> Tensor:
        """`[batch, vocabulary]` float32, at temperature 1."""
        return self.logits - self.log_mass

    @cached_property
    def probs(self) -> Tensor:
        """`[batch, vocabulary]` float32, at temperature 1."""
        return torch.softmax(self.logits, dim=-1)

    def candidates(self, k: int) -> Candidates:
        """The `k` likeliest next tokens; fewer if the vocabulary is smaller."""
        k = min(k, self.lm.known_tokens)
        known = self._likeliest
        if known is None or known.ids.shape[1] != k or known.version != self.logits._version:
            known = self._likeliest = _Likeliest(top_ids(self.logits, k), self.logits._version)
        return Candidates(known.ids, (self.logits.gather(1, known.ids) - self.log_mass).exp())

    def _on_host(self, ids: Tensor) -> NDArray[np.int64]:
        """Ids as the host has them; those of `candidates` may have come with the last step's tokens."""
        known = self._likeliest
        if known is None or known.ids is not ids:
            return download([ids])[0]
        self._reads_candidates = ids.shape[1]
        if known.on_host is None:
            [known.on_host] = download([ids])
        return known.on_host

    def look_ahead(self, ids: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Final hidden states that candidate tokens would have, `[batch, k, hidden]` float32.

        After it, `select` must answer with one of the wanted candidates in each row; what was computed for them is taken over.

        Args:
            ids: `[batch, k]` int64.
            wanted: `[batch, k]` bool, which of them to look at, at least one a row; None for all. The others' states are zero
                and cost nothing.

        Raises:
            RuntimeError: it was called twice in one step.
        """
        if self._ahead is not None:
            raise RuntimeError("look ahead once a step, at all candidates together")
        hidden = self._context.look_ahead(ids, wanted)
        self._ahead = ids, wanted
        return hidden

    def texts(self, ids: Tensor, last: int) -> list[list[str]]:
        """What each row would read with each candidate token appended, prompt excluded.

        Special tokens are spelled out, except that a text is cut at the end token, so the candidate "end" reads as the text
        so far. (CLIP as transformers has it pools at a spelled-out `<|endoftext|>`, to the same effect; open_clip's tokenizer
        does not know it.)

        Args:
            ids: `[batch, k]` int64.
            last: keep this many tokens at the end, the candidate included.
        """
        return [
            [self.lm.decode((*generated, token)[-last:], skip_special=False) for token in tokens]
            for generated, tokens in zip(self.generated, self._on_host(ids).tolist(), strict=True)
        ]

    def image_text_logits(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Scaled cosines of each row's image and texts: `logit_scale * cos`, `[batch, k]` float32.

        For the texts of candidate tokens `candidate_logits` is faster.

        Args:
            texts: `k` texts a row.

        Raises:
            NeedMissing: no image-text model, or a prompt without an image.
            UnreadableImage: an image that cannot be opened.
        """
        return self._logits(self._sight.images(self.prompts), self._models.clip.candidate_features(texts, self._sight.scorer))

    def candidate_logits(self, ids: Tensor, last: int, rows: Tensor | None = None) -> Tensor:
        """Scaled cosines of each row's image and its text with each candidate token appended, `[rows, k]` float32.

        It is `image_text_logits(texts(ids, last))`, without spelling the texts out.

        Args:
            ids: `[batch, k]` int64.
            last: keep this many tokens at the end, the candidate included.
            rows: `[batch]` bool, the rows whose cosines are wanted; None for all.

        Raises:
            NeedMissing: no image-text model, or a prompt without an image.
            UnreadableImage: an image that cannot be opened.
        """
        images, table = self._sight.images(self.prompts), self._on_host(ids)
        wanted = list(range(len(ids)))
        if rows is not None:
            wanted = np.flatnonzero(download([rows])[0]).tolist()
            images, table = images[upload_ids(wanted, images.device)], table[wanted]
        if not wanted:
            return self.logits.new_empty(0, ids.shape[1])
        contexts = [self.generated[row][max(0, len(self.generated[row]) - last + 1) :] for row in wanted]
        return self._logits(images, self._models.clip.continuation_features(self.lm, contexts, table, self._sight.scorer))

    def _logits(self, images: Tensor, features: Tensor) -> Tensor:
        cosines = torch.einsum("bd,bkd->bk", images, features)
        return (self._models.clip.logit_scale * cosines).to(self.logits.device)

    @cached_property
    def noise(self) -> Tensor:
        """Uniform random numbers in (0, 1), `[batch, vocabulary]` float64.

        A row's noise depends on its seed and the step, and on nothing else.
        """
        noise = np.stack([counter_noise(seed, self.index, self.logits.shape[-1]) for seed in self._seeds])
        return torch.from_numpy(noise).to(self.logits.device)

    def noise_of(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """The numbers of `noise` for some tokens, `[n]` float64, made where the tokens are and without the others.

        Args:
            rows: `[n]` int64, the row of each token.
            tokens: `[n]` int64.
        """
        [seeds] = upload([np.array([seed % 2**64 for seed in self._seeds], dtype=np.uint64).view(np.int64)], tokens.device)
        return counter_noise_at(seeds[rows], self.index, tokens)

    @cached_property
    def gumbel(self) -> Tensor:
        """Standard Gumbel noise, `[batch, vocabulary]` float64: `argmax(log p + gumbel)` is a draw from p.

        It is `-log(-log(noise))`.
        """
        noise = np.stack([gumbel_noise(seed, self.index, self.logits.shape[-1]) for seed in self._seeds])
        return torch.from_numpy(noise).to(self.logits.device)


def gumbel_noise(seed: int, step: int, size: int) -> NDArray[np.float64]:
    """Standard Gumbel noise, `-log(-log u)` of uniform numbers (Gumbel 1954).

    Args:
        seed: 64 bits.
        step: number of the token that is chosen with it, from 0.
        size: how many.
    """
    noise: NDArray[np.float64] = -np.log(-np.log(counter_noise(seed, step, size)))
    return noise


def counter_noise(seed: int, step: int, size: int) -> NDArray[np.float64]:
    """Uniform numbers in the open interval (0, 1) from the counter-based generator Philox 4x64-10 (Salmon et al. 2011).

    The seed is the key and the step the high word of the counter, so steps never overlap. Bits become numbers here, not in
    numpy's `Generator`, whose streams may change from one release to the next.
    """
    raw = np.random.Philox(key=seed, counter=[0, 0, 0, step]).random_raw(size)
    # The largest of the 2^53 numbers would round to 1.
    return np.minimum(((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53, 1 - 2.0**-53)


@torch.no_grad()
def run_loop(decoder: StepDecoder, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
    """Decode a batch token by token.

    A row stops at the language model's end token, or when the decoder's limits or the model's context leave no room, and
    then leaves the batch. Prompts of different lengths share a batch where the model can pad exactly.

    Args:
        decoder: chooses the tokens.
        prompts: any number.
        seeds: one a prompt.

    Returns:
        One generation a prompt, in order; `trace` holds the sum of the tokens' log-probabilities.

    Raises:
        PromptTooLong: a prompt that leaves no room for a token, named by its id.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds; give one seed a prompt")
    lm = decoder.models.lm
    work: list[tuple[list[int], _Row]] = []
    for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        ids = lm.encode(prompt.text)
        room = room_for(lm, decoder.limits, prompt, len(ids))
        work.append((ids, _Row(place, prompt, seed, room, [], prompt_ids=ids)))
    generations: dict[int, Generation] = {}
    for batch in batches(lm, work):
        context = lm.prefill([ids for ids, _ in batch])
        for row in _decode(decoder, [row for _, row in batch], context, lm):
            generations[row.place] = _generation(row, lm)
    return [generations[place] for place in range(len(prompts))]


def batches(lm: LanguageModel, work: Sequence[tuple[list[int], Item]]) -> list[list[tuple[list[int], Item]]]:
    """Prompts in batches that the model can read: one where it can pad, else one a length.

    Args:
        lm: the model.
        work: token ids of each prompt, with what belongs to it.
    """
    if lm.pads_prompts:
        return [list(work)] if work else []
    ordered = sorted(work, key=lambda item: len(item[0]))
    return [list(group) for _, group in groupby(ordered, key=lambda item: len(item[0]))]


def _decode(decoder: StepDecoder, rows: list[_Row], context: Context, lm: LanguageModel) -> list[_Row]:
    """Let the decoder write until every row is done."""
    done: list[_Row] = []
    sight = _Sight(decoder.models)
    likeliest: _Likeliest | None = None
    while rows:
        step = Step(rows, context, lm, decoder.models, sight, likeliest)
        chosen = decoder.select(step)
        answers = [chosen, (step.logits.gather(1, chosen[:, None]) - step.log_mass)[:, 0]]
        # A decoder that looked ahead has already run the chosen token through the model: its states are committed instead of
        # computed again. One that did not pays one forward pass, below, for the rows that continue alone.
        choice = None
        if step._ahead is not None:
            choice, was_seen = _index_of(chosen, *step._ahead)
            answers.append(was_seen)
        # The host has to know which rows are done, and a decoder that reads texts also which tokens come next. On a CPU both
        # are at hand; a GPU is waited for once: all rows are continued first, so that one answer tells both.
        likeliest = None
        if choice is not None and step._reads_candidates and chosen.device.type != "cpu":
            context.commit(choice)
            likeliest = _Likeliest(top_ids(context.logits, step._reads_candidates), context.logits._version)
            answers.append(likeliest.ids)
        tokens, gained, *more = download(answers)
        if choice is not None and not more[0]:
            raise ValueError("a decoder that looks ahead must choose among the candidates it looked at")
        for row, token, log_probability in zip(rows, tokens.tolist(), gained.tolist(), strict=True):
            row.tokens.append(token)
            row.log_probability += log_probability
        finished = [row.tokens[-1] == lm.end_id or len(row.tokens) >= row.room for row in rows]
        live = [i for i, is_done in enumerate(finished) if not is_done]
        done += [row for row, is_done in zip(rows, finished, strict=True) if is_done]
        rows = [rows[i] for i in live]
        if not rows:
            break
        if choice is not None and likeliest is None:
            context.commit(choice)
        if any(finished):  # finished rows leave the batch, so the rest costs no more than it would alone
            kept = upload_ids(live, chosen.device)
            context.keep(live, kept)
            chosen = chosen[kept]
        if likeliest is not None:
            ids = likeliest.ids[kept] if any(finished) else likeliest.ids
            likeliest = _Likeliest(ids, context.logits._version, more[1][live])
        if choice is None:
            context.advance(chosen)
    return done


def room_for(lm: LanguageModel, limits: Limits, prompt: Prompt, length: int) -> int:
    """New tokens that a prompt of `length` tokens may have.

    Raises:
        PromptTooLong: none; the message names the prompt.
    """
    room = min(limits.room_after(length), lm.room(length))
    if room < 1:
        raise PromptTooLong(
            f"the prompt of {prompt.id!r} has {length} tokens, which leaves no room for a new one (limits: max_new_tokens "
            f"{limits.max_new_tokens}, max_length {limits.max_length}, context of {lm.name} {lm.context_length}); "
            "shorten the prompt or raise the limit"
        )
    return room


def _generation(row: _Row, lm: LanguageModel) -> Generation:
    return Generation(
        text=" ".join(lm.decode(row.tokens).split()),
        tokens=tuple(row.tokens),
        finish="eos" if row.tokens[-1] == lm.end_id else "length",
        trace={"log_probability": row.log_probability},
    )


def _index_of(chosen: Tensor, candidates: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where each row's chosen token stands among its candidates, `[batch]`, and whether all of them do."""
    hits = candidates == chosen[:, None]
    if wanted is not None:
        hits &= wanted
    return hits.int().argmax(dim=1), hits.any(dim=1).all()


def images_of(prompts: Sequence[Prompt]) -> list[ImageLike]:
    """The image of each prompt.

    Raises:
        NeedMissing: a prompt without one.
    """
    images = []
    for prompt in prompts:
        if prompt.image is None:
            raise NeedMissing(f"{prompt.id!r} has no image; this decoder needs one, so use it on a data set with images")
        images.append(prompt.image)
    return images


def top_ids(logits: Tensor, k: int) -> Tensor:
    """Ids of the k largest logits of each row, in descending order and among equals by ascending id, `[batch, k]`.

    `torch.topk` alone breaks ties as it likes, differently from one batch size to another.
    """
    if logits.device.type != "cpu" and logits.dtype == torch.float32:
        return _top_ids_at_once(logits, k)
    values, ids = torch.topk(logits, min(k + 1, logits.shape[-1]), dim=-1)
    # One more than `k`, so that a tie between the last that is in and the first that is out shows.
    tied = (values[:, k:] == values[:, k - 1 : k]).any(dim=-1)
    values, ids = values[:, :k], ids[:, :k]
    ids, order = ids.sort(dim=-1)
    values = values.gather(1, order)
    ids = ids.gather(1, values.sort(dim=-1, descending=True, stable=True).indices)
    for row in tied.nonzero()[:, 0].tolist():
        ids[row] = logits[row].sort(descending=True, stable=True).indices[:k]
    return ids


def _top_ids_at_once(logits: Tensor, k: int) -> Tensor:
    """As `top_ids`, without asking the device whether there are ties.

    Logit and id become one whole number, and no two of these are equal. A CPU is faster with the logits alone.
    """
    size = logits.shape[-1]
    bits = logits.contiguous().view(torch.int32).long()
    ascending = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)  # the bits of a float are its sign and an ascending magnitude
    from_last = torch.arange(size - 1, -1, -1, device=logits.device)
    keys = torch.topk((ascending << 32) + from_last, min(k, size), dim=-1).values
    return size - 1 - (keys & 0xFFFFFFFF)


class StepDecoder(Decoder):
    """A decoder that is nothing but a rule for the next token; `run_loop` does the rest."""

    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """Run the token loop with this decoder's `select`."""
        return run_loop(self, prompts, seeds)

    @abstractmethod
    def select(self, step: Step) -> Tensor:
        """The whole of a token-level method: the id of the next token of each row, `[batch]` int64."""
