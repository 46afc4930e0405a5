"""`seetell train ...`: models, made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from harness.cli.flag_types import (
    RESULTS,
    SEVERAL,
    AsJson,
    Offline,
    OutFile,
    ResultsFolder,
    Several,
)

train = App(
    name="train", help="Train models: adapt a language model to captions or stories; the embedded Toybox world's own."
)


@train.command(name="lm")
def lm(
    suite: str | None = None,
    /,
    *,
    out: OutFile = None,
    train_file: Annotated[Path | None, Parameter(name="--train")] = None,
    val_file: Annotated[Path | None, Parameter(name="--val")] = None,
    preset: str | None = None,
    model: str | None = None,
    from_scratch: bool | None = None,
    task: Literal["caption", "story"] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    micro_batch_size: int | None = None,
    learning_rate: float | None = None,
    margin: float | None = None,
    warm_up: float | None = None,
    max_tokens: int | None = None,
    end_token: bool | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: int | None = None,
    device: str = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Adapt a language model to captions or stories: maximum likelihood and SimCTG's contrastive loss, as MAGIC's models were.

    Texts come from a suite's own data set (training and validation split; what the suite tests on is kept out), or from files: a
    text a line (stories: title, tab, story), JSON Lines, Karpathy JSON. What comes out is a folder for `local:FOLDER` in a suite,
    with a picture of the losses and a model card. Kill it and run the same command again: it goes on to the same bits.

    For example: `seetell train lm mscoco --out models/mscoco`, or
    `seetell train lm --train mine.txt --val other.txt --model hf:gpt2 --out models/mine`.

    Args:
        suite: A packaged suite or the path of a TOML file.
        out: Folder of the result; `models/SUITE` by default.
        train_file: Training texts, instead of the suite's.
        val_file: Validation texts, instead of the suite's: they choose the update whose weights are kept.
        preset: mscoco, flickr30k or rocstories as published, toybox, toybox-stories; by default what fits the suite.
        model: What to adapt: hf:org/name@revision, local:folder, toybox:plain; the preset's by default (GPT-2).
        from_scratch: Keep its architecture and tokenizer only, and draw new weights.
        task: How texts are laid out; the suite's by default.
        steps: Updates.
        batch_size: Texts an update.
        micro_batch_size: Texts in one forward pass: smaller takes less memory. Gradients are the batch's all the same.
        learning_rate: At its highest.
        margin: Of the contrastive loss; 0 is maximum likelihood alone.
        warm_up: Share of the updates over which the rate grows.
        max_tokens: Longest text.
        end_token: End stories with the end token, so that the model learns to stop. Published models do not: --no-end-token.
        eval_every: Updates between two looks at the validation texts, each with a checkpoint.
        patience: Looks without a new best after which to stop; never by default.
        precision: Of matrix products; auto is bfloat16 where the device has it, else float32.
        seed: Everything random follows from it.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import train as training

    changes = {
        "model": model, "from_scratch": from_scratch, "steps": steps, "batch_size": batch_size,
        "micro_batch_size": micro_batch_size, "learning_rate": learning_rate, "margin": margin, "warm_up": warm_up,
        "max_tokens": max_tokens, "end_token": end_token, "eval_every": eval_every, "patience": patience, "seed": seed,
    }  # fmt: skip
    return training.train_lm(
        suite, out, train_file, val_file, preset, task, precision, changes, device, offline, as_json
    )


@train.command(name="compare")
def compare(
    folders: Annotated[tuple[Path, ...], Parameter(negative="")],
    /,
    *,
    suite: str = "toybox-plain",
    size: int | None = None,
    only: Several = ("magic", "contrastive"),
    device: str = "auto",
    results: ResultsFolder = RESULTS,
    format: Annotated[Literal["table", "md", "json"], Parameter(name=["--format", "-f"])] = "table",
    as_json: AsJson = False,
) -> int:
    """Put adapted models beside each other on a suite's validation split: perplexity, anisotropy, and what decoders make of them.

    For example: `seetell train lm toybox-plain --margin 0 --out mle`, `seetell train lm toybox-plain --out simctg`, then
    `seetell train compare mle simctg`.

    Args:
        folders: Folders that `seetell train lm` made.
        suite: Whose validation split, decoders and metrics; a packaged suite or the path of a TOML file.
        size: Only so many examples, where the data set has a size.
        only: Decoders of the suite to run, by their label.
        device: auto, cpu, cuda, cuda:1, ...
        format: How to show it.
    """
    from harness.cli import train as training

    return training.compare(folders, suite, size, only, device, results, "json" if as_json else format)


@train.command(name="toybox")
def train_toybox(
    *,
    out: Path = Path("toybox-models"),
    parts: Annotated[tuple[Literal["clip", "plain", "ornate", "stories"], ...], SEVERAL] = (
        "clip",
        "plain",
        "ornate",
        "stories",
    ),
    seed: int = 0,
    as_json: AsJson = False,
) -> int:
    """Train the Toybox models from nothing (about half an hour on two cores) and check them against their gates.

    Args:
        out: Folder for the weights and their manifest.
        parts: Which models.
        seed: Everything random follows from it.
    """
    from harness.cli import machine

    return machine.train_toybox(out, parts, seed, as_json)
