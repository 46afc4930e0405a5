"""The remote end: a process with models and decoders, loaded once and kept for the next job."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from harness.decode.executor import Job, Task, Worker
from harness.errors import ClusterError, MetricError
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


DeviceProbe = Callable[[str], str]
"""From the device that a worker was started for to the one that it computes on."""


def own_device(device: str) -> str:
    """The device that an actor was started for, once it is sure that its torch can use it.

    Ray shows an actor only the GPUs that it was given, so the first CUDA device is its own, whatever its number on the machine.

    Raises:
        ClusterError: Ray gave it a GPU that its torch does not see.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ClusterError(
            f"a worker on {platform.node()} was given a GPU that its torch ({torch.__version__}) does not see; install a torch "
            "built for CUDA there, or choose --device cpu"
        )
    return device


class Actor:
    """Decodes and scores what it is sent. It writes nothing but caches.

    Args:
        threads: of torch, where it computes on processors.
        device: what it was started for: `cpu` or `cuda`.
        probe: says what it computes on.
    """

    def __init__(self, threads: int, device: str, probe: DeviceProbe = own_device) -> None:
        self._threads, self._device, self._probe = threads, device, probe
        self._identity = ""
        self._worker: Worker | None = None
        self._notices: list[str] = []

    def hello(self) -> Hello:
        """Where it runs and which versions it has; the first call.

        Raises:
            ClusterError: it cannot use the device that it was started for.
        """
        import ray
        import torch

        wanted, self._device = self._device, self._probe(self._device)
        if self._device != wanted:
            self._notices.append(f"a worker that was started for {wanted} computes on {self._device}")
        if self._device == "cpu":
            torch.set_num_threads(self._threads)
        return Hello(ray.get_runtime_context().get_node_id(), *versions())

    def decode(self, job: Job, tasks: Sequence[Task]) -> tuple[list[Record], list[str]]:
        """The records of all tasks, and what the user should read."""
        identity = job.spec.identity()
        if self._worker is None or identity != self._identity:
            self._worker = Worker(replace(job, device=self._device), self._notices.append)
            self._identity = identity
        records = [record for batch in self._worker.batches(tasks, len(tasks)) for record in batch]
        notices, self._notices[:] = list(self._notices), []
        return records, notices

    def rows(self, request: MetricRequest, samples: Sequence[Sample]) -> tuple[NDArray[np.float64] | None, MetricError | None]:
        """The rows of samples, or why none of them can be scored."""
        from harness.metrics.evaluate import metric_with_models
        from harness.metrics.score import rows_that_fit

        try:
            metric = metric_with_models(request.name, request.config, request.models, self._device)
            return rows_that_fit(metric, samples), None
        except MetricError as error:
            return None, error


def versions() -> tuple[str, str]:
    """Of SeeTell and of torch."""
    return seetell_version(), metadata.version("torch")
