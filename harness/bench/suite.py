"""Decoding speed, side by side in one process: only ratios inside one run are worth comparing.

Each decoder decodes the same examples several times, in turn with the others so that a slow moment of the machine hits
all of them; the median counts. The time includes image encoding, because a method that looks has to look.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decoders.base import Decoder, Prompt
from harness.executor import Job, make_decoder
from harness.run import Plan
from harness.store import cache_folder


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast one decoder was."""

    decoder: str
    seconds: float
    """Median seconds for all examples together."""
    spread: float
    """Slowest repeat minus fastest, in seconds."""
    examples: int
    relative: float
    """Times as fast as the slowest decoder of the run."""

    @property
    def per_second(self) -> float:
        """Examples a second."""
        return self.examples / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "per_second": self.per_second}


def measure(
    plans: Sequence[Plan],
    *,
    examples: int,
    batch_size: int,
    repeats: int,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timing]:
    """Time every planned decoder on the first examples; nothing is stored.

    Args:
        plans: from `harness.run.plan`, all of one suite.
        examples: how many of its examples.
        batch_size: decoded together.
        repeats: how often; one more is run first to warm up.
        device: such as `cpu` or `cuda`.
        progress: called with passes done and due.
    """
    runners = {each.spec.label: _Runner(each, examples, batch_size, device) for each in plans}
    seconds: dict[str, list[float]] = {label: [] for label in runners}
    due = (repeats + 1) * len(runners)
    for repeat in range(repeats + 1):
        for index, (label, runner) in enumerate(runners.items()):
            taken = runner.once()
            if repeat:
                seconds[label].append(taken)
            progress(repeat * len(runners) + index + 1, due)
    medians = {label: statistics.median(each) for label, each in seconds.items()}
    slowest = max(medians.values())
    return [
        Timing(label, median, max(seconds[label]) - min(seconds[label]), runners[label].count, slowest / median)
        for label, median in sorted(medians.items(), key=lambda item: item[1])
    ]


class _Runner:
    """A decoder with its models loaded and its prompts at hand."""

    def __init__(self, planned: Plan, examples: int, batch_size: int, device: str) -> None:
        self.decoder: Decoder = make_decoder(Job(planned.spec, planned.captions, device, cache_folder()))
        tasks = [task for task in planned.tasks(set(), limit=examples) if task.key[1] == 0]
        self.count = len(tasks)
        self.device = device
        self.batches: list[tuple[list[Prompt], list[int]]] = []
        for start in range(0, len(tasks), batch_size):
            batch = tasks[start : start + batch_size]
            self.batches.append(([task.prompt for task in batch], [task.seed for task in batch]))

    def once(self) -> float:
        """Seconds for one pass, images encoded anew."""
        if self.decoder.models.image_text is not None:
            self.decoder.models.image_text.forget()
        self._synchronise()
        start = time.perf_counter()
        for prompts, seeds in self.batches:
            self.decoder.decode(prompts, seeds)
        self._synchronise()
        return time.perf_counter() - start

    def _synchronise(self) -> None:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)
