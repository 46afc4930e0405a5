"""`run`, `score` and `sweep`: decode a suite, score the texts, try settings on a dev split."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import (
    DONE,
    RESULTS,
    SOME_FAILED,
    USER_ERROR,
    AsJson,
    BatchSize,
    Device,
    Named,
    Offline,
    OutputFlags,
    OwnSettings,
    ResultsFolder,
    Settings,
    Several,
    Switch,
    check_positive,
    check_suite_offline,
    chosen_labels,
    cut_off_if,
    split_label,
)
from harness.errors import BrokenPlugin, Interrupted, SeeTellError, SuiteError, did_you_mean
from harness.suites.settings import as_flags

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.compare.sweep import Result
    from harness.decode.executor import Executor
    from harness.decode.plan import Plan
    from harness.metrics.evaluate import Evaluator, RowMaker
    from harness.metrics.score import Score
    from harness.store.runs import Results
    from harness.suites.spec import Suite


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Where texts are decoded: in this process, or by the actors of a Ray cluster."""

    engine: Literal["inline", "ray"] = "inline"
    """Where texts are decoded: in this process, or by workers on a Ray cluster. The results are the same (docs/scaling.md)."""
    address: str | None = None
    """For ray: of a running cluster, such as auto or host:6379; one is started on this machine by default."""
    workers: int | None = None
    """For ray: how many; by default one per GPU, or one per processor where there is no GPU."""

    def check(self) -> None:
        """Refuse flags that contradict each other.

        Raises:
            SuiteError: naming the flag and the remedy.
        """
        check_positive({"--workers": self.workers})
        for flag, value in (("--address", self.address), ("--workers", self.workers)):
            if value is not None and self.engine != "ray":
                raise SuiteError(f"{flag} {value} is for a Ray cluster; add --engine ray, or leave it out")

    @contextlib.contextmanager
    def start(self, device: str) -> Iterator[tuple[Executor, RowMaker | None]]:
        """An executor, and what makes the rows of metrics that can be made apart (None: this process).

        Args:
            device: what the user asked for; metrics that the driver of a cluster computes itself may have to do without.
        """
        if self.engine == "inline":
            from harness.decode.executor import InlineExecutor

            yield InlineExecutor(console.say), None
            return
        from decoders.models.devices import device_here
        from harness.decode.cluster.executor import RayExecutor

        here = device_here(device)
        if device not in ("auto", here):
            console.say(f"this machine has no {device}; what it computes itself (metrics of all texts together) runs on {here}")
        with RayExecutor(self.address, self.workers, notice=console.say) as cluster:
            yield cluster, cluster.rows


IN_PROCESS = Engine()


def run(
    suite: str,
    /,
    *,
    only: Several = (),
    fresh: Several = (),
    limit: int | None = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    engine: Engine = IN_PROCESS,
    score: bool = True,
    settings: Settings = (),
    offline: Offline = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Decode a suite with each of its decoders, then score the texts.

    Texts that are on disk already are not decoded again, so the same command resumes a run that was stopped. Exit code 2 means:
    finished, but some examples failed (the summary says which). 1: a decoder could not be run; the others were. Runs with --set
    are beside the suite's own runs; `leaderboard`, `score`, `compare` and `gate` find them with the same --set.

    For example: `seetell run toybox-plain --only magic,greedy --limit 8`.

    Args:
        suite: A packaged suite (`seetell list`) or the path of a TOML file.
        only: Decoders to run, by their label in the suite; all of them by default.
        fresh: Decoders to decode again, by their label, although their texts are on disk. The old answers and scores are kept in
            the run's folder, under `replaced`.
        limit: Only the first examples, so many: a quick look. The run stays incomplete and is not ranked.
        score: Score each run that is complete.
    """
    check_positive({"--limit": limit, "--batch-size": batch_size})
    engine.check()
    cut_off_if(offline)
    from harness.decode.experiment import Experiment
    from harness.fetch.check.models import prompt_notes
    from harness.store.runs import Results
    from harness.suites.spec import Suite

    loaded = Suite.load(suite, settings)
    labels = chosen_labels(loaded, only)
    for label in fresh:
        if label not in labels:
            raise SuiteError(f"--fresh {label}: expected a decoder that is run{did_you_mean(label, labels)}")
    check_suite_offline(offline, loaded)
    with console.progress_bar(f"reading {loaded.name}") as progress:
        experiment = Experiment(loaded, progress=progress)
    plans, broken = [], []
    for label in labels:  # all, before any hour is spent
        try:
            plans.append(experiment.plan(label))
        except (Exception, SystemExit) as error:  # the plug-in boundary: foreign code may raise anything
            if isinstance(error, SeeTellError) and not isinstance(error, BrokenPlugin):
                raise
            broken.append(_broken(loaded, label, error))
    if any(planned.spec.language_model for planned in plans):
        for note in prompt_notes(loaded):
            console.say(note)
    with engine.start(device) as (executor, row_maker):
        evaluator = experiment.evaluator(device, make_rows=row_maker) if score else None
        report = []
        for planned in plans:
            try:
                report.append(
                    _run_one(
                        planned, loaded, Results(results), executor, evaluator,
                        fresh=planned.spec.label in fresh, batch_size=batch_size, limit=limit, device=device,
                    )
                )  # fmt: skip
            except (Exception, SystemExit) as error:  # the other decoders are run all the same
                if isinstance(error, Interrupted):
                    raise
                broken.append(_broken(loaded, planned.spec.label, error))
    if as_json:
        console.emit({"runs": report} | ({"broken": broken} if broken else {}))
    elif any("scores" in entry for entry in report):
        console.say(f"Ranked by `seetell leaderboard {loaded.name}{as_flags(loaded.settings)}`")
    if broken and len(labels) > 1:
        names = ", ".join(entry["decoder"] for entry in broken)
        console.complain(f"{len(broken)} of {len(labels)} decoders of {loaded.name} could not be run to the end: {names}")
    if broken:
        return USER_ERROR
    return SOME_FAILED if any(entry["failed"] for entry in report) else DONE


def _broken(suite: Suite, label: str, error: BaseException) -> dict[str, str]:
    """Say why a decoder could not be run; what `--json` says of it."""
    sentence = console.sentence_of(error)
    console.complain(f"{suite.name}/{label}: {sentence}")
    return {"suite": suite.name, "decoder": label, "error": sentence}


def _run_one(
    planned: Plan,
    suite: Suite,
    store: Results,
    executor: Executor,
    evaluator: Evaluator | None,
    *,
    fresh: bool,
    batch_size: int | None,
    limit: int | None,
    device: str,
) -> dict[str, Any]:
    """Decode and score one decoder of a suite; what `--json` says of it."""
    from harness.decode.run import decode

    name = f"{suite.name}/{planned.spec.label}"
    with console.progress_bar(f"{name}: decoding") as progress:
        outcome = decode(
            planned, suite, store, executor=executor, fresh=fresh, batch_size=batch_size, limit=limit, device=device,
            progress=progress,
        )  # fmt: skip
    console.say(f"{name}: {outcome.sentence()}" + ("" if outcome.fresh else " (already on disk)"))
    entry: dict[str, Any] = {
        "suite": suite.name,
        "decoder": planned.spec.label,
        "settings": list(suite.settings_of(planned.spec.label)),
        "identity": outcome.identity,
        "folder": str(outcome.folder.path),
        "total": outcome.total,
        "decoded": outcome.decoded,
        "empty": outcome.empty,
        "failed": len(outcome.failures),
        "complete": outcome.complete,
    }
    if evaluator is not None and outcome.complete:
        with console.progress_bar(f"{name}: scoring") as progress:
            scores = evaluator.score(outcome.folder, progress=progress)
        entry["scores"] = [score.to_json() for score in scores]
        _say_cautions(name, scores)
    return entry


def _say_cautions(run: str, scores: Sequence[Score]) -> None:
    for caution in dict.fromkeys(score.caution for score in scores if score.caution):
        console.say(f"{run}: {caution}")


def score(
    targets: Named,
    /,
    *,
    only: Several = (),
    settings: OwnSettings = (),
    outputs: OutputFlags = OutputFlags(),  # noqa: B008  # frozen
    fresh: Switch = False,
    device: Device = "auto",
    offline: Offline = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Score the complete runs of a suite, or files of outputs that other systems made.

    Files may hold captions or stories as MAGIC publishes them, COCO results, captions by id, Karpathy-style JSON, JSON Lines,
    CSV, TSV or plain text, plain or gzipped; the format is guessed and named (docs/data.md lists all). They are kept as runs, so
    the leaderboard shows them too; with --suite they are in that suite's table.

    For example: `seetell score captions.json --references captions_val2014.json --metrics cider,bleu`.

    Args:
        targets: A packaged suite, the path of a TOML file, or files of outputs; LABEL=FILE names a file's row.
        only: Decoders of the suite to score, by their label; all of them by default.
        settings: Of a suite: what it was run with, such as magic.beta=1.5. For files: options of metrics, such as
            repetition.impl=simctg.
        fresh: Compute every metric again, even if nothing has changed since the last time.
    """
    if all(_holds_outputs(target) for target in targets):
        if only:
            raise SuiteError("--only is for suites; of files, name those that are to be scored")
        cut_off_if(offline)
        from harness.cli.score_files import score_files

        return score_files(
            targets, outputs, settings, fresh=fresh, device=device, offline=offline, results=results, as_json=as_json
        )
    if outputs.metrics:
        raise SuiteError("--metrics is for files of outputs; a suite has its metrics in its TOML, under [metrics]")
    files_only = {
        "--references": outputs.references is not None,
        "--images": outputs.images,
        "--common": outputs.common,
        "--suite": outputs.suite,
        "--name": outputs.name,
        "--text": outputs.text,
        "--id": outputs.id_field,
    }
    for flag, given in files_only.items():
        if given:
            raise SuiteError(f"{flag} is for files of outputs; a suite has its examples from its TOML, under [data]")
    if outputs.image_text is not None:
        raise SuiteError("--image-text is for files of outputs; a suite has its models from its TOML, under [models]")
    if len(targets) > 1:
        raise SuiteError(
            f"{', '.join(targets)}: expected one suite, or files of outputs ending in .json, .jsonl, .csv, .tsv, .txt or .gz"
        )
    cut_off_if(offline)
    from harness.store.runs import Results
    from harness.suites.spec import Suite

    suite, store = Suite.load(targets[0], settings), Results(results)
    labels = chosen_labels(suite, only)
    check_suite_offline(offline, suite)
    report = _score_suite(suite, labels, store, fresh=fresh, device=device, called=targets[0])
    if as_json:
        console.emit({"runs": report})
    elif report:
        from harness.cli.board import show
        from harness.leaderboard.collect import boards

        for board in boards(store, [suite.name], settings):
            show(board)
    return DONE if report else USER_ERROR


def _holds_outputs(target: str) -> bool:
    """Whether what is to be scored is a file of outputs, by its ending; what is no suite's file is tried as one."""
    _, path = split_label(target)
    return path.suffix in {".json", ".jsonl", ".csv", ".tsv", ".txt", ".gz"} or (
        path.suffix not in ("", ".toml") and path.is_file()
    )


def _score_suite(
    suite: Suite, labels: Sequence[str], store: Results, *, fresh: bool, device: str, called: str
) -> list[dict[str, Any]]:
    """Score a suite's complete runs; what `--json` says of each. `called` is how the user named the suite."""
    from harness.decode.experiment import Experiment

    experiment = Experiment(suite)
    evaluator = experiment.evaluator(device)
    folders = {label: store.run(experiment.plan(label).spec) for label in labels}
    evaluator.expect(list(folders.values()), fresh=fresh)
    report = []
    for label, folder in folders.items():
        name = f"{suite.name}/{label}"
        if not folder.complete:
            command = f"seetell run {shlex.quote(called)}{as_flags(suite.settings)}"
            console.say(f"{name}: not decoded to the end yet; `{command}` does it")
            continue
        with console.progress_bar(f"{name}: scoring") as progress:
            scores = evaluator.score(folder, fresh=fresh, progress=progress)
        _say_cautions(name, scores)
        report.append({"suite": suite.name, "decoder": label, "scores": [score.to_json() for score in scores]})
    return report


def sweep(
    suite: str,
    /,
    *,
    only: Several = (),
    metric: str | None = None,
    settings: Settings = (),
    batch_size: BatchSize = None,
    device: Device = "auto",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Try the settings of a suite's [sweep] on its dev split: a ranked table, a picture, and the TOML to paste.

    Every combination is an ordinary run that can be stopped and resumed. None of them enters a leaderboard, and a dev split
    that shares an example with the test data is refused.

    For example: `seetell sweep toybox-plain --only magic`.

    Args:
        suite: A packaged suite or the path of a TOML file, with a [sweep].
        only: Decoders of the grid, by their label; all of them by default.
        metric: The number that ranks, such as cider or bleu-4; that of the [sweep] by default.
    """
    check_positive({"--batch-size": batch_size})
    from harness.compare.sweep import sweep as run_sweep
    from harness.compare.sweep_picture import to_svg
    from harness.store.runs import Results, write_bytes
    from harness.suites.spec import Suite

    loaded = Suite.load(suite, settings)
    store = Results(results)
    tried = run_sweep(
        loaded, store, only=only, metric=metric, batch_size=batch_size, device=device, say=console.say,
        progress_bar=console.progress_bar,
    )  # fmt: skip
    pictures = {}
    for label in dict.fromkeys(result.label for result in tried):
        of_label = [result for result in tried if result.label == label]
        picture = store.sweep_picture(loaded.name, label, of_label[0].score.output)
        write_bytes(picture, to_svg(of_label).encode("utf-8", "replace"))
        pictures[label] = str(picture)
        if not as_json:
            _show_sweep(loaded, of_label)
            console.say(f"The picture: {picture.resolve()}")
    if as_json:
        console.emit({"suite": loaded.name, "results": [result.to_json() for result in tried], "pictures": pictures})
    return SOME_FAILED if any(result.failed for result in tried) else DONE


def _show_sweep(suite: Suite, tried: Sequence[Result]) -> None:
    """The results of one decoder, best first."""
    from harness.compare.paired import SIGNIFICANCE
    from harness.compare.sweep import to_paste

    best = tried[0]
    keys = list(best.values)
    scale, digits = (100, 2) if best.score.percent else (1, 4)
    rows = []
    for rank, result in enumerate(tried, start=1):
        low, high = result.score.low, result.score.high
        unknown = math.isnan(low) or math.isnan(high)
        interval = "–" if unknown else f"[{low * scale:.{digits}f}, {high * scale:.{digits}f}]"
        untested = result is best or math.isnan(result.p)
        p = "best" if result is best else "–" if untested else f"{result.p:.4f}"
        verdict = "" if untested else "worse" if result.apart else "cannot be told apart"
        values = [str(result.values[key]) for key in keys]
        number = f"{result.score.value * scale:.{digits}f}"
        rows.append((str(rank), *values, number, interval, p, verdict, str(result.failed or "")))
    header = ("#", *keys, best.score.output, "95 % interval", "p (Holm)", "from the best", "failed")
    title = f"{suite.name}/{best.label} on the dev data, {best.score.n} texts each"
    console.show_table(title, header, rows, right=[0, *range(1, len(keys) + 4)])
    tested = [result for result in tried[1:] if not math.isnan(result.p)]
    if tested:
        alike = sum(not result.apart for result in tested)
        console.out.print(
            f"p: paired permutation test against the best, Holm over {len(tried) - 1} tests; {alike} cannot be told apart "
            f"from it at {SIGNIFICANCE}."
        )
    console.out.print(
        f"The best of {len(tried)} looks better here than it is: run it on the test data to see what it is worth. "
        "To take it, paste:\n"
    )
    console.write(to_paste(best))
