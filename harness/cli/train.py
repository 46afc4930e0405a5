"""`train ...`: adapt a language model, compare adapted models, train the embedded Toybox models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import (
    DONE,
    RESULTS,
    SEVERAL,
    AsJson,
    Device,
    Offline,
    OutFile,
    ResultsFolder,
    Several,
    TableFormat,
    check_models_offline,
    check_positive,
    cut_off_if,
)
from harness.errors import SuiteError

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.suites.spec import Task
    from harness.training.comparison import Line


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Values of the recipe that are given instead of the preset's; None leaves the preset's."""

    model: str | None = None
    """What to adapt: hf:org/name@revision, local:folder, toybox:plain; the preset's by default (GPT-2)."""
    from_scratch: bool | None = None
    """Keep its architecture and tokenizer only, and draw new weights."""
    steps: int | None = None
    """Updates."""
    batch_size: int | None = None
    """Texts in an update."""
    micro_batch_size: int | None = None
    """Texts in one forward pass: smaller takes less memory. Gradients are the batch's all the same."""
    learning_rate: float | None = None
    """At its highest."""
    margin: float | None = None
    """Of the contrastive loss; 0 is maximum likelihood alone."""
    warm_up: float | None = None
    """Share of the updates over which the rate grows."""
    max_tokens: int | None = None
    """Longest text."""
    end_token: bool | None = None
    """End stories with the end token, so that the model learns to stop. Published models do not: --no-end-token."""
    eval_every: int | None = None
    """Updates between two looks at the validation texts, each with a checkpoint."""
    patience: int | None = None
    """Looks without a new best after which to stop; never by default."""
    seed: int | None = None
    """Everything random follows from it."""


NO_CHANGES = Changes()


def lm(
    suite: str | None = None,
    /,
    *,
    out: OutFile = None,
    train_file: Annotated[Path | None, Parameter(name="--train")] = None,
    val_file: Annotated[Path | None, Parameter(name="--val")] = None,
    preset: str | None = None,
    task: Literal["caption", "story"] | None = None,
    changes: Changes = NO_CHANGES,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Device = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Adapt a language model to captions or stories: maximum likelihood and SimCTG's contrastive loss, as MAGIC's models were.

    Texts come from a suite's own data set (training and validation split; what the suite tests on is kept out), or from files: a
    text a line (stories: title, tab, story), JSON Lines, Karpathy JSON. The result is a folder for `local:FOLDER` in a suite,
    with a picture of the losses and a model card. A training that was killed is resumed by the same command, to the same bits.

    For example: `seetell train lm toybox-plain --steps 20 --out models/short`, or, with texts of your own,
    `seetell train lm --train mine.txt --val other.txt --model hf:gpt2 --out models/mine`.

    Args:
        suite: A packaged suite or the path of a TOML file.
        out: Folder of the result; `models/SUITE` by default.
        train_file: Training texts, instead of the suite's.
        val_file: Validation texts, instead of the suite's: they choose the update whose weights are kept.
        preset: mscoco, flickr30k or rocstories as published, toybox, toybox-stories; by default what fits the suite.
        task: How texts are laid out; the suite's by default.
        precision: Of matrix products; auto is bfloat16 where the device has it, else float32.
    """
    cut_off_if(offline)
    from harness.fetch.needs import text_paths
    from harness.suites.spec import Suite
    from harness.training.corpus import read_corpus
    from harness.training.recipe import PRESETS, preset_for, recipe

    loaded = Suite.load(suite) if suite else None
    if out is None and loaded is None:
        raise SuiteError("--out is missing; give the folder that the model goes to")
    of_preset = PRESETS.get(preset or "", {}).get("task", "caption")
    kind: Task = task or (loaded.task if loaded else of_preset)
    chosen = recipe(
        preset or preset_for(loaded.name if loaded else None, kind),
        {**asdict(changes), "task": kind, "precision": _precision(precision, device)},
    )
    paths = list(text_paths(loaded)) if loaded else []
    check_models_offline(offline, "this training", [chosen.model], paths, loaded)
    with console.progress_bar("reading the texts"):
        corpus = read_corpus(loaded, train_file, val_file, kind)
    from harness.training.lm import train_lm  # torch with it

    for note in corpus.notes:
        console.say(note)
    folder = out or Path("models") / (loaded.name if loaded else "")
    console.say(
        f"{len(corpus.train)} training and {len(corpus.val)} validation texts from {corpus.source}; {chosen.steps} updates of "
        f"{min(chosen.batch_size, len(corpus.train))} texts, margin {chosen.margin:g}, {chosen.precision}"
    )
    with console.training_bar(f"{chosen.model} to {folder}") as progress:
        record = train_lm(chosen, corpus, folder, device=device, say=console.say, progress=progress)
    if as_json:
        console.emit({"folder": str(folder), **record})
    else:
        _show_losses(record["losses"], folder)
    return DONE


def _precision(precision: Literal["auto", "float32", "bfloat16"], device: str) -> str:
    """`auto` is bfloat16 where a graphics card computes it; processors do not gain by it."""
    if precision != "auto":
        return precision
    import torch

    from decoders.models.devices import pick_device

    on_card = pick_device(device).startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bfloat16" if on_card else "float32"


def _show_losses(losses: Mapping[str, Any], folder: Path) -> None:
    """The losses before the first update, at the weights that are kept, and at the end."""
    measured = ("likelihood", "contrast", "anisotropy")
    rows = []
    for evaluation in losses["evaluations"]:
        if evaluation["step"] in (0, losses["best"], losses["evaluations"][-1]["step"]):
            kept = " (kept)" if evaluation["step"] == losses["best"] else ""
            rows.append([f"{evaluation['step']}{kept}", *(f"{evaluation[key]:.4f}" for key in measured)])
    console.show_table(f"{folder}: losses of the validation texts", ("update", *measured), rows, (1, 2, 3))
    console.say(f'in a suite: language_model = "local:{folder}"; the picture is {folder / "losses.png"}')


def compare(
    folders: Annotated[tuple[Path, ...], Parameter(negative="")],
    /,
    *,
    suite: str = "toybox-plain",
    size: int | None = None,
    only: Several = ("magic", "contrastive"),
    device: Device = "auto",
    results: ResultsFolder = RESULTS,
    format: TableFormat = "table",
    as_json: AsJson = False,
) -> int:
    """Compare adapted models on a suite's validation split: perplexity, anisotropy, and the scores of decoders.

    For example: `seetell train lm toybox-plain --margin 0 --out mle`, `seetell train lm toybox-plain --out simctg`, then
    `seetell train compare mle simctg`.

    Args:
        folders: Folders that `seetell train lm` made.
        suite: Whose validation split, decoders and metrics; a packaged suite or the path of a TOML file.
        size: Only so many examples, where the data set has a size.
        only: Decoders of the suite to run, by their label.
        format: How to show it.
    """
    from harness.store.runs import Results
    from harness.suites.spec import Suite
    from harness.training.comparison import compare_models

    check_positive({"--size": size})
    lines = compare_models(folders, Suite.load(suite), only, Results(results), size=size, device=device, progress=console.say)
    header, rows = _table(lines)
    if as_json or format == "json":
        console.emit({"suite": suite, "models": [line.to_json() for line in lines]})
    elif format == "md":
        from harness.store.text import markdown

        rule = ["---"] * 1 + ["---:"] * 5 + ["---"] + ["---:"] * (len(header) - 7)
        for row in [header, rule, *([markdown(cell) for cell in row] for row in rows)]:
            console.out.print(f"| {' | '.join(row)} |", markup=False)
    else:
        console.show_table(f"validation split of {suite}", header, rows, left=(0, 6))
    return DONE


def _table(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    scored = list(dict.fromkeys(name for line in lines for name in line.scores))
    header = ["model", "margin", "kept", "perplexity", "contrast", "anisotropy", "decoder", *scored]
    rows = []
    for line in lines:
        cells = []
        for name in scored:
            score = line.scores.get(name)
            if score is None or score.unavailable:
                cells.append("–")
            else:
                scale = 100 if score.percent else 1
                cells.append(f"{scale * score.value:.1f} [{scale * score.low:.1f}, {scale * score.high:.1f}]")
        measured = line.measured
        rows.append(
            [
                str(line.folder), f"{line.margin:g}", str(line.updates), f"{measured.perplexity:.3f}", f"{measured.contrast:.4f}",
                f"{measured.anisotropy:.3f}", line.decoder, *cells,
            ]
        )  # fmt: skip
    return header, rows


def toybox(
    *,
    out: Path = Path("toybox-models"),
    parts: Annotated[tuple[Literal["clip", "plain", "ornate", "stories"], ...], SEVERAL] = ("clip", "plain", "ornate", "stories"),
    seed: int = 0,
    as_json: AsJson = False,
) -> int:
    """Train the Toybox models from random weights (about half an hour on two cores) and check them against their gates.

    For example: `seetell train toybox --parts clip --out toybox-models`.

    Args:
        out: Folder for the weights and their manifest.
        parts: Which models.
        seed: Everything random follows from it.
    """
    from harness.training.toybox.train import train_toybox

    manifest = train_toybox(out, parts=parts, seed=seed, progress=console.say)
    if as_json:
        console.emit(manifest)
    else:
        console.say(f"wrote {out}")
    return DONE
