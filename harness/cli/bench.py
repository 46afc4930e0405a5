"""`bench ...`: speed, side by side."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.flags import check_positive, chosen_labels, deliver
from harness.errors import SuiteError, did_you_mean
from harness.store.runs import Results
from harness.store.text import to_json
from harness.suites.spec import Suite

if TYPE_CHECKING:  # they would load torch
    from harness.bench.index import Making
    from harness.bench.timing import Timing
    from harness.datasets.index.manifest import Kind


def bench_decoders(
    name: str,
    only: Sequence[str],
    examples: int,
    batch_sizes: Sequence[str],
    repeats: int,
    memory: bool,
    keep: bool,
    device: str,
    settings: Sequence[str],
    results: Path,
    as_json: bool,
) -> int:
    """`seetell bench decoders`."""
    check_positive({"--examples": examples, "--repeats": repeats})
    sizes = _numbers("--batch-sizes", batch_sizes)
    from decoders.models.load import pick_device
    from harness.bench.meters import describe_machine
    from harness.bench.timing import measure
    from harness.datasets.load import Digests, load_examples
    from harness.decode.plan import CONSTANT, plan
    from harness.store.speed import write_speed

    suite = Suite.load(name, settings)
    data = load_examples(suite)
    digests = Digests(suite, data)
    # A sentence that is found once and then repeated has no speed worth a row, unless somebody asks for it.
    labels = [label for label in chosen_labels(suite, only) if only or label != CONSTANT]
    plans = [plan(suite, label, data, digests=digests) for label in labels]
    where = pick_device(device)
    chosen = list(dict.fromkeys(sizes or [min(suite.run.batch_size, len(data))]))
    with console.progress_bar(f"{suite.name}: measuring") as progress:
        timings = measure(
            plans,
            examples=examples,
            batch_sizes=chosen,
            repeats=repeats,
            device=where,
            memory=memory,
            progress=progress,
        )
    described = describe_machine(where, suite.run.dtype)
    # The largest batch first: it is the one that tables show.
    speeds = [each.speed(described) for each in sorted(timings, key=lambda each: -each.batch_size)]
    if as_json:
        console.emit(
            {"suite": suite.name, "machine": described, "speeds": [each.model_dump(mode="json") for each in speeds]}
        )
    else:
        _show_timings(f"{suite.name}, {described['name']}, {described['threads']} threads", timings)
    if keep:
        console.say(f"kept for the leaderboard in {write_speed(Results(results), suite.name, speeds)}")
    return DONE


def _show_timings(title: str, timings: Sequence[Timing]) -> None:
    rows = [
        (
            each.decoder,
            str(each.batch_size),
            f"{each.per_second:.1f}",
            f"{each.examples / each.seconds.high:.1f} to {each.examples / each.seconds.low:.1f}",
            f"{1000 * each.seconds.median / each.examples:.1f}",
            "–" if each.relative is None else f"{each.relative:.1f}x",
            f"{each.flops / each.examples / 1e9:.3g}",
            f"{100 * each.share:.0f} %",
            "–" if each.memory is None else f"{each.memory / 1e6:.0f}",
            "yes" if each.same_texts else "NO",
        )
        for each in timings
    ]
    header = ("decoder", "batch", "images/s", "range", "ms an image", "ZeroCap = 1", "GFLOP an image", "of the machine",
              "peak MB", "same texts")  # fmt: skip
    console.show_table(title, header, rows, right=range(1, 9))


def bench_cluster(
    name: str,
    label: str,
    workers: Sequence[str],
    address: str | None,
    batch_size: int,
    repeats: int,
    device: str,
    as_json: bool,
) -> int:
    """`seetell bench cluster`."""
    check_positive({"--batch-size": batch_size, "--repeats": repeats})
    numbers = _numbers("--workers", workers)
    from dataclasses import asdict

    from decoders.models.load import pick_device
    from harness.bench.cluster import measure
    from harness.datasets.load import load_examples
    from harness.decode.plan import plan

    suite = Suite.load(name)
    [chosen] = chosen_labels(suite, [label])
    planned = plan(suite, chosen, load_examples(suite))
    with console.progress_bar(f"{suite.name}/{chosen}: measuring") as progress:
        found = measure(
            planned,
            address=address,
            workers=numbers,
            batch_size=batch_size,
            repeats=repeats,
            device=pick_device(device),
            progress=progress,
        )
    if as_json:
        console.emit({"suite": suite.name, "decoder": chosen, "engines": [asdict(each) for each in found]})
        return DONE
    rows = [
        (
            each.engine if each.engine == "inline" else f"{each.engine}, {each.workers} worker(s)",
            f"{each.start:.1f}",
            f"{each.seconds.median:.2f}",
            f"{each.seconds.low:.2f} to {each.seconds.high:.2f}",
            f"{each.examples / each.seconds.median:.2f}",
            f"{each.ratio.median:.2f}x ({each.ratio.low:.2f} to {each.ratio.high:.2f})",
        )
        for each in found
    ]
    header = ("engine", "first pass s", "a pass s", "range", "texts/s", "against one")
    console.show_table(f"{suite.name}/{chosen}, {found[0].examples} texts", header, rows, right=range(1, 6))
    return DONE


def bench_published(
    names: Sequence[str],
    batch_sizes: Sequence[str],
    ks: Sequence[str],
    lengths: Sequence[str],
    images: int,
    published_images: int,
    repeats: int,
    memory: bool,
    dtype: str,
    device: str,
    threads: int | None,
    language_model: str | None,
    image_text: str | None,
    format: str,
    out: Path | None,
) -> int:
    """`seetell bench published`."""
    counts = {"--images": images, "--published-images": published_images, "--repeats": repeats, "--threads": threads}
    check_positive(counts)
    sizes = _numbers("--batch-sizes", batch_sizes)
    chosen_ks, chosen_lengths = _numbers("--k", ks), _numbers("--new-tokens", lengths)
    import torch

    from decoders.models.load import pick_device
    from harness.bench import report
    from harness.bench.scenarios import Setup, choose, measure

    scenarios = choose(names, chosen_ks, chosen_lengths)
    setup = Setup(
        device=pick_device(device),
        dtype=dtype,
        images=images,
        published_images=published_images,
        repeats=repeats,
        batch_sizes=tuple(sizes),
        language_model=language_model,
        image_text=image_text,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    with console.progress_bar("measuring") as progress:
        found = measure(scenarios, setup, memory=memory, say=console.say, progress=progress)
    if format == "json":
        text = to_json(report.to_json(found))
    elif format == "md" or out is not None:
        text = report.markdown(found)
    else:
        right = [index for index in range(len(report.HEADER)) if index not in report.LEFT]
        for scenario, rows in report.by_scenario(found["figures"]).items():
            console.show_table(scenario, report.HEADER, rows, right=right)
        for note in (report.heading(found), *report.notes(found)):
            console.say(note)
        return DONE
    deliver(text, out)
    return DONE


def bench_metrics(paths: Sequence[str], wanted: Sequence[str], references: Path | None, as_json: bool) -> int:
    """`seetell bench metrics`."""
    from harness.bench.metrics import METRICS, measure
    from harness.decode.imported.read import read_outputs

    names = wanted or list(METRICS)
    for name in names:
        if name not in METRICS:
            raise SuiteError(f"--metrics {name}: expected some of {', '.join(METRICS)}{did_you_mean(name, METRICS)}")
    systems = [read_outputs(Path(path), references) for path in paths]
    with console.progress_bar("measuring") as progress:
        found = measure(systems, names, progress=progress)
    if as_json:
        console.emit({"metrics": names, "comparisons": [each.to_json() for each in found]})
        return DONE
    rows = [
        (
            each.case,
            f"{each.theirs.cpu:.1f}",
            f"{each.ours.cpu:.1f}",
            f"{each.ratio:.1f}x",
            f"{each.theirs.peak:.0f}",
            f"{each.ours.peak:.0f}",
            f"{each.difference:.1e}",
        )
        for each in found
    ]
    header = (
        "case",
        "pycocoevalcap CPU s",
        "SeeTell CPU s",
        "ratio",
        "pycocoevalcap MB",
        "SeeTell MB",
        "max difference",
    )
    console.show_table(", ".join(names), header, rows, right=range(1, 7))
    return DONE


def bench_index(
    rows: int,
    dimensions: int,
    wanted: Sequence[Kind],
    makings: Sequence[Making],
    queries: int,
    folder: Path | None,
    as_json: bool,
) -> int:
    """`seetell bench index`."""
    check_positive({"--rows": rows, "--dimensions": dimensions, "--queries": queries})
    from harness.bench import index

    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise SuiteError(f"--folder {folder} is not empty; expected an empty folder to build in")
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seetell-index-")))
        bar = stack.enter_context(console.progress_bar("measuring"))
        found = index.measure(
            rows, dimensions, wanted, makings, queries, place, progress=lambda _, done, total: bar(done, total)
        )
    if as_json:
        console.emit({"rows": rows, "dimensions": dimensions, "figures": [each.to_json() for each in found]})
        return DONE
    right = [column for column in range(len(index.HEADER)) if column not in index.LEFT]
    console.show_table(
        f"{rows} rows of {dimensions}, {queries} queries", index.HEADER, [each.row() for each in found], right=right
    )
    return DONE


def _numbers(flag: str, given: Sequence[str]) -> list[int]:
    """Positive numbers."""
    found = []
    for text in given:
        if not text.isdigit() or int(text) < 1:
            raise SuiteError(f"{flag} is {text}; expected numbers from 1 up, as in {flag} 1,8,32")
        found.append(int(text))
    return found
