"""BLEU, ROUGE-L and CIDEr as the COCO caption evaluation computes them (Chen et al. 2015, arXiv 1504.00325).

The values are those of pycocoevalcap 1.2 to the last digits; the sums behind them are kept by text, so that intervals and
tests can be computed without counting again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from decoders.models.loaded import Models
from harness.errors import MetricUnavailable
from harness.metrics.base import MeanOverTexts, Metric, MetricConfig, Output, nothing_right
from harness.metrics.coco import ptb
from harness.metrics.coco.ngrams import ORDERS, Counts, References, longest_common_subsequence, look_up
from harness.suites.examples import Sample
from harness.suites.provenance import Signature

_SHIFT = np.int64(2**31)
SIGMA = 6.0
"""Width of CIDEr's length penalty, in bigrams."""
BETA = 1.2
"""Weight of recall in ROUGE-L."""


class CocoConfig(MetricConfig):
    """What the three have in common."""

    tokenizer: ptb.TokenizerName = "auto"
    """`ptb` as the COCO evaluation (needs Java), `python` an approximation; `auto` takes ptb where it is available. `none` splits
    at white space only, as repositories do that do not tokenise."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Samples and their references, tokenised and counted."""

    references: References
    scored: NDArray[np.int64]
    """Which samples have a text that is one and references, by position."""
    image: NDArray[np.int64]
    """The image of each scored sample, as `references` counts them."""
    texts: tuple[str, ...]
    """The tokens of each scored sample."""


_REFERENCES: dict[tuple[str, tuple[tuple[str, ...], ...]], References] = {}
"""The reference sets of this process, by content: every system of a suite uses the same."""


def prepare(samples: Sequence[Sample], tokenizer: ptb.TokenizerName) -> Prepared:
    """Tokenise and count, references once an example and once a process.

    Raises:
        MetricUnavailable: no example has references, or the tokenizer is not available.
        JavaError: the tokenizer failed.
    """
    examples = {
        sample.example.id: sample.example for sample in samples if any(text.strip() for text in sample.example.references)
    }
    if not examples:
        raise MetricUnavailable(
            "it compares with references, and no example has any; give references with the data, or take this metric out"
        )
    ordered = [examples[key] for key in sorted(examples)]
    place = {example.id: number for number, example in enumerate(ordered)}
    scored = [
        i
        for i, sample in enumerate(samples)
        if sample.failure is None and sample.example.id in place and not ptb.broken(sample.text)
    ]
    scored_texts = [samples[i].text for i in scored]
    key = (tokenizer, tuple(example.references for example in ordered))
    if key not in _REFERENCES:
        if len(_REFERENCES) > 8:
            _REFERENCES.pop(next(iter(_REFERENCES)))
        references = [text for example in ordered for text in example.references]
        tokens = iter(ptb.tokenize(references, tokenizer, keep=True, coming=scored_texts))
        _REFERENCES[key] = References([[next(tokens) for _ in example.references] for example in ordered])
    texts = ptb.tokenize(scored_texts, tokenizer)
    image = np.array([place[samples[i].example.id] for i in scored], np.int64)
    return Prepared(_REFERENCES[key], np.array(scored, np.int64), image, tuple(texts))


class CocoMetric(Metric):
    """Base of the three: rows for scored samples, NaN for the others."""

    Config = CocoConfig
    config: CocoConfig
    needs_references = True
    columns: ClassVar[int]
    """Numbers a row."""

    def __init__(self, config: MetricConfig, models: Models) -> None:
        super().__init__(config, models)
        self._references: References | None = None

    def variant(self) -> str:
        """The tokenizer that is used here."""
        return ptb.tokenizer_variant(self.config.tokenizer)

    def expect(self, runs: Sequence[Sequence[Sample]]) -> None:
        """Tokenise the texts of all runs in one go."""
        prepare([sample for run in runs for sample in run], self.config.tokenizer)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Rows as `measure` gives them, NaN where there is no text or no reference."""
        prepared = prepare(samples, self.config.tokenizer)
        self._references = prepared.references
        rows = np.full((len(samples), self.columns), np.nan)
        if len(prepared.scored):
            rows[prepared.scored] = self.measure(prepared)
        return rows

    @abstractmethod
    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """One row a scored sample, `[n, columns]`."""

    def _signed(self, name: str, **fields: object) -> Signature:
        references = self._references
        about = {"refs": f"{len(references.tokens)}x{len(references.lengths)}+{references.digest[:8]}"} if references else {}
        return Signature.of(name, {**fields, "tok": ptb.tokenizer_variant(self.config.tokenizer), **about})


class Bleu(CocoMetric):
    """BLEU-1 to BLEU-4 of the corpus, closest reference length (Papineni et al. 2002)."""

    columns = 2 + 2 * ORDERS
    row_names = (
        "text-length", "reference-length", *(f"{n}-grams" for n in range(1, ORDERS + 1)),
        *(f"matched-{n}-grams" for n in range(1, ORDERS + 1)),
    )  # fmt: skip

    @property
    def outputs(self) -> tuple[Output, ...]:
        """BLEU-4 first: it is the one that is reported alone."""
        return tuple(Output(f"bleu-{n}", higher_is_better=True) for n in (4, 3, 2, 1))

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """Length, closest reference length, then n-grams said and n-grams matched for n = 1..4."""
        references = prepared.references
        lengths, counts = references.count_others(prepared.texts)
        rows = np.zeros((len(lengths), self.columns))
        rows[:, 0] = lengths
        for i, (length, image) in enumerate(zip(lengths, prepared.image, strict=True)):
            options = references.lengths[references.first[image] : references.first[image + 1]]
            rows[i, 1] = min(options, key=lambda option, length=length: (abs(option - length), option))  # type: ignore[misc]
        for order in range(ORDERS):
            rows[:, 2 + order] = np.maximum(lengths - order, 0)
            text_counts = counts[order]
            keys, most = references.most_in_one[order]
            allowed = look_up(keys, most, prepared.image[text_counts.text] * _SHIFT + text_counts.gram)
            matched = np.minimum(text_counts.count, allowed)
            rows[:, 2 + ORDERS + order] = np.bincount(text_counts.text, weights=matched, minlength=len(lengths))
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Geometric mean of precisions times the brevity penalty, with pycocoevalcap's tiny constants."""
        length, reference = sums[..., 0], sums[..., 1]
        precisions = (sums[..., 2 + ORDERS :] + 1e-15) / (sums[..., 2 : 2 + ORDERS] + 1e-9)
        means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, ORDERS + 1))
        ratio = (length + 1e-15) / (reference + 1e-9)
        penalty = np.where(ratio < 1, np.exp(1 - 1 / np.maximum(ratio, 1e-300)), 1.0)
        return (means * penalty[..., None])[..., ::-1]

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nothing matched, and nothing added to the length: both precision and brevity suffer."""
        return nothing_right(rows, range(1, 2 + ORDERS))

    def signature(self) -> Signature:
        """Tokenizer and references."""
        return self._signed("bleu", len="closest", smooth="none", impl="coco")


class RougeL(MeanOverTexts, CocoMetric):
    """ROUGE-L: F-measure (beta 1.2) of the longest common subsequence, best precision and best recall of any reference."""

    columns = 2

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("rouge-l", higher_is_better=True),)

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """The score of each text, and 1."""
        rows = np.ones((len(prepared.texts), 2))
        for i, (text, image) in enumerate(zip(prepared.texts, prepared.image, strict=True)):
            tokens = text.split(" ")
            precision = recall = 0.0
            for reference in prepared.references.tokens[image]:
                wanted = reference.split(" ")
                common = longest_common_subsequence(tokens, wanted)
                precision, recall = max(precision, common / len(tokens)), max(recall, common / len(wanted))
            defined = precision > 0 and recall > 0
            rows[i, 0] = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision) if defined else 0.0
        return rows

    def signature(self) -> Signature:
        """Tokenizer and references."""
        return self._signed("rouge-l", beta=BETA, impl="coco")


class Cider(MeanOverTexts, CocoMetric):
    """CIDEr as everybody reports it: the clipped, length-penalised form that its paper calls CIDEr-D (Vedantam et al. 2015).

    Rare n-grams count more; how rare is taken from the references that are scored, so values on different sets of images do
    not compare.
    """

    columns = 2

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number; good systems exceed 1."""
        return (Output("cider", higher_is_better=True),)

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """The score of each text (equations 1 and 4 of the paper), and 1.

        Raises:
            MetricUnavailable: fewer than two images, or references that are the same for all: every n-gram then weighs nothing.
        """
        references = prepared.references
        images = len(references.tokens)
        if images < 2:
            raise MetricUnavailable("CIDEr weighs n-grams by how few images have them, so it needs two images or more")
        if all(np.all(frequency == images) for frequency in references.document_frequency):
            raise MetricUnavailable("all images have the same references, so no n-gram tells them apart and CIDEr is not defined")
        _, counts = references.count_others(prepared.texts)
        slots = references.per_image[prepared.image]
        pairs_text = np.repeat(np.arange(len(prepared.texts)), slots)
        within = np.arange(len(pairs_text)) - np.repeat(np.cumsum(slots) - slots, slots)
        pairs_reference = references.first[prepared.image[pairs_text]] + within
        said_bigrams = np.bincount(counts[1].text, weights=counts[1].count, minlength=len(prepared.texts))
        their = references.counts[1]
        their_bigrams = np.bincount(their.text, weights=their.count, minlength=len(references.lengths))
        penalty = np.exp(-((said_bigrams[pairs_text] - their_bigrams[pairs_reference]) ** 2) / (2 * SIGMA**2))
        total = np.zeros(len(pairs_text))
        for order in range(ORDERS):
            total += self._similarity(references, counts, order, pairs_text, pairs_reference)
        sums = np.bincount(pairs_text, weights=total * penalty, minlength=len(prepared.texts))
        return np.stack([10 * sums / ORDERS / slots, np.ones(len(slots))], axis=1)

    @staticmethod
    def _similarity(
        references: References, counts: Sequence[Counts], order: int, texts: NDArray[np.int64], pairs: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Clipped cosine of tf-idf vectors of one order, for each (text, reference) pair."""
        text_counts, reference_counts = counts[order], references.counts[order]
        log_images = np.log(float(len(references.tokens)))
        frequency = references.document_frequency[order]
        weight = log_images - np.log(np.maximum(frequency, 1.0))
        their_weights = reference_counts.count * weight[reference_counts.gram]
        their_norms = np.sqrt(np.bincount(reference_counts.text, weights=their_weights**2, minlength=len(references.lengths)))
        known = text_counts.gram < len(frequency)
        own = text_counts.count * np.where(
            known, weight[np.where(known, text_counts.gram, 0)] if len(weight) else 0.0, log_images
        )
        norms = np.sqrt(np.bincount(text_counts.text, weights=own**2, minlength=int(texts.max(initial=-1)) + 1))
        # Every n-gram of a text against every reference of its image.
        first = np.searchsorted(text_counts.text, texts)
        last = np.searchsorted(text_counts.text, texts, side="right")
        sizes = last - first
        pair = np.repeat(np.arange(len(texts)), sizes)
        entry = np.repeat(first, sizes) + np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        keys = reference_counts.text * _SHIFT + reference_counts.gram
        reference_weights = look_up(keys, their_weights, pairs[pair] * _SHIFT + text_counts.gram[entry])
        value = np.bincount(pair, weights=np.minimum(own[entry], reference_weights) * reference_weights, minlength=len(texts))
        norm = norms[texts] * their_norms[pairs]
        similarity: NDArray[np.float64] = np.divide(value, norm, out=np.zeros(len(norm)), where=norm != 0)
        return similarity

    def signature(self) -> Signature:
        """Tokenizer, references, and that the document frequencies are theirs."""
        return self._signed("cider", form="D", n=ORDERS, sigma=SIGMA, idf="scored-references")
