"""`bench ...`: speed, side by side."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import console
from harness.cli import DONE
from harness.commands.flags import check_positive, chosen_labels, deliver
from harness.errors import SuiteError
from harness.registry import did_you_mean
from harness.spec import Suite

if TYPE_CHECKING:
    from harness.bench.index import Making
    from harness.index.manifest import Kind


def bench_decoders(
    name: str,
    only: Sequence[str],
    examples: int,
    batch_size: int,
    repeats: int,
    device: str,
    settings: Sequence[str],
    as_json: bool,
) -> int:
    """`seetell bench decoders`."""
    check_positive({"--examples": examples, "--batch-size": batch_size, "--repeats": repeats})
    from harness.bench.suite import measure
    from harness.executor import pick_device
    from harness.run import Digests, load_examples, plan

    suite = Suite.load(name, settings)
    data = load_examples(suite)
    digests = Digests(suite, data)
    plans = [plan(suite, label, data, digests=digests) for label in chosen_labels(suite, only)]
    where = pick_device(device)
    with console.progress_bar(f"{suite.name}: measuring") as progress:
        timings = measure(
            plans, examples=examples, batch_size=batch_size, repeats=repeats, device=where, progress=progress
        )
    if as_json:
        console.emit(
            {
                "suite": suite.name,
                "device": where,
                "batch_size": batch_size,
                "timings": [each.to_json() for each in timings],
            }
        )
        return DONE
    rows = [
        (
            each.decoder,
            f"{each.per_second:.1f}",
            f"{1000 * each.seconds / each.examples:.1f}",
            f"{each.relative:.1f}x",
            f"±{50 * each.spread / each.seconds:.0f} %",
        )
        for each in timings
    ]
    header = ("decoder", "examples/s", "ms an example", "times the slowest", "spread")
    console.show_table(
        f"{suite.name} on {where}, batch {batch_size}, median of {repeats}", header, rows, right=range(1, 5)
    )
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

    from harness.bench import report
    from harness.bench.published import Setup, choose, measure
    from harness.executor import pick_device

    scenarios = choose([each for name in names for each in name.split(",") if each], chosen_ks, chosen_lengths)
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
        text = console.to_json(report.to_json(found))
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
    from harness.bench_metrics import METRICS, measure
    from harness.outputs import read_outputs

    names = [name for each in wanted for name in each.split(",") if name] or list(METRICS)
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
    """Positive numbers; `--k 5,45` and `--k 5 45` both work."""
    found = []
    for text in (part for each in given for part in each.split(",") if part):
        if not text.isdigit() or int(text) < 1:
            raise SuiteError(f"{flag} is {text}; expected numbers from 1 up, as in {flag} 1,8,32")
        found.append(int(text))
    return found
