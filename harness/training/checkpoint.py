"""The state of a training on disk: everything that the next update depends on, and nothing that is a pickle.

    <folder>/checkpoints/
        best-000500.safetensors     weights with the lowest validation loss so far
        step-001000/                the last checkpoint
            weights.safetensors
            optimizer.safetensors   AdamW's averages and step counts, torch's random states
            state.json              updates done, losses so far, the best, Python's and numpy's random states

A checkpoint is written beside, flushed to disk and renamed, and only then is the one before deleted: a process killed at any
moment, or a disk that is full, leaves the last good one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.errors import StoreError
from harness.store.runs import sync_folder, write_json
from harness.training.loop import Trainer

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DIGITS = 6


@dataclass(slots=True)
class Losses:
    """How a training went so far."""

    updates: list[list[float]] = field(default_factory=list)
    """Likelihood and contrast of every update's batch, before the update."""
    evaluations: list[dict[str, float]] = field(default_factory=list)
    """`step`, `likelihood`, `contrast` and `anisotropy` of the validation texts."""
    best: int | None = None
    """Update after which the likelihood of the validation texts was lowest."""

    def best_likelihood(self) -> float:
        """The lowest likelihood term of an evaluation after an update; infinite before the first."""
        return min((evaluation["likelihood"] for evaluation in self.evaluations if evaluation["step"] > 0), default=float("inf"))

    def looks_since_best(self) -> int:
        """Evaluations after the best one."""
        return sum(evaluation["step"] > (self.best or 0) for evaluation in self.evaluations)


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def save(self, trainer: Trainer, losses: Losses) -> None:
        """Write the state after an update. If it is the best, its weights are kept for themselves first.

        Raises:
            StoreError: the disk is full; the checkpoint before is as it was.
        """
        target = self.folder / f"step-{trainer.step:0{_DIGITS}d}"
        if target.exists():
            return
        beside = self.folder / f".{target.name}.tmp"
        weights = _weights(trainer.model)
        # The order matters. Best weights first: a checkpoint that names them must find them. Everything is written to a hidden
        # folder and flushed, the rename makes it a checkpoint, and only then are older ones deleted. After a kill between any two
        # steps the last folder called step-* is complete.
        with self._room(trainer.step, beside):
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            if losses.best == trainer.step:
                _write(weights, beside / "best")
                (beside / "best").replace(self._best(trainer.step))
            _write(weights, beside / "weights.safetensors")
            _write(_optimizer_tensors(trainer), beside / "optimizer.safetensors")
            state = {"step": trainer.step, "losses": asdict(losses), "random": _random_states(trainer.rng)}
            write_json(beside / "state.json", state)
            sync_folder(beside)
            beside.rename(target)
            sync_folder(self.folder)
        self._forget(keep=target, best=losses.best)

    def load(self, trainer: Trainer) -> Losses | None:
        """Put a trainer into the state of the last checkpoint; None if there is none.

        Raises:
            StoreError: it cannot be read or is of another model.
        """
        present = sorted(path for path in self.folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name))
        if not present:
            return None
        # Equal bits need more than weights: AdamW's averages and step counts, the order of texts (trainer.rng), and every
        # generator that dropout or a library may draw from. Weights are copied in place: AdamW's state is keyed by them.
        try:
            state = json.loads((present[-1] / "state.json").read_bytes())
            put_weights(trainer.model, present[-1] / "weights.safetensors")
            _put_optimizer(trainer, load_file(present[-1] / "optimizer.safetensors"))
            trainer.step = int(state["step"])
            _put_random_states(trainer.rng, state["random"])
            losses = state["losses"]
            return Losses(losses["updates"], losses["evaluations"], losses["best"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise StoreError(
                f"the checkpoint {present[-1]} cannot be read ({type(error).__name__}: {error}); delete it to start again"
            ) from error

    def put_best(self, model: Any, losses: Losses) -> None:
        """Put the best weights so far into a model.

        Raises:
            StoreError: they cannot be read.
        """
        assert losses.best is not None  # every training ends with an evaluation  # noqa: S101
        path = self._best(losses.best)
        try:
            put_weights(model, path)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise StoreError(f"the best weights {path} cannot be read ({error}); delete {self.folder} to start again") from error

    def remove(self) -> None:
        """Delete them all, once the model is where it belongs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step:0{_DIGITS}d}.safetensors"

    def _forget(self, keep: Path, best: int | None) -> None:
        """Delete what the checkpoint that was just written makes needless."""
        for path in self.folder.iterdir():
            if path not in (keep, self._best(best or 0)):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _room(self, step: int, beside: Path) -> Iterator[None]:
        """Tell a full disk from other failures, and leave nothing half-written."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            shutil.rmtree(beside, ignore_errors=True)
            last = max((path.name for path in self.folder.glob("step-*")), default=None)
            kept = f"{last} is kept" if last else "there is none before it"
            raise full_disk(error, f"the checkpoint of update {step} in {self.folder}", kept) from error


def full_disk(error: Exception, file: str, kept: str) -> StoreError:
    """The error for something that could not be written, with the remedy. safetensors tells the system's number in words."""
    match = re.search(r"os error (\d+)", str(error))
    number = error.errno if isinstance(error, OSError) else int(match.group(1)) if match else None
    if number in _FULL:
        return StoreError(
            f"there is no room left for {file} ({os.strerror(number)}); {kept}. Free some space and run the same command "
            "again to resume"
        )
    return StoreError(f"{file} cannot be written ({error}); {kept}. Correct that and run the same command again to resume")


def put_weights(model: Any, path: Path) -> None:
    """Copy weights from a file into a model, in place, so that its optimizer still knows them.

    Raises:
        KeyError, RuntimeError, OSError, SafetensorError: the file is not there, damaged, or of another model.
    """
    stored = load_file(path)
    with torch.no_grad():
        for name, tensor in _weights(model).items():
            tensor.copy_(stored[name])


def _weights(model: Any) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once though embeddings may be tied."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _optimizer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """`exp_avg:name`, `exp_avg_sq:name`, `step:name` for each parameter, and torch's random states."""
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    tensors = {
        f"{key}:{names[parameter]}": value for parameter, state in trainer.optimizer.state.items() for key, value in state.items()
    }
    tensors["random:cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random:cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return tensors


def _put_optimizer(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    parameters = dict(trainer.model.named_parameters())
    trainer.optimizer.state.clear()
    torch.set_rng_state(tensors["random:cpu"])
    for place, value in tensors.items():
        key, _, name = place.partition(":")
        if key != "random":
            parameter = parameters[name]
            # Step counts stay on the CPU, where AdamW keeps them.
            trainer.optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
        elif name.startswith("cuda:") and int(name[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(value, int(name[5:]))


def _random_states(rng: random.Random) -> dict[str, Any]:
    shared: Any = np.random.get_state(legacy=False)  # noqa: NPY002  # a resumed training continues every generator
    twister = shared["state"]
    numpy = {**shared, "state": {"key": twister["key"].tolist(), "pos": twister["pos"]}}
    return {"order": rng.getstate(), "python": random.getstate(), "numpy": numpy}


def _put_random_states(rng: random.Random, states: dict[str, Any]) -> None:
    def as_python(state: list[Any]) -> tuple[Any, ...]:
        version, keys, gauss = state
        return version, tuple(keys), gauss

    rng.setstate(as_python(states["order"]))
    random.setstate(as_python(states["python"]))
    twister = states["numpy"]["state"]
    key = np.array(twister["key"], dtype=np.uint32)
    np.random.set_state({**states["numpy"], "state": {**twister, "key": key}})  # noqa: NPY002
