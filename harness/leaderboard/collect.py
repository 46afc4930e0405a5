"""From stored runs to boards: the one place where a leaderboard meets the store."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decoders.base import Need
from harness.compare.corrections import Correction
from harness.compare.groups import Letters, enough_permutations, suite_groups
from harness.compare.paired import SIGNIFICANCE
from harness.compare.same_examples import on_same_examples, unreadable_images
from harness.compare.scored import ScoredRun, StoredRun
from harness.datasets.load import load_examples
from harness.decode.imported.keep import IMPORTED
from harness.decode.plan import CONSTANT
from harness.errors import SeeTellError, StoreError, SuiteError, did_you_mean
from harness.leaderboard.frame import Answer, Board, Cell, ExampleView, Grouping, Kind, Row
from harness.leaderboard.published import with_published
from harness.leaderboard.reproduce import command
from harness.leaderboard.side_columns import SPEED_COLUMNS, headline_speed, human_studies, speed_cells, with_human
from harness.leaderboard.tables import Table, abandoned, removal, shown_path, tables, told_apart
from harness.metrics import registry as metrics_registry
from harness.metrics.score import Score
from harness.store.numbers import Column
from harness.store.published import read_published
from harness.store.runs import Record, Results, RunFolder
from harness.store.speed import Speed, read_speed
from harness.suites import registry
from harness.suites.examples import Example
from harness.suites.provenance import seetell_version
from harness.suites.settings import as_flags, canonical, parse_settings, settings_of
from harness.suites.spec import RunSpec, Suite

CORRECTION: Correction = "holm"
"""Of the tests behind the letters: a letter that is not shared then claims a difference, in a whole column, at the level."""

SEED = 0
"""Of the permutations behind the letters."""

SHOWN_EXAMPLES = 60
"""How many examples a page shows with their pictures."""

THUMBNAIL = 256
"""Longest side of a picture, in pixels."""

SUMS_UP = {"grounding-precision": "grounding-f1"}
"""Where the first column is a part of what another sums up, the other orders the table: precision alone favours who says
little."""

MODELS = {"language_model": "language model", "image_text": "image-text model"}

LABELS = {
    "cider": "CIDEr",
    "meteor": "METEOR",
    "rouge-l": "ROUGE-L",
    "clipscore": "CLIPScore",
    "clip-cosine": "CLIP cosine",
    "grounding-precision": "Grounding P",
    "grounding-recall": "Grounding R",
    "grounding-f1": "Grounding F1",
    "diversity": "Diversity",
    "refclipscore": "RefCLIPScore",
    "spice": "SPICE",
    "mauve": "MAUVE",
    "mauve-sd": "MAUVE sd",
    "coherence": "Coherence",
    "coherence-lm": "Coherence LM",
    "perplexity": "Perplexity",
    "chair-i": "CHAIR-i",
    "chair-s": "CHAIR-s",
    "image-r@1": "Image R@1",
    "image-r@5": "Image R@5",
    "image-mrr": "Image MRR",
} | {f"bleu-{n}": f"BLEU-{n}" for n in range(1, 5)}
"""How the field writes a metric's name; others are shown under their own."""


@dataclass(frozen=True, slots=True)
class RunMaterial:
    """One run with all that a page about it says."""

    row: Row
    folder: RunFolder
    content: Mapping[str, Any]
    """What run.json says."""
    scores: tuple[Score, ...]
    records: tuple[Record, ...]
    """Its answer to each example."""
    scored: ScoredRun | None = None
    """With the rows of its metrics; None where it is incomplete, not scored, or its scores belong to other texts."""


@dataclass(frozen=True, slots=True)
class Material:
    """A board with what it is made of."""

    board: Board
    runs: tuple[RunMaterial, ...] = ()
    """In the order of `board.rows`; none for a suite of which there are published numbers only."""
    examples: tuple[Example, ...] = ()
    """None where the suite's data is no longer where it was."""
    speeds: tuple[Speed, ...] = ()


class NoneAsked(StoreError):
    """A suite has runs, but none that was made with the settings asked for."""


def boards(results: Results, suites: Sequence[str] = (), settings: Sequence[str] = ()) -> list[Board]:
    """One board a suite that has runs, with what was published about it.

    Args:
        results: where the runs and the published numbers are.
        suites: which suites, in this order; all by default, by name, and after them what was published about others.
        settings: what `--set` changed; runs that it bears on are shown as changed by it, the others as the suite has them.

    Raises:
        StoreError: there is nothing, or nothing of a suite that was asked for, or not with these settings; or published numbers
            are not valid. Of suites that were not asked for by name, the last board says which have no such runs.
        SuiteError: settings that a suite does not have, where it was asked for by name or no other has them.
    """
    return [material.board for material in materials(results, suites, settings)]


def materials(
    results: Results, suites: Sequence[str] = (), settings: Sequence[str] = (), *, shown: int = SHOWN_EXAMPLES
) -> list[Material]:
    """The same boards with their runs and examples.

    Args:
        results: as for `boards`.
        suites: as for `boards`.
        settings: as for `boards`.
        shown: how many examples a board holds with pictures.

    Raises:
        StoreError: as for `boards`; or a file of speeds is not valid.
    """
    by_suite: dict[str, list[RunFolder]] = {}
    for folder in results.runs():
        by_suite.setdefault(folder.path.parent.name, []).append(folder)
    published = read_published(results)
    known = {table.suite for document in published for table in document.tables}
    if not by_suite and not known.intersection(suites):
        raise StoreError(f"there are no runs under {results.root}; make some with `seetell run toybox-plain`")
    for suite in suites:
        if suite not in by_suite and suite not in known:
            raise StoreError(
                f"there are no runs of suite {suite!r} under {results.root}{did_you_mean(suite, [*by_suite, *known])}"
            )
    studies = human_studies(results)
    chosen = [suite for suite in suites or sorted(by_suite) if suite in by_suite]
    measured: list[Material] = []
    without: list[SeeTellError] = []
    for suite in chosen:
        try:
            measured += suite_materials(by_suite[suite], read_speed(results, suite), settings, shown=shown)
        except (NoneAsked, SuiteError) as error:  # a setting may be another suite's
            if suites:
                raise
            without.append(error)
    if without and not measured:
        raise without[0]
    if without:
        measured[-1] = _with_left_out(measured[-1], *(f"{error}." for error in without))
    boards_shown = with_published([with_human(material.board, studies) for material in measured], published)
    whole = [_on_board(material, board) for material, board in zip(measured, boards_shown, strict=False)]
    whole += [Material(board) for board in boards_shown[len(measured) :]]
    if not suites:
        return whole
    wanted = [material for material in whole if material.board.suite in suites]
    return sorted(wanted, key=lambda material: suites.index(material.board.suite))


def _on_board(material: Material, board: Board) -> Material:
    """The material with another board of the same runs, whose rows may say more."""
    rows = zip(board.rows, material.runs, strict=True)
    return replace(material, board=board, runs=tuple(replace(run, row=row) for row, run in rows))


def suite_materials(
    folders: Sequence[RunFolder], speeds: Sequence[Speed], settings: Sequence[str], *, shown: int
) -> list[Material]:
    """The main table of a suite, and after it the tables of runs that cannot be ranked with those.

    Args:
        folders: the runs of the suite.
        speeds: of the suite.
        settings: show the runs that were made with these, as for `boards`.
        shown: how many examples the main board holds with pictures.

    Raises:
        StoreError: no run can be read.
    """
    runs, unreadable = _read(folders)
    runs, left_out = _with_settings(runs, settings)
    suite = max(runs, key=lambda run: run.content["created"]).suite
    examples = _examples(suite)
    stopped = abandoned(runs)
    left_behind = {run.folder for run in stopped}
    main, *apart = tables([run for run in runs if run.folder not in left_behind], suite, examples)
    sentences = [left_out, *unreadable]
    if stopped:
        names = ", ".join(f"{run.folder.path.name} ({len(run.records)} of {run.content['answers']})" for run in stopped)
        sentences.append(
            f"Incomplete, and followed by a newer run of the same label, hence not shown: {names}; {removal(stopped)}."
        )
    for table in apart:
        count = len(table.runs)
        runs_stand = "1 run stands" if count == 1 else f"{count} runs stand"
        sentences.append(f"{runs_stand} apart ({table.apart}): {table.remedy}.")
    materials = [_material(main, examples, speeds, shown=shown, with_settings=bool(settings))]
    materials[0] = _with_left_out(materials[0], *sentences)
    return materials + [_material(table, examples, speeds, shown=0, with_settings=bool(settings)) for table in apart]


def material_of(folders: Sequence[RunFolder], *, letters: bool = True) -> Material:
    """What there is about runs of one suite, all in one table.

    Args:
        folders: the runs.
        letters: rank and test them; else every number is as it was scored, and failures count for nothing.

    Raises:
        StoreError: a run cannot be read.
    """
    runs = [StoredRun.read(folder) for folder in folders]
    examples = _examples(max(runs, key=lambda run: run.content["created"]).suite)
    return _material(Table(tuple(runs)), examples, letters=letters)


def _read(folders: Sequence[RunFolder]) -> tuple[list[StoredRun], list[str]]:
    """The runs that can be read, and a sentence about each other one."""
    runs, sentences, errors = [], [], []
    for folder in folders:
        try:
            runs.append(StoredRun.read(folder))
        except SeeTellError as error:
            errors.append(error)
            sentences.append(f"{shown_path(folder.path)} is not shown: {error}.")
    if errors and not runs:
        raise errors[0]
    return runs, sentences


def _material(
    table: Table,
    examples: Sequence[Example],
    speeds: Sequence[Speed] = (),
    *,
    shown: int = 0,
    with_settings: bool = False,
    letters: bool = True,
) -> Material:
    """A table with what it is made of.

    Args:
        table: its runs.
        examples: of the suite; none if its data cannot be read.
        speeds: of the suite.
        shown: how many examples the board holds with pictures.
        with_settings: whether the title says what `--set` changed.
        letters: rank and test, with failures as the worst value; this takes a second or two for ten runs of a hundred examples.
    """
    runs = table.runs
    suite = max(runs, key=lambda run: run.content["created"]).suite
    scored, refused = _scored_runs(runs)
    records = (record for run in runs for record in run.records)
    unreadable = unreadable_images(records, examples) if letters else []
    compared = on_same_examples(scored, unreadable if examples else None) if letters else scored
    groups, grouping = _letters(compared) if letters else ({}, None)
    twice = told_apart(runs)
    rows = [
        _row(run, _cells(run, compared, refused, groups), headline_speed(speeds, run.content["identity"]), twice) for run in runs
    ]
    environment = runs[0].content["environment"]
    torch = environment.get("packages", {}).get("torch")
    ids = {record.example_id for run in runs for record in run.records}
    scores = [run.scores for run in runs]
    columns = (*_columns(scores), *_speed_columns(rows))
    title = suite.title + (f", with{as_flags(suite.settings)}" if with_settings else "")
    dtype = runs[0].spec.dtype if len({run.spec.dtype for run in runs}) == 1 else "float32"
    if table.apart:
        title = f"{title or suite.name}: apart, {table.apart}"
    elif dtype != "float32":
        title = f"{title or suite.name}, in {dtype}"
    models = {MODELS[part]: name for part, name in suite.models.model_dump().items() if name}
    board = Board(
        suite=suite.name,
        task=suite.task,
        columns=columns,
        rows=tuple(rows),
        examples=_views(examples[:shown], [(row, run.records) for row, run in zip(rows, runs, strict=True)]),
        description=title,
        headline=next((SUMS_UP.get(column.name, "") for column in columns if column.higher_is_better is not None), ""),
        models=models | ({} if dtype == "float32" else {"arithmetic": dtype}),
        examples_total=len(ids) if table.apart else len(examples) or len(ids),
        created=max(run.content.get("finished", run.content["created"]) for run in runs),
        version=seetell_version(),
        environment=f"Python {environment.get('python')}, torch {torch}, {environment.get('platform')}",
        intervals=_intervals(scores),
        grouping=grouping,
        left_out=" ".join(_failure_rules(rows, columns, unreadable)) if letters else "",
        apart=table.apart,
    )
    material = tuple(
        RunMaterial(row, run.folder, run.content, run.scores, run.records, scored.get(run.folder.path.name))
        for row, run in zip(rows, runs, strict=True)
    )
    return Material(board, material, tuple(examples), tuple(speeds))


def _with_left_out(material: Material, *sentences: str) -> Material:
    """The material with more said about runs that are not in its table."""
    text = " ".join(filter(None, [*sentences, material.board.left_out]))
    return replace(material, board=replace(material.board, left_out=text))


def _scored_runs(runs: Sequence[StoredRun]) -> tuple[dict[str, ScoredRun], dict[str, str]]:
    """The runs with their rows, by folder name; and why the stored scores of others are not those of their texts."""
    scored: dict[str, ScoredRun] = {}
    refused: dict[str, str] = {}
    for run in runs:
        if run.complete and run.stored is not None:
            try:
                scored[run.folder.path.name] = run.scored()
            except SeeTellError as error:
                refused[run.folder.path.name] = str(error)
    return scored, refused


def _failure_rules(rows: Sequence[Row], columns: Sequence[Column], unreadable: Sequence[str]) -> list[str]:
    """How answers without a score count in this table: a sentence each, none where there are no such answers."""
    sentences = []
    if unreadable:
        names = ", ".join(unreadable[:5]) + (", ..." if len(unreadable) > 5 else "")
        sentences.append(f"Left out for every system, because their images cannot be read: {len(unreadable)} ({names}).")
    counts = {row.name: max((cell.failed for cell in row.cells.values() if not cell.not_ranked), default=0) for row in rows}
    counted = [f"{name} ({count})" for name, count in counts.items() if count]
    if counted:
        sentences.append(
            "A failed answer, and a text that a metric cannot score, counts as the worst value (0 where higher is better): "
            f"{', '.join(counted)}."
        )
    unranked = []
    for column in columns:
        cells = [(row.name, row.cells.get(column.name)) for row in rows]
        without_worst = [name for name, cell in cells if cell is not None and cell.not_ranked]
        if without_worst and column.higher_is_better is not None:
            unranked.append(f"{column.label} ({', '.join(without_worst)})")
    if unranked:
        sentences.append(f"Not ranked where such an answer has no worst value: {'; '.join(unranked)}.")
    return sentences


def _with_settings(runs: Sequence[StoredRun], settings: Sequence[str]) -> tuple[list[StoredRun], str]:
    """The runs that were made with the settings, or without any; and a sentence about the others."""
    newest = max(runs, key=lambda run: run.content["created"]).content["suite"]
    name = newest["name"]
    wanted = canonical(parse_settings(settings, newest, f"suite {name}")) if settings else ()
    chosen: list[StoredRun] = []
    other_settings: set[str] = set()
    for run in runs:
        settings_of_run = run.suite.settings_of(run.spec.label)
        if settings_of_run == settings_of(wanted, run.spec.label):
            chosen.append(run)
        else:
            other_settings.add(as_flags(settings_of_run))
    flags = sorted(other_settings)
    commands = ", ".join(f"`seetell leaderboard {name}{flag}`" for flag in flags[:3])
    if not chosen:
        raise NoneAsked(f"suite {name!r} has no runs{as_flags(wanted) and f' with{as_flags(wanted)}'}; try {commands}")
    if not other_settings:
        return chosen, ""
    count = len(runs) - len(chosen)
    remainder = ", ..." if len(flags) > 3 else ""
    return chosen, f"{count} runs were made with other settings and are not in this table: {commands}{remainder}."


def _letters(scored: Mapping[str, ScoredRun]) -> tuple[Mapping[str, Letters], Grouping | None]:
    """Significance groups, by output and folder name."""
    groups = suite_groups(scored, correction=CORRECTION, seed=SEED)
    if not any(letters for column in groups.values() for letters in column.values()):
        return {}, None
    permutations = enough_permutations(len(scored))
    return groups, Grouping("paired permutation test", permutations, CORRECTION.capitalize(), SIGNIFICANCE, SEED)


def _cells(
    run: StoredRun, compared: Mapping[str, ScoredRun], refused: Mapping[str, str], letters: Mapping[str, Letters]
) -> dict[str, Cell]:
    """The run's scores as they are in the table; a score that does not follow from the run's texts is no number."""
    name = run.folder.path.name
    if name not in compared:
        unavailable = refused.get(name, "")
        scores = run.scores if not unavailable else [without_value(score, unavailable) for score in run.scores]
        return {score.output: Cell.of(score) for score in scores}
    return {
        score.output: Cell.of(score, letters.get(score.output, {}).get(name, ""), metric.failed, metric.not_ranked)
        for metric in compared[name].metrics.values()
        for score in metric.scores
    }


def without_value(score: Score, reason: str) -> Score:
    """The score with a reason in the place of its value."""
    return replace(score, value=math.nan, low=math.nan, high=math.nan, unavailable=reason)


def _row(run: StoredRun, cells: Mapping[str, Cell], speed: Speed | None, twice: Collection[str]) -> Row:
    spec = run.spec
    failed = sum(record.failure is not None for record in run.records)
    kind, config = _kind_and_config(spec)
    return Row(
        suite=spec.suite,
        decoder=spec.label,
        identity=spec.identity()[:8],
        cells={**cells, **speed_cells(speed)},
        decoded=len(run.records) - failed,
        failed=failed,
        total=run.content["answers"],
        complete=run.complete,
        config=config,
        kind=kind,
        note=", ".join(filter(None, [_origin(spec), f"{spec.draws} draws" if spec.draws > 1 else ""])),
        reproduce=command(spec, run.suite),
        empty=sum(record.empty for record in run.records),
        same_label=spec.label in twice,
    )


def _origin(spec: RunSpec) -> str:
    """`imported` for other people's outputs in a suite of ours; a suite of imported outputs alone says so in its name."""
    return IMPORTED if spec.decoder == IMPORTED and not spec.suite.startswith(f"{IMPORTED}-") else ""


def _kind_and_config(spec: RunSpec) -> tuple[Kind, Mapping[str, object]]:
    """What the decoder looks at, and its settings away from the defaults; nothing for a plug-in that is gone."""
    try:
        plugin = registry.decoders().load(spec.decoder)
    except SeeTellError:
        # Of imported outputs: their hash says nothing that the run's identity does not say in eight digits.
        return "", {key: value for key, value in spec.config.items() if key != "content" or spec.decoder != IMPORTED}
    kind: Kind = "constant" if spec.decoder == CONSTANT else "image-aware" if Need.IMAGE in plugin.needs else "blind"
    defaults = {name: field.default for name, field in plugin.Config.model_fields.items()}
    return kind, {key: value for key, value in spec.config.items() if value != defaults.get(key)}


def _columns(scores: Sequence[Sequence[Score]]) -> tuple[Column, ...]:
    first: dict[str, Score] = {}
    for run_scores in scores:
        for score in run_scores:
            first.setdefault(score.output, score)
    return tuple(
        Column(name, _column_label(name), score.higher_is_better, score.percent, _meaning(score)) for name, score in first.items()
    )


def _meaning(score: Score) -> str:
    """What the metric's own class says of it in a line; nothing for a plug-in that is gone."""
    claims = metrics_registry().entries.get(score.signature.partition("|")[0], ())
    return claims[0].describe() if claims else ""


def _speed_columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    return tuple(column for column in SPEED_COLUMNS if any(column.name in row.cells for row in rows))


def _column_label(output: str) -> str:
    """`CIDEr` for `cider`, `CIDEr (strict)` for that of a metric under the label `strict`."""
    name, under, label = output.partition(":")
    return LABELS.get(name, name) + (f" ({label})" if under else "")


def _intervals(scores: Sequence[Sequence[Score]]) -> str:
    methods = {score.method for run_scores in scores for score in run_scores} & {"bca", "percentile"}
    how = {1: "BCa" if "bca" in methods else "percentile", 2: "BCa, or percentile where BCa is not defined"}
    return f"95 % intervals, bootstrap over examples ({how[len(methods)]})" if methods else ""


def _examples(suite: Suite) -> list[Example]:
    """The suite's examples, or none when its data is no longer where it was: the numbers stand without pictures."""
    try:
        return load_examples(suite)
    except SeeTellError:
        return []


def _views(examples: Sequence[Example], runs: Sequence[tuple[Row, Sequence[Record]]]) -> tuple[ExampleView, ...]:
    """Examples with what every run said to them, in the order of the runs and draws."""
    answers: dict[str, list[Answer]] = {example.id: [] for example in examples}
    for row, records in runs:
        for record in records:
            if record.example_id in answers:
                answer = Answer(row.name, row.identity, record.text, record.draw, record.failure)
                answers[record.example_id].append(answer)
    return tuple(
        ExampleView(example.id, example.prompt, thumbnail(example), example.references, tuple(answers[example.id]))
        for example in examples
    )


def thumbnail(example: Example) -> bytes | None:
    """The example's image as a small WebP, or None if it has none or it cannot be opened."""
    from decoders.models.image_text import open_image

    if example.image is None:
        return None
    try:
        image = open_image(example.image)
    except SeeTellError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()
