"""`seetell train lm`: adapt a language model to a corpus, from the base to a folder that `local:` loads.

    <out>/
        config.json, *.safetensors, tokenizer files     the model after its best update; there once training is over
        training.json                                   recipe, corpus, environment, every loss
        losses.png, README.md                           the picture of the losses, the model card
        checkpoints/                                    while training lasts

Running the same command again goes on from the last checkpoint, to the same bits as if it had never stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from decoders.models.devices import is_memory_error, pick_device
from decoders.models.load import load_for_training
from harness.errors import Interrupted, NeedMissing, OutOfMemory, StoreError, TrainingFailed
from harness.store.lock import use_fetched_models
from harness.store.runs import RunFolder, sync_folder, write_bytes, write_json
from harness.suites.provenance import environment, seetell_version
from harness.training.card import card
from harness.training.checkpoint import Checkpoints, Losses, full_disk
from harness.training.corpus import Corpus, encode, prepare_tokenizer
from harness.training.loop import Trainer
from harness.training.losses import Measured, measure
from harness.training.recipe import Recipe

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
RECORD = "training.json"


def train_lm(
    recipe: Recipe,
    corpus: Corpus,
    out: Path,
    *,
    device: str = "auto",
    say: Say = lambda _: None,
    progress: Progress = lambda done, total, note: None,
) -> dict[str, Any]:
    """Adapt a model, resume an unfinished training, or return one that is complete.

    Args:
        recipe: what is done.
        corpus: what to.
        out: folder of the result; made if missing, and refused if something else is in it.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        say: prints the validation losses and messages for the user.
        progress: called after every update with updates done, updates due and the losses in words.

    Returns:
        What training.json says.

    Raises:
        NeedMissing: matplotlib is not there.
        StoreError: the folder holds something else or another training, cannot be read, or the disk is full.
        RunLocked: another process trains in this folder.
        TrainingFailed: a loss became infinite or no number.
        OutOfMemory: a micro-batch does not fit the device.
        Interrupted: Ctrl-C; a checkpoint is on disk.
        ModelNotFound, ModelMismatch: the base is not available.
        DataError: no usable text.
    """
    if find_spec("matplotlib") is None:
        raise NeedMissing("the picture of the losses needs matplotlib; install it: pip install 'seetell[train]'")
    _check_folder(out)
    where = pick_device(device)
    use_fetched_models()
    model, tokenizer, digest = load_for_training(recipe.model, device=where)
    document = {
        "recipe": recipe.model_dump(mode="json"),
        "base": {"name": recipe.model, "digest": digest},
        "corpus": {
            "source": corpus.source, "digest": corpus.digest(), "train": len(corpus.train), "val": len(corpus.val),
            "notes": list(corpus.notes),
        },
    }  # fmt: skip
    with RunFolder(out).lock():
        record = _begin(out, document)
        if record["state"] == "complete":
            say(f"{out} holds this training already, complete")
            return record
        with _same_bits_again(recipe.seed):
            model = _ready(model, tokenizer, recipe, where)
            context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
            texts, dropped = encode(tokenizer, corpus.train, recipe, context)
            val, dropped_val = encode(tokenizer, corpus.val, recipe, context)
            for number, part in ((dropped, "training"), (dropped_val, "validation")):
                if number:
                    say(f"{number} {part} texts of fewer than two tokens are left out")
            mixed = torch.bfloat16 if recipe.precision == "bfloat16" else None

            def less(texts: int, smaller: int) -> None:
                say(f"out of memory with micro-batches of {texts} texts; continuing with {smaller}, which moves last digits")

            trainer = Trainer(model, texts, recipe.adaptation(), seed=recipe.seed, mixed=mixed, notice=less)
            checkpoints = Checkpoints(out)
            losses = _train(trainer, val, recipe, checkpoints, say, progress)
            checkpoints.put_best(model, losses)
        record = {**record, "state": "complete", "stopped_early": trainer.step < recipe.steps, "losses": asdict(losses)}
        try:
            _export(model, tokenizer, out)
            write_bytes(out / "losses.png", _picture(losses, recipe))
            write_bytes(out / "README.md", card(record).encode("utf-8", "replace"))
            write_json(out / RECORD, record)
        except (OSError, SafetensorError) as error:
            raise full_disk(error, f"the model in {out}", "its checkpoint is kept") from error
        checkpoints.remove()
    return record


def _check_folder(out: Path) -> None:
    """Refuse a folder of something else before anything is loaded."""
    present = [path.name for path in out.iterdir() if path.name != ".lock"] if out.is_dir() else []
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; give a folder for the model: --out")
    if present and RECORD not in present:
        raise StoreError(f"{out} holds something else ({sorted(present)[0]}); give a folder that is empty or not there: --out")


def _begin(out: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """training.json of a training that starts or is resumed.

    Raises:
        StoreError: the folder holds another training; every difference is named.
    """
    path = out / RECORD
    if not path.exists():
        record = {"seetell": seetell_version(), "state": "running", **document, "environment": environment()}
        write_json(path, record)
        return record
    try:
        record = json.loads(path.read_bytes())
        before = {key: record[key] for key in document}
        _ = record["state"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error!r}); train into another folder: --out") from error
    differences = [
        f"{name} is {now!r} and was {was!r}"
        for name, was, now in _differences(before, document)
        if name not in ("corpus source", "corpus notes")
    ]
    if differences:
        raise StoreError(
            f"{out} holds another training: {'; '.join(differences)}. Give the same settings to resume it, or another --out"
        )
    return dict(record)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for part, values in now.items():
        was = before[part]
        for key, value in values.items():
            if (part != "base" or key == "digest") and was.get(key) != value:
                yield (key if part == "recipe" else f"{part} {key}"), was.get(key), value


def _ready(model: Any, tokenizer: Any, recipe: Recipe, device: str) -> Any:
    """The model with rows for the task's tokens; with new weights if the recipe says so."""
    from transformers import AutoModelForCausalLM

    prepare_tokenizer(tokenizer, recipe.task)
    if recipe.from_scratch:
        model = AutoModelForCausalLM.from_config(model.config, dtype=torch.float32).to(device)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        # As published: new rows are drawn like those of a new model, not from the old ones' mean and covariance.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _train(
    trainer: Trainer, val: list[list[int]], recipe: Recipe, checkpoints: Checkpoints, say: Say, progress: Progress
) -> Losses:
    losses = checkpoints.load(trainer)
    if losses is None:
        losses = Losses()
        _evaluate(trainer, val, recipe, losses, say)
    else:
        say(f"resuming after update {trainer.step} of {recipe.steps}")
    with _ctrl_c() as stop_requested:
        while trainer.step < recipe.steps and not _patience_is_over(losses, recipe):
            losses.updates.append(list(_update(trainer)))
            note = "likelihood {:.3f}, contrast {:.4f}".format(*losses.updates[-1])
            progress(trainer.step, recipe.steps, note)
            if trainer.step % recipe.eval_every == 0 or trainer.step == recipe.steps:
                _evaluate(trainer, val, recipe, losses, say)
                checkpoints.save(trainer, losses)
            if stop_requested.is_set() and trainer.step < recipe.steps:
                checkpoints.save(trainer, losses)
                raise Interrupted(
                    f"stopped after update {trainer.step} of {recipe.steps}, which is on disk. Run the same command again to go "
                    "on"
                )
    return losses


def _patience_is_over(losses: Losses, recipe: Recipe) -> bool:
    return recipe.patience is not None and losses.best is not None and losses.looks_since_best() >= recipe.patience


def _update(trainer: Trainer) -> tuple[float, float]:
    try:
        update_losses = trainer.update()
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise OutOfMemory(
            "not even one text at a time fits the device beside the model, its gradients and the optimizer; train a smaller "
            "model or on shorter texts, in a new folder, or give another --device"
        ) from error
    if not all(value < float("inf") for value in update_losses):
        raise TrainingFailed(
            f"the losses of update {trainer.step} are {update_losses[0]} and {update_losses[1]}; expected numbers. Train with a "
            "lower --learning-rate, in a new folder"
        )
    return update_losses


def _evaluate(trainer: Trainer, val: list[list[int]], recipe: Recipe, losses: Losses, say: Say) -> None:
    """Measure the validation texts; the base too, which is no candidate for the best."""
    measured: Measured = measure(trainer.model, val, recipe.margin, mixed=trainer.mixed)
    if not measured.likelihood < float("inf"):
        raise TrainingFailed(
            f"the validation loss after update {trainer.step} is {measured.likelihood}; expected a number. Train with a lower "
            "--learning-rate, in a new folder"
        )
    is_best = trainer.step > 0 and measured.likelihood < losses.best_likelihood()
    if is_best:
        losses.best = trainer.step
    losses.evaluations.append({"step": trainer.step, **{name: float(value) for name, value in asdict(measured).items()}})
    say(
        f"update {trainer.step}/{recipe.steps}: validation likelihood {measured.likelihood:.4f} (perplexity "
        f"{measured.perplexity:.2f}), contrast {measured.contrast:.4f}, anisotropy {measured.anisotropy:.3f}"
        + (", the best so far" if is_best else "")
    )


def _picture(losses: Losses, recipe: Recipe) -> bytes:
    from harness.training.curves import picture

    return picture(losses, recipe.margin)


def _export(model: Any, tokenizer: Any, out: Path) -> None:
    """Put the model's files into the folder; config.json, without which nothing loads it, comes last."""
    from transformers.utils import logging

    beside = out / ".model.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.eval().save_pretrained(str(beside))
        tokenizer.save_pretrained(str(beside))
        files = sorted(beside.iterdir(), key=lambda path: (path.name == "config.json", path.name))
        readable = (out / RECORD).stat().st_mode  # safetensors writes for its owner's eyes only
        for path in files:
            path.chmod(readable)
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        for path in files:
            path.replace(out / path.name)
        sync_folder(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _same_bits_again(seed: int) -> Iterator[None]:
    """Seed everything, and ask torch for sums in a fixed order where a graphics card would take any."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(torch.cuda.is_available(), warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextlib.contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Set at the first Ctrl-C, so that the update under way is finished and kept; the second stops at once."""
    stop_requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop_requested
        return

    def first(*_: object) -> None:
        stop_requested.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield stop_requested
    finally:
        signal.signal(signal.SIGINT, before)
