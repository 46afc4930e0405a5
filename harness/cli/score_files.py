"""`seetell score FILE...`: other people's outputs through the same metrics, intervals and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decoders.base import Need
from harness.cli import console
from harness.cli.flags import DONE, SOME_FAILED, OutputFlags, check_models_offline, check_suite_offline, split_label
from harness.datasets.digests import resolve_model
from harness.decode.imported.keep import Imported, score_imported, store_outputs
from harness.decode.imported.naming import label_of, with_names
from harness.decode.imported.read import Outputs, common_subset, differing_sets, read_outputs
from harness.errors import SuiteError, did_you_mean
from harness.metrics import registry
from harness.metrics.score import Score
from harness.store.runs import Results
from harness.suites.sections import checked
from harness.suites.spec import MetricRef

CAPTION_METRICS = ("cider", "bleu", "meteor", "rouge-l")
STORY_METRICS = ("repetition",)
IMAGE_METRICS = ("clipscore", "refclipscore")
"""Beside them where an image-text model is named."""


def score_files(
    targets: Sequence[str],
    flags: OutputFlags,
    settings: Sequence[str],
    *,
    fresh: bool,
    device: str,
    offline: bool,
    results: Path,
    as_json: bool,
) -> int:
    """Read, store and score files; exit code 2 if a metric was not available, or not every output has a score."""
    names = _known(flags.metrics)
    files = [split_label(target) for target in targets]
    if flags.name is not None and len(files) > 1:
        raise SuiteError("--name names one file; name several as LABEL=FILE")
    labels, paths = [flags.name or label for label, _ in files], [path for _, path in files]
    if flags.suite is not None:
        return _score_for_suite(
            paths, labels, flags, settings, fresh=fresh, device=device, offline=offline, results=results, as_json=as_json
        )
    needed = not names or any(registry().load(name).needs_references for name in names)
    systems = [
        read_outputs(path, flags.references, need_references=needed, text=flags.text, id_field=flags.id_field) for path in paths
    ]
    _say_formats(paths, systems)
    systems = with_names(_same_examples(systems, flags.common), paths, labels)
    chosen = _metrics(names, settings, systems, flags.image_text)
    _check_sight(chosen, flags.images, flags.image_text)
    model = flags.image_text and resolve_model(flags.image_text, Path())
    check_models_offline(offline, "the metrics", [*_models(chosen), *([model] if model else [])])
    if flags.images:
        systems = _with_images(systems, flags.images)
    imported = store_outputs(systems, Results(results), chosen, model)
    _say_names(paths, systems, imported)
    if any(registry().load(name).needs for name in chosen):
        from decoders.models.devices import pick_device

        device = pick_device(device)  # loads torch, which counting words does without
    with console.progress_bar("scoring") as progress:
        scores = score_imported(imported, fresh=fresh, device=device, progress=progress)
    _say_what_is_wrong(scores)
    if as_json:
        console.emit({name: {score.output: _figures(score) for score in of_system} for name, of_system in scores.items()})
    else:
        console.say("also on the leaderboard: " + ", ".join(sorted({system.suite.name for system in imported})))
        outputs = list(dict.fromkeys(score.output for of_system in scores.values() for score in of_system))
        rows = [[name, *(_shown(of_system, output) for output in outputs)] for name, of_system in scores.items()]
        console.show_table("", ["system", *outputs], rows, left=(0,))
    return _exit_code(systems, scores)


def _score_for_suite(
    paths: Sequence[Path],
    labels: Sequence[str],
    flags: OutputFlags,
    settings: Sequence[str],
    *,
    fresh: bool,
    device: str,
    offline: bool,
    results: Path,
    as_json: bool,
) -> int:
    """Score files as answers to a suite's examples, and show the suite's table."""
    from harness.cli.board import show
    from harness.decode.experiment import Experiment
    from harness.decode.imported.keep import store_in_suite
    from harness.decode.imported.read import read_for_suite
    from harness.leaderboard.collect import boards
    from harness.suites.spec import Suite

    given = {
        "--metrics": flags.metrics,
        "--references": flags.references,
        "--images": flags.images,
        "--image-text": flags.image_text,
        "--common": flags.common,
    }
    for flag, value in given.items():
        if value:
            raise SuiteError(f"{flag} and --suite: the suite has these in its TOML; give one of the two flags")
    suite, store = Suite.load(str(flags.suite), settings), Results(results)
    check_suite_offline(offline, suite)
    experiment = Experiment(suite)
    systems = [read_for_suite(path, experiment.examples, text=flags.text, id_field=flags.id_field) for path in paths]
    _say_formats(paths, systems)
    imported: list[Imported] = []
    for system in with_names(systems, paths, labels):
        taken = [before.name for before in imported]
        imported.append(store_in_suite(system, experiment, store, taken=taken))
    _say_names(paths, systems, imported)
    with console.progress_bar("scoring") as progress:
        scores = score_imported(imported, fresh=fresh, device=device, progress=progress)
    _say_what_is_wrong(scores)
    if as_json:
        console.emit({name: {score.output: _figures(score) for score in of_system} for name, of_system in scores.items()})
    else:
        for board in boards(store, [suite.name], settings):
            show(board)
    return _exit_code(systems, scores)


def _exit_code(systems: Sequence[Outputs], scores: Mapping[str, Sequence[Score]]) -> int:
    """2 where an output or a metric is missing: whoever reads only the numbers must not take a part for the whole."""
    failed = any(sample.failure for system in systems for sample in system.samples)
    missing = any(score.unavailable or score.unscored for of_system in scores.values() for score in of_system)
    return SOME_FAILED if failed or missing else DONE


def _say_names(paths: Sequence[Path], systems: Sequence[Outputs], imported: Sequence[Imported]) -> None:
    """Say which file is which row where the name of the file does not."""
    for path, system, run in zip(paths, systems, imported, strict=True):
        if run.name != label_of(system.name):
            console.say(f"{path}: called {run.name} in tables")


def _say_formats(paths: Sequence[Path], systems: Sequence[Outputs]) -> None:
    for path, system in zip(paths, systems, strict=True):
        console.say(f"{path}: taken for {system.format}, {len(system.examples)} examples")
        for note in system.notes:
            console.say(f"{path}: {note}")


def _say_what_is_wrong(scores: Mapping[str, Sequence[Score]]) -> None:
    """Cautions by system, and metrics that are unavailable by reason."""
    reasons: dict[str, dict[str, None]] = {}
    for name, of_system in scores.items():
        for caution in dict.fromkeys(score.caution for score in of_system if score.caution):
            console.say(f"{name}: {caution}")
        for score in of_system:
            if score.unavailable:
                reasons.setdefault(score.unavailable, {})[score.output] = None
    for reason, outputs in reasons.items():
        console.say(f"{', '.join(outputs)} unavailable: {reason}")


def _with_images(systems: list[Outputs], images: Sequence[Path]) -> list[Outputs]:
    from harness.decode.imported.image_lookup import with_images

    seen = with_images(systems, images)
    for before, after in zip(systems, seen, strict=True):
        for note in after.notes[len(before.notes) :]:
            console.say(f"{after.name}: {note}")
    return seen


def _same_examples(systems: list[Outputs], common: bool) -> list[Outputs]:
    """Say who lacks which examples; with `--common`, keep what all have."""
    if common:
        return common_subset(systems)
    lacking = differing_sets(systems)
    for sentence in lacking:
        console.say(sentence)
    if lacking:
        console.say("scores on different examples do not compare and go into different tables; --common scores what all answered")
    return systems


def _known(wanted: Sequence[str]) -> list[str]:
    """What --metrics names, each a metric."""
    known = registry().entries
    for name in wanted:
        if name not in known:
            raise SuiteError(f"--metrics {name}: there is no such metric{did_you_mean(name, known)}")
    return list(wanted)


def _metrics(
    names: Sequence[str], settings: Sequence[str], systems: Sequence[Outputs], image_text: str | None
) -> dict[str, MetricRef]:
    if not names:
        stories = all(system.format.startswith("stories") for system in systems)
        names = (*(STORY_METRICS if stories else CAPTION_METRICS), *(IMAGE_METRICS if image_text else ()))
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
    return {name: MetricRef.model_validate(_checked(name, given)) for name, given in options.items()}


def _models(chosen: Mapping[str, MetricRef]) -> list[str]:
    """The models that metrics bring along."""
    configs = [checked(registry().load(name).Config, ref.options, f"[metrics.{name}]") for name, ref in chosen.items()]
    return [model for config in configs for model in config.own_models().values()]


def _checked(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options that the metric takes; relative paths, those of models too, start where the command was given."""
    config = checked(registry().load(name).Config, options, f"[metrics.{name}]")
    models = set(config.own_models().values())
    given = [(key, value) for key, value in config if key in options]
    paths = {key: str(value.absolute()) for key, value in given if isinstance(value, Path)}
    return options | paths | {key: resolve_model(value, Path()) for key, value in given if value and value in models}


def _check_sight(chosen: Mapping[str, MetricRef], images: Sequence[Path], image_text: str | None) -> None:
    """Refuse metrics that look at images where there are none to look at, and a model that nobody asks for."""
    looking = [name for name in chosen if registry().load(name).needs & {Need.IMAGE, Need.CLIP}]
    if image_text and not looking:
        raise SuiteError(
            f"--image-text is for metrics that look at images, and {', '.join(chosen)} do not; --metrics clipscore is one"
        )
    for name in looking:
        plugin = registry().load(name)
        own = checked(plugin.Config, chosen[name].options, f"[metrics.{name}]").own_models()
        if Need.IMAGE in plugin.needs and not images:
            raise SuiteError(f"{name} looks at the images; name the folder, zip or tar that holds them with --images")
        if Need.CLIP in plugin.needs - set(own) and not image_text:
            raise SuiteError(
                f"{name} needs an image-text model; name one with --image-text, such as "
                "open_clip:ViT-B-32-quickgelu@openai or local-dir:FOLDER"
            )


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
    score = next((score for score in scores if score.output == output), None)
    if score is None or score.unavailable:
        return "–"
    counted = f" ({score.n} of {score.n + score.unscored})" if score.unscored else ""
    return f"{(100 if score.percent else 1) * score.value:.1f}{counted}"
