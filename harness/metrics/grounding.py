"""Whether a text says what is there: (kind, colour) claims against the Toybox scene behind the image.

The parser knows the words of the Toybox world, so the metric is exact there and says nothing elsewhere. It asks what CIDEr
cannot: a caption that swaps two colours shares almost all its n-grams with the truth, and half of it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.datasets.toybox.captions import claims
from harness.datasets.toybox.world import Scene
from harness.errors import MetricError
from harness.metrics.base import Metric, MetricConfig, Output, nothing_right
from harness.suites.examples import Sample
from harness.suites.provenance import Signature

Claim = tuple[str, str | None]


class GroundingConfig(MetricConfig):
    """What counts as a claim."""

    bound: bool = True
    """True: a kind with its colour, right only if that very thing is there. False: the kind alone."""


class Grounding(Metric):
    """Precision, recall and F1 of what a text claims to be there, over all samples together.

    A text's claims are the distinct pairs (kind of thing, colour) that it names, synonyms and plurals included; a colour
    belongs to the next thing named. A thing without a colour is a claim that no scene fulfils, since every thing has one.
    Repeating a claim neither helps nor hurts. Counts are summed before dividing, so a text without any claim adds nothing to
    precision and all it left out to recall; if no text claims anything, precision and F1 are 0.
    """

    Config = GroundingConfig
    config: GroundingConfig

    row_names = ("right-claims", "claims", "things-to-claim")

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Precision, recall, F1."""
        return (Output("grounding-precision", True), Output("grounding-recall", True), Output("grounding-f1", True))

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Right claims, claims, and claims to be made, `[n, 3]`.

        Raises:
            MetricError: no sample knows its scene.
        """
        if samples and not any("scene" in sample.example.meta for sample in samples):
            raise MetricError(
                "grounding needs to know what each image truly shows, and no example has meta['scene']; only the toybox "
                "dataset knows it, so take [metrics.grounding] out of this suite"
            )
        rows = np.full((len(samples), 3), np.nan)
        for row, sample in zip(rows, samples, strict=True):
            if sample.failure is None and "scene" in sample.example.meta:
                present = self._distinct((thing.kind, thing.colour) for thing in _scene(sample).things)
                claimed = self._distinct(claims(sample.text))
                row[:] = len(present & claimed), len(claimed), len(present)
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Precision, recall and F1 of summed counts; nothing divided by nothing is 0."""
        right, claimed, present = sums[..., 0], sums[..., 1], sums[..., 2]
        return np.stack([_ratio(right, claimed), _ratio(right, present), _ratio(2 * right, claimed + present)], axis=-1)

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Every claim wrong, and everything left out."""
        return nothing_right(rows, (1, 2))

    def signature(self) -> Signature:
        """What counts as a claim."""
        return Signature.of("grounding", {"claims": "kind+colour" if self.config.bound else "kind", "world": "toybox"})

    def _distinct(self, claims_made: Iterable[Claim]) -> frozenset[Claim]:
        return frozenset(claims_made if self.config.bound else ((kind, None) for kind, _ in claims_made))


def _scene(sample: Sample) -> Scene:
    fields = sample.example.meta["scene"]
    try:
        return Scene.from_json(fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise MetricError(
            f"meta['scene'] of example {sample.example.id!r} is {str(fields)[:80]!r}, which is no Toybox scene ({error!r}); "
            "only the toybox dataset knows its scenes, so take [metrics.grounding] out of this suite"
        ) from error


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
