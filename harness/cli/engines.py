"""Who does the work: this process, or the actors of a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from harness.cli import console
from harness.cli.flags import check_positive
from harness.errors import SuiteError

if TYPE_CHECKING:  # what they import would make every verb slow
    from harness.decode.executor import Executor
    from harness.metrics.evaluate import RowMaker


class Engine(NamedTuple):
    """What the flags say."""

    name: str = "inline"
    address: str | None = None
    workers: int | None = None

    def check(self) -> None:
        """Refuse flags that contradict each other.

        Raises:
            SuiteError: naming the flag and the remedy.
        """
        check_positive({"--workers": self.workers})
        for flag, value in (("--address", self.address), ("--workers", self.workers)):
            if value is not None and self.name != "ray":
                raise SuiteError(f"{flag} {value} is for a Ray cluster; add --engine ray, or leave it out")


@contextlib.contextmanager
def working(engine: Engine) -> Iterator[tuple[Executor, RowMaker | None]]:
    """An executor, and who makes the rows of metrics that can be made apart (None: this process)."""
    if engine.name == "inline":
        from harness.decode.executor import InlineExecutor

        yield InlineExecutor(console.say), None
        return
    from harness.decode.cluster.executor import RayExecutor

    with RayExecutor(engine.address, engine.workers, notice=console.say) as cluster:
        yield cluster, cluster.rows
