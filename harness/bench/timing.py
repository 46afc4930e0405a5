"""Decoding speed of a suite's decoders, side by side in one process, as a result that a leaderboard can show.

Each decoder decodes the same examples several times, in turn with the others, so that a slow moment of the machine hits all of
them; the median counts. Image encoding is part of the time, because a method that looks has to look. Ratios inside one
session hold; seconds are the machine's, which is why the device is in the signature.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from decoders.base import Decoder, Prompt
from decoders.models.arithmetic import pinned_arithmetic
from harness.bench.memory import MeasurementFailed, peak_bytes
from harness.bench.meters import MachineRate, Spread, count_flops, synchroniser
from harness.decode.executor import Job, make_decoder
from harness.decode.plan import Plan
from harness.store.durable import Progress, no_progress
from harness.store.runs import cache_folder
from harness.store.speed import Speed
from harness.suites.provenance import Signature, seetell_version

YARDSTICK = "zerocap"
"""The decoder that the paper's speed column is relative to."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast one decoder was at one batch size."""

    decoder: str
    """Its label in the suite."""
    identity: str
    batch_size: int
    examples: int
    seconds: Spread
    """For all examples together."""
    relative: float | None
    """Times as fast as ZeroCap at the same batch size; None where that was not measured."""
    flops: int
    """Floating-point operations for all examples together."""
    share: float
    """Operations a second, as a share of the fastest matrix product this device was seen to do."""
    memory: int | None
    """Bytes at most in a process of its own; None where not measured."""
    same_texts: bool
    """Whether the texts equal those at the first batch size."""

    @property
    def per_second(self) -> float:
        """Examples a second, by the median."""
        return self.examples / self.seconds.median

    def speed(self, where: dict[str, Any]) -> Speed:
        """As a leaderboard keeps it; `where` is from `meters.describe_machine`."""
        fields = {key: where[key] for key in ("name", "threads", "instructions")}
        signature = Signature.of(
            "speed",
            {"device": fields["name"], "threads": fields["threads"], "isa": fields["instructions"], "torch": where["torch"],
             "dt": where["dtype"], "batch": self.batch_size, "images": self.examples, "encoding": "included"},
        )  # fmt: skip
        return Speed(
            decoder=self.decoder,
            identity=self.identity,
            images_per_second=self.per_second,
            low=self.examples / self.seconds.high,
            high=self.examples / self.seconds.low,
            relative=self.relative,
            peak_memory=self.memory,
            flops_per_image=self.flops / self.examples,
            share_of_peak=self.share,
            batch_size=self.batch_size,
            device=where["name"],
            threads=where["threads"],
            signature=str(signature),
            seetell=seetell_version(),
        )


def measure(
    plans: Sequence[Plan],
    *,
    examples: int,
    batch_sizes: Sequence[int],
    repeats: int,
    device: str,
    memory: bool = False,
    progress: Progress = no_progress,
) -> list[Timing]:
    """Time every planned decoder on the first examples; no text is kept.

    Args:
        plans: from `harness.decode.plan.plan`, all of one suite.
        examples: how many of its examples; at least as many as the largest batch.
        batch_sizes: examples decoded together; each is measured.
        repeats: how often; one more pass is run first, to warm up and to count operations.
        device: such as `cpu` or `cuda`.
        memory: also measure peak memory, in a process of its own for each decoder and batch size.
        progress: called with passes done and due.
    """
    runners = [_Runner(planned, max(examples, *batch_sizes), size, device) for size in batch_sizes for planned in plans]
    rate = MachineRate((plans[0].spec.dtype,), device)
    due = len(runners) * (repeats + 1 + memory)
    for done, _ in enumerate(_in_turn(runners, rate, repeats), start=1):
        progress(done, due)
    best = rate.best(plans[0].spec.dtype)
    # Of several ZeroCaps in a suite the first is the yardstick.
    zerocaps = [runner for runner in reversed(runners) if runner.planned.spec.decoder == YARDSTICK]
    yardsticks = {runner.batch_size: runner.spread.median for runner in zerocaps}
    first = {runner.planned.spec.label: runner.outputs for runner in reversed(runners)}
    timings = []
    for done, runner in enumerate(runners, start=due - memory * len(runners) + 1):
        used = peak_memory(runner.planned, runner.batch_size, device) if memory else None
        progress(min(done, due), due)
        median = runner.spread.median
        timings.append(
            Timing(
                decoder=runner.planned.spec.label,
                identity=runner.planned.spec.identity(),
                batch_size=runner.batch_size,
                examples=runner.count,
                seconds=runner.spread,
                relative=yardsticks[runner.batch_size] / median if runner.batch_size in yardsticks else None,
                flops=runner.flops,
                share=runner.flops / median / best,
                memory=used,
                same_texts=runner.outputs == first[runner.planned.spec.label],
            )
        )
    return sorted(timings, key=lambda timing: (timing.batch_size, timing.seconds.median))


def _in_turn(runners: Sequence[_Runner], rate: MachineRate, repeats: int) -> Iterator[None]:
    for runner in runners:
        runner.warm_up()
        yield
    for _ in range(repeats):
        rate.measure()
        for runner in runners:
            runner.once()
            yield


@dataclass(slots=True)
class _Runner:
    """A decoder with its models loaded and its prompts at hand."""

    planned: Plan
    examples: int
    batch_size: int
    device: str
    count: int = 0
    flops: int = 0
    outputs: list[tuple[int, ...]] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    _decoder: Decoder | None = None
    _batches: list[tuple[list[Prompt], list[int]]] = field(default_factory=list)

    def warm_up(self) -> None:
        """One pass that is not timed."""
        self._decoder = make_decoder(Job(self.planned.spec, self.planned.captions, self.device, cache_folder()))
        tasks = [task for task in self.planned.tasks(set(), limit=self.examples) if task.key[1] == 0]
        self.count = len(tasks)
        for start in range(0, len(tasks), self.batch_size):
            batch = tasks[start : start + self.batch_size]
            self._batches.append(([task.prompt for task in batch], [task.seed for task in batch]))
        self.flops = count_flops(self._decode)

    def once(self) -> None:
        """One pass that is."""
        wait = synchroniser(self.device)
        wait()
        start = time.perf_counter()
        self._decode()
        wait()
        self.taken.append(time.perf_counter() - start)

    @property
    def spread(self) -> Spread:
        return Spread.of(self.taken)

    def _decode(self) -> None:
        """Decode all examples, encoding the images again."""
        assert self._decoder is not None  # `warm_up` comes first  # noqa: S101
        if self._decoder.models.image_text is not None:
            self._decoder.models.image_text.forget()
        with pinned_arithmetic(self.planned.spec.dtype):
            self.outputs = [
                generation.tokens or tuple(map(ord, generation.text))
                for prompts, seeds in self._batches
                for generation in self._decoder.decode(prompts, seeds)
            ]


def peak_memory(planned: Plan, batch_size: int, device: str) -> int:
    """Bytes that a process held at most over one batch, models and libraries included (on a GPU: what torch held there).

    Raises:
        MeasurementFailed: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")  # a fork would count what the parent holds
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_peak, args=(planned, batch_size, device, theirs))
    child.start()
    theirs.close()
    try:
        used: int = ours.recv()
    except EOFError:
        child.join()
        raise MeasurementFailed(
            f"memory of {planned.spec.label} (batch {batch_size}) could not be measured: its process ended with "
            f"{child.exitcode}; try a smaller batch, or --no-memory"
        ) from None
    child.join()
    return used


def _peak(planned: Plan, batch_size: int, device: str, answer: Any) -> None:
    runner = _Runner(planned, batch_size, batch_size, device)
    runner.warm_up()
    answer.send(torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else peak_bytes())
