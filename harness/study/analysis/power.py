"""How many items, ratings and annotators a study needs: variance components from a pilot, and what a plan can then find.

Model of a rating (items, annotators and systems crossed; Searle, Casella and McCulloch 1992, "Variance Components", ch. 4):
mean + system + item + annotator + system x item + system x annotator + item x annotator + residual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from harness.compare.paired import POWER, SIGNIFICANCE
from harness.errors import DataError
from harness.study.analysis.bootstrap import FEW_ANNOTATORS
from harness.study.analysis.panel import Panel

Floats = NDArray[np.float64]

SECONDS_A_TEXT = 25.0
"""Time to rate one text on four aspects, when no pilot says better."""


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of a rating's parts, in squared points; never negative."""

    item: float
    """Some images are easier."""
    annotator: float
    """Some people are stricter."""
    system_item: float
    """A system does well on some images: what more items average out."""
    system_annotator: float
    """People differ in which system they like: what only more annotators average out."""
    item_annotator: float
    """People differ in which images they like; 0, and part of the residual, where nobody rated two systems on one item."""
    residual: float
    """All else: what more ratings an item average out."""
    source: str = "pilot"
    clipped: tuple[str, ...] = ()
    """Components whose estimate was negative and is taken as 0."""


PARTS = ("item", "annotator", "system_item", "system_annotator", "item_annotator", "residual")
"""The components, by name."""

ASSUMED = Components(0.36, 0.1225, 0.2025, 0.0144, 0.0, 0.5625, source="assumed, no pilot")
"""For planning before there is any rating: standard deviations of 0.6, 0.35, 0.45, 0.12, 0 and 0.75 points."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The size of a study."""

    items: int
    ratings_per_item: int
    annotators: int
    systems: int
    aspects: int = 4
    together: bool = True
    """Whether an annotator rates every system on an item (captions), or one text a visit (stories)."""

    def __post_init__(self) -> None:
        sizes = {
            "items": (self.items, 2),
            "ratings an item": (self.ratings_per_item, 1),
            "annotators": (self.annotators, 1),
            "systems": (self.systems, 2),
            "aspects": (self.aspects, 1),
        }
        for name, (size, least) in sizes.items():
            if size < least:
                raise DataError(f"a plan has {size} {name}; expected at least {least}")
        if self.ratings_per_item > self.annotators:
            raise DataError(
                f"{self.ratings_per_item} ratings an item by {self.annotators} annotators would make someone rate an item "
                f"twice; expected at least {self.ratings_per_item} annotators, or fewer ratings an item"
            )

    @property
    def family(self) -> int:
        """Tests that the correction counts: pairs of systems times aspects."""
        return self.systems * (self.systems - 1) // 2 * self.aspects


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan can find and what it costs."""

    plan: StudyPlan
    components: Components
    error: float
    """Standard error of a difference between two systems over other items, with these annotators: what the tests see."""
    error_everyone: float
    """The same over other items and other annotators: what the two-way interval sees."""
    power: dict[float, float]
    """By true difference in points: the chance, over items and annotators, that the paired test finds it after correction."""
    detectable: float
    """Smallest true difference found with 80 % power."""
    texts: int
    """Texts to be rated, each on all aspects."""
    hours: float
    """Of all annotators together."""
    hours_each: float
    caution: str = ""


def variance_components(panel: Panel) -> Components:
    """Variance components by the method of moments, for any design, balanced or not.

    Half the mean squared difference of two ratings is the sum of the components that they do not share. Seven kinds of pairs
    (same item or not, same annotator or not, same system or not) give seven such sums, and these the components. In a
    balanced crossed design the result is that of the analysis of variance.

    Raises:
        DataError: the design lacks a kind of pair that the components cannot do without; the text says which.
    """
    pairs = _Pairs.of(panel)
    need = {
        "two annotators on one text": pairs.item_system,
        "one annotator on two items of one system": pairs.annotator_system,
        "one annotator on two items with different systems": pairs.annotator_only,
        "two annotators and two systems on one item": pairs.item_only,
        "two items, annotators and systems": pairs.nothing,
        "two items and annotators of one system": pairs.system_only,
    }
    lacking = [name for name, value in need.items() if math.isnan(value)]
    if lacking:
        raise DataError(
            f"the variance components cannot be told from these ratings: no pair of ratings by {lacking[0]}; expected at least "
            "two systems, and some items rated by two annotators who both rated other items too"
        )
    system = pairs.nothing - pairs.system_only
    item = pairs.nothing - pairs.item_only
    annotator = pairs.nothing - pairs.annotator_only
    system_item = pairs.item_only - pairs.item_system - system
    system_annotator = pairs.annotator_only - pairs.annotator_system - system
    rest = pairs.item_system - annotator - system_annotator
    if math.isnan(pairs.item_annotator):
        residual, item_annotator = rest, 0.0
    else:
        residual = pairs.item_annotator - system - system_item - system_annotator
        item_annotator = rest - residual
    raw = Components(item, annotator, system_item, system_annotator, item_annotator, residual)
    parts = {name: getattr(raw, name) for name in PARTS}
    negative: dict[str, Any] = {name: 0.0 for name, value in parts.items() if value < 0}
    return replace(raw, clipped=tuple(negative), **negative)


def mean_components(panels: Sequence[Panel]) -> Components:
    """Components averaged over the aspects of a pilot.

    Raises:
        DataError: no ratings, or a design that cannot tell them.
    """
    if not panels:
        raise DataError("there are no ratings of systems' texts to take variances from; plan without a pilot's name")
    by_aspect = [variance_components(panel) for panel in panels]
    values: dict[str, Any] = {name: sum(getattr(plan_parts, name) for plan_parts in by_aspect) / len(by_aspect) for name in PARTS}
    clipped = tuple(name for name in PARTS if any(name in plan_parts.clipped for plan_parts in by_aspect))
    return Components(**values, clipped=clipped)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Half the mean squared difference of two ratings that share just what the name says; NaN where there is no such pair."""

    item_annotator: float
    item_system: float
    annotator_system: float
    item_only: float
    annotator_only: float
    system_only: float
    nothing: float

    @classmethod
    def of(cls, panel: Panel) -> _Pairs:
        rated = panel.rated
        values = np.where(rated, panel.values, 0.0)
        axes = {"s": 0, "i": 1, "a": 2}

        def within(shared: str) -> Floats:
            """Sum of squared differences and count of pairs, over ordered pairs that share at least these."""
            over = tuple(axis for name, axis in axes.items() if name not in shared)
            count, total, squares = (array.sum(axis=over) for array in (rated.astype(np.float64), values, values**2))
            return np.array([(2 * count * squares - 2 * total**2).sum(), (count * count - count).sum()])

        ia, is_, as_ = within("ia"), within("is"), within("as")
        i, a, s, overall = within("i"), within("a"), within("s"), within("")
        only = {"i": i - ia - is_, "a": a - ia - as_, "s": s - is_ - as_}
        nothing = overall - i - a - s + ia + is_ + as_

        def half(sums: Floats) -> float:
            return float(sums[0] / sums[1] / 2) if sums[1] > 0.5 else math.nan

        return cls(half(ia), half(is_), half(as_), half(only["i"]), half(only["a"]), half(only["s"]), half(nothing))


def forecast(
    plan: StudyPlan,
    components: Components = ASSUMED,
    *,
    differences: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
    power: float = POWER,
    significance: float = SIGNIFICANCE,
    seconds: float = SECONDS_A_TEXT,
) -> Forecast:
    """What a plan can find.

    The power is that of a paired test on item means, normal approximation, at the first and hardest step of Holm's
    correction, `significance / family`; the real chance is a little higher when several differences are true.

    Args:
        plan: the size of the study.
        components: from a pilot (`variance_components`), or assumed.
        differences: true differences in points whose power is wanted.
        power: what "detectable" means.
        significance: over the whole family of tests.
        seconds: time to rate one text on all aspects.

    Raises:
        DataError: a time or a difference that is not positive.
    """
    if seconds <= 0 or min(differences, default=1.0) <= 0:
        raise DataError(f"a plan was given {seconds:g} seconds a text and differences {list(differences)}; expected positive")
    error = math.sqrt(_variance(plan, components))
    everyone = math.sqrt(_variance(plan, components) + 2 * components.system_annotator / plan.annotators)
    threshold = float(ndtri(1 - significance / plan.family / 2))
    reach = float(ndtri(power))
    # The test knows its items only, but which annotators came moves the difference too.
    chances = {
        difference: float(ndtr((difference - threshold * error) / everyone) + ndtr((-difference - threshold * error) / everyone))
        if everyone
        else 1.0  # nothing varies: any difference is found
        for difference in differences
    }
    texts = plan.items * plan.ratings_per_item * plan.systems
    hours = texts * seconds / 3600
    caution = (
        f"{plan.annotators} annotators: results will hold for these people; {FEW_ANNOTATORS} or more say something about others"
        if plan.annotators < FEW_ANNOTATORS
        else ""
    )
    return Forecast(
        plan,
        components,
        error,
        everyone,
        chances,
        threshold * error + reach * everyone,
        texts,
        hours,
        hours / plan.annotators,
        caution,
    )


def compare_plans(
    items: Sequence[int],
    ratings_per_item: Sequence[int],
    plan: StudyPlan,
    components: Components = ASSUMED,
    *,
    differences: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
    seconds: float = SECONDS_A_TEXT,
) -> list[Forecast]:
    """Forecasts of all combinations of items and ratings an item, otherwise like `plan`: the planner's table.

    Combinations that need more annotators than the plan has are left out.
    """
    return [
        forecast(replace(plan, items=count, ratings_per_item=k), components, differences=differences, seconds=seconds)
        for count in items
        for k in ratings_per_item
        if k <= plan.annotators
    ]


def _variance(plan: StudyPlan, parts: Components) -> float:
    """Variance of the difference of two systems' means over items, with these annotators."""
    ratings = plan.items * plan.ratings_per_item
    # Each item is seen by other annotators, so part of how they differ is noise between items too: in taste, and in strictness
    # where the texts of an item are not rated by the same people.
    other_raters = 1 - plan.ratings_per_item / plan.annotators
    tastes = parts.system_annotator * other_raters
    alone = 0.0 if plan.together else parts.item_annotator + parts.annotator * other_raters
    return 2 * (parts.system_item / plan.items + (parts.residual + alone + tastes) / ratings)
