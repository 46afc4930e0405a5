"""Scores of single examples as a table for other programs: a row a text, a named column a number."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.compare.differences import load_metric
from harness.compare.scored import ScoredRun
from harness.errors import SeeTellError, StoreError, SuiteError
from harness.leaderboard.collect import Material, RunMaterial
from harness.store.answers import write_table
from harness.store.durable import write_bytes

FORMATS = ("csv", "parquet")
KEYS = ("id", "system", "run", "draw", "text", "failure", "references")
"""Columns before those of the metrics."""


def write_example_scores(material: Material, out: Path) -> tuple[int, int]:
    """Write every text of some runs of a suite with its own scores.

    A corpus-level metric is finalised on the one text. Where it says nothing about one text, or the text has no score, the cell
    is empty; a run that is not scored has empty cells only.

    Args:
        material: the runs and examples, from `harness.leaderboard.collect.material_of`.
        out: a .csv or .parquet file. In CSV references are a JSON list.

    Returns:
        Rows and columns of numbers.

    Raises:
        SuiteError: the file has another ending.
        StoreError: there is no text.
    """
    ending = out.suffix.lstrip(".").lower()
    if ending not in FORMATS:
        raise SuiteError(f"--scores {out}: expected a file that ends in .csv or .parquet")
    rows = example_rows(material)
    if not rows:
        raise StoreError(f"{material.board.suite} has no texts yet; run `seetell run {material.board.suite}`")
    outputs = list(dict.fromkeys(key for row in rows for key in row if key not in KEYS))
    if ending == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, [*KEYS, *outputs], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "references": json.dumps(row["references"], ensure_ascii=False)} for row in rows)
        write_bytes(out, text.getvalue().encode("utf-8", "replace"))
    else:
        import pyarrow as pa

        types = [pa.string(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.string(), pa.list_(pa.string())]
        schema = pa.schema([*zip(KEYS, types, strict=True), *((output, pa.float64()) for output in outputs)])
        write_table(out, pa.Table.from_pylist(rows, schema=schema))
    return len(rows), len(outputs)


def example_rows(material: Material) -> list[dict[str, Any]]:
    """A row a text: the keys of `KEYS`, then each number that the text has by itself; arguments as for `write_example_scores`."""
    references = {example.id: list(example.references) for example in material.examples}
    return [row for run in material.runs for row in _rows(run, references)]


def _rows(run: RunMaterial, references: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    columns = _values(run.scored) if run.scored else {}
    for place, record in enumerate(run.records):
        row: dict[str, Any] = {
            "id": record.example_id,
            "system": run.row.decoder,
            "run": run.folder.path.name,
            "draw": record.draw,
            "text": record.text,
            "failure": record.failure.kind if record.failure else "",
            "references": list(references.get(record.example_id, ())),
        }
        yield row | {name: values[place] for name, values in columns.items() if values[place] is not None}


def _values(run: ScoredRun) -> dict[str, list[float | None]]:
    """Every output on each text alone."""
    columns: dict[str, list[float | None]] = {}
    for label, scored in run.metrics.items():
        if scored.rows is None:
            continue
        try:
            metric = load_metric(run.suite, label)
        except SeeTellError:  # a plug-in that is not installed any more
            continue
        if metric.resampling != "bootstrap":
            continue
        values = metric.finalise(scored.rows)
        for place, score in enumerate(scored.scores):
            name = score.output if score.output not in columns else f"{label}:{score.output}"
            columns[name] = [float(value) if math.isfinite(value) else None for value in values[:, place]]
    return columns
