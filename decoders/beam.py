"""Beam search: the likeliest texts, kept side by side while they are written (Graves 2012, arXiv 1211.3711).

Scores are divided by a power of the length (Wu et al. 2016, arXiv 1609.08144, section 7); the rest follows the widely used
default of Hugging Face transformers, so that a beam row compares with other people's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import batches, room_for, top_ids
from decoders.models.language_model import LanguageModel
from decoders.repetition import RepetitionConfig, held_back, limits_repetition
from decoders.transfer import download, upload


class BeamConfig(RepetitionConfig):
    """Settings of beam search; the defaults are those of the published story baseline."""

    width: int = Field(default=10, ge=1)
    """How many unfinished texts are kept; 10 as published, 1 is greedy search."""
    length_penalty: float = Field(default=1.0, allow_inf_nan=False)
    """A finished text scores the sum of its log-probabilities divided by `length ** length_penalty`; 0 favours short ones."""
    early_stopping: bool = False
    """Stop at `width` finished texts; otherwise continue while the best unfinished one scores better than the worst finished."""


@dataclass(slots=True)
class _Search:
    """The beam of one prompt."""

    place: int
    """Index in the batch that the decoder was given."""
    prompt_ids: Sequence[int]
    room: int
    running: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    """New tokens of the unfinished texts, best first."""
    scores: list[float] = field(default_factory=lambda: [0.0])
    """Their sums of log-probabilities."""
    finished: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    """Score after the length penalty and tokens of the best finished texts, best first; at most `width`."""


class Beam(Decoder):
    """Beam search over the language model; it sees no image.

    At every step the `2 * width` best continuations of a prompt's unfinished texts are looked at. Those that end, if they are
    among the first `width`, join the finished texts; the first `width` of the others are continued. The best finished text wins.
    """

    Config: ClassVar[type[DecoderConfig]] = BeamConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    config: BeamConfig

    @torch.no_grad()
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; `trace` holds the winner's score."""
        lm = self.models.lm
        work = []
        for place, prompt in enumerate(prompts):
            ids = lm.encode(prompt.text)
            work.append((ids, _Search(place, ids, room_for(lm, self.limits, prompt, len(ids)))))
        generations: dict[int, Generation] = {}
        for batch in batches(lm, work):
            searches = [search for _, search in batch]
            self._run(lm, [ids for ids, _ in batch], searches)
            generations.update((search.place, _generation(lm, search)) for search in searches)
        return [generations[place] for place in range(len(prompts))]

    def _run(self, lm: LanguageModel, prompts: Sequence[Sequence[int]], searches: Sequence[_Search]) -> None:
        """Write until every search is over."""
        context = lm.prefill(prompts)
        live = list(searches)
        scores = torch.zeros(len(live), device=lm.device)
        slots = torch.arange(len(live), device=lm.device)
        while live:
            log_probs = torch.log_softmax(context.logits, dim=-1)
            if limits_repetition(self.config):  # of the log-probabilities, as `generate` has it
                texts = [[*search.prompt_ids, *text] for search in live for text in search.running]
                log_probs = held_back(self.config, log_probs, texts)
            # One row a search, all its texts side by side; a search with fewer texts has -inf behind theirs.
            most = max(len(search.running) for search in live)
            totals = log_probs + scores[:, None]
            if len(slots) < most * len(live):
                empty = totals.new_full((most * len(live), totals.shape[1]), -torch.inf)
                totals = empty.index_copy_(0, slots, totals)
            totals = totals.view(len(live), -1)
            order = top_ids(totals, 2 * self.config.width)
            ranked, best = download([order, totals.gather(1, order)])
            kept, tokens, unfinished, row = [], [], [], 0
            for search, its_places, its_best in zip(live, ranked.tolist(), best.tolist(), strict=True):
                first, row = row, row + len(search.running)
                sources = self._step(search, its_places, its_best, log_probs.shape[1], lm.end_id)
                if sources:
                    unfinished.append(search)
                    kept += [first + source for source in sources]
                    tokens += [text[-1] for text in search.running]
            live = unfinished
            if live:
                sums = np.array([score for search in live for score in search.scores], dtype=np.float32)
                most = max(len(search.running) for search in live)
                places = np.concatenate([row * most + np.arange(len(search.running)) for row, search in enumerate(live)])
                rows, new, slots, scores = upload([np.array(kept), np.array(tokens), places, sums], lm.device)
                context.keep(kept, rows)
                context.advance(new)

    def _step(self, search: _Search, places: Sequence[int], best: Sequence[float], vocabulary: int, end_id: int) -> list[int]:
        """One step of one search.

        Args:
            search: it is changed in place.
            places: the best continuations of its unfinished texts, `text * vocabulary + token`, best first.
            best: their sums of log-probabilities.
            vocabulary: its size.
            end_id: the token that ends a text.

        Returns:
            For each unfinished text, which of the texts before it it continues; empty if the search is over.
        """
        width = self.config.width
        running: list[tuple[int, ...]] = []
        sums: list[float] = []
        sources: list[int] = []
        for rank, (place, score) in enumerate(zip(places, best, strict=True)):
            if score == -torch.inf and rank > 0:
                break  # nothing but impossible texts from here on; one is written if there is no other
            source, token = divmod(place, vocabulary)
            text = (*search.running[source], token)
            if token == end_id or len(text) == search.room:
                if rank < width:
                    search.finished.append((score / len(text) ** self.config.length_penalty, text))
            elif len(running) < width:
                running.append(text)
                sums.append(score)
                sources.append(source)
        search.finished = sorted(search.finished, key=lambda item: -item[0])[:width]
        search.running, search.scores = running, sums
        return sources if self._can_improve(search) else []

    def _can_improve(self, search: _Search) -> bool:
        if not search.running or len(search.finished) < self.config.width:
            return bool(search.running)
        best = search.scores[0] / len(search.running[0]) ** self.config.length_penalty
        return not self.config.early_stopping and best > search.finished[-1][0]


def _generation(lm: LanguageModel, search: _Search) -> Generation:
    score, tokens = search.finished[0]
    return Generation(
        text=" ".join(lm.decode(tokens).split()),
        tokens=tokens,
        finish="eos" if tokens[-1] == lm.end_id else "length",
        trace={"score": score},
    )
