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

pytestmark = pytest.mark.heavy  # every decoder, metric and a training on a device of Python code: half a minute

PROGRAM = Path(__file__).with_name("on_the_device.py")

CEILINGS: dict[str, tuple[int, int, int]] = {
    "beam": (1, 1, 1),
    "clipre": (1, 0, 1),
    "constant": (2, 2, 1),
    "contrastive": (2, 2, 1),
    "greedy": (1, 2, 1),
    "magic": (2, 2, 1),
    "magic image last": (5, 4, 2),
    "nucleus": (2, 2, 1),
    "sample-rerank": (2, 2, 1),
    "top-k": (2, 2, 1),
    "typical": (2, 2, 1),
    "zerocap": (34, 57, 21),
}
"""Waits, uploads and downloads a token step, whatever the number of prompts."""
STARTS: dict[str, tuple[int, int, int]] = {"sample-rerank": (20, 4, 10), "zerocap": (17, 16, 0)}
"""What a batch may cost once, beside `START`."""
START = (3, 6, 1)
"""The first pass over the prompts: transformers asks whether any of them is padded, and fills its cache with empty tensors."""


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
    decoder, once = result["decoders"][name], STARTS.get(name, (0, 0, 0))
    for prompts in ("eight", "two"):
        counts = decoder[prompts]
        for kind, a_step, start, more in zip(("waits", "uploads", "downloads"), CEILINGS[name], START, once, strict=True):
            most = a_step * counts["steps"] + start + more
            assert counts[kind] <= most, f"{counts[kind]} {kind} with {prompts} prompts, at most {most}: {decoder['report']}"


def test_magic_at_the_depth_of_the_published_models(result: dict[str, Any]) -> None:
    """With GPT-2 small and ViT-B/32 it is 792 launches a step; tokens of these models are pieces of words, so texts end in longer
    tails of their own, which take up to four operators more a layer."""
    counts = result["deep"]
    assert counts["launches"] <= 930 * counts["steps"]
    assert counts["waits"] <= 2 * counts["steps"] + 3


def test_copies_are_packed_and_ties_are_broken_without_a_wait(result: dict[str, Any]) -> None:
    assert result["rules"]["packed"] == [True, 1, 1, 1]
    assert result["rules"]["ranked"]


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
