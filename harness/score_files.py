"""`seetell score FILE...`: other people's outputs through the same metrics, intervals and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import console
from harness.errors import SuiteError
from harness.exits import DONE, SOME_FAILED
from harness.imported import score_imported, store_outputs
from harness.outputs import Outputs, common_subset, differing_sets, read_outputs
from harness.registry import did_you_mean, metrics
from harness.score import Score
from harness.spec import MetricRef, checked
from harness.store import Results

CAPTION_METRICS = ("cider", "bleu", "meteor", "rouge-l")
STORY_METRICS = ("repetition",)


def score_files(
    paths: Sequence[str],
    wanted: Sequence[str],
    settings: Sequence[str],
    references: Path | None,
    common: bool,
    fresh: bool,
    device: str,
    results: Path,
    as_json: bool,
) -> int:
    """Read, store and score files; exit code 2 if a metric was not to be had."""
    names = _named(wanted)
    needed = not names or any(metrics().load(name).needs_references for name in names)
    systems = [read_outputs(Path(path), references, need_references=needed) for path in paths]
    for path, system in zip(paths, systems, strict=True):
        console.say(f"{path}: taken for {system.format}, {len(system.examples)} examples")
        for note in system.notes:
            console.say(f"{path}: {note}")
    systems = _same_examples(systems, common)
    chosen = _metrics(names, settings, systems)
    imported = store_outputs(systems, Results(results), chosen)
    if any(metrics().load(name).needs for name in chosen):
        from harness.executor import pick_device

        device = pick_device(device)  # loads torch, which counting words does without
    with console.progress_bar("scoring") as progress:
        scores = score_imported(imported, fresh=fresh, device=device, progress=progress)
    for name, each in scores.items():
        for caution in dict.fromkeys(score.caution for score in each if score.caution):
            console.say(f"{name}: {caution}")
    reasons: dict[str, dict[str, None]] = {}
    for score in (score for each in scores.values() for score in each if score.unavailable):
        reasons.setdefault(score.unavailable, {})[score.output] = None
    for reason, lost in reasons.items():
        console.say(f"{', '.join(lost)} unavailable: {reason}")
    if as_json:
        console.emit({name: {score.output: _figures(score) for score in each} for name, each in scores.items()})
    else:
        console.say("also on the leaderboard: " + ", ".join(sorted({each.suite.name for each in imported})))
        outputs = list(dict.fromkeys(score.output for each in scores.values() for score in each))
        lines = [[name, *(_shown(each, output) for output in outputs)] for name, each in scores.items()]
        console.show_table("", ["system", *outputs], lines, right=range(1, len(outputs) + 1))
    failed = any(sample.failure for system in systems for sample in system.samples)
    return SOME_FAILED if failed or any(score.unavailable for each in scores.values() for score in each) else DONE


def _same_examples(systems: list[Outputs], common: bool) -> list[Outputs]:
    """Say who lacks which examples; with `--common`, keep what all have."""
    if common:
        return common_subset(systems)
    lacking = differing_sets(systems)
    for sentence in lacking:
        console.say(sentence)
    if lacking:
        console.say(
            "scores on different examples do not compare and go into different tables; --common scores what all answered"
        )
    return systems


def _named(wanted: Sequence[str]) -> list[str]:
    """What --metrics names, each a metric."""
    known = metrics().entries
    for name in wanted:
        if name not in known:
            raise SuiteError(f"--metrics {name}: there is no such metric{did_you_mean(name, known)}")
    return list(wanted)


def _metrics(names: Sequence[str], settings: Sequence[str], systems: Sequence[Outputs]) -> dict[str, MetricRef]:
    if not names:
        stories = all(system.format.startswith("stories") for system in systems)
        names = STORY_METRICS if stories else CAPTION_METRICS
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for setting in settings:
        place, equals, value = setting.partition("=")
        name, dot, option = place.partition(".")
        if not (equals and dot and option) or option == "metric":
            raise SuiteError(f"--set {setting}: expected METRIC.OPTION=VALUE, as in repetition.impl=simctg")
        if name not in options:
            raise SuiteError(
                f"--set {setting}: {name!r} is not among the metrics{did_you_mean(name, options)}; --metrics adds it"
            )
        options[name][option] = _value(value)
    return {name: MetricRef.model_validate(_checked(name, each)) for name, each in options.items()}


def _checked(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options that the metric takes; relative paths start where the command was given."""
    config = checked(metrics().load(name).Config, options, f"[metrics.{name}]")
    return options | {key: str(value.absolute()) for key, value in config if key in options and isinstance(value, Path)}


def _value(text: str) -> Any:
    """A number, true or false, a list, as in JSON; anything else is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _figures(score: Score) -> dict[str, Any]:
    """Value, interval, number of samples and signature; more only where something is wrong."""
    fields = score.to_json()
    kept = {key: fields[key] for key in ("value", "low", "high", "n", "signature")}
    return kept | {key: fields[key] for key in ("unscored", "unavailable") if fields[key]}


def _shown(scores: Sequence[Score], output: str) -> str:
    found = next((score for score in scores if score.output == output), None)
    if found is None or found.unavailable:
        return "–"
    scale = 100 if found.percent else 1
    return f"{scale * found.value:.1f}"
