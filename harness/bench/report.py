"""What `published.measure` found, as rows of a table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.bench.scenarios import Figures
from harness.store.markdown import markdown_table

HEADER = ("program", "batch", "texts", "s a text", "texts/s", "times published", "image/LM/text/rest %", "GFLOP", "GFLOP/s",
          "of machine", "tokens", "same tokens", "peak GB")  # fmt: skip
LEFT = (0,)


def by_scenario(figures: Sequence[Figures]) -> dict[str, list[tuple[str, ...]]]:
    """Scenario to rows under `HEADER`, one a program and batch size."""
    tables: dict[str, list[tuple[str, ...]]] = {}
    for figure in figures:
        tables.setdefault(figure.scenario, []).append(_row(figure))
    return tables


def _row(figure: Figures) -> tuple[str, ...]:
    whole = figure.seconds.median
    ratio = "1" if figure.ratio is None else f"{figure.ratio.median:.1f}"
    if figure.ratio is not None and figure.ratio.low < figure.ratio.high:
        ratio += f" ({figure.ratio.low:.1f} to {figure.ratio.high:.1f})"
    return (
        figure.who,
        str(figure.batch_size),
        str(figure.items),
        f"{whole:.3g} ±{figure.seconds.percent:.0f} %",
        f"{1 / whole:.3g}",
        ratio,
        " / ".join(f"{100 * figure.parts[part] / whole:.0f}" for part in ("image", "lm", "text", "rest")),
        f"{figure.gigaflops:.3g}",
        f"{figure.gigaflops_per_second:.3g}",
        f"{100 * figure.share:.0f} %",
        f"{figure.tokens:.1f}",
        "" if figure.equal is None else f"{figure.equal}/{figure.compared}",
        "" if figure.memory is None else f"{figure.memory['peak'] / 1e9:.2f}",
    )


def heading(measured: dict[str, Any]) -> str:
    """The machine in a line."""
    on = measured["machine"]
    return (
        f"{on['name']}, {on['cores']} cores, {on['instructions']}, {on['threads']} threads, {on['device']}, {on['dtype']}, "
        f"torch {on['torch']}"
    )


def notes(measured: dict[str, Any]) -> list[str]:
    """What a reader of the figures has to know."""
    sentences = ["matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in measured["rates"].items())]
    remarks = {figure.scenario: figure.note for figure in measured["figures"] if figure.note}
    sentences += [f"{scenario}: {note}" for scenario, note in remarks.items()]
    load = [load_then for load_then in measured["machine"]["load"] if load_then is not None]
    if load and load[0] > 0.5 * measured["machine"]["threads"]:
        sentences.append(f"other programs were running (load {load[0]:.1f} before the first pass): trust ratios and no seconds")
    return sentences


def markdown(measured: dict[str, Any]) -> str:
    """A table for documents."""
    lines = [f"{heading(measured)}."]
    for scenario, rows in by_scenario(measured["figures"]).items():
        lines += ["", f"**{scenario}**", "", markdown_table(HEADER, rows, LEFT, escape=False)]
    lines += ["", *(f"* {note}" for note in notes(measured))]
    return "\n".join(lines) + "\n"


def to_json(measured: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON values."""
    return {**measured, "figures": [figure.to_json() for figure in measured["figures"]]}
