"""`seetell bench gpu`: on the stand-in from end to end, and what it says of a device that is wrong or too small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from decoders.base import Generation, Prompt
from decoders.magic import Magic
from harness.bench.gpu import GpuBench, GpuSetup
from harness.cli import app
from harness.errors import ModelMismatch, SuiteError


def on_the_stand_in(*flags: str) -> dict[str, Any]:
    """A process of its own: torch keeps the device for the rest of it."""
    command = [sys.executable, "-m", "harness.cli", "bench", "gpu", "--stand-in", "--json", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page: dict[str, Any] = json.loads(done.stdout)
    return page


def check(page: dict[str, Any], methods: Sequence[str]) -> None:
    same, speed, pictures = page["tables"]
    assert page["left_out"] == page["wrong"] == []
    assert list(dict.fromkeys(row[0] for row in same["rows"])) == list(methods)
    assert [row[1] for row in same["rows"]][:5] == [
        "batch 1 against 2", "the same again", "in other company, last text first", "the CPU", "bfloat16",
    ]  # fmt: skip
    assert speed["heads"][-4:] == ["launches", "waits", "uploads", "downloads"]
    launches = {tuple(row[:3]): int(row[3]) for row in speed["rows"]}
    for method in methods:
        assert launches[method, "published", "1"] > 0
        assert launches[method, "seetell", "1"] > launches[method, "seetell", "2"] > 0  # a batch shares its launches
    assert [row[0] for row in pictures["rows"]] == (["1", "2"] if "magic-coco" in methods else [])
    assert "Not run on a GPU" in page["machine"]


FEW = ("--same-at", "1,2", "--fast-at", "1,2", "--texts", "2", "--pictures", "2")


@pytest.mark.heavy
def test_on_the_stand_in_it_counts() -> None:
    check(on_the_stand_in(*FEW, "--only", "nucleus"), ["nucleus"])


@pytest.mark.heavy
def test_on_the_stand_in_it_counts_every_method() -> None:
    check(on_the_stand_in(*FEW), ["magic-coco", "zerocap", "contrastive-stories", "nucleus"])


class Bench(GpuBench):
    """Of magic alone, on the CPU with tiny models."""

    def __init__(self, gpt2: Path, clip: Path, **changes: Any) -> None:
        settings = {"methods": ("magic-coco",), "same_at": (1, 2), "fast_at": (1, 2), "texts": 2, "pictures": 2}
        models = {"language_model": f"local:{gpt2}", "image_text": f"local-dir:{clip}"}
        super().__init__(GpuSetup("cpu", **{**settings, **models, **changes}))


def test_texts_that_are_not_equal_are_named(gpt2_folder: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Magic.decode

    def by_batch(self: Magic, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Sequence[Generation]:
        if len(prompts) == 1:  # as a kernel would that sums otherwise for one row
            return [Generation("", (1, 2), "eos")]
        return decode(self, prompts, seeds)

    monkeypatch.setattr(Magic, "decode", by_batch)
    page = Bench(gpt2_folder, clip_folder).run()
    assert page.wrong == ["magic-coco, batch 1 against 2: 2 of 2 texts"]
    assert "* Not equal: magic-coco, batch 1 against 2: 2 of 2 texts." in page.markdown()
    assert "| magic-coco | seetell | 2 |" in page.markdown()


def test_what_does_not_fit_says_so_and_what_there_is_no_time_for_is_named(
    gpt2_folder: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    bench = Bench(gpt2_folder, clip_folder)
    assert bench._cells(2, lambda: full()) == ("does not fit", "–", "–")
    page = Bench(gpt2_folder, clip_folder, minutes=0).run()
    assert page.left_out == [
        f"{part}, because the time was over" for part in ("tokens of magic-coco", "pictures from files", "speed of magic-coco")
    ]
    assert "* Not measured: speed of magic-coco, because" in page.markdown()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SuiteError, match="--stand-in"):
        app(["bench", "gpu"], result_action="return_value")
    with pytest.raises(ModelMismatch, match="mps"):
        app(["bench", "gpu", "--device", "mps"], result_action="return_value")
    with pytest.raises(SuiteError, match="did you mean"):
        app(["bench", "gpu", "--only", "nucleu"], result_action="return_value")
