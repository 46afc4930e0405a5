"""Accepted baselines: what `seetell gate --accept` writes and every later gate compares with.

One JSON file a suite, small enough for version control: digests of the texts instead of the texts, and every metric's rows
(little-endian float64, zlib, base64), so that differences keep their pairing by example.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.compare.differences import gives_back, load_metric
from harness.compare.scored import DAMAGE, ScoredMetric, ScoredRun, command
from harness.errors import SeeTellError, StoreError, SuiteError, did_you_mean
from harness.metrics.score import Score
from harness.store.durable import write_json
from harness.store.sealed import check_seal, read_json, sealed, without_seal
from harness.suites.provenance import seetell_version
from harness.suites.sections import Section, checked
from harness.suites.spec import RunSpec, Suite


class PackedRows(Section):
    """Rows of a metric."""

    shape: tuple[int, int]
    """Answers and columns."""
    data: str
    """Base64 of zlib of the row-major little-endian float64 values."""

    @classmethod
    def pack(cls, rows: NDArray[np.float64]) -> PackedRows:
        """Pack `[n, k]` without losing a bit, NaN included."""
        data = zlib.compress(np.ascontiguousarray(rows, "<f8").tobytes(), 9)
        return cls(shape=(rows.shape[0], rows.shape[1]), data=base64.b64encode(data).decode("ascii"))

    def unpack(self) -> NDArray[np.float64]:
        """The rows again.

        Raises:
            ValueError: damaged, or not of the shape it claims; no more than that is ever unpacked.
        """
        size = 8 * self.shape[0] * self.shape[1]
        try:
            packed = base64.b64decode(self.data, validate=True)
            content = zlib.decompressobj().decompress(packed, size + 1)
        except (binascii.Error, zlib.error) as error:
            raise ValueError(f"rows are damaged: {error}") from error
        if len(content) != size:
            raise ValueError(f"rows do not hold the {size} bytes of shape {self.shape}")
        return np.frombuffer(content, "<f8").reshape(self.shape).astype(np.float64)


class AcceptedMetric(Section):
    """One metric of a run."""

    scores: tuple[Mapping[str, Any], ...]
    rows: PackedRows | None


class AcceptedRun(Section):
    """One run as it was accepted."""

    identity: str
    digest: str
    """Of the answers, `harness.compare.scored.digest_answers`."""
    spec: RunSpec
    suite: Mapping[str, Any]
    environment: Mapping[str, Any]
    examples: tuple[str, ...]
    """The example of each answer."""
    metrics: Mapping[str, AcceptedMetric]

    @classmethod
    def of(cls, run: ScoredRun) -> AcceptedRun:
        """What is kept of a run."""
        return cls(
            identity=run.spec.identity(),
            digest=run.digest,
            spec=run.spec,
            suite={**run.suite.document(), "folder": "."},  # where it lay is no business of whoever reads the baseline
            environment=run.environment,
            examples=run.example_ids,
            metrics={
                label: AcceptedMetric(
                    scores=tuple(score.to_json() for score in metric.scores),
                    rows=None if metric.rows is None else PackedRows.pack(metric.rows),
                )
                for label, metric in run.metrics.items()
            },
        )

    def scored(self) -> ScoredRun:
        """The run in the form that comparisons take; it has no texts."""
        metrics = {
            label: ScoredMetric(
                tuple(Score.from_json(score) for score in metric.scores), None if metric.rows is None else metric.rows.unpack()
            )
            for label, metric in self.metrics.items()
        }
        suite = Suite.model_validate(self.suite)
        return ScoredRun(self.spec, suite, self.environment, self.examples, self.digest, metrics)


class Baseline(Section):
    """The content of a baseline file."""

    format: Literal["seetell-baseline-1"] = "seetell-baseline-1"
    suite: str
    created: str
    seetell: str
    margins: Mapping[str, Annotated[float, Field(gt=0, allow_inf_nan=False)] | None] = Field(default_factory=dict)
    """Agreed when it was accepted, by output; None for one that is not gated."""
    runs: Mapping[str, AcceptedRun]
    """By decoder label."""

    @classmethod
    def of(cls, runs: Sequence[ScoredRun], margins: Mapping[str, float | None]) -> Baseline:
        """A baseline of the runs of one suite, made now."""
        return cls(
            suite=runs[0].spec.suite,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seetell=seetell_version(),
            margins=dict(margins),
            runs={run.spec.label: AcceptedRun.of(run) for run in runs},
        )

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a baseline and check that it is whole.

        Raises:
            StoreError: no such file, or not a baseline.
        """
        remedy = f"rewrite it with `seetell gate SUITE --accept --baseline '{path}'`"
        try:
            content = read_json(path, remedy)
            baseline = checked(cls, without_seal(content), f"{path} is no baseline", error=StoreError, remedy=remedy)
            for run in baseline.runs.values():
                run.scored()
            check_seal(content, str(path), remedy)
        except FileNotFoundError:
            raise StoreError(f"there is no baseline {path}; {remedy}") from None
        except (OSError, *DAMAGE) as error:
            raise StoreError(f"the baseline {path} cannot be read ({error}); {remedy}") from error
        return baseline

    @classmethod
    def accept(
        cls, path: Path, runs: Mapping[str, ScoredRun | SeeTellError], margins: Mapping[str, float | None], *, keep_others: bool
    ) -> Baseline:
        """Write a baseline; margins agreed before stay unless new ones are given.

        Args:
            path: the file.
            runs: by decoder label.
            margins: by output.
            keep_others: whether runs of the old file that are not among `runs` stay in it.

        Raises:
            SeeTellError: a run that is not available, or the file is another suite's; nothing is written then.
        """
        ready = []
        for run in runs.values():
            if isinstance(run, SeeTellError):
                raise run
            _check_values(run)
            ready.append(run)
        outputs = {score.output for run in ready for metric in run.metrics.values() for score in metric.scores}
        for output in margins:
            if output not in outputs:
                raise SuiteError(f"--margin {output}=...: no run has such an output{did_you_mean(output, outputs)}")
        before = cls.read(path) if path.exists() else None
        suites = {run.spec.suite for run in ready}
        if before and before.suite not in suites:
            raise StoreError(
                f"{path} is the baseline of suite {before.suite!r}, not of {', '.join(sorted(suites))}; name another file with "
                "--baseline, or delete that one first"
            )
        baseline = cls.of(ready, {**(before.margins if before else {}), **margins})
        if before and keep_others:
            baseline = baseline.model_copy(update={"runs": {**before.runs, **baseline.runs}})
        baseline.write(path)
        return baseline

    def limited_to(self, labels: Sequence[str]) -> Baseline:
        """Only these decoders; all of them if none is named.

        Raises:
            SuiteError: one that the baseline does not have.
        """
        for label in labels:
            if label not in self.runs:
                raise SuiteError(f"the baseline has no decoder {label!r}{did_you_mean(label, self.runs)}")
        return self.model_copy(update={"runs": {label: self.runs[label] for label in labels}}) if labels else self

    def write(self, path: Path) -> None:
        """Put the file in place, whole."""
        write_json(path, sealed(self.model_dump(mode="json")))


def _check_values(run: ScoredRun) -> None:
    """Refuse a run whose stored values are not what its rows give.

    Raises:
        StoreError: naming the metric.
    """
    for label, scored in run.metrics.items():
        if scored.rows is not None and not gives_back(scored, load_metric(run.suite, label)):
            raise StoreError(
                f"the rows of {label!r} in {run.name} do not give its stored value; "
                f"`{command('score', run.spec, run.suite)} --fresh` scores again"
            )
