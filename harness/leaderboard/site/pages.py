"""The pages of the site as text: the board, a page a run, the examples of a suite, quality against speed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.leaderboard import figures
from harness.leaderboard.collect import Material, RunMaterial
from harness.leaderboard.frame import Answer, Board
from harness.leaderboard.gallery import Gallery, Item
from harness.leaderboard.markdown import CAUTION
from harness.leaderboard.page import KINDS, PAGES, BoardView, board_view
from harness.leaderboard.reproduce import needs_file, suite_toml
from harness.leaderboard.site import charts
from harness.leaderboard.site.images import Picture
from harness.leaderboard.site.manifest import anchor, examples_page, run_page
from harness.store.numbers import finite
from harness.store.speed import Speed
from harness.store.text import one_line, printable
from harness.suites.places import data_folder
from harness.suites.spec import RunSpec, Suite
from harness.suites.tables import DATA_VARIABLE

LOCAL = "'self' file:"
"""Sources of pictures: the site's own folder. Not every browser counts a file beside the page as `'self'`, hence the second."""


@dataclass(frozen=True, slots=True)
class _BoardPage:
    """One board of the front page."""

    view: BoardView
    anchor: str
    verdict: str
    figures: Sequence[figures.Figure]
    gallery: str


Galleries = Sequence[tuple[str, str]]
"""Suites with the pages of their examples."""


def has_gallery(material: Material) -> bool:
    """Whether the examples of a suite have a page: its main table has."""
    return bool(material.runs) and not material.board.apart


def galleries_of(materials: Sequence[Material]) -> list[tuple[str, str]]:
    """The suites whose examples have a page."""
    return [(material.board.suite, examples_page(material.board.suite)) for material in materials if has_gallery(material)]


def index(boards: Sequence[Board], materials: Sequence[Material], galleries: Galleries) -> str:
    """The front page."""
    pages = []
    known = dict(galleries)
    for board, material in zip(boards, materials, strict=True):
        links = {(run.row.decoder, run.row.identity): run_page(run.row) for run in material.runs}
        view = board_view(board, links)
        order = board.order_by
        verdict = figures.verdict(board, order) if order else ""
        pages.append(_BoardPage(view, anchor(board.name), verdict, figures.figures(view.board), known.get(board.name, "")))
    return PAGES.render(
        "index.html.jinja",
        styles=("base", "tools", "table"),
        scripts=("theme", "table"),
        up="",
        here="index",
        galleries=galleries,
        pages=pages,
        top=figures.TOP,
        names=figures.NAMES,
    )


def run(material: Material, made: RunMaterial, galleries: Galleries, *, reproducible: bool) -> str:
    """The page of one run."""
    spec = RunSpec.model_validate(made.content["spec"])
    suite = Suite.model_validate(made.content["suite"])
    row = made.row
    labels = {column.name: column for column in material.board.columns}
    counts = [(row.empty, "empty"), (row.failed, "failed")]
    texts = ", ".join([f"{row.decoded} of {row.total}", *(f"{count} {what}" for count, what in counts if count)])
    return PAGES.render(
        "run.html.jinja",
        styles=("base", "run"),
        scripts=("theme",),
        up="../",
        here="",
        galleries=galleries,
        gallery=dict(galleries).get(material.board.name, ""),
        anchor=anchor(material.board.name),
        run={
            "row": row,
            "kind": KINDS[row.kind],
            "identity": made.content["identity"],
            "texts": texts + ("" if row.complete else ", incomplete"),
            "toml": suite_toml(suite, spec.label).replace(str(data_folder()), DATA_VARIABLE) if needs_file(spec, suite) else "",
            "scores": [
                {
                    "label": f"{column.label} {column.arrow}".strip(),
                    "value": column.show(cell.value) + (CAUTION if cell.caution else ""),
                    "interval": f"{column.show(cell.interval[0])} to {column.show(cell.interval[1])}" if cell.interval else "–",
                    "letters": cell.letters,
                    "counted": f"{cell.n} of {cell.n + cell.unscored}" if cell.n + cell.unscored else "–",
                    "signature": cell.signature or cell.unavailable,
                }
                for name, column in labels.items()
                if (cell := row.cells.get(name)) is not None
            ],
            "spec": json.dumps(spec.as_written(suite).model_dump(mode="json"), indent=1, ensure_ascii=False),
            "environment": "" if reproducible else json.dumps(made.content["environment"], indent=1, ensure_ascii=False),
        },
    )


def gallery(suite: str, shown: Gallery, pictures: Mapping[str, Picture | None], galleries: Galleries) -> str:
    """The examples of a suite: a list that can be searched and, by the address's end, a page for each of them."""
    column = shown.column
    sign = -1 if column is not None and column.higher_is_better is False else 1
    data = {
        "systems": [{"name": one_line(row.name), "kind": KINDS[row.kind], "page": run_page(row)} for row in shown.systems],
        "scores": {
            "label": one_line(column.label) if column else "",
            "percent": column.percent if column else False,
            "sign": sign,
        },
        "items": [_item(item, pictures.get(item.example.id), sign) for item in shown.items],
    }
    return PAGES.render(
        "gallery.html.jinja",
        styles=("base", "tools", "gallery"),
        scripts=("theme", "gallerypage"),
        images=LOCAL,
        up="../",
        here=examples_page(suite),
        galleries=galleries,
        suite=suite,
        systems=len(shown.systems),
        count=len(shown.items),
        measure=column.label if column else "",
        data=data_block(data),
    )


def _item(item: Item, picture: Picture | None, sign: int) -> dict[str, Any]:
    scored = [(sign * value, place) for place, value in enumerate(item.values) if value is not None]
    return {
        "id": one_line(item.example.id),
        "prompt": printable(item.example.prompt),
        "image": [picture.file, picture.width, picture.height] if picture else None,
        "references": [printable(text) for text in item.example.references],
        "answers": [[_answer_text(answer) for answer in run_answers] for run_answers in item.answers],
        "values": [None if value is None else float(f"{value:.4g}") for value in item.values],
        "best": max(scored, key=lambda scored_place: (scored_place[0], -scored_place[1]))[1] if scored else None,
        "worst": min(scored)[1] if scored else None,
    }


def _answer_text(answer: Answer) -> str | list[str]:
    if answer.failure is not None:
        return [one_line(answer.failure.kind), printable(answer.failure.message)]
    return printable(answer.text)


def speed(boards: Sequence[Board], materials: Sequence[Material], galleries: Galleries) -> str:
    """Quality against speed, a scatter a suite; without the extra `site` it says how to get the drawings."""
    drawable = charts.can_draw()
    pages = []
    measured = [(board, material) for board, material in zip(boards, materials, strict=True) if material.runs]
    measured.sort(key=lambda pair: not _measured(pair[1]))  # suites without figures come last
    for number, (board, material) in enumerate(measured, start=1):
        points = charts.points(board)
        chart = data_block(charts.specification(points)) if points and drawable else ""
        pages.append(
            {
                "number": number,
                "anchor": anchor(board.name),
                "suite": board.name,
                "chart": chart,
                "front": _front(points),
                "lacks_bundle": bool(points) and not drawable,
                "speeds": [_speed_line(run) for run in _measured(material)],
                "devices": sorted({f"{run.device}, {run.threads} threads" for run in _measured(material)}),
            }
        )
    drawn = any(page["chart"] for page in pages)
    return PAGES.render(
        "speed.html.jinja",
        styles=("base", "run", "speed"),
        scripts=("theme", "chart") if drawn else ("theme",),
        bundle=charts.bundle() if drawn else "",
        up="",
        here="speed",
        galleries=galleries,
        pages=pages,
    )


def _front(points: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]] | None:
    """The measure that is drawn first, and who is on its front."""
    if not points:
        return None
    measure = points[0]["measure"]
    return measure, [point["system"] for point in points if point["measure"] == measure and point["front"]]


def _measured(material: Material) -> list[Speed]:
    """The speeds of the runs that are shown, in their file's order."""
    identities = {run.content["identity"] for run in material.runs}
    return [speed for speed in material.speeds if speed.identity in identities]


def _speed_line(speed: Speed) -> dict[str, str | int]:
    return {
        "decoder": speed.decoder,
        "speed": f"{speed.images_per_second:.3g}",
        "range": f"{speed.low:.3g} to {speed.high:.3g}",
        "relative": "–" if speed.relative is None else f"{speed.relative:.3g}",
        "batch": speed.batch_size,
        "memory": "–" if speed.peak_memory is None else f"{speed.peak_memory / 1e9:.2f} GB",
        "flops": "–" if speed.flops_per_image is None else f"{speed.flops_per_image / 1e9:.3g}",
        "share": "–" if finite(speed.share_of_peak) is None else f"{100 * (speed.share_of_peak or 0):.0f} %",
        "signature": speed.signature,
    }


def data_block(content: Any) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it can end the element or begin a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704
