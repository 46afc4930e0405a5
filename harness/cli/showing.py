"""`show`: a run or an example in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.suggested import runnable
from harness.errors import SuiteError, did_you_mean
from harness.store.runs import Results

if TYPE_CHECKING:  # what they import would make `seetell list` slow
    from harness.leaderboard.collect import Material, RunMaterial
    from harness.leaderboard.gallery import Gallery, Item


def show(name: str, example: str | None, worst: bool, differ: bool, results: Path, as_json: bool) -> int:
    """`seetell show`."""
    from harness.leaderboard.collect import material_of
    from harness.store.find import find_run
    from harness.store.runs import RunFolder

    if sum([example is not None, worst, differ]) > 1:
        raise SuiteError("an example's id, --worst and --differ each choose an example; give one of them")
    store = Results(results)
    folder = find_run(store, name)
    folders = [each for each in store.runs(folder.path.parent.name) if each.path.parent == folder.path.parent]
    one_run = example is None and not worst and not differ
    material = material_of([folder] if one_run or not folders else folders, letters=False)
    made = next(run for run in material.runs if RunFolder(run.folder.path).path == folder.path)
    if one_run:
        content = _run(made, material)
        if as_json:
            console.emit(content)
        else:
            _show_run(made, material, content)
        return DONE
    from harness.leaderboard.gallery import gallery

    found = gallery(material)
    item = _choose(found, made, example, worst)
    if as_json:
        console.emit(_example(item, found))
    else:
        _show_example(item, found, made)
    return DONE


def _choose(found: Gallery, made: RunMaterial, example: str | None, worst: bool) -> Item:
    if example is not None:
        item = found.find(example)
        if item is None:
            known = [each.example.id for each in found.items]
            raise SuiteError(f"{made.row.suite} has no example {example!r}{did_you_mean(example, known)}")
        return item
    if not found.items:
        raise SuiteError(f"{made.row.suite} has no examples to choose from")
    if not worst:
        return found.items[0]
    place = found.systems.index(made.row)
    sign = -1 if found.column is not None and found.column.higher_is_better is False else 1
    scored = [
        (sign * value, item.example.id, item) for item in found.items if (value := item.values[place]) is not None
    ]
    if not scored:
        raise SuiteError(
            f"{made.row.decoder} has no scores of single examples, so none is its worst; run `seetell score {made.row.suite}`"
        )
    return min(scored, key=lambda each: each[:2])[2]


def _run(made: RunMaterial, material: Material) -> dict[str, Any]:
    content = made.content
    return {
        "suite": made.row.suite,
        "decoder": made.row.decoder,
        "identity": content["identity"],
        "state": content["state"],
        "folder": str(made.folder.path),
        "reproduce": made.row.reproduce,
        "decoded": made.row.decoded,
        "failed": made.row.failed,
        "total": made.row.total,
        "spec": content["spec"],
        "environment": content["environment"],
        "scores": [score.to_json() for score in made.scores],
        "images": sum(each.image is not None for each in material.examples),
    }


def _show_run(made: RunMaterial, material: Material, content: dict[str, Any]) -> None:
    row = made.row
    failed = f", {row.failed} failed" if row.failed else ""
    state = "" if row.complete else ", incomplete"
    console.out.print(f"[bold]{console.shown(f'{row.suite}/{row.decoder}')}[/]  {console.shown(content['identity'])}")
    console.out.print(console.shown(f"{row.decoded} of {row.total} decoded{failed}{state}, in {made.folder.path}"))
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
            said = cell.signature or runnable(cell.unavailable)
            label = f"{column.label} {column.arrow}".strip()
            scores.append((label, column.show(cell.value), interval, str(cell.n), str(cell.unscored), said))
    if scores:
        header = ("metric", "value", "interval", "scored", "unscored", "signature")
        console.show_table("Scores", header, scores, right=range(1, 5))
    else:
        console.note(f"not scored yet; `seetell score {row.suite}` does it")


def _example(item: Item, found: Gallery) -> dict[str, Any]:
    return {
        "id": item.example.id,
        "prompt": item.example.prompt,
        "image": _image(item),
        "references": list(item.example.references),
        "measure": found.column.name if found.column else None,
        "spread": item.spread,
        "systems": [
            {
                "decoder": row.decoder,
                "identity": row.identity,
                "value": value,
                "answers": [
                    {"kind": each.failure.kind, "message": each.failure.message} if each.failure else each.text
                    for each in answers
                ],
            }
            for row, answers, value in zip(found.systems, item.answers, item.values, strict=True)
        ],
    }


def _show_example(item: Item, found: Gallery, made: RunMaterial) -> None:
    from harness.store.text import one_line

    example = item.example
    console.out.print(f"[bold]{console.shown(one_line(example.id))}[/] of {console.shown(made.row.suite)}")
    if image := _image(item):
        console.out.print(f"image: {console.shown(image)}")
    if example.prompt:
        console.out.print(f"prompt: {console.shown(one_line(example.prompt))}")
    for reference in example.references:
        console.out.print(f"people wrote: {console.shown(one_line(reference))}")
    column = found.column
    rows = []
    for row, answers, value in zip(found.systems, item.answers, item.values, strict=True):
        texts = [
            f"<{one_line(each.failure.kind)}> {one_line(each.failure.message)}" if each.failure else one_line(each.text)
            for each in answers
        ]
        mark = "> " if row == made.row else ""
        shown = column.show(value) if column is not None else "–"
        rows.append((mark + row.decoder, shown, "\n".join(texts) or "–"))
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
