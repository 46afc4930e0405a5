"""`sweep`: settings tried on a dev split."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import console
from harness.cli.exits import DONE, SOME_FAILED
from harness.cli.flags import check_positive
from harness.store.runs import Results, write_bytes
from harness.suites.spec import Suite

if TYPE_CHECKING:
    from harness.compare.sweep import Result


def sweep(
    name: str,
    only: Sequence[str],
    metric: str | None,
    settings: Sequence[str],
    batch_size: int | None,
    device: str,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell sweep`."""
    check_positive({"--batch-size": batch_size})
    from harness.compare.sweep import sweep as run_sweep
    from harness.compare.sweep_picture import to_svg

    suite = Suite.load(name, settings)
    store = Results(results)
    found = run_sweep(
        suite, store, only=only, metric=metric, batch_size=batch_size, device=device, say=console.say,
        progress_bar=console.progress_bar,
    )  # fmt: skip
    pictures = {}
    for label in dict.fromkeys(result.label for result in found):
        part = [result for result in found if result.label == label]
        picture = store.sweep_picture(suite.name, label, part[0].score.output)
        write_bytes(picture, to_svg(part).encode("utf-8", "replace"))
        pictures[label] = str(picture)
        if not as_json:
            _show(suite, part)
            console.say(f"The picture: {picture.resolve()}")
    if as_json:
        console.emit({"suite": suite.name, "results": [each.to_json() for each in found], "pictures": pictures})
    return SOME_FAILED if any(result.failed for result in found) else DONE


def _show(suite: Suite, found: Sequence[Result]) -> None:
    from harness.compare.paired import SIGNIFICANCE
    from harness.compare.sweep import to_paste

    best = found[0]
    keys = list(best.values)
    scale, digits = (100, 2) if best.score.percent else (1, 4)
    rows = []
    for rank, each in enumerate(found, start=1):
        score = each.score
        interval = (
            f"[{score.low * scale:.{digits}f}, {score.high * scale:.{digits}f}]"
            if not (math.isnan(score.low) or math.isnan(score.high))
            else "–"
        )
        p = "best" if each is best else "–" if math.isnan(each.p) else f"{each.p:.4f}"
        verdict = "" if each is best or math.isnan(each.p) else "worse" if each.apart else "cannot be told apart"
        values = [str(each.values[key]) for key in keys]
        number = f"{score.value * scale:.{digits}f}"
        rows.append((str(rank), *values, number, interval, p, verdict, str(each.failed or "")))
    header = ("#", *keys, best.score.output, "95 % interval", "p (Holm)", "from the best", "failed")
    right = [0, *range(1, len(keys) + 4)]
    console.show_table(
        f"{suite.name}/{best.label} on the dev data, {best.score.n} texts each", header, rows, right=right
    )
    alike = sum(not each.apart for each in found[1:] if not math.isnan(each.p))
    if any(not math.isnan(each.p) for each in found):
        console.out.print(
            f"p: paired permutation test against the best, Holm over {len(found) - 1} tests; {alike} cannot be told apart "
            f"from it at {SIGNIFICANCE}."
        )
    console.out.print(
        f"The best of {len(found)} looks better here than it is; what it is worth is said by one run on the test data. "
        "To take it, paste:\n"
    )
    sys.stdout.write(to_paste(best))
