"""From a suite to answers on disk: plan, find what is missing, decode it, store it.

A run that was killed, interrupted or limited to some examples is resumed by running it again. Nothing here depends
on what was decoded before, only on what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.decode.executor import Executor, InlineExecutor, Job, Task
from harness.decode.plan import Plan
from harness.errors import Interrupted, StoreError
from harness.store.durable import Progress, no_progress
from harness.store.runs import Key, Record, Results, RunFolder, cache_folder
from harness.suites.code import code_changes
from harness.suites.provenance import environment
from harness.suites.spec import Suite


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of a run after `decode`."""

    label: str
    identity: str
    folder: RunFolder
    total: int
    decoded: int
    """Answers with a text."""
    failures: Sequence[Record] = field(default_factory=tuple)
    empty: int = 0
    """Texts without a word: the decoder ended at once."""
    fresh: int = 0
    """How many were decoded just now."""
    note: str = ""
    """Why a run that seemed to be there was decoded again; empty where it was not."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; a failed example is not missing."""
        return self.decoded + len(self.failures) == self.total

    def sentence(self) -> str:
        """Such as `997 of 1000 decoded, 3 failed: UnreadableImage img7 (...), ...`."""
        text = f"{self.decoded} of {self.total} decoded" + (f", {self.empty} of them empty" if self.empty else "")
        if self.failures:
            shown = "; ".join(
                f"{record.failure.kind}: {record.failure.message}" for record in self.failures[:3] if record.failure
            )
            text += f", {len(self.failures)} failed: {shown}" + ("; ..." if len(self.failures) > 3 else "")
        missing = self.total - self.decoded - len(self.failures)
        return text + (f", {missing} still to do" if missing else "") + (f"; {self.note}" if self.note else "")


def decode(
    planned: Plan,
    suite: Suite,
    results: Results,
    *,
    executor: Executor | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    device: str = "auto",
    fresh: bool = False,
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
        fresh: decode everything again; answers and scores that are there are put into the run's folder `replaced`.
        progress: called with answers done and due after every batch.

    Raises:
        RunLocked: another process writes this run.
        Interrupted: Ctrl-C; everything up to the last batch is on disk.
        StoreError: the stored answers are damaged, or are not those that the suite asks for.
        DataError: an image is no longer what it was when the run was planned.
    """
    folder = results.run(planned.spec)
    keys = planned.keys
    changed = other_code(planned, results)
    wanted = set(keys)
    with folder.lock():
        if fresh:
            folder.set_aside()
        code = planned.code.to_json() if planned.code else None
        folder.open(planned.spec, len(keys), suite.document(), environment(), code)
        records = {record.key: record for record in folder.records()}
        if folder.complete and records.keys() != wanted:
            example, draw = min(wanted ^ records.keys())
            raise StoreError(
                f"{folder.path / 'samples.parquet'} does not answer what the suite asks (example {example!r}, draw {draw}, for "
                "one); delete it and run the suite again"
            )
        records = {key: record for key, record in records.items() if key in wanted}  # a part may be damaged
        tasks = [] if folder.complete else planned.tasks(set(records), limit)
        progress(len(records), len(keys))
        if tasks:
            job = Job(planned.spec, planned.captions, device, cache_folder(), planned.captions_index)
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
        sum(record.empty for record in records.values()),
        len(tasks),
        f"decoded again, because {changed}" if changed else "",
    )


def other_code(planned: Plan, results: Results) -> str:
    """What changed in a plug-in's code since the same decoder was run with the same settings; empty if nothing did.

    Only told while there is no run of today's code yet.
    """
    if planned.code is None or results.run(planned.spec).path.exists():
        return ""
    spec = planned.spec.model_dump(mode="json", exclude={"code"})
    same = [
        (folder, content)
        for folder, content in results.described(planned.spec.suite)[0]
        if {key: value for key, value in content["spec"].items() if key != "code"} == spec
    ]
    if not same:
        return ""
    folder, content = max(same, key=lambda run: str(run[1]["created"]))
    changes = code_changes(content.get("code"), planned.code)
    return f"the code of {planned.spec.decoder!r} is not that of {folder.path.name}: {changes}"


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
