"""Imported ratings joined with the runs that wrote the texts: by system, item, and the text itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.errors import StudyError
from harness.store.runs import Results
from harness.study.design.sources import find_folder, label_of, runs_of, source
from harness.study.exchange.columns import FILE_ROW
from harness.study.exchange.incoming import Given
from harness.suites.spec import RunSpec


def join_runs(given: Given, results: Results, suite: str) -> Given:
    """The ratings with their systems' runs, so that metrics can be held against them; texts that are missing come from the runs.

    A system without a run stays without one: metrics are compared on the others.

    Args:
        given: what there is to import.
        results: the store.
        suite: whose runs; a system's name is the label of its run.

    Raises:
        StudyError: no system has a run, a run has no text for a rated item, or another text than the one that was rated.
    """
    suite, folders = runs_of(results, suite)
    labels = {label_of(folder) for folder in folders}
    systems = dict(given.described["systems"])
    joined = sorted(labels & set(systems))
    if not joined:
        raise StudyError(
            f"no system of these ratings ({', '.join(systems)}) has a run of {suite!r}, which has: {', '.join(sorted(labels))}; "
            "expected the labels of runs as names of systems"
        )
    texts: dict[str, Mapping[str, str]] = {}
    for name in joined:
        folder = find_folder(folders, suite, name)
        run = source(folder)
        texts[name] = run.texts
        systems[name] = {"decoder": run.decoder, "identity": run.identity, "config": {**run.config, **systems[name]["config"]}}
        task = RunSpec.model_validate(folder.describe()["spec"]).task
    ratings = [_with_text(row, texts[row["system"]], suite) if _joins(row, texts) else row for row in given.ratings]
    return replace(given, ratings=ratings, described={**given.described, "suite": suite, "task": task, "systems": systems})


def _joins(row: Mapping[str, Any], texts: Mapping[str, object]) -> bool:
    return row["kind"] in ("system", "repeat") and row["system"] in texts


def _with_text(row: dict[str, Any], texts: Mapping[str, str], suite: str) -> dict[str, Any]:
    where = f"row {row[FILE_ROW]}: item {row['item']!r} of {row['system']!r}"
    text = texts.get(row["item"])
    if text is None:
        raise StudyError(
            f"{where} has no text in the run of {suite!r}, whose items are {', '.join(list(texts)[:3])}, ...; items must be the "
            "ids of the suite's examples"
        )
    if row["text"] and _plain(row["text"]) != _plain(text):
        raise StudyError(
            f"{where} was rated as {row['text'][:80]!r}, and the run of {suite!r} has {text[:80]!r}; ratings of other texts "
            "cannot be held against the scores of this run"
        )
    return {**row, "text": row["text"] or text}


def _plain(text: str) -> list[str]:
    """The words alone: files differ in case, spaces, and in how they set punctuation apart."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
