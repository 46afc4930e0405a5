"""A scored run in memory: what comparisons and gates work on, wherever it comes from (the store, or an accepted baseline)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import RunIncomplete, StoreError
from harness.score import Score
from harness.spec import RunSpec, Suite
from harness.store import Record, RunFolder


@dataclass(frozen=True, slots=True)
class ScoredMetric:
    """What one metric said about a run."""

    scores: tuple[Score, ...]
    rows: NDArray[np.float64] | None
    """`[n, k]` in the order of the run's answers; None where the metric was unavailable."""


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A complete run with its scores and the rows behind them."""

    spec: RunSpec
    suite: Suite
    """As it was when the run was made; names the metrics and their options."""
    environment: Mapping[str, Any]
    example_ids: tuple[str, ...]
    """The example of each answer."""
    digest: str
    """Hash of all answers, from `digest_answers`."""
    metrics: Mapping[str, ScoredMetric]
    """By their label in the suite."""
    answers: tuple[Record, ...] = ()
    """The texts; none for a baseline, which keeps only their digest."""

    @property
    def name(self) -> str:
        """Such as `toybox-plain/magic-1f0c33ab`."""
        return f"{self.spec.suite}/{self.spec.label}-{self.spec.identity()[:8]}"

    @classmethod
    def load(cls, folder: RunFolder) -> ScoredRun:
        """Read a run from the store.

        Raises:
            RunIncomplete: not every example has its answer.
            StoreError: it is not scored, the scores are of other samples, or a file is damaged.
        """
        content = folder.describe()
        spec, suite = RunSpec.model_validate(content["spec"]), Suite.model_validate(content["suite"])
        if not folder.complete:
            raise RunIncomplete(
                f"{folder.path} has {len(folder.records())} of {content['answers']} answers, and part of a run compares with "
                f"nothing; finish it with `seetell run {spec.suite}`"
            )
        scores = folder.scores()
        if scores is None:
            raise StoreError(f"{folder.path} is not scored yet; run `seetell score {spec.suite}`")
        if scores["samples"] != hashlib.sha256((folder.path / "samples.parquet").read_bytes()).hexdigest():
            raise StoreError(
                f"the scores in {folder.path} are of other samples; run `seetell score {spec.suite} --fresh`"
            )
        answers = tuple(folder.records())
        metrics = {
            label: ScoredMetric(
                tuple(Score.from_json(each) for each in entry["scores"]),
                _rows(folder, entry["rows"]) if entry["rows"] else None,
            )
            for label, entry in scores["metrics"].items()
        }
        ids = tuple(record.example_id for record in answers)
        return cls(spec, suite, content["environment"], ids, digest_answers(answers), metrics, answers)


def digest_answers(answers: Iterable[Record]) -> str:
    """SHA-256 over answers as they would stand in a part file: the same for the same texts and tokens.

    Not over samples.parquet, whose bytes another version of the parquet library may write differently.
    """
    digest = hashlib.sha256()
    for record in sorted(answers, key=lambda record: record.key):
        digest.update(record.to_line())
    return digest.hexdigest()


def _rows(folder: RunFolder, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        return folder.rows(name)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"the rows {name!r} of {folder.path} cannot be read ({error}); run `seetell score --fresh` to write them again"
        ) from error
