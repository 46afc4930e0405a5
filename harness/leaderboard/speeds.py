"""Speed as columns of the table: the figures of `results/speed/` joined to the runs they were measured of."""

from __future__ import annotations

from collections.abc import Sequence

from harness.leaderboard.frame import Cell, Column
from harness.speed import Speed

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
    return next((each for each in speeds if each.identity == identity), None)


def speed_cells(speed: Speed | None) -> dict[str, Cell]:
    """The cells of a run's row; none where it was not measured. The range is that of the repeats."""
    if speed is None:
        return {}
    cells = {SPEED: Cell(speed.images_per_second, speed.low, speed.high, signature=speed.signature)}
    if speed.relative is not None:
        cells[RELATIVE] = Cell(speed.relative, signature=speed.signature)
    return cells
