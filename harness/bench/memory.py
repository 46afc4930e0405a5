"""The most memory that one program needs, measured in a process of its own: `python -m harness.bench.memory`.

It reads a job from standard input, runs one batch and writes one line of JSON. A process's peak never falls, so a program
that shares a process with others cannot be measured. The figures are bytes:

    peak        the most that lay in memory at a time, programs and mapped files included (on a GPU: what torch held there)
    libraries   what lay there before any model was loaded
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


def measure_memory(scenario: Any, setup: Any, who: str, batch_size: int, threads: int) -> dict[str, int]:
    """Peak memory of one program at one batch size.

    Args:
        scenario: a `published.Scenario`.
        setup: a `published.Setup`.
        who: `published` or `seetell`.
        batch_size: texts at a time.
        threads: of torch.

    Raises:
        MeasurementFailed: the process failed, for want of memory perhaps.
    """
    from decoders.models.packed import SWITCH

    job = {
        "scenario": dataclasses.asdict(scenario),
        "setup": dataclasses.asdict(setup),
        "who": who,
        "batch_size": batch_size,
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness.bench.memory"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, SWITCH: "0"} if who == "published" else None,  # its weights are laid out as they come
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        raise MeasurementFailed(
            f"memory of {scenario.name} ({who}, batch {batch_size}) could not be measured: {reason}; try a smaller batch, or "
            "--no-memory"
        )
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


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


def main() -> None:
    """Run the job on standard input."""
    import torch

    from decoders.base import Limits
    from harness.bench.meters import Clock
    from harness.bench.published import Scenario, Setup, Stage

    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    described = {**job["scenario"], "limits": Limits(**job["scenario"]["limits"])}
    size = job["batch_size"]
    setup = Setup(**{**job["setup"], "images": size, "published_images": 1, "batch_sizes": (size,)})
    if job["who"] == "published":
        setup = dataclasses.replace(setup, dtype="float32")
    libraries = peak_bytes()
    stage = Stage(Scenario(**described), setup, Clock(), apart=False)
    weights = _weights(stage)
    contestant = stage.yardstick(size) if job["who"] == "published" else stage.product(size)
    loading = peak_bytes()
    apart = forget_peak()
    contestant.work()
    on_gpu = setup.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated(setup.device) if on_gpu else peak_bytes()
    found = {"peak": peak, "libraries": libraries, "weights": weights, **_estimates(stage, job["who"], size)}
    if apart and not on_gpu:
        found["loading"] = loading
    sys.stdout.write(json.dumps(found) + "\n")


def _weights(stage: Any) -> int:
    from decoders.models.packed import weight_bytes

    models = stage.decoder.models
    modules = [models.lm.model, *([models.image_text.model] if models.image_text else [])]
    return sum(weight_bytes(module) for module in modules)


def _estimates(stage: Any, who: str, batch_size: int) -> dict[str, int]:
    """See the module; by the shapes of the models, four bytes a number for the yardstick."""
    lm, limits = stage.decoder.models.lm, stage.scenario.limits
    config = lm.model.config.get_text_config(decoder=True)
    bytes_each = 4 if who == "published" else lm.model.dtype.itemsize
    length = limits.max_length or 1 + (limits.max_new_tokens or 0)
    k = int(stage.scenario.config.get("k", 1))
    width = config.hidden_size
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * kv_heads * (width // config.num_attention_heads)
    copies = k if who == "published" else 1
    cache = batch_size * copies * length * per_token * bytes_each
    candidates = batch_size * k * 4 * width * bytes_each
    if who == "published":
        candidates += batch_size * k * lm.vocab_size * bytes_each
    clip = stage.decoder.models.image_text
    if clip is not None:
        tower = getattr(clip.model, "text", clip.model)
        read = length if who == "published" else 2
        candidates += batch_size * k * read * 4 * int(tower.positional_embedding.shape[1]) * bytes_each
    return {"cache": cache, "candidates": candidates}


if __name__ == "__main__":
    main()
