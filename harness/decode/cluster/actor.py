"""The remote end: a process with models and decoders, loaded once and kept for the next job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from harness.decode.executor import Job, Task, Worker
from harness.errors import MetricError
from harness.metrics.base import MetricConfig
from harness.store.runs import Record
from harness.suites.examples import Sample
from harness.suites.provenance import seetell_version
from harness.suites.spec import ModelPin


@dataclass(frozen=True, slots=True)
class Hello:
    """What an actor says of itself."""

    node: str
    """Ray's name of its machine."""
    seetell: str
    torch: str


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """A metric whose rows are to be made."""

    name: str
    config: MetricConfig
    models: Mapping[Need, ModelPin]
    device: str


class Actor:
    """Decodes and scores what it is sent. It writes nothing but caches."""

    def __init__(self, threads: int, device: str) -> None:
        import torch

        if device == "cpu":
            torch.set_num_threads(threads)
        self._identity = ""
        self._worker: Worker | None = None
        self._notices: list[str] = []

    def hello(self) -> Hello:
        """Where it runs and which versions it has."""
        import ray

        return Hello(ray.get_runtime_context().get_node_id(), *versions())

    def decode(self, job: Job, tasks: Sequence[Task]) -> tuple[list[Record], list[str]]:
        """The records of all tasks, and what the user should read."""
        identity = job.spec.identity()
        if self._worker is None or identity != self._identity:
            self._worker, self._identity = Worker(job, self._notices.append), identity
        records = [record for batch in self._worker.batches(tasks, len(tasks)) for record in batch]
        notices, self._notices[:] = list(self._notices), []
        return records, notices

    def rows(self, request: MetricRequest, samples: Sequence[Sample]) -> tuple[NDArray[np.float64] | None, MetricError | None]:
        """The rows of samples, or why none of them can be scored."""
        from harness.metrics.evaluate import metric_with_models
        from harness.metrics.score import rows_that_fit

        try:
            metric = metric_with_models(request.name, request.config, request.models, request.device)
            return rows_that_fit(metric, samples), None
        except MetricError as error:
            return None, error


def versions() -> tuple[str, str]:
    """Of SeeTell and of torch."""
    return seetell_version(), metadata.version("torch")
