"""`show`: a run or an example in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.console import runnable
from harness.cli.flags import DONE, RESULTS, AsJson, ResultsFolder, Switch
from harness.errors import SuiteError, did_you_mean

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.leaderboard.collect import Material, RunMaterial
    from harness.leaderboard.frame import Answer
    from harness.leaderboard.gallery import Gallery, Item


def show(
    run: str,
    example: str | None = None,
    /,
    *,
    worst: Switch = False,
    differ: Switch = False,
    scores: Path | None = None,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show a run: what it was made from, its scores with intervals and signatures; or an example with every system's text.

    For example: `seetell show toybox-plain/magic`, `seetell show toybox-plain/magic --worst`, or
    `seetell show toybox-plain --scores scores.csv` for programs of your own.

    Args:
        run: A run's folder, or suite/label as in toybox-plain/magic; with --scores also a suite.
        example: An example's id: every system's text for it, with its own scores.
        worst: Instead of an id: the example that this run is worst at.
        differ: Instead of an id: the example on which the systems of the suite differ most.
        scores: Instead: write a table into this file, .csv or .parquet, with a row per text and a column per metric.
    """
    if sum([example is not None, worst, differ, scores is not None]) > 1:
        raise SuiteError("an example's id, --worst, --differ and --scores each say what to show; give one of them")
    from harness.leaderboard.collect import material_of
    from harness.store.find import find_run
    from harness.store.runs import Results, RunFolder

    store = Results(results)
    if scores is not None:
        from harness.leaderboard.example_table import write_example_scores

        material = material_of(store.runs(run) or [find_run(store, run)], letters=False)
        rows, columns = write_example_scores(material, scores)
        console.say(f"wrote {scores}: {rows} texts of {material.board.suite} with {columns} scores each")
        return DONE
    folder = find_run(store, run)
    one_run = example is None and not worst and not differ
    suite = store.runs(folder.path.parent.name)
    folders = [] if one_run else [peer for peer in suite if peer.path.parent == folder.path.parent]
    material = material_of(folders or [folder], letters=False)
    shown = next(run for run in material.runs if RunFolder(run.folder.path).path == folder.path)
    if one_run:
        content = _run_content(shown, material)
        if as_json:
            console.emit(content)
        else:
            _show_run(shown, material, content)
        return DONE
    from harness.leaderboard.gallery import gallery

    examples = gallery(material)
    item = _choose(examples, shown, example, worst)
    if as_json:
        console.emit(_example_content(item, examples))
    else:
        _show_example(item, examples, shown)
    return DONE


def _choose(examples: Gallery, run: RunMaterial, example: str | None, worst: bool) -> Item:
    if example is not None:
        item = examples.find(example)
        if item is None:
            known = [item.example.id for item in examples.items]
            raise SuiteError(f"{run.row.suite} has no example {example!r}{did_you_mean(example, known)}")
        return item
    if not examples.items:
        raise SuiteError(f"{run.row.suite} has no examples to choose from")
    if not worst:
        return examples.items[0]
    place = examples.systems.index(run.row)
    sign = -1 if examples.column is not None and examples.column.higher_is_better is False else 1
    scored = [(sign * value, item.example.id, item) for item in examples.items if (value := item.values[place]) is not None]
    if not scored:
        raise SuiteError(
            f"{run.row.decoder} has no scores of single examples, so none is its worst; run `seetell score {run.row.suite}`"
        )
    return min(scored, key=lambda candidate: candidate[:2])[2]


def _run_content(run: RunMaterial, material: Material) -> dict[str, Any]:
    content, row = run.content, run.row
    return {
        "suite": row.suite,
        "decoder": row.decoder,
        "identity": content["identity"],
        "state": content["state"],
        "folder": str(run.folder.path),
        "reproduce": row.reproduce,
        "decoded": row.decoded,
        "failed": row.failed,
        "total": row.total,
        "spec": content["spec"],
        "environment": content["environment"],
        "scores": [score.to_json() for score in run.scores],
        "images": sum(example.image is not None for example in material.examples),
    }


def _show_run(run: RunMaterial, material: Material, content: dict[str, Any]) -> None:
    row = run.row
    failed = (f", {row.empty} of them empty" if row.empty else "") + (f", {row.failed} failed" if row.failed else "")
    state = "" if row.complete else ", incomplete"
    console.out.print(f"[bold]{console.shown(f'{row.suite}/{row.decoder}')}[/]  {console.shown(content['identity'])}")
    console.out.print(console.shown(f"{row.decoded} of {row.total} decoded{failed}{state}, in {run.folder.path}"))
    if row.reproduce:
        console.out.print(f"again: {console.shown(row.reproduce)}")
    spec = content["spec"]
    fields = [(key, _plain(value)) for key, value in spec.items() if key not in ("suite", "label", "config")]
    fields += [(f"config.{key}", _plain(value)) for key, value in spec["config"].items()]
    console.show_table("Specification", ("field", "value"), fields)
    environment = content["environment"]
    lines = [(key, _plain(value)) for key, value in environment.items() if key != "packages"]
    lines += [(key, _plain(value)) for key, value in environment.get("packages", {}).items() if value is not None]
    console.show_table("Environment", ("what", "version"), lines)
    scores = []
    for column in material.board.columns:
        cell = row.cells.get(column.name)
        if cell is not None:
            interval = f"{column.show(cell.interval[0])} to {column.show(cell.interval[1])}" if cell.interval else "–"
            signature = cell.signature or runnable(cell.unavailable)
            label = f"{column.label} {column.arrow}".strip()
            scores.append((label, column.show(cell.value), interval, str(cell.n), str(cell.unscored), signature))
    if scores:
        header = ("metric", "value", "interval", "scored", "unscored", "signature")
        console.show_table("Scores", header, scores, right=range(1, 5))
    else:
        console.note(f"not scored yet; `seetell score {row.suite}` does it")


def _example_content(item: Item, examples: Gallery) -> dict[str, Any]:
    return {
        "id": item.example.id,
        "prompt": item.example.prompt,
        "image": _image(item),
        "references": list(item.example.references),
        "measure": examples.column.name if examples.column else None,
        "spread": item.spread,
        "systems": [
            {
                "decoder": row.decoder,
                "identity": row.identity,
                "value": value,
                "answers": [
                    {"kind": answer.failure.kind, "message": answer.failure.message} if answer.failure else answer.text
                    for answer in answers
                ],
            }
            for row, answers, value in zip(examples.systems, item.answers, item.values, strict=True)
        ],
    }


def _show_example(item: Item, examples: Gallery, run: RunMaterial) -> None:
    from harness.store.text import one_line

    def show_line(heading: str, text: str) -> None:
        console.out.print(f"{heading}: {console.shown(one_line(text))}")

    def words(answer: Answer) -> str:
        failure = answer.failure
        return f"<{one_line(failure.kind)}> {one_line(failure.message)}" if failure else one_line(answer.text)

    example, column = item.example, examples.column
    console.out.print(f"[bold]{console.shown(one_line(example.id))}[/] of {console.shown(run.row.suite)}")
    if image := _image(item):
        console.out.print(f"image: {console.shown(image)}")
    if example.prompt:
        show_line("prompt", example.prompt)
    for reference in example.references:
        show_line("people wrote", reference)
    rows = []
    for row, answers, value in zip(examples.systems, item.answers, item.values, strict=True):
        mark = "> " if row == run.row else ""
        shown = column.show(value) if column is not None else "–"
        rows.append((mark + row.decoder, shown, "\n".join(map(words, answers)) or "–"))
    label = f"{column.label}, this example" if column else "score"
    console.show_table("", ("system", label, "said"), rows, right=(1,))


def _image(item: Item) -> str:
    """Where the picture is; words where it is no file."""
    image = item.example.image
    if image is None:
        return ""
    return f"{len(image)} bytes made by the data set" if isinstance(image, bytes) else str(image)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
