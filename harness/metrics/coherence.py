"""Coherence: whether a text goes with what it was asked to continue, by two definitions under two names.

`coherence`      the cosine of sentence embeddings of prompt and text (Su et al. 2022, arXiv 2202.06417, section 5.1)
`coherence-lm`   how likely a language model finds the text behind the prompt (Su and Collier 2022, arXiv 2210.14140)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decoders.base import Need
from decoders.models.sentence_encoder import Pooling
from harness.errors import MetricUnavailable
from harness.metrics.base import Metric, MetricConfig, Output, mean_over_texts
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field


class CoherenceConfig(MetricConfig):
    """Which encoder, and how it makes one vector of a text."""

    model: str = "hf:princeton-nlp/sup-simcse-bert-base-uncased"
    """The encoder, `hf:org/name@revision` or `local:folder`. SimCSE is the published choice; which of its checkpoints was
    used is not."""
    pooling: Pooling = "pooler"
    """`pooler` as supervised SimCSE; `cls` the first token's vector (unsupervised SimCSE); `mean` of all tokens."""

    def own_models(self) -> Mapping[Need, str]:
        """The encoder."""
        return {Need.ENCODER: self.model}


class Coherence(Metric):
    """Cosine of the sentence embeddings of prompt and text, averaged over texts.

    A text that repeats its prompt scores best of all, so read it beside a measure of diversity.
    """

    Config = CoherenceConfig
    config: CoherenceConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENCODER})
    per_sample: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number, -1 to 1."""
        return (Output("coherence", higher_is_better=True),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """The cosine and 1, `[n, 2]`; NaN where there is no prompt or no text.

        Raises:
            NeedMissing: no encoder.
            MetricUnavailable: no example has a prompt.
            ModelMismatch: the encoder cannot pool as asked.
        """
        rows = np.full((len(samples), 2), np.nan)
        judged = _with_prompt(samples)
        encoder = self.models.encoder
        if judged:
            prompt_features = encoder.encode([samples[i].example.prompt for i in judged], self.config.pooling).cpu().numpy()
            text_features = encoder.encode([samples[i].text for i in judged], self.config.pooling).cpu().numpy()
            rows[judged, 0] = np.einsum("nd,nd->n", prompt_features, text_features, dtype=np.float64)
            rows[judged, 1] = 1
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over texts."""
        return mean_over_texts(sums)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The lowest cosine."""
        return np.array([-1.0, 1.0])

    def signature(self) -> Signature:
        """Encoder, precision, pooling, and how much of a text it sees."""
        encoder = self.models.encoder
        fields = {"encoder": model_field(encoder.name, encoder.digest), "dt": encoder.dtype}
        return Signature.of("coherence", {**fields, "pool": self.config.pooling, "max": encoder.longest or "no"})


class CoherenceLmConfig(MetricConfig):
    """Who judges, and how prompt and text are joined."""

    model: str = "hf:openai-community/gpt2-large"
    """The language model: `hf:org/name@revision`, `local:folder`, `toybox:stories`; empty for the suite's own."""
    separator: str = " "
    """What stands between prompt and text; special tokens may be spelled out."""
    max_tokens: int = Field(default=1024, ge=1)
    """Tokens of a text that are judged, from its beginning; the model's context may leave fewer."""

    def own_models(self) -> Mapping[Need, str]:
        """The judging model, instead of the suite's language model."""
        return {Need.LM: self.model} if self.model else {}


class CoherenceLm(Metric):
    """Mean log-likelihood a token of the text behind its prompt under a language model, averaged over texts.

    In natural logs, so it is negative, and 0 is best. Dull and repetitive texts are likely texts too.
    """

    Config = CoherenceLmConfig
    config: CoherenceLmConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    per_sample: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number, 0 or less."""
        return (Output("coherence-lm", higher_is_better=True, percent=False),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Log-likelihood a token and 1, `[n, 2]`; NaN where there is no prompt, no text, or no room behind the prompt.

        Raises:
            NeedMissing: neither the metric nor the suite names a language model.
            MetricUnavailable: no example has a prompt.
        """
        from decoders.models.reading import log_likelihoods, plain_ids

        rows = np.full((len(samples), 2), np.nan)
        judged = _with_prompt(samples)
        lm = self.models.lm
        # White space before a word is part of the word's token.
        between = self.config.separator.rstrip()
        space = self.config.separator[len(between) :]
        joint = lm.encode(between) if between else []
        before = [[*plain_ids(lm, samples[i].example.prompt), *joint] for i in judged]
        rooms = [min(self.config.max_tokens, lm.room(len(text))) for text in before]
        texts = [plain_ids(lm, space + samples[i].text)[: max(room, 0)] for i, room in zip(judged, rooms, strict=True)]
        kept = [place for place, text in enumerate(texts) if text]
        if kept:
            likelihoods = log_likelihoods(lm, [before[place] for place in kept], [texts[place] for place in kept])
            places = [judged[place] for place in kept]
            rows[places, 0] = likelihoods / [len(texts[place]) for place in kept]
            rows[places, 1] = 1
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over texts."""
        return mean_over_texts(sums)

    def signature(self) -> Signature:
        """Model, precision, separator, and what part of a text is judged."""
        lm = self.models.lm
        fields = {"lm": model_field(lm.name, lm.digest), "dt": lm.dtype, "sep": self.config.separator}
        limit = min(self.config.max_tokens, lm.room(0))
        return Signature.of("coherence-lm", {**fields, "max": limit, "average": "texts"})


def _with_prompt(samples: Sequence[Sample]) -> list[int]:
    """Places of the samples that have a prompt and a text.

    Raises:
        MetricUnavailable: no example has a prompt.
    """
    if samples and not any(sample.example.prompt.strip() for sample in samples):
        raise MetricUnavailable(
            "coherence compares a text with the prompt it continues, and no example has one; it is made for stories, so take "
            "it out of this suite"
        )
    return [
        i for i, sample in enumerate(samples) if sample.failure is None and sample.example.prompt.strip() and sample.text.strip()
    ]
