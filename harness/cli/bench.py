"""`bench ...`: speed, measured side by side."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import (
    DONE,
    RESULTS,
    SEVERAL,
    SOME_FAILED,
    AsJson,
    Device,
    Named,
    OutFile,
    ResultsFolder,
    Settings,
    Several,
    Switch,
    TableFormat,
    check_positive,
    chosen_labels,
    deliver,
    positive_numbers,
)
from harness.errors import SuiteError, did_you_mean

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.bench.timing import Timing


def decoders(
    suite: str = "toybox-plain",
    /,
    *,
    only: Several = (),
    examples: int = 32,
    batch_sizes: Several = (),
    repeats: int = 3,
    memory: bool = True,
    keep: bool = True,
    device: Device = "auto",
    settings: Settings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Measure how fast each decoder of a suite is, image encoding included, and keep it for the leaderboard.

    Decoders take turns; the figures of one session compare with each other, and are never ranked with another machine's.
    "ZeroCap = 1" is the paper's speed column. `seetell bench published` holds decoders against the published programs.

    For example: `seetell bench decoders toybox-plain --only greedy,magic --examples 8 --no-memory`.

    Args:
        suite: A packaged suite or the path of a TOML file.
        only: Decoders to measure, by their label; all but the constant sentence by default.
        examples: How many examples each decodes in a pass, or as many as the largest batch.
        batch_sizes: Examples decoded together, as in 1,8,32; the suite's own by default. Tables show the largest.
        repeats: Passes of each; the median counts. One more is run first, to warm up and to count operations.
        memory: Also measure peak memory, in a process of its own for each decoder (some seconds each).
        keep: Write the figures to speed/SUITE.json in the results folder, from where the leaderboard takes them.
    """
    check_positive({"--examples": examples, "--repeats": repeats})
    sizes = positive_numbers("--batch-sizes", batch_sizes)
    from decoders.models.devices import pick_device
    from harness.bench.meters import describe_machine
    from harness.bench.timing import measure
    from harness.decode.experiment import Experiment
    from harness.decode.plan import CONSTANT
    from harness.store.runs import Results
    from harness.store.speed import write_speed
    from harness.suites.spec import Suite

    loaded = Suite.load(suite, settings)
    experiment = Experiment(loaded)
    # The speed of a constant sentence, found once and then repeated, is worth no row, unless somebody asks for it.
    labels = [label for label in chosen_labels(loaded, only) if only or label != CONSTANT]
    plans = [experiment.plan(label) for label in labels]
    where = pick_device(device)
    sizes = list(dict.fromkeys(sizes or [min(loaded.run.batch_size, len(experiment.examples))]))
    with console.progress_bar(f"{loaded.name}: measuring") as progress:
        timings = measure(
            plans, examples=examples, batch_sizes=sizes, repeats=repeats, device=where, memory=memory, progress=progress
        )
    machine = describe_machine(where, loaded.run.dtype)
    # The largest batch first: it is the one that tables show.
    speeds = [timing.speed(machine) for timing in sorted(timings, key=lambda timing: -timing.batch_size)]
    if as_json:
        figures = [speed.model_dump(mode="json") for speed in speeds]
        console.emit({"suite": loaded.name, "machine": machine, "speeds": figures})
    else:
        _show_timings(f"{loaded.name}, {machine['name']}, {machine['threads']} threads", timings)
    if keep:
        console.say(f"kept for the leaderboard in {write_speed(Results(results), loaded.name, speeds)}")
    return DONE


def _show_timings(title: str, timings: Sequence[Timing]) -> None:
    rows = [
        (
            timing.decoder,
            str(timing.batch_size),
            f"{timing.per_second:.1f}",
            f"{timing.examples / timing.seconds.high:.1f} to {timing.examples / timing.seconds.low:.1f}",
            f"{1000 * timing.seconds.median / timing.examples:.1f}",
            "–" if timing.relative is None else f"{timing.relative:.1f}x",
            f"{timing.flops / timing.examples / 1e9:.3g}",
            f"{100 * timing.share:.0f} %",
            "–" if timing.memory is None else f"{timing.memory / 1e6:.0f}",
            "yes" if timing.same_texts else "NO",
        )
        for timing in timings
    ]
    header = ("decoder", "batch", "images/s", "range", "ms an image", "ZeroCap = 1", "GFLOP an image", "of the machine",
              "peak MB", "same texts")  # fmt: skip
    console.show_table(title, header, rows, right=range(1, 9))


def cluster(
    suite: str = "toybox-plain",
    /,
    *,
    only: str = "zerocap",
    workers: Several = ("1", "2"),
    address: str | None = None,
    batch_size: int = 4,
    repeats: int = 3,
    device: Device = "auto",
    as_json: AsJson = False,
) -> int:
    """Measure how well a run spreads over workers, beyond start-up: one worker against this process, several against one.

    For example: `seetell bench cluster toybox-plain --only magic --workers 1,2`.

    Args:
        suite: A packaged suite or the path of a TOML file.
        only: The decoder, by its label.
        workers: Numbers of workers, as in 1,2,4.
        address: Of a running Ray cluster; one is started on this machine by default.
        batch_size: Examples a worker takes at once.
        repeats: Passes of each; the median counts.
    """
    check_positive({"--batch-size": batch_size, "--repeats": repeats})
    numbers = positive_numbers("--workers", workers)
    from harness.bench.cluster import measure
    from harness.decode.experiment import Experiment
    from harness.suites.spec import Suite

    loaded = Suite.load(suite)
    [label] = chosen_labels(loaded, [only])
    planned = Experiment(loaded).plan(label)
    with console.progress_bar(f"{loaded.name}/{label}: measuring") as progress:
        engines = measure(
            planned, address=address, workers=numbers, batch_size=batch_size, repeats=repeats, device=device, progress=progress,
        )  # fmt: skip
    if as_json:
        console.emit({"suite": loaded.name, "decoder": label, "engines": [asdict(engine) for engine in engines]})
        return DONE
    rows = [
        (
            engine.engine if engine.engine == "inline" else f"{engine.engine}, {engine.workers} worker(s)",
            f"{engine.start:.1f}",
            f"{engine.seconds.median:.2f}",
            f"{engine.seconds.low:.2f} to {engine.seconds.high:.2f}",
            f"{engine.examples / engine.seconds.median:.2f}",
            f"{engine.ratio.median:.2f}x ({engine.ratio.low:.2f} to {engine.ratio.high:.2f})",
        )
        for engine in engines
    ]
    header = ("engine", "first pass s", "a pass s", "range", "texts/s", "against one")
    console.show_table(f"{loaded.name}/{label}, {engines[0].examples} texts", header, rows, right=range(1, 6))
    return DONE


def metrics(files: Named, /, *, metrics: Several = (), references: Path | None = None, as_json: AsJson = False) -> int:
    """Measure the caption metrics against pycocoevalcap's on the same files: CPU time, memory, and whether the values agree.

    The first file is scored alone, then all of them, with references that SeeTell has not seen before and with the same again;
    the first also as on a machine where METEOR was never used. Everything counts, Java included; SeeTell's intervals too.

    For example: `seetell bench metrics captions.json --references captions_val2014.json`.

    Args:
        files: Files of outputs, as for `seetell score`.
        metrics: Some of bleu, meteor, rouge-l, cider; all by default.
        references: For files without references: where they are.
    """
    from harness.bench.metrics import METRICS, measure
    from harness.decode.imported.read import read_outputs

    names = metrics or list(METRICS)
    for name in names:
        if name not in METRICS:
            raise SuiteError(f"--metrics {name}: expected some of {', '.join(METRICS)}{did_you_mean(name, METRICS)}")
    systems = [read_outputs(Path(path), references) for path in files]
    with console.progress_bar("measuring") as progress:
        comparisons = measure(systems, names, progress=progress)
    if as_json:
        console.emit({"metrics": names, "comparisons": [comparison.to_json() for comparison in comparisons]})
        return DONE
    rows = [
        (
            comparison.case,
            f"{comparison.theirs.cpu:.1f}",
            f"{comparison.ours.cpu:.1f}",
            f"{comparison.ratio:.1f}x",
            f"{comparison.theirs.peak:.0f}",
            f"{comparison.ours.peak:.0f}",
            f"{comparison.difference:.1e}",
        )
        for comparison in comparisons
    ]
    header = ("case", "pycocoevalcap CPU s", "SeeTell CPU s", "ratio", "pycocoevalcap MB", "SeeTell MB",
              "max difference")  # fmt: skip
    console.show_table(", ".join(names), header, rows, right=range(1, 7))
    return DONE


def index(
    *,
    rows: int = 1_000_000,
    dimensions: int = 512,
    kinds: Annotated[tuple[Literal["flat", "ivf", "hnsw"], ...], SEVERAL] = ("flat", "ivf", "hnsw"),
    features: Annotated[tuple[Literal["clustered", "random"], ...], SEVERAL] = ("clustered", "random"),
    queries: int = 1000,
    folder: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Measure what building and asking an index costs at full size, and what HNSW and IVF miss of what flat finds.

    Features are made up and go through the same code as real ones: `random` is the worst case for any index, `clustered` is
    nearer to texts and images. A million rows take some minutes on two cores, most of them for HNSW, and 3 GB of disk.

    For example: `seetell bench index --rows 20000 --queries 100`.

    Args:
        rows: Features in the index.
        dimensions: Numbers in a feature.
        kinds: Which to measure.
        features: How they are made up.
        queries: How many are asked.
        folder: An empty folder to build in; one for temporary files by default.
    """
    check_positive({"--rows": rows, "--dimensions": dimensions, "--queries": queries})
    from harness.bench.index import HEADER, LEFT, measure

    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise SuiteError(f"--folder {folder} is not empty; expected an empty folder to build in")
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seetell-index-")))
        progress = stack.enter_context(console.step_bar("measuring"))
        measured = measure(rows, dimensions, kinds, features, queries, place, progress=progress)
    if as_json:
        figures = [figure.to_json() for figure in measured]
        console.emit({"rows": rows, "dimensions": dimensions, "figures": figures})
        return DONE
    title = f"{rows} rows of {dimensions}, {queries} queries"
    console.show_table(title, HEADER, [figure.row() for figure in measured], left=LEFT)
    return DONE


def gpu(
    *,
    only: Several = (),
    stand_in: Switch = False,
    same_at: Several = ("1", "8", "32", "128"),
    fast_at: Several = ("1", "8", "32", "128", "512"),
    texts: int = 128,
    pictures: int = 256,
    minutes: int = 8,
    language_model: str | None = None,
    image_text: str | None = None,
    device: Device = "auto",
    out: OutFile = None,
    as_json: AsJson = False,
) -> int:
    """Check a GPU in some minutes: are its texts right, how fast do they come, how much memory do they take.

    MAGIC, ZeroCap, contrastive search and nucleus sampling: tokens compared between batch sizes, with the CPU, in other company
    and in bfloat16; speed against the published programs; pictures captioned from 640x480 files. The result is one page of
    Markdown. Exit code 2 means that texts which have to be equal are not.

    Without a GPU, `--stand-in` runs the same on a device that only counts: kernel launches, waits and copies instead of times, by
    default with the small Toybox models. It is slow, so give it few texts and small batches.

    For example: `seetell bench gpu --out gpu.md`.

    Args:
        only: Methods to check: magic-coco, zerocap, contrastive-stories, nucleus; all of them by default.
        stand_in: Count on a stand-in for a GPU instead of measuring on a real one.
        same_at: Batch sizes whose tokens have to be the same.
        fast_at: Batch sizes whose speed is measured.
        texts: How many texts are compared.
        pictures: How many pictures are captioned from files.
        minutes: After which nothing new is begun; what is left out is named.
        language_model: A model of yours instead of the stand-in of the published size, such as hf:org/name or local:folder.
        image_text: A model of yours, such as open_clip:ViT-B-32-quickgelu@openai or local-dir:folder.
        out: File to write instead of standard output.
    """
    check_positive({"--texts": texts, "--pictures": pictures, "--minutes": minutes})
    sizes, speeds = positive_numbers("--same-at", same_at), positive_numbers("--fast-at", fast_at)
    from decoders.models.devices import pick_device
    from harness.bench.gpu import METHODS, GpuBench, GpuSetup

    for name in only:
        if name not in METHODS:
            raise SuiteError(f"--only {name}: expected some of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    with contextlib.ExitStack() as stack:
        counting = None
        if stand_in:
            from decoders.testing import stand_in_device

            card = stack.enter_context(stand_in_device())
            counting, where = card.counting, card.name
            language_model, image_text = language_model or "toybox:plain", image_text or "toybox:clip"
        else:
            where = pick_device(device)
            if where == "cpu":
                raise SuiteError("there is no GPU here that torch sees; add --stand-in to count what a GPU would be asked")
        setup = GpuSetup(
            where, tuple(only) or METHODS, tuple(sizes), tuple(speeds), texts, pictures, minutes, language_model, image_text
        )
        progress = stack.enter_context(console.progress_bar("measuring"))
        page = GpuBench(setup, counting=counting, say=console.say, progress=progress).run()
    if as_json:
        console.emit({"machine": page.machine, "tables": [asdict(table) for table in page.tables], "left_out": page.left_out,
                      "wrong": page.wrong})  # fmt: skip
    else:
        deliver(page.markdown(), out)
    return SOME_FAILED if page.wrong else DONE


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is the same for all scenarios of `bench published`."""

    images: int = 8
    """How many texts the product decodes in a pass; a larger batch decodes one batch."""
    published_images: int = 2
    """How many the published program decodes in a pass; each costs it the same, so few will do."""
    repeats: int = 3
    """Passes of each, in turn; medians count. One more is run first, to warm up and to count operations."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the product; the published programs are float32."""
    language_model: str | None = None
    """A model of yours instead of the stand-in, such as hf:org/name or local:folder."""
    image_text: str | None = None
    """A model of yours, such as open_clip:ViT-B-32-quickgelu@openai or local-dir:folder."""


STAND_INS = Setup()


def published(
    scenarios: Several = (),
    /,
    *,
    batch_sizes: Several = (),
    k: Several = (),
    new_tokens: Several = (),
    setup: Setup = STAND_INS,
    memory: bool = True,
    device: Device = "auto",
    threads: int | None = None,
    format: TableFormat = "table",
    out: OutFile = None,
    as_json: AsJson = False,
) -> int:
    """Hold the decoders against the published computations: how many times as fast, and where the time goes.

    Scenarios: magic-coco, magic-flickr, magic-stories, contrastive-stories, zerocap, zerocap-beams, greedy, nucleus. By default
    magic-coco, contrastive-stories, greedy and nucleus, which takes some minutes on two cores. Without models of yours it makes
    stand-ins of the published sizes (GPT-2 small, CLIP ViT-B/32), once, 2 GB in the cache folder. Both programs take turns in
    one process; seconds are the machine's, ratios hold on other machines too. docs/performance.md says how to read the table.

    For example: `seetell bench published magic-coco --batch-sizes 1,8,32 --k 5,25,45,90`.

    Args:
        scenarios: What to measure.
        batch_sizes: Of the product, as in 1,8,32; the published programs do one text at a time (`generate`: the same batch).
        k: Numbers of candidates to try instead of the published one, as in 5,25,45,90.
        new_tokens: Lengths to try instead of the published one, as in 16,32,64.
        memory: Also measure peak memory, each program in a process of its own.
        threads: Of torch; its own choice by default.
        format: How to show it.
        out: File to write instead of standard output.
    """
    counts = {"--images": setup.images, "--published-images": setup.published_images, "--repeats": setup.repeats}
    check_positive({**counts, "--threads": threads})
    sizes = positive_numbers("--batch-sizes", batch_sizes)
    numbers_of_candidates, lengths = positive_numbers("--k", k), positive_numbers("--new-tokens", new_tokens)
    import torch

    from decoders.models.devices import pick_device
    from harness.bench import report
    from harness.bench import scenarios as workloads
    from harness.store.text import to_json

    chosen = workloads.choose(scenarios, numbers_of_candidates, lengths)
    whole = workloads.Setup(device=pick_device(device), batch_sizes=tuple(sizes), **asdict(setup))
    if threads is not None:
        torch.set_num_threads(threads)
    with console.progress_bar("measuring") as progress:
        measured = workloads.measure(chosen, whole, memory=memory, say=console.say, progress=progress)
    if as_json or format == "json":
        deliver(to_json(report.to_json(measured)), out)
    elif format == "md" or out is not None:
        deliver(report.markdown(measured), out)
    else:
        for scenario, rows in report.by_scenario(measured["figures"]).items():
            console.show_table(scenario, report.HEADER, rows, left=report.LEFT)
        for note in (report.heading(measured), *report.notes(measured)):
            console.say(note)
    return DONE
