"""The report of a study, and the columns that the leaderboard shows once it is frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from harness.compare.scored import ScoredRun
from harness.errors import DataError, SeeTellError
from harness.store.runs import Results, write_json
from harness.study.analysis.analyze import Analysis, analyse, panels
from harness.study.analysis.bootstrap import DRAWS
from harness.study.analysis.exclusions import effect
from harness.study.analysis.meta import MetaEvaluation, imported_scores, meta_evaluate, metric_scores
from harness.study.analysis.ratings import RatingTable
from harness.study.analysis.reports import Report
from harness.study.tables.scale import FIVE

GivenScores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By system, metric and item."""
Excluded = Literal["exclude", "include"]
FROZEN = "frozen"
HUMAN_FILE = "human.json"
"""In a study's folder under `results/studies`: what the leaderboard shows of it."""


class Status(Protocol):
    """What is asked of a study's overview."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def status(self) -> str: ...  # noqa: D102

    @property
    def aspects(self) -> tuple[str, ...]: ...  # noqa: D102


class Study(Protocol):
    """What is asked of a study: `harness.study.admin.StudyAdmin` has it."""

    def overview(self) -> Status: ...  # noqa: D102

    def ratings(self, *, excluded: bool = False) -> RatingTable: ...  # noqa: D102

    def runs(self) -> Mapping[str, str]: ...  # noqa: D102


def study_report(
    study: Study,
    results: Results,
    *,
    scores: GivenScores | None = None,
    excluded: Excluded = "exclude",
    seed: int = 0,
    draws: int = DRAWS,
) -> Report:
    """Analyse a study.

    Until it is frozen, systems have stand-in names and metrics are not held against the ratings, so that nobody stops when
    the favourite leads.

    Args:
        study: as `StudyAdmin.open` gives it.
        results: where the runs of its systems are.
        scores: what was imported with the ratings, as `StudyAdmin.given_scores` gives it.
        excluded: whether ratings that were excluded count; the effect of leaving them out is reported either way.
        seed: of every resampling.
        draws: of the two-way bootstrap.

    Raises:
        DataError: nothing has been rated, or nothing counts.
    """
    overview = study.overview()
    frozen = overview.status == FROZEN
    tables = {"include": study.ratings(excluded=True), "exclude": study.ratings(excluded=False)}
    if len(tables["include"]) and not len(tables["exclude"].where(kind="system")):
        raise DataError(
            f"every rating of {overview.name!r} is excluded; look at them with --excluded include, or revert an exclusion"
        )
    analyses: dict[str, Analysis] = {}
    for which, table in tables.items():
        shown = table if frozen else blinded(table, overview.name, tables["include"].systems)
        same = which == "exclude" and table.sha256 == tables["include"].sha256
        analyses[which] = (
            analyses["include"]
            if same
            else analyse(shown, study=overview.name, seed=seed, draws=draws, sha256=table.sha256, order=overview.aspects)
        )
    if frozen:
        metas, why_not = metrics_against_people(
            tables[excluded], study.runs(), results, seed=seed, order=overview.aspects, scores=scores
        )
    else:
        metas, why_not = (), "metrics are held against the ratings when the study is frozen"
    return Report(analyses[excluded], excluded, effect(analyses["include"], analyses["exclude"]), frozen, metas, why_not)


def blinded(table: RatingTable, study: str, systems: Sequence[str]) -> RatingTable:
    """The ratings with `system A`, `system B`, ... for the systems' names, in an order that tells nothing and stays the same."""
    order = sorted(systems, key=lambda name: hashlib.sha256(f"{study}\x1f{name}".encode("utf-8", "replace")).digest())
    stand_ins = {name: f"system {_capital(index)}" for index, name in enumerate(order)}
    return replace(table, system=np.array([stand_ins.get(name, name) for name in table.system.tolist()], np.str_))


def _capital(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def metrics_against_people(
    table: RatingTable,
    runs: Mapping[str, str],
    results: Results,
    *,
    seed: int = 0,
    order: Sequence[str] = (),
    scores: GivenScores | None = None,
) -> tuple[tuple[MetaEvaluation, ...], str]:
    """Every metric of the systems' runs, and every one that came with the ratings, against every aspect; or why there is none."""
    from harness.store.find import find_run

    by_aspect = panels(table, order)
    loaded: dict[str, ScoredRun] = {}
    absent: dict[str, str] = {}
    for system in table.systems:
        if not runs.get(system):
            absent[system] = f"{system!r} has no run in the store, so there are no scores to hold against the ratings"
            continue
        try:
            loaded[system] = ScoredRun.load(find_run(results, runs[system]))
        except SeeTellError as error:
            absent[system] = f"the scores of {system!r} are not available: {error}"
    given = {system: scores[system] for system in table.systems if system in (scores or {})} if scores else {}
    if absent and len(loaded) < 2:
        if not given:
            return (), "; ".join(absent.values())
        loaded, absent = {}, {system: "it has no scores" for system in table.systems if system not in given}
    first = next(iter(by_aspect.values()))
    metrics, left_out = metric_scores(loaded, first.items) if loaded else ((), {})
    systems = list(loaded or given)
    metrics = (*metrics, *imported_scores(given, systems, first.items))
    left_out |= {f"system {system!r}": reason for system, reason in absent.items()}
    present = {aspect: panel.on_systems(systems) for aspect, panel in by_aspect.items()}
    return tuple(meta_evaluate(aspect, panel, metrics, left_out, seed=seed) for aspect, panel in present.items()), ""


def publish(report: Report, runs: Mapping[str, str], results: Results) -> Path:
    """Give a frozen study's means to the leaderboard: one file, `results/studies/NAME/human.json`.

    Raises:
        DataError: the study is not frozen, or excluded ratings count.
    """
    analysis = report.analysis
    if not report.frozen:
        raise DataError(
            f"the study {analysis.study!r} is not frozen, and its systems stay hidden until then; close it with "
            f"`seetell study freeze {analysis.study}`"
        )
    if report.excluded != "exclude":
        raise DataError("excluded ratings count in this analysis; the leaderboard takes only the ones that were not excluded")
    path = results.root / "studies" / analysis.study / HUMAN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, human_columns(analysis, runs))
    return path


def human_columns(analysis: Analysis, runs: Mapping[str, str]) -> dict[str, Any]:
    """What `harness.leaderboard.side_columns` reads: one cell a run and aspect."""
    cautions = "; ".join(analysis.cautions)
    return {
        "study": analysis.study,
        "sha256": analysis.sha256,
        "draws": analysis.draws,
        "permutations": analysis.permutations,
        "seed": analysis.seed,
        "aspects": list(analysis.aspects),
        **({} if analysis.scale == FIVE else {"scale": analysis.scale.to_json()}),
        "cells": [
            {
                "run": runs[summary.system],
                "aspect": summary.aspect,
                "value": _rounded(summary.mean.value),
                "low": _rounded(summary.mean.low),
                "high": _rounded(summary.mean.high),
                "items": summary.items,
                "letters": summary.letters,
                "signature": summary.signature,
                "unavailable": summary.mean.reason,
                "caution": cautions,
            }
            for summary in analysis.summaries
            if not summary.reference and runs.get(summary.system)
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)
