"""Decoding on a Ray cluster: one actor a device, chunks handed out as actors become free.

The driver keeps everything that has to be right: it alone writes, so nothing is stored twice, and an answer counts only once it
is on its disk. Actors take a job and tasks and return records; they may die at any moment, and machines may come and
go. What a dead actor held goes back to the front of the queue. There is no barrier and no collective operation.

A text depends on nothing but its spec, so the results are those of one process, to the byte.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from decoders.models.devices import check_kind, pick_device
from harness.decode.cluster.actor import Actor, DeviceProbe, Hello, MetricRequest, own_device, versions
from harness.decode.cluster.shipping import packed_sample, packed_task
from harness.decode.executor import Job, Notice, Task
from harness.errors import ClusterError, SeeTellError, WorkerLost
from harness.metrics.base import BLOCK, MetricConfig
from harness.store.runs import Record
from harness.suites.examples import Sample
from harness.suites.spec import ModelPin

IN_FLIGHT = 2
"""Chunks an actor has: one in work and one waiting, so that it never waits for the driver."""

DEATHS = 3
"""How many actors may die over one chunk, or before their first word, until it is no accident any more."""

SHARD = 8 * BLOCK
"""Samples that an actor scores at once."""

_LOOK_AROUND = 2.0
"""Seconds between looks at whether machines have come."""

_KNOCK = 10.0
"""Seconds that a cluster's address has to answer."""

_PATIENCE = 20.0
"""Seconds without any worker after which the user gets a notice."""

_TOKEN_MODE = "RAY_AUTH_MODE"
"""Ray sets it when it starts a cluster here, and would then ask every later cluster, and that of any process begun from this one,
for a token. It is put back when the cluster ends."""


@dataclass(slots=True)
class _Chunk:
    """Work for one call of an actor."""

    items: Sequence[Any]
    start: int
    """Place of the first item among all."""
    deaths: int = 0


@dataclass(slots=True)
class _Member:
    """An actor and what it has in hand, oldest first."""

    actor: Any
    hello: Any
    """The answer to its first call; it is given work once that is there."""
    node: str = ""
    held: dict[Any, _Chunk] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return bool(self.node)


class RayExecutor:
    """Decodes on the actors of a Ray cluster; a context manager, so that they end with it.

    Args:
        address: of a running cluster (`auto`, `host:6379`); None starts one on this machine.
        workers: actors; by default as many as there are GPUs in the cluster, or processors where there are none, and more
            as machines join.
        gpus_per_worker: share of a GPU that an actor asks for; by default one where the device is CUDA, else none.
        cpus_per_worker: processors that an actor asks for and uses.
        probe: says on which device an actor computes; a test can have GPUs that are none.
        notice: told what the user should read.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        *,
        gpus_per_worker: float | None = None,
        cpus_per_worker: int = 1,
        probe: DeviceProbe = own_device,
        notice: Notice = lambda _: None,
    ) -> None:
        self._address = address
        self._wanted = workers
        self._gpus = gpus_per_worker
        self._cpus = cpus_per_worker
        self._probe = probe
        self._notice = notice
        self._members: list[_Member] = []
        self._stillborn = 0
        self._waiting_since: float | None = None
        self._ray: Any = None
        self._token_mode: str | None = None
        self._here = ""
        self._device = ""

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the actors go, and the cluster too if it was started here."""
        if self._ray is None:
            return
        for member in self._members:
            with contextlib.suppress(Exception):  # it may be dead already, and the cluster with it
                self._ray.kill(member.actor)
        self._members.clear()
        self._ray.shutdown()
        self._ray = None
        if self._token_mode is None:
            os.environ.pop(_TOKEN_MODE, None)
        else:
            os.environ[_TOKEN_MODE] = self._token_mode

    def run(self, job: Job, tasks: Sequence[Task], batch_size: int) -> Iterator[list[Record]]:
        """Decode every task once; records come as chunks are done, in any order.

        Raises:
            WorkerLost: several actors died over the same chunk.
            ClusterError: no cluster, no room, other versions.
            SeeTellError: what a worker raised.
        """
        self._connect(job.device)
        sent = self._ray.put(job)

        def ask(member: _Member, items: Sequence[Task]) -> Any:
            return member.actor.decode.remote(sent, items if self._is_here(member) else [*map(packed_task, items)])

        for _, (records, notices) in self._work(tasks, batch_size, ask):
            for notice in notices:
                self._notice(notice)
            yield records

    def rows(
        self, name: str, config: MetricConfig, models: Mapping[Need, ModelPin], device: str, samples: Sequence[Sample]
    ) -> NDArray[np.float64]:
        """Rows of a metric whose rows depend on their own sample only (`Metric.per_sample`), `[n, k]`, in the samples' order.

        A shard in which nothing can be scored has rows of NaN; if that is true of all, the first one's reason is raised.

        Raises:
            MetricError: as the metric.
            ClusterError: as `run`.
        """
        self._connect(device)
        sent = self._ray.put(MetricRequest(name, config, models))

        def ask(member: _Member, items: Sequence[Sample]) -> Any:
            return member.actor.rows.remote(sent, items if self._is_here(member) else [*map(packed_sample, items)])

        shards = sorted(self._work(samples, SHARD, ask, grain=BLOCK), key=lambda done: done[0].start)
        width = max((shard_rows.shape[1] for _, (shard_rows, _) in shards if shard_rows is not None), default=0)
        if not width:
            raise next(reason for _, (_, reason) in shards)
        return np.concatenate(
            [
                np.full((len(chunk.items), width), np.nan) if shard_rows is None else shard_rows
                for chunk, (shard_rows, _) in shards
            ]
        )

    # handing out and collecting

    def _work(
        self, items: Sequence[Any], size: int, ask: Callable[[_Member, Sequence[Any]], Any], *, grain: int = 1
    ) -> Iterator[tuple[_Chunk, Any]]:
        waiting = deque([_Chunk(items, 0)] if items else [])
        try:
            while waiting or any(member.held for member in self._members):
                self._recruit(sum(len(chunk.items) for chunk in waiting))
                for member in self._free():
                    if waiting:
                        chunk = self._cut(waiting, size, grain)
                        member.held[ask(member, chunk.items)] = chunk
                yield from self._collect(waiting)
        finally:  # on a failure, or when the caller stops in the middle, what is under way is nobody's any more
            for member in self._members:
                member.held.clear()

    def _cut(self, waiting: deque[_Chunk], size: int, grain: int) -> _Chunk:
        """The next chunk: whole batches while much is left, fewer times `grain` towards the end, so that all finish together."""
        left = sum(len(chunk.items) for chunk in waiting)
        ready = max(1, sum(member.ready for member in self._members))
        size = min(size, grain * max(1, -(-left // (2 * ready * grain))))
        chunk = waiting.popleft()
        if chunk.deaths or len(chunk.items) <= size:  # what an actor died over is tried as it was
            return chunk
        waiting.appendleft(_Chunk(chunk.items[size:], chunk.start + size))
        return _Chunk(chunk.items[:size], chunk.start)

    def _free(self) -> list[_Member]:
        """Actors that can take a chunk, once for each place they have, the idlest first."""
        places = [(held, member) for member in self._members if member.ready for held in range(len(member.held), IN_FLIGHT)]
        return [member for _, member in sorted(places, key=lambda place: place[0])]

    def _collect(self, waiting: deque[_Chunk]) -> Iterator[tuple[_Chunk, Any]]:
        """Wait until something is done, or for a moment."""
        owners = {ref: member for member in self._members for ref in member.held}
        owners |= {member.hello: member for member in self._members if not member.ready}
        done, _ = self._ray.wait(list(owners), num_returns=1, timeout=_LOOK_AROUND)
        for ref in done:
            member, errors = owners[ref], self._ray.exceptions
            try:
                answer = self._ray.get(ref)
            except errors.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, SeeTellError) else error) from None
            except errors.RayError as error:
                # An actor has many ways to go: crashed, killed for memory, its node with it.
                self._bury(member, waiting, error)
            else:
                if ref is member.hello:
                    self._welcome(member, answer)
                else:
                    yield member.held.pop(ref), answer

    # who is there

    def _recruit(self, left: int) -> None:
        """Start actors until there are as many as were asked for, or as the cluster has room for, and never useless ones."""
        busy = sum(bool(member.held) for member in self._members)
        goal = min(self._wanted or self._room(), max(busy + left, 1))
        while len(self._members) < goal:
            needs = {"num_cpus": self._cpus, "num_gpus": self._gpus or 0}
            remote = self._ray.remote(Actor).options(**needs, max_restarts=0, scheduling_strategy="SPREAD")
            actor = remote.remote(self._cpus, self._device, self._probe)
            self._members.append(_Member(actor, actor.hello.remote()))
        if not self._members:
            raise ClusterError(
                f"the cluster has no room for a worker, which needs {self._cpus} processor(s) and {self._gpus or 0:g} GPU(s); "
                "start a node that has them, or choose another --device"
            )
        self._tell_if_nobody_comes()

    def _tell_if_nobody_comes(self) -> None:
        if any(member.ready for member in self._members):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = time.monotonic()
        elif time.monotonic() - self._waiting_since > _PATIENCE:
            self._waiting_since = float("inf")  # once is enough
            self._notice("no worker has started yet: the cluster is busy or too small; `ray status` shows what it waits for")

    def _room(self) -> int:
        resources = self._ray.cluster_resources()
        if self._gpus:
            return int(resources.get("GPU", 0) / self._gpus)
        return int(resources.get("CPU", 0) // self._cpus)

    def _welcome(self, member: _Member, hello: Hello) -> None:
        seetell, torch = versions()
        if hello.seetell != seetell:
            raise ClusterError(
                f"node {hello.node[:8]} has SeeTell {hello.seetell} and this machine {seetell}, so results would mix versions; "
                "install the same one everywhere"
            )
        if hello.torch != torch:
            self._notice(f"node {hello.node[:8]} has torch {hello.torch} and this machine {torch}: near ties may fall otherwise")
        self._stillborn = 0
        member.node = hello.node

    def _bury(self, member: _Member, waiting: deque[_Chunk], error: BaseException) -> None:
        """Forget an actor; what it had goes back to the front of the queue.

        Raises:
            WorkerLost: that has happened too often over the same chunk.
            ClusterError: actors die before they can be spoken to.
        """
        self._members.remove(member)
        with contextlib.suppress(Exception):  # one that is only out of reach shall not come back and hold a processor
            self._ray.kill(member.actor)
        reason = " ".join(str(error).split())[:300]
        held = list(member.held.values())
        if not member.ready:
            self._stillborn += 1
            if self._stillborn >= DEATHS:
                raise ClusterError(f"workers end before they start; the last one: {reason}")
            return
        if held:
            held[0].deaths += 1
            if held[0].deaths >= DEATHS:
                items = held[0].items
                raise WorkerLost(
                    f"{DEATHS} workers died over the same {len(items)} examples (from {_name(items[0])}); the last: {reason}. "
                    "Mostly it is memory: try a smaller --batch-size or fewer --workers. What was done before is kept"
                )
        self._notice(f"a worker on node {member.node[:8]} is gone; what it had in hand goes to others")
        waiting.extendleft(reversed(held))

    def _is_here(self, member: _Member) -> bool:
        return member.node == self._here

    def _connect(self, wanted: str) -> None:
        """Join the cluster, or start one, and decide by what it has what its workers compute on."""
        kind = "auto" if wanted == "auto" else check_kind(wanted).type
        if self._ray is None:
            self._join()
            self._choose(wanted, kind)
        elif kind not in ("auto", self._device):
            raise ClusterError(f"this executor works on {self._device}, not on {kind}; make another one")

    def _choose(self, wanted: str, kind: str) -> None:
        gpus = self._ray.cluster_resources().get("GPU", 0)
        if kind == "auto" and self._address is None:  # the cluster is this machine, whose torch may not see its GPUs
            kind = pick_device("auto")
        elif kind == "auto":
            kind = "cuda" if gpus else "cpu"
        self._device = kind
        if self._gpus is None:
            self._gpus = 1.0 if kind == "cuda" else 0.0
        if kind == "cuda":
            unnumbered = f"; Ray assigns them, so --device {wanted} counts as cuda" if ":" in wanted else ""
            self._notice(f"the cluster has {gpus:g} GPU(s), and each worker computes on its own{unnumbered}")
        elif gpus:
            self._notice(f"the cluster's {gpus:g} GPU(s) stay idle: workers compute on {kind}")
        elif self._address is not None and wanted == "auto":
            self._notice(
                "the cluster has no GPU now, so workers compute on processors; where it adds nodes with GPUs on demand, give "
                "--device cuda and --workers"
            )

    def _join(self) -> None:
        ray = _import_ray()
        self._token_mode = os.environ.get(_TOKEN_MODE)
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "namespace": "seetell"}
        if self._address is None:
            # "local", for without an address Ray joins a cluster that happens to run here, or the one in RAY_ADDRESS.
            settings |= {"address": "local", "include_dashboard": False}
            settings |= {"num_cpus": self._wanted and self._wanted * self._cpus}
        else:
            settings |= {"address": self._address}
        try:
            _knock(self._address)
            ray.init(**settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"the Ray cluster at {self._address or 'this machine'} cannot be reached ({error}); start one with "
                "`ray start --head`, or leave --address out to have one here"
            ) from error
        self._ray = ray
        self._here = ray.get_runtime_context().get_node_id()


def _knock(address: str | None) -> None:
    """See whether anybody listens at `host:port`; Ray itself would try for five minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()


def _name(item: Task | Sample) -> str:
    return repr(item.key[0] if isinstance(item, Task) else item.example.id)


def _import_ray() -> Any:
    # Both are defaults to come that Ray warns about; set by the user, they stay as they are.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ClusterError(
            "--engine ray needs Ray, which is not installed; install it: pip install 'seetell[distributed]'"
        ) from error
    return ray
