"""What `published.measure` found, as rows of a table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.bench.published import Figures
from harness.store.markdown import markdown_table

HEADER = ("program", "batch", "texts", "s a text", "texts/s", "times published", "image/LM/text/rest %", "GFLOP", "GFLOP/s",
          "of machine", "tokens", "same tokens", "peak GB")  # fmt: skip
LEFT = (0,)


def by_scenario(figures: Sequence[Figures]) -> dict[str, list[tuple[str, ...]]]:
    """Scenario to rows under `HEADER`, one a program and batch size."""
    tables: dict[str, list[tuple[str, ...]]] = {}
    for each in figures:
        tables.setdefault(each.scenario, []).append(_row(each))
    return tables


def _row(each: Figures) -> tuple[str, ...]:
    whole = each.seconds.median
    ratio = "1" if each.ratio is None else f"{each.ratio.median:.1f}"
    if each.ratio is not None and each.ratio.low < each.ratio.high:
        ratio += f" ({each.ratio.low:.1f} to {each.ratio.high:.1f})"
    return (
        each.who,
        str(each.batch_size),
        str(each.items),
        f"{whole:.3g} ±{each.seconds.percent:.0f} %",
        f"{1 / whole:.3g}",
        ratio,
        " / ".join(f"{100 * each.parts[part] / whole:.0f}" for part in ("image", "lm", "text", "rest")),
        f"{each.gigaflops:.3g}",
        f"{each.gigaflops_per_second:.3g}",
        f"{100 * each.share:.0f} %",
        f"{each.tokens:.1f}",
        "" if each.equal is None else f"{each.equal}/{each.compared}",
        "" if each.memory is None else f"{each.memory['peak'] / 1e9:.2f}",
    )


def heading(found: dict[str, Any]) -> str:
    """The machine in a line."""
    on = found["machine"]
    return (
        f"{on['name']}, {on['cores']} cores, {on['instructions']}, {on['threads']} threads, {on['device']}, {on['dtype']}, "
        f"torch {on['torch']}"
    )


def notes(found: dict[str, Any]) -> list[str]:
    """What a reader of the figures has to know."""
    said = [
        "matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in found["rates"].items())
    ]
    told = {each.scenario: each.note for each in found["figures"] if each.note}
    said += [f"{scenario}: {note}" for scenario, note in told.items()]
    load = [each for each in found["machine"]["load"] if each is not None]
    if load and load[0] > 0.5 * found["machine"]["threads"]:
        said.append(
            f"other programs were running (load {load[0]:.1f} before the first pass): trust ratios and no seconds"
        )
    return said


def markdown(found: dict[str, Any]) -> str:
    """A table for documents."""
    lines = [f"{heading(found)}."]
    for scenario, rows in by_scenario(found["figures"]).items():
        lines += ["", f"**{scenario}**", "", markdown_table(HEADER, rows, LEFT, escape=False)]
    lines += ["", *(f"* {note}" for note in notes(found))]
    return "\n".join(lines) + "\n"


def to_json(found: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON values."""
    return {**found, "figures": [each.to_json() for each in found["figures"]]}
