"""What the verbs of the command line do: call the harness, show the outcome, choose the exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from harness import console, registry
from harness.cli import DONE, SOME_FAILED, USER_ERROR
from harness.errors import SeeTellError, SuiteError
from harness.registry import Registry, did_you_mean
from harness.spec import Suite, packaged_suites
from harness.store import Results

if TYPE_CHECKING:  # what they import would make `seetell list` slow
    from harness.compare import Comparison
    from harness.corrections import Correction
    from harness.score import Score


def run(
    name: str,
    only: Sequence[str],
    limit: int | None,
    batch_size: int | None,
    device: str,
    with_scores: bool,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell run`."""
    _check_positive({"--limit": limit, "--batch-size": batch_size})
    from harness.executor import InlineExecutor, pick_device
    from harness.run import Digests, decode, load_examples, plan

    suite = Suite.load(name)
    chosen = _chosen(suite, only)
    with console.progress_bar(f"reading {suite.name}"):
        examples = load_examples(suite)
        digests = Digests(suite, examples)
        plans = [plan(suite, label, examples, digests=digests) for label in chosen]  # all, before any hour is spent
    evaluator = None
    if with_scores:
        from harness.evaluate import Evaluator

        evaluator = Evaluator(suite, examples, digests, pick_device(device))
    store = Results(results)
    report: list[dict[str, Any]] = []
    failed = False
    for planned in plans:
        label = planned.spec.label
        with console.progress_bar(f"{suite.name}/{label}: decoding") as progress:
            outcome = decode(
                planned,
                suite,
                store,
                executor=InlineExecutor(console.say),
                batch_size=batch_size,
                limit=limit,
                device=device,
                progress=progress,
            )
        console.say(f"{suite.name}/{label}: {outcome.sentence()}" + ("" if outcome.fresh else " (already on disk)"))
        failed = failed or bool(outcome.failures)
        entry: dict[str, Any] = {
            "suite": suite.name,
            "decoder": label,
            "identity": outcome.identity,
            "folder": str(outcome.folder.path),
            "total": outcome.total,
            "decoded": outcome.decoded,
            "failed": len(outcome.failures),
            "complete": outcome.complete,
        }
        if evaluator is not None and outcome.complete:
            with console.progress_bar(f"{suite.name}/{label}: scoring") as progress:
                scores = evaluator.score(outcome.folder, progress=progress)
            entry["scores"] = [each.to_json() for each in scores]
            _say_cautions(f"{suite.name}/{label}", scores)
        report.append(entry)
    if as_json:
        console.emit({"runs": report})
    else:
        _next_step(suite, report, results)
    return SOME_FAILED if failed else DONE


def score(names: Sequence[str], only: Sequence[str], fresh: bool, device: str, results: Path, as_json: bool) -> int:
    """`seetell score`."""
    from harness.evaluate import Evaluator
    from harness.executor import pick_device
    from harness.run import Digests, load_examples, plan

    if len(names) > 1:
        raise SuiteError(
            f"{', '.join(names)}: expected one suite, or files of outputs ending in .json, .jsonl, .csv or .gz"
        )
    name = names[0]
    suite = Suite.load(name)
    chosen = _chosen(suite, only)
    examples = load_examples(suite)
    digests = Digests(suite, examples)
    evaluator = Evaluator(suite, examples, digests, pick_device(device))
    store = Results(results)
    report = []
    folders = {label: store.run(plan(suite, label, examples, digests=digests).spec) for label in chosen}
    evaluator.expect(list(folders.values()), fresh=fresh)
    for label, folder in folders.items():
        if not folder.complete:
            console.say(f"{suite.name}/{label}: not decoded to the end yet; `seetell run {name}` does it")
            continue
        with console.progress_bar(f"{suite.name}/{label}: scoring") as progress:
            scores = evaluator.score(folder, fresh=fresh, progress=progress)
        _say_cautions(f"{suite.name}/{label}", scores)
        report.append({"suite": suite.name, "decoder": label, "scores": [each.to_json() for each in scores]})
    if as_json:
        console.emit({"runs": report})
    elif report:
        leaderboard([suite.name], "table", None, results)
    return DONE if report else USER_ERROR


def leaderboard(suites: Sequence[str], format: str | None, out: Path | None, results: Path) -> int:
    """`seetell leaderboard`."""
    from harness.leaderboard import FORMATS, render
    from harness.leaderboard.collect import boards
    from harness.leaderboard.terminal import show
    from harness.store import write_bytes

    store = Results(results)
    found = boards(store, suites)
    if out is not None and format in (None, "table"):
        format = out.suffix.lstrip(".").lower()
        if format not in FORMATS:
            raise SuiteError(f"--out {out} does not tell the format by its name; expected one of: {', '.join(FORMATS)}")
    if format in (None, "table"):
        for board in found:
            show(board)
    if format is None:
        for each in FORMATS:
            write_bytes(store.leaderboard / f"leaderboard.{each}", render(found, each).encode("utf-8", "replace"))
        console.say(f"The leaderboard to open: {(store.leaderboard / 'leaderboard.html').resolve()}")
    elif format != "table":
        _deliver(render(found, format), out)
    return DONE


def compare(
    first: str,
    second: str,
    correction: Correction,
    by: str | None,
    common: bool,
    permutations: int,
    seed: int,
    format: str,
    out: Path | None,
    device: str,
    results: Path,
) -> int:
    """`seetell compare`."""
    _check_positive({"--permutations": permutations})
    _check_seed(seed)
    from harness import compare_views as views
    from harness.compare import compare_runs, find_run, on_common_examples
    from harness.executor import pick_device
    from harness.scored import ScoredRun

    writers = {"json": views.to_json_text, "html": views.to_html, "md": views.to_markdown}
    if out is not None and format == "table":
        format = out.suffix.lstrip(".").lower()
        if format not in writers:
            raise SuiteError(f"--out {out} does not tell the format by its name; expected one of: {', '.join(writers)}")
    store = Results(results)
    pair = ScoredRun.load(find_run(store, first)), ScoredRun.load(find_run(store, second))
    if common:
        pair = on_common_examples(*pair, device=pick_device(device))
    found = compare_runs(*pair, correction=correction, by=by, permutations=permutations, seed=seed, device=device)
    if format == "table":
        _show_comparison(found)
        return DONE
    _deliver(writers[format](found), out)
    return DONE


def gate(
    name: str,
    baseline: Path | None,
    margins: Sequence[str],
    only: Sequence[str],
    accept: bool,
    seed: int,
    format: str,
    junit: Path | None,
    results: Path,
) -> int:
    """`seetell gate`. Whatever goes wrong here means that nothing was judged, so it must not look like `worse`."""
    from harness.gate import COULD_NOT_JUDGE

    try:
        return _gate(name, baseline, margins, only, accept, seed, format, junit, Results(results))
    except SeeTellError as error:
        console.complain(str(error))
        return COULD_NOT_JUDGE


def _gate(
    name: str,
    path: Path | None,
    margins: Sequence[str],
    only: Sequence[str],
    accept: bool,
    seed: int,
    format: str,
    junit: Path | None,
    store: Results,
) -> int:
    from harness import gate_reports as reports
    from harness.baseline import Baseline
    from harness.gate import gate as judge
    from harness.gate import parse_margins
    from harness.scored import current_runs
    from harness.store import write_bytes

    chosen = [label for each in only for label in each.split(",") if label]
    _check_seed(seed)
    given = parse_margins(margins)
    suite = name if not Path(name).is_file() else Suite.load(name).name
    path = path or store.baseline(suite)
    runs = current_runs(store, name, chosen)
    if accept:
        accepted = Baseline.accept(path, runs, given, keep_others=bool(chosen))
        console.say(f"accepted {', '.join(accepted.runs)} of {suite} in {path}")
        return DONE
    report = judge(runs, Baseline.read(path).limited_to(chosen), given, seed=seed)
    if junit is not None:
        write_bytes(junit, reports.to_junit(report).encode("utf-8", "replace"))
    if format == "json":
        console.emit(reports.to_json(report))
    elif format == "md":
        sys.stdout.write(reports.to_markdown(report))
    else:
        rows = reports.table(report)
        right = [index for index in range(len(reports.HEADER)) if index not in reports.LEFT]
        console.show_table(reports.headline(report), reports.HEADER, rows, right=right)
        for note in reports.notes(report):
            console.say(note)
    return report.exit_code


def list_(as_json: bool) -> int:
    """`seetell list`."""
    kinds: Mapping[str, Registry[Any]] = {
        "decoders": registry.decoders(),
        "metrics": registry.metrics(),
        "datasets": registry.datasets(),
    }
    suites = [{"name": name, "title": _title_of(name)} for name in packaged_suites()]
    listing: dict[str, list[dict[str, Any]]] = {"suites": suites}
    for kind, plugins in kinds.items():
        listing[kind] = [
            {
                "name": claim.name,
                "from": f"{claim.distribution} {claim.version}",
                "description": claim.describe()
                if len(claims) == 1
                else f"CLASH: {len(claims)} distributions claim this name",
            }
            for claims in plugins.entries.values()
            for claim in claims
        ]
    if as_json:
        console.emit(listing)
        return DONE
    console.show_table("Suites", ("suite", "what"), [(each["name"], each["title"]) for each in suites])
    for kind in kinds:
        rows = [(each["name"], each["from"], each["description"]) for each in listing[kind]]
        console.show_table(kind.capitalize(), (kind.removesuffix("s"), "from", "what"), rows)
    return DONE


def bench_decoders(
    name: str, only: Sequence[str], examples: int, batch_size: int, repeats: int, device: str, as_json: bool
) -> int:
    """`seetell bench decoders`."""
    _check_positive({"--examples": examples, "--batch-size": batch_size, "--repeats": repeats})
    from harness.bench.suite import measure
    from harness.executor import pick_device
    from harness.run import Digests, load_examples, plan

    suite = Suite.load(name)
    data = load_examples(suite)
    digests = Digests(suite, data)
    plans = [plan(suite, label, data, digests=digests) for label in _chosen(suite, only)]
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
    _check_positive(counts)
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
    _deliver(text, out)
    return DONE


def _numbers(flag: str, given: Sequence[str]) -> list[int]:
    """Positive numbers; `--k 5,45` and `--k 5 45` both work."""
    found = []
    for text in (part for each in given for part in each.split(",") if part):
        if not text.isdigit() or int(text) < 1:
            raise SuiteError(f"{flag} is {text}; expected numbers from 1 up, as in {flag} 1,8,32")
        found.append(int(text))
    return found


def doctor(as_json: bool) -> int:
    """`seetell doctor`."""
    from harness.doctor import check

    checks = check()
    if as_json:
        console.emit({"checks": [each.to_json() for each in checks]})
    else:
        marks = {True: "[green]ok[/]     ", None: "[yellow]without[/]", False: "[red]MISSING[/]"}
        for each in checks:
            console.out.print(f"{marks[each.ok]} {escape(each.name)}: {escape(each.detail)}")
            if each.remedy and not each.ok:
                console.out.print(f"          {escape(each.remedy)}")
    return USER_ERROR if any(each.ok is False for each in checks) else DONE


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


def prefetch(wanted: Sequence[str], mirror: str | None, as_json: bool) -> int:
    """`seetell prefetch`."""
    from harness.prefetch import fetch_spice

    if not wanted:
        raise SuiteError("nothing to fetch was named; expected: spice")
    folder = fetch_spice(mirror, say=console.say, progress_bar=console.progress_bar)
    if as_json:
        console.emit({"spice": str(folder)})
    return DONE


def train_toybox(out: Path, parts: Sequence[str], seed: int, as_json: bool) -> int:
    """`seetell train toybox`."""
    from harness.datasets.toybox.recipe import train_toybox as train

    manifest = train(out, parts=parts, seed=seed, progress=console.say)
    if as_json:
        console.emit(manifest)
    else:
        console.say(f"wrote {out}")
    return DONE


def _say_cautions(run: str, scores: Sequence[Score]) -> None:
    for caution in dict.fromkeys(each.caution for each in scores if each.caution):
        console.say(f"{run}: {caution}")


def _deliver(text: str, out: Path | None) -> None:
    """A finished document: into its file, or onto standard output."""
    from harness.store import write_bytes

    if out is None:
        sys.stdout.write(text)
    else:
        write_bytes(out, text.encode("utf-8", "replace"))
        console.say(f"wrote {out}")


def _check_positive(flags: Mapping[str, int | None]) -> None:
    for flag, value in flags.items():
        if value is not None and value < 1:
            raise SuiteError(f"{flag} is {value}; expected 1 or more")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise SuiteError(f"--seed is {seed}; expected 0 or more")


def _chosen(suite: Suite, only: Sequence[str]) -> list[str]:
    """The labels to run; `--only a,b` and `--only a b` both work."""
    from harness.run import labels

    named = labels(suite)
    wanted = [label for each in only for label in each.split(",") if label]
    for label in wanted:
        if label not in named:
            raise SuiteError(f"--only {label}: suite {suite.name!r} has no such decoder{did_you_mean(label, named)}")
    return wanted or list(named)


def _title_of(suite: str) -> str:
    loaded = Suite.load(suite)
    return loaded.title or loaded.task


def _next_step(suite: Suite, report: Sequence[Mapping[str, Any]], results: Path) -> None:
    if any("scores" in entry for entry in report):
        where = "" if results == Path("results") else f" --results {results}"
        console.say(f"Ranked by `seetell leaderboard {suite.name}{where}`")


def _show_comparison(found: Comparison) -> None:
    from harness import compare_views as views

    right = [index for index in range(len(views.HEADER)) if index not in views.LEFT]
    console.show_table(f"{found.second} against {found.first}", views.HEADER, views.table(found), right=right)
    for title, changes in (("Settings that differ", found.changes), ("Environment", found.environment)):
        if changes:
            rows = [(each.field, views.plain(each.first), views.plain(each.second)) for each in changes]
            console.show_table(title, ("field", "first", "second"), rows)
    if found.moved:
        moved = [
            (each.example_id, f"{each.first:.4g}", f"{each.second:.4g}", each.first_text, each.second_text)
            for each in found.moved
        ]
        header = ("example", "first", "second", "first said", "second said")
        console.show_table(f"Examples that moved most, by {found.moved_by}", header, moved, right=(1, 2))
    for note in views.notes(found):
        console.say(note)
