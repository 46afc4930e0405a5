"""The command line: verbs only. Each imports its module inside, so that `--help` is instant."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from decoders.errors import SeeTellError
from harness.cli_data import app as data
from harness.cli_index import index
from harness.cli_study import study
from harness.cli_train import train
from harness.errors import Interrupted, SuiteError

DONE, USER_ERROR, SOME_FAILED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all well; something to put right; finished, but some examples failed; Ctrl-C."""
COULD_NOT_JUDGE = 2
"""Exit code of `gate` where 1 would say that something is worse."""

app = App(
    name="seetell",
    help="""How well does each decoding method tell what it sees?

    SeeTell decodes a suite of images with every method, scores the texts and ranks the methods, with intervals.

    Start with `seetell run toybox-plain` (no download, a minute), then `seetell leaderboard toybox-plain`.
    """,
    version=lambda: metadata.version("seetell"),
    version_flags=["--version"],
)
app.command(train)
bench = App(name="bench", help="Measure speed, side by side.")
app.command(bench)
app.command(data)
app.command(index)
app.command(study)

ResultsFolder = Annotated[Path, Parameter(name="--results", help="Folder of results.", env_var="SEETELL_RESULTS")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON on standard output instead of tables.")]
Settings = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        consume_multiple=True,
        negative="",
        help="Change a value of the suite, such as magic.beta=1.5, text.max_length=20 or run.seed=1; written as in TOML.",
    ),
]
RESULTS = Path("results")


@app.command
def run(
    suite: str,
    /,
    *,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    limit: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    engine: Literal["inline", "ray"] = "inline",
    address: str | None = None,
    workers: int | None = None,
    score: bool = True,
    settings: Settings = (),
    offline: Annotated[bool, Parameter(negative="")] = False,
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
        offline: Never touch the network, and check what `seetell prefetch` brought against its lock file first.
    """
    from harness.commands import running
    from harness.commands.engines import Engine

    who = Engine(engine, address, workers)
    return running.run(suite, only, limit, batch_size, device, who, score, settings, offline, results, as_json)


@app.command
def score(
    targets: Annotated[tuple[str, ...], Parameter(negative="")],
    /,
    *,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    metrics: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    settings: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative="")] = (),
    references: Path | None = None,
    images: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")] = (),
    image_text: str | None = None,
    common: Annotated[bool, Parameter(negative="")] = False,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
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
    from harness.commands import running

    if all(_holds_outputs(target) for target in targets):
        from harness import score_files

        if only:
            raise SuiteError("--only is for suites; of files, name those that are to be scored")
        return score_files.score_files(
            targets, metrics, settings, references, images, image_text, common, fresh, device, results, as_json
        )
    if metrics:
        raise SuiteError("--metrics is for files of outputs; a suite has its metrics in its TOML, under [metrics]")
    for flag, given in {"--references": references is not None, "--images": images, "--common": common}.items():
        if given:
            raise SuiteError(f"{flag} is for files of outputs; a suite has its examples from its TOML, under [data]")
    if image_text is not None:
        raise SuiteError("--image-text is for files of outputs; a suite has its models from its TOML, under [models]")
    return running.score(targets, only, fresh, device, settings, results, as_json)


@app.command
def leaderboard(
    suites: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    /,
    *,
    format: Annotated[
        Literal["table", "html", "md", "csv", "json", "tex"] | None, Parameter(name=["--format", "-f"])
    ] = None,
    matrix: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    settings: Settings = (),
    reproducible: Annotated[bool, Parameter(negative="")] = False,
    check: Annotated[bool, Parameter(negative="")] = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Rank the scored runs: a table here and a site to open, or one page, Markdown, CSV, JSON or LaTeX.

    Without --format it shows the table and writes a static site into the results folder's `site/`: sortable tables, drawn
    intervals and groups, quality against speed, every example with every system's text, a page a run. It needs no network and
    no server: open its `index.html`. docs/leaderboard.md says how to read it. Runs that were made with
    --set are shown with the same --set, and left out otherwise.

    Args:
        suites: Suites to show, by name; every one that has runs by default.
        format: Print this format on standard output, or into --out.
        matrix: Instead: these metrics across the suites, such as cider,grounding-f1, a table each, in Markdown.
        out: File to write instead of standard output; or, without --format, the folder of the site.
        reproducible: Leave times, machines and package versions out of the site: equal results give equal bytes anywhere.
        check: Write nothing; say whether the site in --out is what would be written, and exit with 1 if it is not.
    """
    from harness.commands import running, sites

    if matrix:
        return running.matrix(suites, matrix, out, results)
    format = "json" if as_json else format
    if sites.is_site(format, out, reproducible, check):
        return sites.site(suites, out, reproducible, check, settings, results)
    return running.leaderboard(suites, format, out, settings, results)


@app.command
def show(
    run: str,
    example: str | None = None,
    /,
    *,
    worst: Annotated[bool, Parameter(negative="")] = False,
    differ: Annotated[bool, Parameter(negative="")] = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show a run: what it was made from, its scores with intervals and signatures; or an example with every system's text.

    For example: `seetell show toybox-plain/magic`, `seetell show toybox-plain/magic --worst`.

    Args:
        run: A run's folder, or suite/label as in toybox-plain/magic.
        example: An example's id: what every system of the suite said to it, with its own scores.
        worst: Instead of an id: the example that this run is worst at.
        differ: Instead of an id: the example on which the systems of the suite differ most.
    """
    from harness.commands import showing

    return showing.show(run, example, worst, differ, results, as_json)


@app.command
def compare(
    first: str,
    second: str,
    /,
    *,
    correction: Literal["benjamini-hochberg", "holm", "none"] = "benjamini-hochberg",
    by: str | None = None,
    common: Annotated[bool, Parameter(negative="")] = False,
    permutations: int = 10_000,
    seed: int = 0,
    format: Annotated[Literal["table", "md", "html", "json"], Parameter(name=["--format", "-f"])] = "table",
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    device: str = "auto",
    settings: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative="")] = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Compare two scored runs example by example: differences, intervals, p-values, and what moved most.

    Only numbers that were made in the same way are compared; for the others the table says what differs.

    Args:
        first: A run's folder, or suite/label as in toybox-plain/magic.
        second: The run to compare with it; differences are second minus first.
        correction: Of the p-values, over all numbers of the table.
        by: The number whose largest moves are shown, such as cider; the first one by default.
        common: Compare only the examples that both runs have, scored anew.
        permutations: Exchanges a test.
        seed: Of the test and the intervals.
        format: How to show it.
        out: File to write instead of standard output.
        device: For --common, where metrics use a model: auto, cpu, cuda, ...
        settings: What the second run was made with, such as magic.beta=1.5; the first is the suite's own. So
            `seetell compare mscoco/magic mscoco/magic --set magic.beta=1.5` says what the setting changes.
    """
    from harness.commands import judging

    format = "json" if as_json else format
    return judging.compare(
        first, second, correction, by, common, permutations, seed, format, out, device, settings, results
    )


@app.command
def gate(
    suite: str,
    /,
    *,
    baseline: Path | None = None,
    margin: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    accept: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    junit: Path | None = None,
    settings: Settings = (),
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Is every decoder of a suite still as good as the accepted baseline? The exit code says it.

    0: yes, within the margins. 1: something is worse. 2: it could not be judged (not run, made differently, too few examples:
    it says how many would do). Run the suite first, into a results folder of its own, so that nothing old is reused.

    Args:
        suite: A packaged suite or the path of a TOML file.
        baseline: The baseline's file; results/baselines/SUITE.json by default.
        margin: The largest loss put up with, as in clipscore=0.005 (a fraction), or clipscore=off; 0.01 where nothing is said.
        only: Decoders to judge (or accept), by their label; all of the baseline's by default.
        accept: Write the runs as they are now into the baseline instead of judging them, with the margins given.
        seed: Of the intervals.
        markdown: Print Markdown on standard output, for a pull request.
        junit: Also write JUnit XML into this file.
    """
    from harness.commands import judging

    format = "json" if as_json else "md" if markdown else "table"
    return judging.gate(suite, baseline, margin, only, accept, seed, format, junit, settings, results)


@app.command
def sweep(
    suite: str,
    /,
    *,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
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
    from harness.commands import sweeping

    return sweeping.sweep(suite, only, metric, settings, batch_size, device, results, as_json)


@app.command
def annotate(
    study: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    browse: Annotated[bool, Parameter(name="--open", negative="--no-open")] = False,
    results: ResultsFolder = RESULTS,
) -> int:
    """Serve a study, so that people can rate: pages, rating screen and database access in one process, until Ctrl-C.

    Annotators open an invitation link (`seetell study create` and `study invite` print them; while nobody has joined, this prints
    one too). Those who run the study open `/admin` with the secret that `study create` printed.
    To let other machines in, put a proxy with HTTPS in front, or listen on them all: `--host 0.0.0.0`.

    Args:
        study: A name under results/studies, a study's folder or file, or a postgresql:// URL.
        host: The address to listen on.
        port: The port to listen on.
        browse: Open a browser.
    """
    from harness.commands import annotating

    annotating.serve(study, host, port, browse, results)


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> int:
    """Show the suites, decoders, metrics and data sets that are installed, plug-ins included."""
    from harness.commands import machine

    return machine.list_(as_json)


@app.command
def doctor(*, as_json: AsJson = False) -> int:
    """Check this machine: one line a check, and the command that mends what is wrong."""
    from harness.commands import machine

    return machine.doctor(as_json)


@bench.command(name="decoders")
def bench_decoders(
    suite: str = "toybox-plain",
    /,
    *,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    examples: int = 32,
    batch_sizes: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
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
    from harness.commands import benches

    return benches.bench_decoders(
        suite, only, examples, batch_sizes, repeats, memory, keep, device, settings, results, as_json
    )


@bench.command(name="cluster")
def bench_cluster(
    suite: str = "toybox-plain",
    /,
    *,
    only: str = "zerocap",
    workers: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = ("1,2",),
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
    from harness.commands import benches

    return benches.bench_cluster(suite, only, workers, address, batch_size, repeats, device, as_json)


@bench.command(name="metrics")
def bench_metrics(
    files: Annotated[tuple[str, ...], Parameter(negative="")],
    /,
    *,
    metrics: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
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
    from harness.commands import benches

    return benches.bench_metrics(files, metrics, references, as_json)


@bench.command(name="index")
def bench_index(
    *,
    rows: int = 1_000_000,
    dimensions: int = 512,
    kinds: Annotated[tuple[Literal["flat", "ivf", "hnsw"], ...], Parameter(consume_multiple=True, negative="")] = (
        "flat",
        "ivf",
        "hnsw",
    ),
    features: Annotated[tuple[Literal["clustered", "random"], ...], Parameter(consume_multiple=True, negative="")] = (
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
    from harness.commands import benches

    return benches.bench_index(rows, dimensions, kinds, features, queries, folder, as_json)


@app.command
def prefetch(
    what: Annotated[tuple[str, ...], Parameter(negative="")],
    /,
    *,
    mirror: str | None = None,
    update: Annotated[bool, Parameter(negative="")] = False,
    settings: Settings = (),
    as_json: AsJson = False,
) -> int:
    """Download once what a suite needs: models (safetensors only) and data. Goes on where it stopped.

    It goes into $SEETELL_DATA, by default `data` in SeeTell's cache folder. The room it takes is said first, and refused where
    the disk has less. Commits and SHA-256 are pinned in seetell.lock.toml there; `seetell run SUITE --offline` checks them and
    needs no network. That folder, copied or served by any web server, is a --mirror for others. What needs a form is not
    fetched: the command says what to do, and pins it once it is there.

    Args:
        what: Suites, packaged or the paths of TOML files; or spice: Stanford CoreNLP 3.6.0, the parser that SPICE stands on.
        mirror: A folder, or its address, that holds the same, instead of where things come from. For spice, the address of a
            folder with the archive and its .sha256.
        update: Forget what was pinned for these suites and take what there is now.
    """
    from harness.commands import fetching

    return fetching.prefetch(what, mirror, update, settings, as_json)


@bench.command(name="published")
def bench_published(
    scenarios: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    /,
    *,
    batch_sizes: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    k: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    new_tokens: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
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
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
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
    from harness.commands import benches

    return benches.bench_published(
        scenarios, batch_sizes, k, new_tokens, images, published_images, repeats, memory, dtype, device, threads,
        language_model, image_text, "json" if as_json else format, out,
    )  # fmt: skip


def _holds_outputs(target: str) -> bool:
    """Whether what is to be scored is a file of outputs, by its ending; what is no suite's file is tried as one."""
    path = Path(target)
    return path.suffix in {".json", ".jsonl", ".csv", ".gz"} or (path.suffix not in ("", ".toml") and path.is_file())


def main() -> None:
    """Entry point of `seetell`. What a user can put right is one sentence, not a traceback."""
    try:
        code = app(sys.argv[1:], result_action="return_value", exit_on_error=False)
    except CycloptsError:  # its text is printed already
        code = COULD_NOT_JUDGE if sys.argv[1:2] == ["gate"] else USER_ERROR
    except Interrupted as stop:
        _complain(stop)
        code = INTERRUPTED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SeeTellError as error:
        if os.environ.get("SEETELL_TRACEBACK"):
            raise
        _complain(error)
        code = USER_ERROR
    except OSError as error:
        if error.filename is None or os.environ.get("SEETELL_TRACEBACK"):
            raise
        _complain(_unusable(error))
        code = COULD_NOT_JUDGE if sys.argv[1:2] == ["gate"] else USER_ERROR
    sys.exit(code or DONE)


def _unusable(error: OSError) -> str:
    """A file or folder that the system refuses, in a sentence; of a rename, where it was to go."""
    path = error.filename2 or error.filename
    return f"{path} cannot be used ({error.strerror}); expected a place that can be written: see --results, --out and the like"


def _complain(error: SeeTellError | str) -> None:
    from harness.console import complain

    complain(str(error))


if __name__ == "__main__":
    main()
