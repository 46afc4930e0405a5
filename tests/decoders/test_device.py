"""On a second device, under CUDA's rules, everything computes what it computes on the CPU, and waits for the device no more often
than it has to. A ceiling that is passed names the lines that caused the most."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import metrics
from harness.suites import registry

PROGRAM = Path(__file__).with_name("on_the_device.py")

CEILINGS: dict[str, tuple[float, float, float]] = {
    "beam": (38, 14, 23),
    "clipre": (1, 0, 1),
    "constant": (10, 2, 3),
    "contrastive": (8, 2, 3),
    "greedy": (5, 2, 2),
    "magic": (11, 33, 4),
    "magic image last": (15, 28, 5),
    "nucleus": (12, 4, 3),
    "sample-rerank": (18, 5, 4),
    "top-k": (9, 4, 3),
    "typical": (48, 7, 6),
    "zerocap": (61, 164, 34),
}
"""Waits, uploads and downloads a token step, the first pass over the prompts and the last answer included."""


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What the program found; it runs in a process of its own, since a device that torch knows cannot be taken back."""
    root = PROGRAM.parents[2]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_decoder_writes_what_it_writes_on_the_cpu(result: dict[str, Any]) -> None:
    assert set(registry.decoders().entries) <= set(result["decoders"])
    assert {name: decoder["differ"] for name, decoder in result["decoders"].items() if decoder["differ"]} == {}


@pytest.mark.parametrize("name", CEILINGS)
def test_a_token_costs_no_more_than_this(result: dict[str, Any], name: str) -> None:
    decoder = result["decoders"][name]
    for prompts in ("eight", "two"):  # the batch does not matter
        counts = [decoder[prompts][kind] for kind in ("waits", "uploads", "downloads")]
        within = all(count <= most for count, most in zip(counts, CEILINGS[name], strict=True))
        assert within, (prompts, counts, decoder["report"])


def test_every_metric_of_models_has_the_values_of_the_cpu(result: dict[str, Any]) -> None:
    registered = metrics.registry()
    assert set(result["metrics"]) == {name for name in registered.entries if registered.load(name).needs}
    assert {name: apart for name, apart in result["metrics"].items() if apart > 1e-4} == {}


def test_training_makes_the_weights_of_the_cpu(result: dict[str, Any]) -> None:
    assert result["training"]["apart"] < 1e-5
    assert result["training"]["tied"]


def test_the_device_refuses_what_cuda_refuses(result: dict[str, Any]) -> None:
    refused = result["rules"]["refused"]
    assert set(refused) == {"mixed", "mixed product", "numpy", "array"}
    assert "same device" in refused["mixed"]
    assert "Tensor.cpu()" in refused["numpy"]


@pytest.mark.parametrize(
    ("work", "waits", "uploads", "downloads", "uploaded", "downloaded"),
    [
        ("item", 1, 0, 0, 0, 0),
        ("bool", 1, 0, 0, 0, 0),
        ("tolist", 1, 0, 1, 0, 24),
        ("cpu", 1, 0, 1, 0, 24),
        ("nonzero", 1, 0, 0, 0, 0),
        ("mask", 1, 0, 0, 0, 0),
        ("put by mask", 0, 0, 0, 0, 0),
        ("number", 0, 0, 0, 0, 0),
        ("upload", 0, 1, 0, 24, 0),
        ("tensor", 0, 1, 0, 16, 0),
        ("view", 0, 0, 0, 0, 0),
        ("places of the host", 0, 1, 0, 16, 0),
    ],
)
def test_what_counts(
    result: dict[str, Any], work: str, waits: int, uploads: int, downloads: int, uploaded: int, downloaded: int
) -> None:
    counts = result["rules"]["counts"]
    assert counts[work][1:] == [waits, uploads, downloads, uploaded, downloaded]
    assert counts["number"][0] == 2
    assert counts["view"][0] == 0
