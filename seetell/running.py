"""`seetell.run`: a suite decoded and scored, as the command line does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from harness.cli.console import progress_bar
from harness.decode.experiment import Experiment
from harness.decode.plan import labels
from harness.decode.run import Outcome, decode
from harness.errors import SuiteError
from harness.metrics.score import Score
from harness.store.numbers import Column
from harness.store.runs import Results
from harness.suites.spec import Suite
from seetell.frames import data_frame, html_table, text_table
from seetell.inputs import as_settings, check_labels, suite_of


@dataclass(frozen=True, slots=True)
class Run:
    """One decoder of a suite, decoded."""

    label: str
    outcome: Outcome
    """How many examples were decoded, which failed, and where the answers are."""
    scores: tuple[Score, ...] = ()
    """Empty where the run is incomplete or was not scored."""

    @property
    def texts(self) -> dict[str, str]:
        """The texts by example id; of an example with several draws the first one, and nothing of one that failed."""
        return {
            record.example_id: record.text for record in self.outcome.folder.records() if not record.failure and not record.draw
        }


class Runs(Sequence[Run]):
    """The decoders of a suite after a run, in the suite's order. In a notebook it is shown as a table."""

    def __init__(self, suite: str, runs: Sequence[Run]) -> None:
        self.suite = suite
        self._runs = tuple(runs)

    @overload
    def __getitem__(self, place: int | str) -> Run: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Run]: ...

    def __getitem__(self, place: int | str | slice) -> Run | Sequence[Run]:
        """A run by its place, or by its label."""
        if not isinstance(place, str):
            return self._runs[place]
        [label] = check_labels(place, [run.label for run in self._runs], "label")
        return next(run for run in self._runs if run.label == label)

    def __len__(self) -> int:
        return len(self._runs)

    def to_pandas(self) -> Any:
        """A data frame with a row a decoder and a column a number."""
        rows = [
            {"decoder": run.label, "decoded": run.outcome.decoded, "failed": len(run.outcome.failures)}
            | {score.output: score.value for score in run.scores}
            for run in self._runs
        ]
        return data_frame(rows, index="decoder")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        scores = {score.output: score for run in self._runs for score in run.scores}
        columns = [Column(score.output, score.output, score.higher_is_better, score.percent) for score in scores.values()]
        heads = [self.suite, "decoded", *(f"{column.label} {column.arrow}".strip() for column in columns)]
        rows = []
        for run in self._runs:
            values = {score.output: score.value for score in run.scores}
            rows.append(
                [
                    run.label,
                    f"{run.outcome.decoded} of {run.outcome.total}",
                    *(column.show(values.get(column.name)) for column in columns),
                ]
            )
        return heads, rows

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    *,
    only: str | Sequence[str] = (),
    limit: int | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    fresh: bool = False,
    score: bool = True,
    batch_size: int | None = None,
    device: str = "auto",
    results: str | Path = "results",
) -> Runs:
    """Decode a suite with each of its decoders, then score the texts: `seetell run`.

    Texts that are on disk are not decoded again, so the same call resumes a run that was stopped.

    ```python
    seetell.run("toybox-plain", only=["greedy"], limit=8, settings={"run.batch_size": 4})
    ```

    Args:
        suite: the name of a packaged suite, the path of a TOML file, a dict of the same tables, or a loaded `seetell.Suite`.
        only: labels of the decoders to run; all of the suite's by default.
        limit: only the first so many examples; the runs stay incomplete, are not scored and can be resumed.
        settings: what to change of the suite, as `--set` does, such as `{"magic.beta": 1.5}`.
        fresh: decode again what is on disk; the old answers are kept in the run's folder.
        score: whether complete runs are scored.
        batch_size: examples decoded together; the suite's own by default. It never changes a text.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        results: the results folder.

    Raises:
        SeeTellError: the suite, its data or its models are not right; the message says what to do.
    """
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise SuiteError(f"{name}={value}: expected 1 or more")
    loaded = suite_of(suite, as_settings(settings))
    known = list(labels(loaded))
    chosen = check_labels(only, known, "only") or known
    with progress_bar(f"reading {loaded.name}") as progress:
        experiment = Experiment(loaded, progress=progress)
    plans = [experiment.plan(label) for label in chosen]  # what is wrong is said before anything is decoded
    evaluator = experiment.evaluator(device) if score else None
    store = Results(Path(results))
    runs = []
    for planned in plans:
        label = planned.spec.label
        with progress_bar(f"{loaded.name}/{label}: decoding") as progress:
            outcome = decode(
                planned, loaded, store, batch_size=batch_size, limit=limit, device=device, fresh=fresh, progress=progress
            )
        scores: list[Score] = []
        if evaluator is not None and outcome.complete:
            with progress_bar(f"{loaded.name}/{label}: scoring") as progress:
                scores = evaluator.score(outcome.folder, progress=progress)
        runs.append(Run(label, outcome, tuple(scores)))
    return Runs(loaded.name, runs)
