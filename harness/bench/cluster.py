"""How well decoding spreads: one process against one worker, one worker against several, beyond start-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from harness.bench.meters import Spread
from harness.decode.cluster.executor import RayExecutor
from harness.decode.executor import Executor, Job, Task, Worker
from harness.decode.plan import Plan
from harness.store.durable import Progress, no_progress
from harness.store.runs import Record, cache_folder


@dataclass(frozen=True, slots=True)
class Scaling:
    """What one engine took."""

    engine: str
    """`inline`, or `ray` with so many workers."""
    workers: int
    examples: int
    start: float
    """Seconds until the first pass was done: cluster, processes, models."""
    seconds: Spread
    """Of a pass when everything is warm."""
    ratio: Spread
    """Times as fast as what it is held against: one worker against this process, several workers against one. The range is from
    the slowest to the fastest passes."""


def measure(
    planned: Plan,
    *,
    address: str | None,
    workers: Sequence[int],
    batch_size: int,
    repeats: int,
    device: str,
    progress: Progress = no_progress,
) -> list[Scaling]:
    """Decode the whole of a run with each engine, in turn, and keep nothing.

    On a CPU every worker, and this process too, uses one thread: more would measure torch's threads, not the spreading.

    Args:
        planned: from `harness.decode.plan.plan`.
        address: of a cluster; None starts one here for each number of workers.
        workers: numbers to try, beginning with 1.
        batch_size: examples a chunk.
        repeats: passes of each; one more is made first.
        device: such as `cpu`.
        progress: called with passes done and due.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(planned, address, workers, batch_size, repeats, device, progress)
    finally:
        torch.set_num_threads(threads)


def _measure(
    planned: Plan,
    address: str | None,
    workers: Sequence[int],
    batch_size: int,
    repeats: int,
    device: str,
    progress: Callable[[int, int], None],
) -> list[Scaling]:
    job = Job(planned.spec, planned.captions, device, cache_folder())
    tasks = planned.tasks(set())
    keys = {task.key for task in tasks}
    due, done = (repeats + 1) * (1 + len(workers)), 0

    def once(executor: Executor) -> float:
        nonlocal done
        start = time.perf_counter()
        answered = [record.key for records in executor.run(job, tasks, batch_size) for record in records]
        seconds = time.perf_counter() - start
        assert len(answered) == len(keys) and set(answered) == keys  # or it would be no measurement  # noqa: S101, PT018
        done += 1
        progress(done, due)
        return seconds

    results: list[Scaling] = []
    inline = _Warm()
    started = once(inline)
    times = [once(inline) for _ in range(repeats)]
    results.append(Scaling("inline", 1, len(tasks), started, Spread.of(times), Spread(1.0, 1.0, 1.0)))
    for number in workers:
        before = results[-1] if number == 1 or len(results) == 1 else results[1]
        # One cluster at a time: an idle one would still take its share of a small machine.
        with RayExecutor(address, number) as executor:
            started = once(executor)
            times = [once(executor) for _ in range(repeats)]
        spread = Spread.of(times)
        ratio = Spread(before.seconds.median / spread.median, before.seconds.low / spread.high, before.seconds.high / spread.low)
        results.append(Scaling("ray", number, len(tasks), started, spread, ratio))
    return results


class _Warm:
    """This process with its decoder kept, as an actor keeps it."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def run(self, job: Job, tasks: Sequence[Task], batch_size: int) -> Iterator[list[Record]]:
        """Decode every task once."""
        self._worker = self._worker or Worker(job)
        return self._worker.batches(tasks, batch_size)
