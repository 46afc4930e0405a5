"""The process whose peak memory is measured: one decoder, run once. Started by `harness.bench.memory` as a module."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from harness.bench.memory import forget_peak, peak_bytes


def main() -> None:
    """Run the job on standard input."""
    import torch

    from decoders.base import Limits
    from harness.bench.meters import Clock
    from harness.bench.scenarios import Scenario, Setup, Stage

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
    figures = {"peak": peak, "libraries": libraries, "weights": weights, **_estimates(stage, job["who"], size)}
    if apart and not on_gpu:
        figures["loading"] = loading
    sys.stdout.write(json.dumps(figures) + "\n")


def _weights(stage: Any) -> int:
    from decoders.models.packed import weight_bytes

    models = stage.decoder.models
    modules = [models.lm.model, *([models.image_text.model] if models.image_text else [])]
    return sum(weight_bytes(module) for module in modules)


def _estimates(stage: Any, program: str, batch_size: int) -> dict[str, int]:
    """See the module; by the shapes of the models, four bytes a number for the yardstick."""
    lm, limits = stage.decoder.models.lm, stage.scenario.limits
    config = lm.model.config.get_text_config(decoder=True)
    bytes_each = 4 if program == "published" else lm.model.dtype.itemsize
    length = limits.max_length or 1 + (limits.max_new_tokens or 0)
    k = int(stage.scenario.config.get("k", 1))
    width = config.hidden_size
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * kv_heads * (width // config.num_attention_heads)
    copies = k if program == "published" else 1
    cache = batch_size * copies * length * per_token * bytes_each
    candidates = batch_size * k * 4 * width * bytes_each
    if program == "published":
        candidates += batch_size * k * lm.vocab_size * bytes_each
    clip = stage.decoder.models.image_text
    if clip is not None:
        tower = getattr(clip.model, "text", clip.model)
        read = length if program == "published" else 2
        candidates += batch_size * k * read * 4 * int(tower.positional_embedding.shape[1]) * bytes_each
    return {"cache": cache, "candidates": candidates}


if __name__ == "__main__":
    main()
