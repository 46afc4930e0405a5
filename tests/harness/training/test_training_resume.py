"""A training that was killed, interrupted or out of disk goes on to the same bits as one that never stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import Interrupted, RunLocked, StoreError
from harness.store.runs import RunFolder
from harness.training import lm
from harness.training.checkpoint import Checkpoints, Losses
from harness.training.corpus import read_corpus
from harness.training.lm import train_lm
from harness.training.recipe import Recipe, recipe
from tests.checkpoints import captions_of, write_gpt2

STEPS, EVERY = 60, 2


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 without caption tokens, with its usual dropout, and texts to adapt it to."""
    folder = tmp_path_factory.mktemp("adapt")
    write_gpt2(folder / "gpt2", captions=False)
    (folder / "train.txt").write_text("\n".join(text for n in range(9) for text in captions_of(n)))
    (folder / "val.txt").write_text("\n".join(text for n in range(9, 12) for text in captions_of(n)))
    return folder


def settings(folder: Path, **changes: Any) -> Recipe:
    values = {"model": f"local:{folder / 'gpt2'}", "steps": STEPS, "eval_every": EVERY, "batch_size": 6,
              "micro_batch_size": 4, "learning_rate": 1e-3, **changes}  # fmt: skip
    return recipe("mscoco", values)


def trained(folder: Path, out: Path, progress: Callable[[int], None] = lambda _: None, **changes: Any) -> dict[str, Any]:
    corpus = read_corpus(None, folder / "train.txt", folder / "val.txt", "caption")
    return train_lm(settings(folder, **changes), corpus, out, device="cpu", progress=lambda done, *_: progress(done))


def same(one: Path, other: Path) -> bool:
    """Weights to the bit, every loss to the last digit."""
    records = [json.loads((folder / "training.json").read_bytes()) for folder in (one, other)]
    weights = [(folder / "model.safetensors").read_bytes() for folder in (one, other)]
    return records[0]["losses"] == records[1]["losses"] and weights[0] == weights[1]


@pytest.fixture(scope="module")
def short(corpus_folder: Path) -> Path:
    """Twelve updates that nothing interrupted."""
    trained(corpus_folder, corpus_folder / "short", steps=12)
    return corpus_folder / "short"


def run_command_line(arguments: list[str], folder: Path, said: Path) -> None:
    """`seetell ARGUMENTS > said`, in this process."""
    from harness import cli

    os.chdir(folder)
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["seetell", *arguments]
    cli.main()


def test_killed_three_times_it_ends_with_the_same_bits(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system, from outside, at any point: once while a checkpoint is being written."""
    arguments = [
        "train", "lm", "--train", "train.txt", "--val", "val.txt", "--out", str(tmp_path / "out"), "--model",
        f"local:{corpus_folder / 'gpt2'}", "--steps", str(STEPS), "--eval-every", str(EVERY), "--batch-size", "6",
        "--micro-batch-size", "4", "--learning-rate", "1e-3", "--device", "cpu", "--json",
    ]  # fmt: skip
    # A server that has imported everything and done nothing, so that every process does not import it anew.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["ready_to_train"])
    said, checkpoints = tmp_path / "said", tmp_path / "out" / "checkpoints"

    def at_least(step: int) -> bool:
        return any(int(path.name[5:]) >= step for path in checkpoints.glob("step-*"))

    moments: list[Callable[[], bool]] = [
        lambda: at_least(6),
        lambda: at_least(12) and any(checkpoints.glob(".step-*.tmp")),
        lambda: at_least(40),
    ]
    for moment in moments:
        process = processes.Process(target=run_command_line, args=(arguments, corpus_folder, said))
        process.start()
        limit = time.monotonic() + 120
        while process.is_alive() and not moment() and time.monotonic() < limit:
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, said.read_text()
        assert not (tmp_path / "out" / "config.json").exists()  # nothing that looks like a finished model
    process = processes.Process(target=run_command_line, args=(arguments, corpus_folder, said))
    process.start()
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert "resuming after update" in said.read_text()
    trained(corpus_folder, tmp_path / "whole")
    assert same(tmp_path / "out", tmp_path / "whole")
    assert not checkpoints.exists()


def test_ctrl_c_keeps_the_update_it_was_in(corpus_folder: Path, short: Path, tmp_path: Path) -> None:
    def press(done: int) -> None:
        if done == 6:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try:
        with pytest.raises(Interrupted, match="stopped after update 6 of 12.*same command"):
            trained(corpus_folder, tmp_path / "out", press, steps=12)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    trained(corpus_folder, tmp_path / "out", steps=12)
    assert same(tmp_path / "out", short)


def test_a_full_disk_is_said_and_leaves_the_last_good_checkpoint(corpus_folder: Path, short: Path, tmp_path: Path) -> None:
    """The system refuses to write files of more than 20 kB from update 7 on, as it does when it has no room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int) -> None:
        if done == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        with pytest.raises(StoreError, match="no room left for the checkpoint of update 8 .*step-000006 is kept.*same command"):
            trained(corpus_folder, tmp_path / "out", fill, steps=12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    left = sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert left == ["best-000006.safetensors", "step-000006"]
    trained(corpus_folder, tmp_path / "out", steps=12)
    assert same(tmp_path / "out", short)


def test_a_full_disk_at_the_very_end_leaves_no_model_and_loses_nothing(
    corpus_folder: Path, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    export = lm._export

    def without_room(*arguments: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        export(*arguments)

    monkeypatch.setattr(lm, "_export", without_room)
    try:
        with pytest.raises(StoreError, match="no room left for the model in .*its checkpoint is kept"):
            trained(corpus_folder, tmp_path / "out", steps=12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "out").glob("*.safetensors"))
    assert not (tmp_path / "out" / "config.json").exists()
    monkeypatch.setattr(lm, "_export", export)
    trained(corpus_folder, tmp_path / "out", steps=12)
    assert same(tmp_path / "out", short)


def test_other_settings_or_other_texts_in_the_same_folder_are_refused_by_name(
    corpus_folder: Path, short: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="holds another training: margin is 0.0 and was 0.5; seed is 3 and was 0"):
        trained(corpus_folder, short, steps=12, margin=0.0, seed=3)
    (corpus_folder / "more.txt").write_text("Something else.\n")
    corpus = read_corpus(None, corpus_folder / "more.txt", corpus_folder / "val.txt", "caption")
    with pytest.raises(StoreError, match="corpus digest is .* and was .*; corpus train is 1 and was 45"):
        train_lm(settings(corpus_folder, steps=12), corpus, short, device="cpu")


def test_a_finished_training_is_left_as_it_is(corpus_folder: Path, short: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in short.iterdir()}
    record = trained(corpus_folder, short, steps=12)
    assert record["state"] == "complete"
    assert {path.name: path.stat().st_mtime_ns for path in short.iterdir() if path.name in before} == before


def test_folders_of_something_else_damaged_or_in_use_are_refused(corpus_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(StoreError, match=r"holds something else \(dear.txt\)"):
        trained(corpus_folder, tmp_path / "letters", steps=2)
    with pytest.raises(StoreError, match="is a file"):
        trained(corpus_folder, tmp_path / "letters" / "dear.txt", steps=2)
    with RunFolder(tmp_path / "used").lock(), pytest.raises(RunLocked):
        trained(corpus_folder, tmp_path / "used", steps=2)

    def stop(done: int) -> None:
        if done == 3:
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        trained(corpus_folder, tmp_path / "out", stop, steps=4, eval_every=2)
    weights = tmp_path / "out" / "checkpoints" / "step-000002" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoreError, match="step-000002 cannot be read.*delete it"):
        trained(corpus_folder, tmp_path / "out", steps=4, eval_every=2)
    (tmp_path / "out" / "training.json").write_text("{")
    with pytest.raises(StoreError, match="training.json cannot be read"):
        trained(corpus_folder, tmp_path / "out", steps=4, eval_every=2)


def test_a_checkpoint_restores_every_random_state_and_holds_no_pickle(tmp_path: Path) -> None:
    from harness.training.loop import Adaptation, Trainer

    def trainer() -> Trainer:
        model = torch.nn.Linear(2, 2)
        model.device = torch.device("cpu")  # type: ignore[assignment]
        return Trainer(model, [[1, 2]], Adaptation(steps=4))

    one = trainer()
    one.step = 3
    Checkpoints(tmp_path).save(one, Losses([[1.0, 0.1]], [{"step": 3, "likelihood": 1.0}], 3))

    def draws(of: Trainer) -> list[Any]:
        return [of.rng.random(), random.random(), np.random.random(), float(torch.rand(()))]  # noqa: NPY002

    expected = draws(one)
    other = trainer()
    losses = Checkpoints(tmp_path).load(other)
    assert losses == Losses([[1.0, 0.1]], [{"step": 3, "likelihood": 1.0}], 3)
    assert draws(other) == expected
    assert other.step == 3
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json"}
