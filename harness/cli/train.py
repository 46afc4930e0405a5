"""`train lm` and `train compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.flags import check_models_offline, check_positive, cut_off_if
from harness.errors import SuiteError
from harness.suites.spec import Suite, Task

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.training.comparison import Line


def train_lm(
    name: str | None,
    out: Path | None,
    train_file: Path | None,
    val_file: Path | None,
    preset: str | None,
    task: Task | None,
    precision: Literal["auto", "float32", "bfloat16"],
    changes: Mapping[str, Any],
    device: str,
    offline: bool,
    as_json: bool,
) -> int:
    """`seetell train lm`."""
    cut_off_if(offline)
    from harness.fetch.needs import text_paths
    from harness.training.corpus import read_corpus
    from harness.training.recipe import PRESETS, preset_for, recipe

    suite = Suite.load(name) if name else None
    if out is None and suite is None:
        raise SuiteError("--out is missing; give the folder that the model goes to")
    known = PRESETS.get(preset or "", {}).get("task", "caption")
    kind: Task = task or (suite.task if suite else known)
    chosen = recipe(
        preset or preset_for(suite.name if suite else None, kind),
        {**changes, "task": kind, "precision": _precision(precision, device)},
    )
    paths = list(text_paths(suite)) if suite else []
    check_models_offline(offline, "this training", [chosen.model], paths, suite)
    with console.progress_bar("reading the texts"):
        corpus = read_corpus(suite, train_file, val_file, kind)
    from harness.training.lm import train_lm as train  # torch with it

    for note in corpus.notes:
        console.say(note)
    folder = out or Path("models") / (suite.name if suite else "")
    console.say(
        f"{len(corpus.train)} training and {len(corpus.val)} validation texts from {corpus.source}; {chosen.steps} updates of "
        f"{min(chosen.batch_size, len(corpus.train))} texts, margin {chosen.margin:g}, {chosen.precision}"
    )
    with console.training_bar(f"{chosen.model} to {folder}") as progress:
        record = train(chosen, corpus, folder, device=device, say=console.say, progress=progress)
    if as_json:
        console.emit({"folder": str(folder), **record})
    else:
        _show(record, folder)
    return DONE


def compare(
    folders: Sequence[Path],
    name: str,
    size: int | None,
    only: Sequence[str],
    device: str,
    results: Path,
    format: Literal["table", "md", "json"],
) -> int:
    """`seetell train compare`."""
    from harness.store.runs import Results
    from harness.training.comparison import compare_models

    check_positive({"--size": size})
    lines = compare_models(
        folders, Suite.load(name), only, Results(results), size=size, device=device, progress=console.say
    )
    header, rows = _table(lines)
    if format == "json":
        console.emit({"suite": name, "models": [line.to_json() for line in lines]})
    elif format == "md":
        from harness.store.text import markdown

        rule = ["---"] * 1 + ["---:"] * 5 + ["---"] + ["---:"] * (len(header) - 7)
        for row in [header, rule, *([markdown(cell) for cell in row] for row in rows)]:
            console.out.print(f"| {' | '.join(row)} |", markup=False)
    else:
        console.show_table(f"validation split of {name}", header, rows, right=[1, 2, 3, 4, 5, *range(7, len(header))])
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
                by = 100 if score.percent else 1
                cells.append(f"{by * score.value:.1f} [{by * score.low:.1f}, {by * score.high:.1f}]")
        measured = line.measured
        rows.append(
            [
                str(line.folder), f"{line.margin:g}", str(line.updates), f"{measured.perplexity:.3f}", f"{measured.contrast:.4f}",
                f"{measured.anisotropy:.3f}", line.decoder, *cells,
            ]
        )  # fmt: skip
    return header, rows


def _precision(wanted: Literal["auto", "float32", "bfloat16"], device: str) -> str:
    """`auto` is bfloat16 where a graphics card computes it; processors do not gain by it."""
    if wanted != "auto":
        return wanted
    import torch

    from decoders.models.load import pick_device

    on_card = pick_device(device).startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bfloat16" if on_card else "float32"


def _show(record: Mapping[str, Any], folder: Path) -> None:
    losses = record["losses"]
    rows = []
    for each in losses["evaluations"]:
        if each["step"] in (0, losses["best"], losses["evaluations"][-1]["step"]):
            kept = " (kept)" if each["step"] == losses["best"] else ""
            figures = [f"{each[key]:.4f}" for key in ("likelihood", "contrast", "anisotropy")]
            rows.append([f"{each['step']}{kept}", *figures])
    console.show_table(
        f"{folder}: losses of the validation texts", ("update", "likelihood", "contrast", "anisotropy"), rows, (1, 2, 3)
    )
    console.say(f'in a suite: language_model = "local:{folder}"; the picture is {folder / "losses.png"}')
