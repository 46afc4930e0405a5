"""`seetell bench ...`: speed, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from harness.cli.flag_types import (
    RESULTS,
    SEVERAL,
    AsJson,
    Named,
    OutFile,
    ResultsFolder,
    Settings,
    Several,
)

bench = App(name="bench", help="Measure speed, side by side.")


@bench.command(name="decoders")
def bench_decoders(
    suite: str = "toybox-plain",
    /,
    *,
    only: Several = (),
    examples: int = 32,
    batch_sizes: Several = (),
    repeats: int = 3,
    memory: bool = True,
    keep: bool = True,
    device: str = "auto",
    settings: Settings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Measure how fast each decoder of a suite is, image encoding included, and keep it for the leaderboard.

    Decoders take turns; the figures of one session compare with each other, and are never ranked with another machine's.
    "ZeroCap = 1" is the paper's speed column. `seetell bench published` holds decoders against the published programs.

    Args:
        suite: A packaged suite or the path of a TOML file.
        only: Decoders to measure, by their label; all but the constant sentence by default.
        examples: How many examples each decodes in a pass, or as many as the largest batch.
        batch_sizes: Examples decoded together, as in 1,8,32; the suite's own by default. Tables show the largest.
        repeats: How often; the median counts. One more is run first, to warm up and to count operations.
        memory: Also measure peak memory, in a process of its own for each decoder (some seconds each).
        keep: Write the figures to speed/SUITE.json in the results folder, from where the leaderboard takes them.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import bench as benches

    return benches.bench_decoders(
        suite, only, examples, batch_sizes, repeats, memory, keep, device, settings, results, as_json
    )


@bench.command(name="cluster")
def bench_cluster(
    suite: str = "toybox-plain",
    /,
    *,
    only: str = "zerocap",
    workers: Several = ("1", "2"),
    address: str | None = None,
    batch_size: int = 4,
    repeats: int = 3,
    device: str = "auto",
    as_json: AsJson = False,
) -> int:
    """Measure how well a run spreads over workers, beyond start-up: one worker against this process, several against one.

    Args:
        suite: A packaged suite or the path of a TOML file.
        only: The decoder, by its label.
        workers: Numbers of workers, as in 1,2,4.
        address: Of a running Ray cluster; one is started on this machine by default.
        batch_size: Examples a worker takes at once.
        repeats: Passes of each; the median counts.
        device: auto, cpu, cuda, ...
    """
    from harness.cli import bench as benches

    return benches.bench_cluster(suite, only, workers, address, batch_size, repeats, device, as_json)


@bench.command(name="metrics")
def bench_metrics(
    files: Named,
    /,
    *,
    metrics: Several = (),
    references: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Measure the caption metrics against pycocoevalcap's on the same files: CPU time, memory, and whether the values agree.

    The first file is scored alone, then all of them, with references that SeeTell has not seen before and with the same again;
    the first also as on a machine where METEOR was never used. Everything counts, Java included; SeeTell's intervals too.

    Args:
        files: Files of outputs, as for `seetell score`.
        metrics: Some of bleu, meteor, rouge-l, cider; all by default.
        references: For files without references: where they are.
    """
    from harness.cli import bench as benches

    return benches.bench_metrics(files, metrics, references, as_json)


@bench.command(name="index")
def bench_index(
    *,
    rows: int = 1_000_000,
    dimensions: int = 512,
    kinds: Annotated[tuple[Literal["flat", "ivf", "hnsw"], ...], SEVERAL] = (
        "flat",
        "ivf",
        "hnsw",
    ),
    features: Annotated[tuple[Literal["clustered", "random"], ...], SEVERAL] = (
        "clustered",
        "random",
    ),
    queries: int = 1000,
    folder: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Measure what building and asking an index costs at full size, and what HNSW and IVF miss of what flat finds.

    Features are made up and go through the same code as real ones: `random` is the worst case for any index, `clustered` is
    nearer to what texts and images do. A million rows take some minutes on two cores, most of them for HNSW, and 3 GB of disk.

    Args:
        rows: Features in the index.
        dimensions: Numbers a feature.
        kinds: Which to measure.
        features: How they are made up.
        queries: How many are asked.
        folder: An empty folder to build in; one for temporary files by default.
    """
    from harness.cli import bench as benches

    return benches.bench_index(rows, dimensions, kinds, features, queries, folder, as_json)


@bench.command(name="published")
def bench_published(
    scenarios: Several = (),
    /,
    *,
    batch_sizes: Several = (),
    k: Several = (),
    new_tokens: Several = (),
    images: int = 8,
    published_images: int = 2,
    repeats: int = 3,
    memory: bool = True,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: str = "auto",
    threads: int | None = None,
    language_model: str | None = None,
    image_text: str | None = None,
    format: Annotated[Literal["table", "md", "json"], Parameter(name=["--format", "-f"])] = "table",
    out: OutFile = None,
    as_json: AsJson = False,
) -> int:
    """Hold the decoders against the published computations: how many times as fast, and where the time goes.

    Scenarios: magic-coco, magic-flickr, magic-stories, contrastive-stories, zerocap, zerocap-beams, greedy, nucleus. By default
    magic-coco, contrastive-stories, greedy and nucleus, which takes some minutes on two cores. Without models of yours it makes
    stand-ins of the published sizes (GPT-2 small, CLIP ViT-B/32), once, 2 GB in the cache folder. Both programs take turns in
    one process; seconds are the machine's, ratios hold elsewhere too. docs/performance.md says how to read the table.

    For example: `seetell bench published magic-coco --batch-sizes 1,8,32 --k 5,25,45,90`.

    Args:
        scenarios: What to measure.
        batch_sizes: Of the product, as in 1,8,32; the published programs do one text at a time (`generate`: the same batch).
        k: Numbers of candidates to try instead of the published one, as in 5,25,45,90.
        new_tokens: Lengths to try instead of the published one, as in 16,32,64.
        images: How many texts the product decodes in a pass; a larger batch decodes one batch.
        published_images: How many the published program decodes in a pass; each costs it the same, so few will do.
        repeats: Passes of each, in turn; medians count. One more is run first, to warm up and to count operations.
        memory: Also measure peak memory, each program in a process of its own.
        dtype: Of the product; the published programs are float32.
        device: auto, cpu, cuda, cuda:1, ...
        threads: Of torch; its own choice by default.
        language_model: A model of yours instead of the stand-in, such as hf:org/name or local:folder.
        image_text: A model of yours, such as open_clip:ViT-B-32-quickgelu@openai or local-dir:folder.
        format: How to show it.
        out: File to write instead of standard output.
    """
    from harness.cli import bench as benches

    return benches.bench_published(
        scenarios, batch_sizes, k, new_tokens, images, published_images, repeats, memory, dtype, device, threads,
        language_model, image_text, "json" if as_json else format, out,
    )  # fmt: skip
