"""A suite with its data read and hashed once: what planning its decoders and scoring their runs start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.datasets.load import Digests, load_examples
from harness.store.durable import Progress, no_progress
from harness.suites.examples import Example
from harness.suites.spec import Suite

if TYPE_CHECKING:  # planning needs no metric, and scoring texts no model library
    from harness.decode.plan import Plan
    from harness.metrics.evaluate import Evaluator, RowMaker


class Experiment:
    """One suite, its examples and the digests of its data and models.

    Args:
        suite: what is asked.
        examples: its examples, where they are read already; read here by default.
        progress: of reading.

    Raises:
        SuiteError, DataError: as `harness.datasets.load.load_examples`.
    """

    def __init__(self, suite: Suite, examples: Sequence[Example] | None = None, *, progress: Progress = no_progress) -> None:
        self.suite = suite
        self.examples = load_examples(suite, progress=progress) if examples is None else examples
        self.digests = Digests(suite, self.examples)

    def plan(self, label: str) -> Plan:
        """One of the suite's decoders, pinned down; raises as `harness.decode.plan.plan`."""
        from harness.decode.plan import plan

        return plan(self.suite, label, self.examples, digests=self.digests)

    def evaluator(self, device: str = "auto", *, make_rows: RowMaker | None = None) -> Evaluator:
        """What scores the runs.

        Args:
            device: where models of metrics run: `auto`, `cpu`, `cuda`, ...
            make_rows: who makes the rows of metrics whose rows can be made apart; this process by default.
        """
        from harness.metrics.evaluate import Evaluator

        return Evaluator(self.suite, self.examples, self.digests, device, make_rows=make_rows)
