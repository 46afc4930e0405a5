"""The most memory that one program needs, measured in a process of its own (`harness.bench.memory_job`).

That process reads a job from standard input, runs one batch and writes one line of JSON. A process's peak never falls, so a
program that shares a process with others cannot be measured. The figures are bytes:

    peak        the most that was in memory at a time, programs and mapped files included (on a GPU: what torch held there)
    libraries   what was in memory before any model was loaded
    loading     the most while models were loaded, where the system can tell it apart (Linux); peak is then what came after
    weights     the models' parameters
    cache       estimate: keys and values of one batch at full length, for each candidate where the program copies them
    candidates  estimate: the widest activations of one batch's candidates, and their logits where all are computed
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.errors import SeeTellError


class MeasurementFailed(SeeTellError):
    """The process that measures memory ended without a figure."""


def measure_memory(scenario: Any, setup: Any, program: str, batch_size: int, threads: int) -> dict[str, int]:
    """Peak memory of one program at one batch size.

    Args:
        scenario: a `published.Scenario`.
        setup: a `published.Setup`.
        program: `published` or `seetell`.
        batch_size: texts at a time.
        threads: of torch.

    Raises:
        MeasurementFailed: the process failed, perhaps because memory is full.
    """
    from decoders.models.packed import SWITCH

    job = {
        "scenario": dataclasses.asdict(scenario),
        "setup": dataclasses.asdict(setup),
        "who": program,
        "batch_size": batch_size,
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness.bench.memory_job"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, SWITCH: "0"} if program == "published" else None,  # its weights are laid out as they come
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        raise MeasurementFailed(
            f"memory of {scenario.name} ({program}, batch {batch_size}) could not be measured: {reason}; try a smaller batch, or "
            "--no-memory"
        )
    figures: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return figures


def peak_bytes() -> int:
    """The most that this process has had in memory at a time."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource  # its figure also covers what the parent had when it started this process, so it comes second

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def forget_peak() -> bool:
    """Let the peak start again from what is in memory now; False where the system cannot do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
