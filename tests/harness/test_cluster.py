"""Runs on a real Ray cluster: the same bytes as one process, whoever dies on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from decoders.base import Need
from harness.datasets.load import Digests, load_examples
from harness.decode.cluster.executor import RayExecutor
from harness.decode.executor import InlineExecutor, Job, Task
from harness.decode.plan import plan
from harness.decode.run import decode
from harness.errors import ClusterError, MetricUnavailable, NeedMissing, WorkerLost
from harness.metrics.clip import ClipScoreConfig
from harness.metrics.evaluate import Evaluator
from harness.store.runs import Record, Results, RunFolder, cache_folder
from harness.suites.examples import Sample
from harness.suites.spec import Suite

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
pytest.importorskip("ray", reason="Ray is not installed (extra: distributed)")

START_SECONDS = 300
RAY_SETTINGS = {
    "ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # How long the parts of a node wait for each other.
    "gcs_server_port_wait_time_s": str(START_SECONDS),
    "gcs_server_request_timeout_seconds": str(START_SECONDS),
    "raylet_start_wait_time_s": str(START_SECONDS),
    "worker_register_timeout_seconds": str(START_SECONDS),
    "agent_register_timeout_ms": str(1000 * START_SECONDS),
}

SUITE = """
name = "spread"
[data]
dataset = "toybox"
domain = "plain"
split = "test"
size = {size}
[models]
language_model = "toybox:plain"
image_text = "toybox:clip"
[text]
prompt = "<-start_of_text->"
max_new_tokens = 24
[decoders.magic]
k = 8
[decoders.nucleus]
draws = 2
[metrics.clipscore]
[metrics.repetition]
"""


class Spread:
    """A suite, its examples, and what one process makes of it."""

    def __init__(self, folder: Path, size: int = 24) -> None:
        self.suite = Suite.parse(SUITE.format(size=size).encode(), "test", folder)
        self.examples = load_examples(self.suite)
        self.digests = Digests(self.suite, self.examples)

    def plan(self, label: str) -> Any:
        return plan(self.suite, label, self.examples, digests=self.digests)

    def decode(self, label: str, root: Path, executor: Any, batch_size: int = 4, device: str = "cpu") -> RunFolder:
        outcome = decode(self.plan(label), self.suite, Results(root), executor=executor, batch_size=batch_size, device=device)
        assert outcome.complete
        return outcome.folder


def samples(folder: RunFolder) -> bytes:
    return (folder.path / "samples.parquet").read_bytes()


class Cluster:
    """A head and further nodes, each with processes of its own, on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.nodes = Nodes()
        self.add(num_cpus=0, include_dashboard=False)
        self.address: str = self.nodes.address

    def add(self, **settings: Any) -> Any:
        """Start a node; Ray itself would give it 30 seconds, which a busy machine may need for less."""
        try:
            settings = {"num_cpus": 1, "object_store_memory": 100_000_000} | settings
            node = self.nodes.add_node(wait=False, **settings)
            self.nodes.wait_for_nodes(timeout=START_SECONDS)
        except (RuntimeError, TimeoutError, OSError) as error:
            load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
            pytest.fail(f"Ray did not start a node within {START_SECONDS} seconds (load average {load}): {error}")
        return node

    def kill(self, node: Any) -> None:
        self.nodes.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self.nodes.shutdown()

    def actors(self) -> list[int]:
        """Process ids of the workers that hold an actor; those of other clusters on this machine are none of ours."""
        raylets = {str(each.process.pid) for node in self.nodes.list_all_nodes() for each in node.all_processes.get("raylet", ())}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended in the meantime
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if parent in raylets and (folder / "cmdline").read_bytes().startswith(b"ray::Actor"):
                    found.append(int(folder.name))
        return found

    def murder(self, count: int | None = None) -> None:
        """Kill so many actors, or all that there are."""
        victims = self.actors()[:count]
        assert count in (None, len(victims))
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in RAY_SETTINGS.items():
            patch.setenv(f"RAY_{name}", os.environ.get(f"RAY_{name}", value))
        made = Cluster()
        try:
            made.add()
            made.add()
            yield made
        finally:
            made.close()


def test_the_bytes_are_those_of_one_process_and_so_are_the_scores(tmp_path: Path, cluster: Cluster) -> None:
    """Two machines, of which the driver is neither: images go over the wire, and metrics are made there too."""
    spread = Spread(tmp_path)
    with RayExecutor(cluster.address) as executor:
        for label in ("magic", "nucleus"):
            here = spread.decode(label, tmp_path / "here", InlineExecutor())
            there = spread.decode(label, tmp_path / "there", executor)
            assert samples(here) == samples(there)
        alone = Evaluator(spread.suite, spread.examples, spread.digests, "cpu")
        apart = Evaluator(spread.suite, spread.examples, spread.digests, "cpu", make_rows=executor.rows)
        for one, other in zip(alone.score(here), apart.score(there), strict=True):
            assert (one.output, one.n, one.signature) == (other.output, other.n, other.signature)
            assert one.value == pytest.approx(other.value, abs=1e-6)
            assert one.low == pytest.approx(other.low, abs=1e-6)
        blind = [Sample(replace(example, image=None), 0, "a cat") for example in spread.examples]
        pins = {Need.CLIP: spread.digests.model("toybox:clip")}
        with pytest.raises(MetricUnavailable, match="no example has an image"):
            executor.rows("clipscore", ClipScoreConfig(), pins, "cpu", blind)


@pytest.mark.heavy
def test_a_head_without_a_gpu_puts_its_workers_on_the_nodes_that_have_gpus(tmp_path: Path, cluster: Cluster) -> None:
    """The node only claims its GPUs, so its workers are told to compute on processors; Ray places them as if they were real."""
    spread = Spread(tmp_path, size=24)
    here = spread.decode("magic", tmp_path / "here", InlineExecutor())
    notices: list[str] = []
    placed: list[tuple[set[str], float]] = []
    node = cluster.add(num_cpus=2, num_gpus=2)

    class Watched(RayExecutor):
        """Looks at Ray's own books while both workers are at work."""

        def run(self, job: Job, tasks: Any, batch_size: int) -> Iterator[list[Record]]:
            for records in super().run(job, tasks, batch_size):
                if not placed and len(self._members) == 2 and all(member.ready for member in self._members):
                    free = self._ray.available_resources().get("GPU", 0)
                    placed.append(({member.node for member in self._members}, free))
                yield records

    try:
        with Watched(cluster.address, probe=lambda _: "cpu", notice=notices.append) as executor:
            there = spread.decode("magic", tmp_path / "there", executor, batch_size=2, device="auto")
            apart = Evaluator(spread.suite, spread.examples, spread.digests, "cuda:1", make_rows=executor.rows)
            assert not any(score.unavailable for score in apart.score(there))
        assert samples(here) == samples(there)
        assert placed == [({node.node_id}, 0.0)]
        assert "the cluster has 2 GPU(s), and each worker computes on its own" in notices
        assert "a worker that was started for cuda computes on cpu" in notices
        with RayExecutor(cluster.address, notice=notices.append) as executor:
            spread.decode("nucleus", tmp_path / "cpu", executor)
        assert notices[-1] == "the cluster's 2 GPU(s) stay idle: workers compute on cpu"
        if not torch.cuda.is_available():
            with RayExecutor(cluster.address, 1, notice=notices.append) as executor, pytest.raises(ClusterError) as refused:
                spread.decode("nucleus", tmp_path / "cuda", executor, device="cuda:1")
            assert "given a GPU that its torch" in str(refused.value)
            assert notices[-1].endswith("Ray assigns them, so --device cuda:1 counts as cuda")
    finally:
        cluster.kill(node)


@pytest.mark.heavy
def test_a_worker_and_then_a_whole_machine_die_and_another_joins(tmp_path: Path, cluster: Cluster) -> None:
    spread = Spread(tmp_path, size=64)
    here = spread.decode("magic", tmp_path / "here", InlineExecutor())
    notices: list[str] = []
    answered: list[Record] = []
    victim = cluster.add()

    class Disturbed(RayExecutor):
        """Things happen after so many answers."""

        def run(self, job: Job, tasks: Any, batch_size: int) -> Iterator[list[Record]]:
            plans = {8: lambda: cluster.murder(1), 20: lambda: cluster.kill(victim), 32: cluster.add}
            for records in super().run(job, tasks, batch_size):
                answered.extend(records)
                for due in [due for due in plans if due <= len(answered)]:
                    plans.pop(due)()
                yield records
            assert not plans

    with Disturbed(cluster.address, notice=notices.append) as executor:
        there = spread.decode("magic", tmp_path / "there", executor, batch_size=2)
    assert samples(here) == samples(there)
    assert sum("is gone" in each for each in notices) >= 1
    assert len(answered) == len({record.key for record in answered}) == 64


@pytest.mark.heavy
def test_a_decoder_that_raises_and_one_that_kills_its_process(tmp_path: Path, cluster: Cluster) -> None:
    spread = Spread(tmp_path)
    planned = spread.plan("magic")
    job = Job(planned.spec, None, "cpu", cache_folder())
    tasks: list[Task] = planned.tasks(set())
    with RayExecutor(cluster.address) as executor:
        broken = planned.spec.model_copy(update={"language_model": None, "label": "broken"})
        with pytest.raises(NeedMissing, match="language model"):
            list(executor.run(Job(broken, None, "cpu", cache_folder()), tasks, 4))
        assert len([each for part in executor.run(job, tasks, 4) for each in part]) == len(tasks)  # and goes on

        stop = threading.Event()

        def murder() -> None:
            while not stop.is_set():
                cluster.murder()
                time.sleep(0.2)

        killer = threading.Thread(target=murder)
        killer.start()
        try:
            with pytest.raises((WorkerLost, ClusterError), match="workers"):
                list(executor.run(job, tasks, 4))
        finally:
            stop.set()
            killer.join()


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    spread = Spread(tmp_path, size=2)
    with RayExecutor("127.0.0.1:1") as executor, pytest.raises(ClusterError, match="cannot be reached"):
        spread.decode("magic", tmp_path / "there", executor)


@pytest.mark.heavy
def test_workers_that_ray_kills_for_memory_are_told_and_a_cluster_of_ones_own_is_its_own(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray takes any use of memory for too much here. Without an address none of this reaches the cluster that is there."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    spread = Spread(tmp_path, size=8)
    with RayExecutor(workers=1) as executor, pytest.raises((WorkerLost, ClusterError), match="workers"):
        spread.decode("magic", tmp_path / "there", executor)


@pytest.mark.heavy
def test_the_driver_is_killed_and_the_same_command_goes_on(tmp_path: Path, cluster: Cluster) -> None:
    suite = tmp_path / "spread.toml"
    suite.write_text(SUITE.format(size=96))
    flags = ["--only", "magic", "--no-score", "--batch-size", "2"]
    command = [sys.executable, "-m", "harness.cli", "run", str(suite), *flags]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    spread = [*command, "--engine", "ray", "--address", cluster.address, "--results", str(tmp_path / "there")]
    deaths = 0
    for _ in range(10):
        driver = subprocess.Popen(spread, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        known = sum(part.stat().st_size for part in (tmp_path / "there").rglob("*.jsonl"))
        while driver.poll() is None:
            if deaths < 3 and sum(part.stat().st_size for part in (tmp_path / "there").rglob("*.jsonl")) > known:
                driver.send_signal(signal.SIGKILL)
                deaths += 1
                break
            time.sleep(0.02)
        if driver.wait() == 0:
            break
    assert deaths == 3
    subprocess.run([*command, "--results", str(tmp_path / "here")], env=environment, check=True, capture_output=True)
    [there] = (tmp_path / "there").rglob("samples.parquet")
    [here] = (tmp_path / "here").rglob("samples.parquet")
    assert there.read_bytes() == here.read_bytes()
