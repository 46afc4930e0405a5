"""RefCLIPScore: CLIPScore that has read the references (Hessel et al. 2021, arXiv 2104.08718, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import MetricUnavailable
from harness.metrics.base import BLOCK, MeanOverTexts, Output
from harness.metrics.clip import ClipScore
from harness.suites.examples import Sample
from harness.suites.places import cache_folder
from harness.suites.provenance import Signature


class RefClipScore(MeanOverTexts, ClipScore):
    """RefCLIPScore, the harmonic mean of CLIPScore and the best cosine to a reference, both cut at 0.

    One that is 0 makes the whole 0. References are encoded once a data set, kept on disk, and used for every system.
    """

    needs_references = True
    per_sample: ClassVar[bool] = False  # its references are encoded together, which a part of the samples would do otherwise

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("refclipscore", higher_is_better=True),)

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """The harmonic mean and 1: `[n, 2]`; NaN where CLIPScore has one, and where there is no reference.

        Raises:
            NeedMissing: the suite names no image-text model.
            MetricUnavailable: no example has an image, or none has references.
        """
        references = {text for sample in samples for text in sample.example.references if text.strip()}
        if not references:
            raise MetricUnavailable(
                "RefCLIPScore compares with references, and no example has any; give references, or use clipscore"
            )
        from harness.datasets.index.captions import text_features

        seen = super().rows(samples)
        model, prefix = self.models.clip, self.config.prefix
        ordered = sorted(references)
        reference_features = text_features([prefix + text for text in ordered], model, cache_folder())
        place = {text: number for number, text in enumerate(ordered)}
        rows = np.full((len(samples), 2), np.nan)
        for start in range(0, len(samples), BLOCK):
            part = [
                i
                for i in range(start, min(start + BLOCK, len(samples)))
                if not np.isnan(seen[i, 0]) and any(text in place for text in samples[i].example.references)
            ]
            texts = model.text_features([prefix + samples[i].text for i in part]).cpu().numpy()
            for i, features in zip(part, texts, strict=True):
                own = reference_features[[place[text] for text in samples[i].example.references if text in place]]
                best = max(0.0, float((own @ features).max()))
                rows[i] = harmonic_mean(seen[i, 0], best), 1
        return rows

    def signature(self) -> Signature:
        """As CLIPScore, and how the references enter."""
        fields = dict(super().signature().fields)
        del fields["v"]
        return Signature.of("refclipscore", {**fields, "refs": "max"})


def harmonic_mean(first: float, second: float) -> float:
    """Of two numbers that are not negative; 0 if both are 0."""
    return 2 * first * second / (first + second) if first + second > 0 else 0.0
