"""Verbs that make runs and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.cli.flag_types import (
    RESULTS,
    AsJson,
    Named,
    Offline,
    OwnSettings,
    Places,
    ResultsFolder,
    Settings,
    Several,
    Switch,
)
from harness.errors import SuiteError


def run(
    suite: str,
    /,
    *,
    only: Several = (),
    limit: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    engine: Literal["inline", "ray"] = "inline",
    address: str | None = None,
    workers: int | None = None,
    score: bool = True,
    settings: Settings = (),
    offline: Offline = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Decode a suite with each of its decoders, then score what they said.

    What is on disk already is not decoded again, so running the same command once more goes on where it stopped.
    Exit code 2 means: finished, but some examples failed (the summary says which). What is run with --set lies beside the
    suite's own runs; `leaderboard`, `score`, `compare` and `gate` find it with the same --set.

    Args:
        suite: A packaged suite (`seetell list`) or the path of a TOML file.
        only: Decoders to run, by their label in the suite; all of them by default.
        limit: Only the first so many examples: a quick look. The run stays incomplete and is not ranked.
        batch_size: Examples decoded together; the suite's own by default. It changes the speed, never the text.
        device: auto, cpu, cuda, cuda:1, ...
        engine: Who decodes: this process, or workers on a Ray cluster. The results are the same (docs/scaling.md).
        address: For ray: of a running cluster, such as auto or host:6379; one is started on this machine by default.
        workers: For ray: how many; by default one a GPU, or one a processor where there is no GPU.
        score: Score each run that is complete.
    """
    from harness.cli import run as running
    from harness.cli.engines import Engine

    who = Engine(engine, address, workers)
    return running.run(suite, only, limit, batch_size, device, who, score, settings, offline, results, as_json)


def score(
    targets: Named,
    /,
    *,
    only: Several = (),
    metrics: Several = (),
    settings: OwnSettings = (),
    references: Path | None = None,
    images: Places = (),
    image_text: str | None = None,
    common: Switch = False,
    fresh: Switch = False,
    device: str = "auto",
    offline: Offline = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Score the complete runs of a suite, or files of outputs that other systems made.

    Files may hold captions or stories as MAGIC publishes them, COCO results, Karpathy-style JSON, JSON Lines or CSV, plain or
    gzipped; which one is guessed and told. They are kept as runs, so the leaderboard shows them too.

    Args:
        targets: A packaged suite, the path of a TOML file, or files of outputs.
        only: Decoders of the suite to score, by their label; all of them by default.
        metrics: For files: metrics to compute, such as bleu,cider; by default what fits captions or stories.
        settings: Of a suite: what it was run with, such as magic.beta=1.5. For files: options of metrics, such as
            repetition.impl=simctg.
        references: For files without references: where they are (COCO annotations, or any of the formats above).
        images: For files: where the images are (a folder, zip, tar or parquet file, or several), for metrics that look at them.
            They are found by the names or ids in the files; all must be there.
        image_text: For files: the image-text model of such metrics, as in a suite: open_clip:NAME@TAG, hf-hub:org/name,
            local-dir:FOLDER or toybox:clip. CLIPScore and RefCLIPScore are computed where --metrics names nothing.
        common: For files: score all systems on the examples that every one of them answered.
        fresh: Compute every metric again, even if nothing has changed since the last time.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import run as running

    if all(_holds_outputs(target) for target in targets):
        from harness.cli import score_files

        if only:
            raise SuiteError("--only is for suites; of files, name those that are to be scored")
        return score_files.score_files(
            targets, metrics, settings, references, images, image_text, common, fresh, device, offline, results, as_json
        )
    if metrics:
        raise SuiteError("--metrics is for files of outputs; a suite has its metrics in its TOML, under [metrics]")
    for flag, given in {"--references": references is not None, "--images": images, "--common": common}.items():
        if given:
            raise SuiteError(f"{flag} is for files of outputs; a suite has its examples from its TOML, under [data]")
    if image_text is not None:
        raise SuiteError("--image-text is for files of outputs; a suite has its models from its TOML, under [models]")
    return running.score(targets, only, fresh, device, settings, offline, results, as_json)


def sweep(
    suite: str,
    /,
    *,
    only: Several = (),
    metric: str | None = None,
    settings: Settings = (),
    batch_size: int | None = None,
    device: str = "auto",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Try the settings of a suite's [sweep] on its dev split: a ranked table, a picture, and the TOML to paste.

    Every combination is an ordinary run that can be stopped and gone on with. None of them enters a leaderboard, and a dev split
    that shares an example with the test data is refused.

    Args:
        suite: A packaged suite or the path of a TOML file, with a [sweep].
        only: Decoders of the grid, by their label; all of them by default.
        metric: The number that ranks, such as cider or bleu-4; that of the [sweep] by default.
        batch_size: Examples decoded together; the suite's own by default.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import sweeping

    return sweeping.sweep(suite, only, metric, settings, batch_size, device, results, as_json)


def _holds_outputs(target: str) -> bool:
    """Whether what is to be scored is a file of outputs, by its ending; what is no suite's file is tried as one."""
    path = Path(target)
    return path.suffix in {".json", ".jsonl", ".csv", ".gz"} or (path.suffix not in ("", ".toml") and path.is_file())
