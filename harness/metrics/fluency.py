"""Perplexity: how little a language model is surprised by the texts; low for fluent texts, and for dull ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decoders.base import Need
from harness.metrics.base import Metric, MetricConfig, Output
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field


class PerplexityConfig(MetricConfig):
    """Who judges, and how much of a text."""

    model: str = "hf:openai-community/gpt2-large"
    """The language model: `hf:org/name@revision`, `local:folder`, `toybox:plain`; GPT-2 large is the usual judge. An empty
    text stands for the suite's own model, which judges itself then."""
    max_tokens: int = Field(default=1024, ge=1)
    """Tokens of a text that are judged, from its beginning; the model's context may leave fewer."""

    def own_models(self) -> Mapping[Need, str]:
        """The judging model, instead of the suite's language model."""
        return {Need.LM: self.model} if self.model else {}


class Perplexity(Metric):
    """Perplexity under a language model, exp(-log-likelihood / tokens), over the tokens of all texts together.

    Each text follows the model's start token, so that its first word counts too; that it ends does not. Long texts weigh
    more than short ones. Greedy and repetitive texts get low values: it measures how ordinary a text is, not how good.
    """

    Config = PerplexityConfig
    config: PerplexityConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    per_sample: ClassVar[bool] = True

    row_names = ("log-likelihood", "tokens")

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number, 1 or more."""
        return (Output("perplexity", higher_is_better=False, percent=False),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Log-likelihood and tokens, `[n, 2]`; NaN for a text without tokens, which surprises nobody.

        Raises:
            NeedMissing: neither the metric nor the suite names a language model.
        """
        from decoders.models.reading import log_likelihoods, plain_ids

        lm = self.models.lm
        rows = np.full((len(samples), 2), np.nan)
        start, limit = lm.encode(""), self._limit()
        ids = {i: plain_ids(lm, sample.text)[:limit] for i, sample in enumerate(samples) if sample.failure is None}
        judged = [i for i, tokens in ids.items() if tokens]
        if judged:
            texts = [ids[i] for i in judged]
            likelihoods = log_likelihoods(lm, [start] * len(texts), texts)
            rows[judged] = np.column_stack([likelihoods, [len(text) for text in texts]])
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exp of the mean negative log-likelihood a token."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.exp(-sums[..., :1] / sums[..., 1:])

    def signature(self) -> Signature:
        """Model, precision, and what part of a text is judged."""
        lm = self.models.lm
        fields = {"lm": model_field(lm.name, lm.digest), "dt": lm.dtype, "max": self._limit()}
        return Signature.of("perplexity", {**fields, "start": "yes", "end": "no", "average": "tokens"})

    def _limit(self) -> int:
        return min(self.config.max_tokens, self.models.lm.room(1))
