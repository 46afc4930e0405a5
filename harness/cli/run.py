"""`run`, `score` and `leaderboard` of a suite."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.engines import Engine, working
from harness.cli.exits import DONE, SOME_FAILED, USER_ERROR
from harness.cli.flags import (
    check_positive,
    check_suite_offline,
    chosen_labels,
    cut_off_if,
    deliver,
)
from harness.errors import SuiteError
from harness.store.runs import Results
from harness.suites.settings import as_flags
from harness.suites.spec import Suite

if TYPE_CHECKING:  # what they import would make `seetell list` slow
    from harness.decode.executor import Executor
    from harness.decode.plan import Plan
    from harness.metrics.evaluate import Evaluator
    from harness.metrics.score import Score


def run(
    name: str,
    only: Sequence[str],
    limit: int | None,
    batch_size: int | None,
    device: str,
    engine: Engine,
    with_scores: bool,
    settings: Sequence[str],
    offline: bool,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell run`."""
    check_positive({"--limit": limit, "--batch-size": batch_size})
    engine.check()
    cut_off_if(offline)
    from decoders.models.load import pick_device
    from harness.datasets.load import Digests, load_examples
    from harness.decode.plan import plan

    suite = Suite.load(name, settings)
    chosen = chosen_labels(suite, only)
    check_suite_offline(offline, suite)
    with console.progress_bar(f"reading {suite.name}") as progress:
        examples = load_examples(suite, progress=progress)
        digests = Digests(suite, examples)
        plans = [plan(suite, label, examples, digests=digests) for label in chosen]  # all, before any hour is spent
    with working(engine) as (executor, elsewhere):
        evaluator = None
        if with_scores:
            from harness.metrics.evaluate import Evaluator

            evaluator = Evaluator(suite, examples, digests, pick_device(device), make_rows=elsewhere)
        report = [
            _run_one(each, suite, Results(results), executor, evaluator, batch_size, limit, device) for each in plans
        ]
    if as_json:
        console.emit({"runs": report})
    else:
        _next_step(suite, report)
    return SOME_FAILED if any(entry["failed"] for entry in report) else DONE


def _run_one(
    planned: Plan,
    suite: Suite,
    store: Results,
    executor: Executor,
    evaluator: Evaluator | None,
    batch_size: int | None,
    limit: int | None,
    device: str,
) -> dict[str, Any]:
    """Decode and score one decoder of a suite; what `--json` says of it."""
    from harness.decode.run import decode

    name = f"{suite.name}/{planned.spec.label}"
    with console.progress_bar(f"{name}: decoding") as progress:
        outcome = decode(
            planned,
            suite,
            store,
            executor=executor,
            batch_size=batch_size,
            limit=limit,
            device=device,
            progress=progress,
        )
    console.say(f"{name}: {outcome.sentence()}" + ("" if outcome.fresh else " (already on disk)"))
    entry: dict[str, Any] = {
        "suite": suite.name,
        "decoder": planned.spec.label,
        "settings": list(suite.settings_of(planned.spec.label)),
        "identity": outcome.identity,
        "folder": str(outcome.folder.path),
        "total": outcome.total,
        "decoded": outcome.decoded,
        "failed": len(outcome.failures),
        "complete": outcome.complete,
    }
    if evaluator is not None and outcome.complete:
        with console.progress_bar(f"{name}: scoring") as progress:
            scores = evaluator.score(outcome.folder, progress=progress)
        entry["scores"] = [each.to_json() for each in scores]
        _say_cautions(name, scores)
    return entry


def score(
    names: Sequence[str],
    only: Sequence[str],
    fresh: bool,
    device: str,
    settings: Sequence[str],
    offline: bool,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell score`."""
    cut_off_if(offline)
    from decoders.models.load import pick_device
    from harness.datasets.load import Digests, load_examples
    from harness.decode.plan import plan
    from harness.metrics.evaluate import Evaluator

    if len(names) > 1:
        raise SuiteError(
            f"{', '.join(names)}: expected one suite, or files of outputs ending in .json, .jsonl, .csv or .gz"
        )
    name = names[0]
    suite = Suite.load(name, settings)
    chosen = chosen_labels(suite, only)
    check_suite_offline(offline, suite)
    examples = load_examples(suite)
    digests = Digests(suite, examples)
    evaluator = Evaluator(suite, examples, digests, pick_device(device))
    store = Results(results)
    report = []
    folders = {label: store.run(plan(suite, label, examples, digests=digests).spec) for label in chosen}
    evaluator.expect(list(folders.values()), fresh=fresh)
    for label, folder in folders.items():
        if not folder.complete:
            again = f"seetell run {shlex.quote(name)}{as_flags(suite.settings)}"
            console.say(f"{suite.name}/{label}: not decoded to the end yet; `{again}` does it")
            continue
        with console.progress_bar(f"{suite.name}/{label}: scoring") as progress:
            scores = evaluator.score(folder, fresh=fresh, progress=progress)
        _say_cautions(f"{suite.name}/{label}", scores)
        report.append({"suite": suite.name, "decoder": label, "scores": [each.to_json() for each in scores]})
    if as_json:
        console.emit({"runs": report})
    elif report:
        leaderboard([suite.name], "table", None, settings, results)
    return DONE if report else USER_ERROR


def leaderboard(
    suites: Sequence[str], format: str | None, out: Path | None, settings: Sequence[str], results: Path
) -> int:
    """`seetell leaderboard`, of one document or a table."""
    from harness.cli.board import show
    from harness.leaderboard import FORMATS, render
    from harness.leaderboard.collect import boards

    found = boards(Results(results), suites, settings)
    if out is not None and format in (None, "table"):
        format = out.suffix.lstrip(".").lower()
        if format not in FORMATS:
            raise SuiteError(f"--out {out} does not tell the format by its name; expected one of: {', '.join(FORMATS)}")
    if format in (None, "table"):
        for board in found:
            show(board)
        return DONE
    deliver(render(found, format), out)
    return DONE


def matrix(
    suites: Sequence[str], metrics: Sequence[str], out: Path | None, settings: Sequence[str], results: Path
) -> int:
    """`seetell leaderboard --matrix`."""
    from harness.leaderboard.collect import boards
    from harness.leaderboard.matrix import to_matrix

    deliver(to_matrix(boards(Results(results), suites, settings), metrics), out)
    return DONE


def _say_cautions(run: str, scores: Sequence[Score]) -> None:
    for caution in dict.fromkeys(each.caution for each in scores if each.caution):
        console.say(f"{run}: {caution}")


def _next_step(suite: Suite, report: Sequence[Mapping[str, Any]]) -> None:
    if any("scores" in entry for entry in report):
        console.say(f"Ranked by `seetell leaderboard {suite.name}{as_flags(suite.settings)}`")
