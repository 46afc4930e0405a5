"""Analysis of a study's ratings: means with intervals, agreement, and which systems differ.

Two kinds of uncertainty are kept apart and both shown. Intervals are from the two-way bootstrap: other items *and* other
annotators. Tests are paired over items and take the annotators as given, as the published protocol does; a difference that a
test finds but whose interval holds zero is marked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.compare.corrections import holm
from harness.compare.groups import letter_display
from harness.compare.paired import PERMUTATIONS, SIGNIFICANCE, detectable_effect
from harness.errors import DataError
from harness.study.analysis.agreement import (
    ALPHA_DRAWS,
    Kappas,
    Repeats,
    fleiss_kappa,
    leave_one_out,
    pairwise_kappas,
    panel_alpha,
    repeats,
)
from harness.study.analysis.bootstrap import DRAWS, FEW_ANNOTATORS, two_way_means
from harness.study.analysis.human_tests import SignTest, WilcoxonTest, permutation_p, sign_test, tidy, wilcoxon
from harness.study.analysis.panel import Estimate, Panel
from harness.study.analysis.power import Components, variance_components
from harness.study.analysis.ratings import RatingTable
from harness.study.tables.scale import FIVE, Scale
from harness.suites.provenance import Signature

Floats = NDArray[np.float64]

_ROUNDING = 1e-6
"""Less than any step of a scale; a value in steps of a tenth is no whole number of bits."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One system on one aspect."""

    system: str
    aspect: str
    ratings: int
    items: int
    annotators: int
    mean: Estimate
    """Mean over items of their mean rating, in points, with the two-way interval."""
    median: float
    """Of the single ratings."""
    distribution: tuple[int, ...]
    """How many gave each value of the scale, or each tenth of a long one (`Scale.parts`)."""
    letters: str = ""
    """Systems that share one cannot be told apart on this aspect (permutation test, Holm); `a` is the best one's."""
    signature: str = ""
    reference: bool = False
    """Whether these are texts by people, shown for a ceiling and not compared."""


@dataclass(frozen=True, slots=True)
class HumanDifference:
    """Two systems on one aspect, second minus first, on the items that every system was rated on."""

    aspect: str
    first: str
    second: str
    items: int
    delta: Estimate
    """Difference of mean ratings in points, with the two-way interval."""
    superiority: Estimate
    """Chance that the second is rated higher, ties counting half."""
    superiority_unit: str
    """`rating`: by the same person on the same item; `item`: by mean ratings, where nobody rated both."""
    sign: SignTest
    sign_adjusted: float
    """Holm over all pairs and aspects, as the two below."""
    wilcoxon: WilcoxonTest
    wilcoxon_adjusted: float
    permutation: float
    permutation_adjusted: float
    detectable: float | None
    """Smallest true difference that the permutation test would find with 80 % power after the correction; None with one item."""

    @property
    def significant(self) -> bool:
        """Whether the permutation test tells them apart, after the correction."""
        return self.permutation_adjusted <= SIGNIFICANCE

    @property
    def spans_zero(self) -> bool:
        """Whether the interval holds zero: with other annotators it might have come out otherwise."""
        return self.delta.low is None or self.delta.high is None or self.delta.low <= 0 <= self.delta.high


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the annotators mean the same on one aspect."""

    aspect: str
    ordinal: Estimate
    """Krippendorff's alpha, the headline."""
    interval: Estimate
    """The same with equal steps between the values."""
    fleiss: Estimate
    """Only to compare with papers that report it."""
    kappas: Kappas
    without: Mapping[str, Estimate]
    """Ordinal alpha when one annotator is left out."""
    repeats: Repeats


@dataclass(frozen=True, slots=True)
class Analysis:
    """The whole of it. The same ratings, settings and seed give the same analysis."""

    study: str
    sha256: str
    """Of the rating table."""
    seed: int
    draws: int
    permutations: int
    aspects: tuple[str, ...]
    systems: tuple[str, ...]
    items: int
    annotators: int
    ratings: int
    """Of systems' texts; controls, repeats and references apart."""
    left_out: Mapping[str, int]
    """By aspect, items that not every system was rated on: they count in means, not in differences."""
    summaries: tuple[Summary, ...]
    differences: tuple[HumanDifference, ...]
    agreement: tuple[Agreement, ...]
    components: Mapping[str, Components | str]
    """Variance components by aspect, or why they cannot be told."""
    cautions: tuple[str, ...]
    scale: Scale = FIVE

    def summary(self, system: str, aspect: str) -> Summary:
        """One cell of the table.

        Raises:
            KeyError: no such system or aspect.
        """
        for summary in self.summaries:
            if (summary.system, summary.aspect, summary.reference) == (system, aspect, False):
                return summary
        raise KeyError(f"{system}, {aspect}")


def panels(table: RatingTable, order: Sequence[str] = ()) -> dict[str, Panel]:
    """The ratings of systems' texts as one panel an aspect, all on the same axes; controls and references are left out.

    Args:
        table: the ratings.
        order: aspects in the order of the study; others follow in name order.
    """
    own = table.where(kind="system")
    place = {aspect: index for index, aspect in enumerate(order)}
    axes = {"systems": own.systems, "items": own.items, "annotators": own.annotators}
    return {
        aspect: Panel.of(part.system, part.item, part.annotator, part.value, **axes, scale=table.scale)
        for aspect in sorted(own.aspects, key=lambda aspect: place.get(aspect, len(place)))
        for part in [own.where(aspect=aspect)]
    }


def analyse(
    table: RatingTable,
    *,
    study: str = "",
    seed: int = 0,
    draws: int = DRAWS,
    permutations: int | None = None,
    sha256: str = "",
    order: Sequence[str] = (),
) -> Analysis:
    """Analyse a study's ratings.

    Args:
        table: as `StudyAdmin.ratings` gives it; controls are recognised by their kind.
        study: its name, for titles.
        seed: of every resampling.
        draws: of the two-way bootstrap.
        permutations: of the tests; by default as many as leave room for the correction.
        sha256: of the ratings as they are kept, where systems have stand-in names here; the table's own by default.
        order: aspects in the order of the study, for tables.

    Raises:
        DataError: there are no ratings of systems, or an annotator has two ratings of one text.
    """
    if not len(table.where(kind="system")):
        raise DataError("there are no ratings of systems' texts yet; analyse the study when some forms are in")
    by_aspect = panels(table, order)
    sha256 = sha256 or table.sha256
    sizes = next(iter(by_aspect.values()))
    pairs = list(combinations(range(len(sizes.systems)), 2))
    family = max(1, len(pairs) * len(by_aspect))
    permutations = permutations or max(PERMUTATIONS, math.ceil(5 * family / SIGNIFICANCE))
    differences = _differences(by_aspect, pairs, draws, permutations, seed) if pairs else ()
    letters = {aspect: _letters(panel, differences, aspect) for aspect, panel in by_aspect.items()}
    return Analysis(
        study=study,
        sha256=sha256,
        seed=seed,
        draws=draws,
        permutations=permutations,
        aspects=tuple(by_aspect),
        systems=sizes.systems,
        items=len(sizes.items),
        annotators=len(sizes.annotators),
        ratings=int(sum(panel.rated.sum() for panel in by_aspect.values())),
        left_out={aspect: len(panel.items) - len(panel.common().items) for aspect, panel in by_aspect.items()},
        summaries=(*_summaries(by_aspect, sha256, letters, draws, seed), *_references(table, sha256, draws, seed)),
        differences=differences,
        agreement=tuple(agreement(table, aspect, panel, seed=seed) for aspect, panel in by_aspect.items()),
        components={aspect: _components(panel) for aspect, panel in by_aspect.items()},
        cautions=_cautions(by_aspect),
        scale=table.scale,
    )


def signature(aspect: str, panel: Panel, sha256: str) -> str:
    """How a human column of the leaderboard was made, such as `human|aspect:fluency|k:5|annotators:12|ratings:1f0c33ab|v:...`."""
    counts = panel.rated.sum(axis=2).ravel()
    k = int(np.bincount(counts[counts > 0]).argmax()) if counts.any() else 0
    people = int(panel.rated.any(axis=(0, 1)).sum())
    fields = {"aspect": aspect, "k": k, "annotators": people, "ratings": sha256[:8]}
    if panel.scale != FIVE:
        fields["scale"] = panel.scale.name
    return str(Signature.of("human", fields))


def agreement(
    table: RatingTable, aspect: str, panel: Panel | None = None, *, draws: int = ALPHA_DRAWS, seed: int = 0
) -> Agreement:
    """Agreement on one aspect; cheap enough for a page that shows it while people rate."""
    panel = panels(table.where(aspect=aspect))[aspect] if panel is None else panel
    return Agreement(
        aspect,
        panel_alpha(panel, "ordinal", draws=draws, seed=seed),
        panel_alpha(panel, "interval", draws=draws, seed=seed),
        fleiss_kappa(panel.units, panel.scale),
        pairwise_kappas(panel),
        leave_one_out(panel),
        repeats(*looks(table.where(aspect=aspect)), table.scale),
    )


def looks(table: RatingTable) -> tuple[Floats, Floats]:
    """First and second rating of each repeated text, `[pairs]` each, in the order of the table."""
    before = {
        (annotator, output, aspect): value
        for annotator, output, aspect, value, kind in zip(
            *(getattr(table, name).tolist() for name in ("annotator", "output", "aspect", "value", "kind")), strict=True
        )
        if kind != "repeat"
    }
    again = table.where(kind="repeat")
    looked = [
        (before[key], value)
        for *key_parts, value in zip(
            *(getattr(again, name).tolist() for name in ("annotator", "repeat_of", "aspect", "value")), strict=True
        )
        if (key := tuple(key_parts)) in before
    ]
    pairs = np.array(looked, np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _summaries(
    by_aspect: Mapping[str, Panel], sha256: str, letters: Mapping[str, Mapping[str, str]], draws: int, seed: int
) -> list[Summary]:
    replicates = two_way_means(np.concatenate([panel.values for panel in by_aspect.values()]), draws=draws, seed=seed)
    columns = iter(replicates.T)
    return [
        _summary(panel, index, aspect, next(columns), letters[aspect].get(system, ""), signed)
        for aspect, panel in by_aspect.items()
        for signed in [signature(aspect, panel, sha256)]
        for index, system in enumerate(panel.systems)
    ]


def _references(table: RatingTable, sha256: str, draws: int, seed: int) -> list[Summary]:
    """Texts by people, where the study has them."""
    own = table.where(kind="reference")
    summaries = []
    for aspect in own.aspects:
        part = _first_looks(own.where(aspect=aspect))
        panel = Panel.of(["reference"] * len(part), part.item, part.annotator, part.value, scale=table.scale)
        [column] = two_way_means(panel.values, draws=draws, seed=seed).T
        summaries.append(_summary(panel, 0, aspect, column, "", signature(aspect, panel, sha256), reference=True))
    return summaries


def _first_looks(table: RatingTable) -> RatingTable:
    """The first rating that each annotator gave each item: a control may come up again in another block."""
    order = np.lexsort((table.output, table.at))
    _, first = np.unique(np.stack([table.item, table.annotator], axis=1)[order], axis=0, return_index=True)
    return table.rows(order[first])


def _summary(
    panel: Panel, index: int, aspect: str, replicates: Floats, letters: str, signed: str, *, reference: bool = False
) -> Summary:
    values = panel.values[index]
    rated = ~np.isnan(values)
    given = values[rated]
    items = int(rated.any(axis=1).sum())
    means = panel.on_systems([panel.systems[index]]).item_means[0]
    nothing = Estimate.undefined(f"nobody rated it on {aspect}")
    return Summary(
        panel.systems[index],
        aspect,
        len(given),
        items,
        int(rated.any(axis=0).sum()),
        Estimate.within(float(np.nanmean(means)), replicates, items) if len(given) else nothing,
        float(np.median(given)) if len(given) else float("nan"),
        tuple(int(((given > low - _ROUNDING) & (given < high + _ROUNDING)).sum()) for _, low, high in panel.scale.parts()),
        letters,
        signed,
        reference,
    )


def _differences(
    by_aspect: Mapping[str, Panel], pairs: list[tuple[int, int]], draws: int, permutations: int, seed: int
) -> tuple[HumanDifference, ...]:
    """All pairs on all aspects, corrected together."""
    family = len(pairs) * len(by_aspect)
    raw = [
        difference
        for aspect, panel in by_aspect.items()
        for difference in _aspect_differences(aspect, panel.common(), pairs, draws, permutations, seed, family)
    ]
    kinds = (
        [difference.sign.p for difference in raw],
        [difference.wilcoxon.p for difference in raw],
        [difference.permutation for difference in raw],
    )
    columns = [holm(np.array(p)).tolist() if p else [] for p in kinds]
    return tuple(
        replace(difference, sign_adjusted=sign, wilcoxon_adjusted=ranks, permutation_adjusted=exchanged)
        for difference, sign, ranks, exchanged in zip(raw, *columns, strict=True)
    )


def _aspect_differences(
    aspect: str, panel: Panel, pairs: list[tuple[int, int]], draws: int, permutations: int, seed: int, family: int
) -> list[HumanDifference]:
    items = len(panel.items)
    if not items:
        return []
    means = panel.item_means
    p = permutation_p(means, pairs, draws=permutations, seed=seed)
    replicates = two_way_means(panel.values, draws=draws, seed=seed)
    superiority = _superiority(panel, pairs, draws, seed)
    differences = []
    for index, (a, b) in enumerate(pairs):
        apart = tidy(means[b] - means[a])
        error = float(apart.std(ddof=1) / np.sqrt(items)) if items > 1 else None
        detectable = None if error is None else float(detectable_effect(np.asarray(error), significance=SIGNIFICANCE / family))
        delta = Estimate.within(float(apart.mean()), replicates[:, b] - replicates[:, a], items)
        differences.append(
            HumanDifference(
                aspect,
                panel.systems[a],
                panel.systems[b],
                items,
                delta,
                *superiority[index],
                sign_test(apart),
                1.0,
                wilcoxon(apart),
                1.0,
                float(p[index]),
                1.0,
                detectable,
            )
        )
    return differences


def _superiority(panel: Panel, pairs: list[tuple[int, int]], draws: int, seed: int) -> list[tuple[Estimate, str]]:
    """Chance that the second is rated higher: by one person on one item, or by means where nobody rated both."""
    apart = np.stack([panel.values[b] - panel.values[a] for a, b in pairs])
    wins = _wins(apart)
    drawn = two_way_means(wins, draws=draws, seed=seed)
    means = panel.item_means
    chances: list[tuple[Estimate, str]] = []
    for index, (a, b) in enumerate(pairs):
        won, replicates, unit = wins[index], drawn[:, index], "rating"
        if np.isnan(won).all():
            won, unit = _wins(tidy(means[b] - means[a]))[:, None], "item"
            [replicates] = two_way_means(won[None], draws=draws, seed=seed).T
        counts = (~np.isnan(won)).sum(axis=1)
        by_item = np.nansum(won[counts > 0], axis=1) / counts[counts > 0]
        chances.append((Estimate.within(float(by_item.mean()), replicates, int(counts.sum())), unit))
    return chances


def _wins(apart: Floats) -> Floats:
    return np.where(np.isnan(apart), np.nan, (np.sign(apart) + 1) / 2)


def _letters(panel: Panel, differences: tuple[HumanDifference, ...], aspect: str) -> dict[str, str]:
    own = [difference for difference in differences if difference.aspect == aspect]
    if not own:
        return {}
    means = np.nanmean(panel.common().item_means, axis=1)
    order = [int(system) for system in np.argsort(-means, kind="stable")]
    place = {panel.systems[system]: index for index, system in enumerate(order)}
    different = np.zeros((len(order), len(order)), bool)
    for difference in own:
        row, column = place[difference.first], place[difference.second]
        different[row, column] = different[column, row] = difference.significant
    letters = letter_display(different)
    return {system: letters[index] for system, index in place.items()}


def _components(panel: Panel) -> Components | str:
    try:
        return variance_components(panel)
    except DataError as error:
        return str(error)


def _cautions(by_aspect: Mapping[str, Panel]) -> tuple[str, ...]:
    cautions = []
    people = min(int(panel.rated.any(axis=(0, 1)).sum()) for panel in by_aspect.values())
    if people < FEW_ANNOTATORS:
        cautions.append(
            f"{people} annotator{'' if people == 1 else 's'}, fewer than {FEW_ANNOTATORS}: intervals are conditional on these "
            "annotators and too narrow for others"
        )
    for aspect, panel in by_aspect.items():
        dropped = len(panel.items) - len(panel.common().items)
        if dropped:
            cautions.append(
                f"{aspect}: {dropped} of {len(panel.items)} items lack a rating of some system; differences are on the others"
            )
    return tuple(cautions)
