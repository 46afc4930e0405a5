"""Ratings by people beside the metrics: columns from studies that are frozen, and from no others.

A study hands over one file when it is analysed after freezing (`study.analysis.findings.publish`); until then there is nothing
here to show, so the leaderboard is blind by construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from harness.errors import StoreError
from harness.leaderboard.frame import Board, Cell, Row
from harness.store.numbers import Column
from harness.store.runs import Results
from harness.store.speed import Speed
from harness.suites.sections import Section, checked


class HumanCell(Section):
    """One run on one aspect."""

    run: str
    """`suite/label-identity8`."""
    aspect: str
    value: float | None
    low: float | None
    high: float | None
    items: int = Field(ge=0)
    letters: str
    signature: str
    unavailable: str
    caution: str


class HumanScale(Section):
    """The ends of the scale that people rated on, and the step between its values."""

    low: float
    high: float
    step: float = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class HumanStudy(Section):
    """A frozen study's part of the leaderboard."""

    study: str
    sha256: str
    draws: int
    permutations: int
    seed: int
    aspects: tuple[str, ...]
    scale: HumanScale = HumanScale(low=1, high=5, step=1)
    cells: tuple[HumanCell, ...]

    @model_validator(mode="after")
    def _on_the_scale(self) -> HumanStudy:
        means = [cell.value for cell in self.cells if cell.value is not None]
        wrong = [mean for mean in means if not self.scale.low <= mean <= self.scale.high]
        if wrong:
            raise ValueError(f"a mean rating is {wrong[0]:g}; expected {self.scale}")
        return self

    @classmethod
    def read(cls, path: Path) -> HumanStudy:
        """Read a study's file.

        Raises:
            StoreError: it is not what `seetell study analyze` writes.
        """
        remedy = f"`seetell study analyze {path.parent.name}` writes it again"
        try:
            return checked(cls, path.read_bytes(), f"{path} is no file of a study's ratings", error=StoreError, remedy=remedy)
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error}); {remedy}") from error

    def remark(self) -> str:
        """What the columns mean, in one sentence."""
        return (
            f"Human columns, study {self.study}: mean rating from {self.scale}, intervals over other items and other annotators "
            f"(two-way bootstrap, {self.draws:,} draws); letters from a paired permutation test over items "
            f"(B = {self.permutations:,}), Holm over all pairs and aspects of the study, seed {self.seed}"
        )


def human_studies(results: Results) -> list[HumanStudy]:
    """The frozen studies that were analysed, by name."""
    return [HumanStudy.read(path) for path in sorted((results.root / "studies").glob("*/human.json"))]


def with_human(board: Board, studies: Sequence[HumanStudy]) -> Board:
    """The board with a column for each aspect of each study that rated one of its runs; the same board if none did."""
    for study in studies:
        cells: dict[tuple[str, str], HumanCell] = {(cell.run, cell.aspect): cell for cell in study.cells}
        named = {_run_name(row) for row in board.rows}
        aspects = [aspect for aspect in study.aspects if any((name, aspect) in cells for name in named)]
        if not aspects:
            continue
        taken = {column.name for column in board.columns}
        columns = {aspect: _column(aspect, study, taken) for aspect in aspects}
        rows = tuple(
            replace(row, cells={**row.cells, **_cells(row, {columns[aspect].name: aspect for aspect in aspects}, cells)})
            for row in board.rows
        )
        board = replace(board, columns=(*board.columns, *columns.values()), rows=rows, remarks=(*board.remarks, study.remark()))
    return board


def _run_name(row: Row) -> str:
    return f"{row.suite}/{row.decoder}-{row.identity}"


def _column(aspect: str, study: HumanStudy, taken: set[str]) -> Column:
    """Named by the aspect; by the study too where another study has rated it already."""
    name, label = f"human-{aspect}", f"Human {aspect}"
    if name in taken:
        name, label = f"{name}:{study.study}", f"{label} ({study.study})"
    description = f"Mean rating by people, {study.scale}, study {study.study}."
    return Column(name, label, True, percent=False, description=description, kind="human")


def _cells(row: Row, columns: Mapping[str, str], cells: Mapping[tuple[str, str], HumanCell]) -> dict[str, Cell]:
    merged = {}
    for name, aspect in columns.items():
        cell = cells.get((_run_name(row), aspect))
        if cell is not None:
            merged[name] = Cell(
                name,
                _number(cell.value),
                _number(cell.low),
                _number(cell.high),
                cell.items,
                signature=cell.signature,
                unavailable=cell.unavailable,
                letters=cell.letters,
                caution=cell.caution,
            )
    return merged


def _number(value: float | None) -> float:
    return math.nan if value is None else value


SPEED, RELATIVE = "images-per-second", "times-zerocap"


SPEED_COLUMNS = (
    Column(
        SPEED,
        "Images/s",
        higher_is_better=True,
        percent=False,
        description="Images a second, image encoding included: the median of the repeats, from the slowest to the fastest.",
        kind="speed",
    ),
    Column(
        RELATIVE,
        "× ZeroCap",
        higher_is_better=True,
        percent=False,
        description="Times as fast as ZeroCap on the same device at the same batch size.",
        kind="speed",
    ),
)


def headline_speed(speeds: Sequence[Speed], identity: str) -> Speed | None:
    """The figure of a run that tables show: the first in its file."""
    return next((speed for speed in speeds if speed.identity == identity), None)


def speed_cells(speed: Speed | None) -> dict[str, Cell]:
    """The cells of a run's row; none where it was not measured. The range is that of the repeats."""
    if speed is None:
        return {}
    cells = {SPEED: Cell(SPEED, speed.images_per_second, speed.low, speed.high, signature=speed.signature)}
    if speed.relative is not None:
        cells[RELATIVE] = Cell(RELATIVE, speed.relative, signature=speed.signature)
    return cells
