"""What leaving ratings out does to the result: the ranking with them and without, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from harness.study.analysis.analyze import Analysis


@dataclass(frozen=True, slots=True)
class Shift:
    """One system on one aspect, with the excluded ratings and without."""

    aspect: str
    system: str
    rank_with: int | None
    """Among the systems by mean, from 1, equals sharing a rank; None where nobody rated it."""
    rank_without: int | None
    mean_with: float | None
    mean_without: float | None

    @property
    def moved(self) -> bool:
        """Whether the rank depends on the excluded ratings."""
        return self.rank_with != self.rank_without


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of all exclusions together."""

    ratings: int
    """Ratings of systems' texts that do not count."""
    annotators: int
    """Annotators of whom nothing counts."""
    shifts: tuple[Shift, ...]
    verdicts: tuple[tuple[str, str, str, bool, bool], ...]
    """Pairs whose verdict changes: aspect, first, second, told apart with the excluded ratings, and without them."""

    @property
    def sentence(self) -> str:
        """The effect in words."""
        if not self.ratings:
            return "No ratings are excluded."
        moved = sum(shift.moved for shift in self.shifts)
        return (
            f"{self.ratings:,} ratings are excluded (annotators of whom nothing counts: {self.annotators}). Without them {moved} "
            f"of {len(self.shifts)} ranks differ, and {len(self.verdicts)} of the verdicts about pairs."
        )


def effect(everything: Analysis, counted: Analysis) -> Effect:
    """Compare the analysis of all ratings with that of the ones that count."""
    ranks = [_ranks(analysis) for analysis in (everything, counted)]
    verdicts = [
        {(difference.aspect, difference.first, difference.second): difference.significant for difference in analysis.differences}
        for analysis in (everything, counted)
    ]
    shifts = []
    for aspect in everything.aspects:
        for system in everything.systems:
            (rank_with, mean_with), (rank_without, mean_without) = (
                ranking.get((aspect, system), (None, None)) for ranking in ranks
            )
            shifts.append(Shift(aspect, system, rank_with, rank_without, mean_with, mean_without))
    changed = tuple(
        (*pair, significant, verdicts[1].get(pair, False))
        for pair, significant in verdicts[0].items()
        if significant != verdicts[1].get(pair, False)
    )
    return Effect(everything.ratings - counted.ratings, everything.annotators - counted.annotators, tuple(shifts), changed)


def _ranks(analysis: Analysis) -> dict[tuple[str, str], tuple[int | None, float | None]]:
    ranks: dict[tuple[str, str], tuple[int | None, float | None]] = {}
    own = [summary for summary in analysis.summaries if not summary.reference]
    for summary in own:
        peers = [
            summary_beside.mean.value
            for summary_beside in own
            if summary_beside.aspect == summary.aspect and summary_beside.mean.value is not None
        ]
        mean = summary.mean.value
        rank = None if mean is None else 1 + sum(peer > mean for peer in peers)
        ranks[summary.aspect, summary.system] = (rank, mean)
    return ranks
