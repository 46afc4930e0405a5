"""`seetell.results` and `seetell.compare`: what is in a results folder, as data frames and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare import views
from harness.compare.corrections import Correction
from harness.compare.paired import PERMUTATIONS
from harness.compare.runs import Comparison, compare_runs, on_common_examples
from harness.compare.scored import ScoredRun
from harness.errors import StoreError
from harness.store.find import find_run
from harness.store.runs import Results, RunFolder
from seetell.frames import data_frame, html_table, text_table
from seetell.inputs import as_settings

if TYPE_CHECKING:
    from harness.leaderboard.frame import Board

SCORE_COLUMNS = (
    "suite", "decoder", "run", "metric", "value", "low", "high", "n", "unscored", "rank_group", "complete", "signature",
)  # fmt: skip


class ResultsFolder:
    """The runs, scores and studies under one folder. Nothing is changed by reading them.

    Args:
        root: the folder that `seetell run` wrote into.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise StoreError(f"there is no results folder {str(root)!r}; `seetell run toybox-plain` makes one")
        self._store = Results(self.root)

    @property
    def suites(self) -> list[str]:
        """Names of the suites that have runs."""
        return sorted({folder.path.parent.name for folder in self._store.runs()})

    def scores(self, *suites: str, settings: Mapping[str, Any] | Sequence[str] = ()) -> Any:
        """A data frame with a row a decoder and number, as the leaderboard has them.

        Columns: suite, decoder, run (its folder's name), metric, value, low and high (95 % interval), n, unscored, rank_group
        (systems that share a letter cannot be told apart), complete, signature. Values are fractions, not percent.

        Args:
            *suites: which; all by default.
            settings: show the runs that were made with these, such as `{"magic.beta": 1.5}`; the suites' own by default.
        """
        from harness.leaderboard.collect import boards

        shown = boards(self._store, suites, as_settings(settings))
        return data_frame([row for board in shown for row in _score_rows(board)], columns=SCORE_COLUMNS)

    def examples(self, run: str) -> Any:
        """A data frame with a row a text and a column a metric: each text scored alone.

        Args:
            run: a suite, or one of its runs as in `toybox-plain/magic`.
        """
        from harness.leaderboard.collect import material_of
        from harness.leaderboard.example_table import example_rows

        folders: Sequence[RunFolder] = self._store.runs(run) or [find_run(self._store, run)]
        return data_frame(example_rows(material_of(folders, letters=False)))

    def ratings(self, study: str, *, excluded: bool = False) -> Any:
        """A data frame with a row a rating of a study.

        Args:
            study: its name, or the path of its database.
            excluded: also the ratings that were decided not to count.
        """
        from harness.cli.study.shared import opened
        from harness.study.analysis.ratings import COLUMNS

        with opened(study, self.root) as admin:
            table = admin.ratings(excluded=excluded)
        arrays = [getattr(table, name).tolist() for name in COLUMNS]
        return data_frame([dict(zip(COLUMNS, row, strict=True)) for row in zip(*arrays, strict=True)], columns=COLUMNS)

    def __repr__(self) -> str:
        return f"ResultsFolder({str(self.root)!r}), suites: {', '.join(self.suites) or 'none'}"


def results(folder: str | Path = "results") -> ResultsFolder:
    """A results folder.

    ```python
    seetell.results("results").scores("toybox-plain")
    ```

    Raises:
        StoreError: there is no such folder.
    """
    return ResultsFolder(folder)


class Compared:
    """Two runs side by side. In a notebook it is shown as a table.

    Attributes:
        comparison: everything that `seetell compare` says.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def to_pandas(self) -> Any:
        """A data frame with a row a number: both values, difference, interval, p-values, verdict."""
        return data_frame(views.to_json(self.comparison)["differences"], index="output")

    def to_html(self) -> str:
        """The whole comparison as a page of its own."""
        return views.to_html(self.comparison)

    def __repr__(self) -> str:
        return "\n".join([text_table(views.HEADER, views.table(self.comparison), views.LEFT), *views.notes(self.comparison)])

    def _repr_html_(self) -> str:
        return html_table(views.HEADER, views.table(self.comparison), views.LEFT)


def compare(
    first: str,
    second: str,
    *,
    results: str | Path = "results",
    settings: Mapping[str, Any] | Sequence[str] = (),
    correction: Correction = "benjamini-hochberg",
    by: str | None = None,
    common: bool = False,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    device: str = "auto",
) -> Compared:
    """Compare two scored runs example by example: `seetell compare`.

    Args:
        first: a run's folder, or suite/label as in `toybox-plain/magic`.
        second: the run to compare with it; differences are second minus first.
        results: the results folder.
        settings: what the second run was made with, such as `{"magic.beta": 1.5}`.
        correction: of the p-values, over all numbers of the table.
        by: the number whose largest moves are kept, such as `cider`.
        common: compare only the examples that both runs have, scored again.
        permutations: exchanges in a test.
        seed: of the test and the intervals.
        device: where models of metrics run.

    Raises:
        SeeTellError: no such run, or runs that do not compare.
    """
    from decoders.models.devices import pick_device

    store, device = Results(Path(results)), pick_device(device)
    pair = (ScoredRun.load(find_run(store, first)), ScoredRun.load(find_run(store, second, as_settings(settings))))
    if common:
        pair = on_common_examples(*pair, device=device)
    return Compared(compare_runs(*pair, correction=correction, by=by, permutations=permutations, seed=seed, device=device))


def _score_rows(board: Board) -> list[dict[str, Any]]:
    rows = []
    for row in board.rows:
        for column in board.columns:
            cell = row.cells.get(column.name)
            if cell is None:
                continue
            low, high = cell.interval or (None, None)
            rows.append(
                {
                    "suite": board.suite, "decoder": row.decoder, "run": row.identity and f"{row.decoder}-{row.identity}",
                    "metric": column.name, "value": cell.number, "low": low, "high": high, "n": cell.n, "unscored": cell.unscored,
                    "rank_group": cell.letters, "complete": row.complete, "signature": cell.signature,
                }
            )  # fmt: skip
    return rows
