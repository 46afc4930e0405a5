"""From a suite to answers on disk: plan, find what is missing, decode it, store it.

A run that was killed, interrupted or limited to some examples is resumed by running it again. Nothing here depends
on what was decoded before, only on what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from decoders.models.devices import pick_device
from harness.decode.executor import Executor, InlineExecutor, Job, Task
from harness.decode.plan import Plan
from harness.errors import Interrupted
from harness.store.durable import Progress, no_progress
from harness.store.runs import (
    Key,
    Record,
    Results,
    RunFolder,
    cache_folder,
)
from harness.suites.provenance import environment
from harness.suites.spec import (
    Suite,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run stands after `decode`."""

    label: str
    identity: str
    folder: RunFolder
    total: int
    decoded: int
    """Answers with a text."""
    failures: Sequence[Record] = field(default_factory=tuple)
    fresh: int = 0
    """How many were decoded just now."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; a failed example is not missing."""
        return self.decoded + len(self.failures) == self.total

    def sentence(self) -> str:
        """Such as `997 of 1000 decoded, 3 failed: UnreadableImage img7 (...), ...`."""
        text = f"{self.decoded} of {self.total} decoded"
        if self.failures:
            shown = "; ".join(
                f"{each.failure.kind}: {each.failure.message}" for each in self.failures[:3] if each.failure
            )
            text += f", {len(self.failures)} failed: {shown}" + ("; ..." if len(self.failures) > 3 else "")
        missing = self.total - self.decoded - len(self.failures)
        return text + (f", {missing} still to do" if missing else "")


def decode(
    planned: Plan,
    suite: Suite,
    results: Results,
    *,
    executor: Executor | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
) -> Outcome:
    """Decode what is missing of one run and store it.

    Args:
        planned: from `plan`.
        suite: where it comes from; kept in run.json, so that a result explains itself.
        results: where to.
        executor: who decodes; this process by default.
        batch_size: examples at once; the suite's by default. It never changes a text.
        limit: only the first so many examples; the run stays incomplete and can be resumed.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        progress: called with answers done and due after every batch.

    Raises:
        RunLocked: another process writes this run.
        Interrupted: Ctrl-C; everything up to the last batch is on disk.
    """
    folder = results.run(planned.spec)
    keys = planned.keys
    with folder.lock():
        folder.open(planned.spec, len(keys), suite.document(), environment())
        records = {record.key: record for record in folder.records()}
        tasks = [] if folder.complete else planned.tasks(set(records), limit)
        progress(len(records), len(keys))
        if tasks:
            job = Job(planned.spec, planned.captions, pick_device(device), cache_folder(), planned.captions_index)
            _decode_tasks(
                job,
                tasks,
                folder,
                records,
                executor=executor or InlineExecutor(),
                batch_size=batch_size or suite.run.batch_size,
                total=len(keys),
                progress=progress,
            )
        if len(records) == len(keys):
            folder.finish(keys)
    failures = [record for record in records.values() if record.failure]
    return Outcome(
        planned.spec.label,
        planned.spec.identity(),
        folder,
        len(keys),
        len(records) - len(failures),
        failures,
        len(tasks),
    )


def _decode_tasks(
    job: Job,
    tasks: Sequence[Task],
    folder: RunFolder,
    records: dict[Key, Record],
    *,
    executor: Executor,
    batch_size: int,
    total: int,
    progress: Callable[[int, int], None],
) -> None:
    try:
        with folder.part() as part:
            for batch in executor.run(job, tasks, batch_size):
                part.append(batch)
                records.update({record.key: record for record in batch})
                progress(len(records), total)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped: {len(records)} of {total} answers of {job.spec.suite}/{job.spec.label} are on disk. Run the same command "
            "again to resume from there"
        ) from None
