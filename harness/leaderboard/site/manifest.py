"""What a site was made of: run identities, texts, scores and templates, so that it can be told whether it is current.

Scores by a model may differ in their last digits between machines, so they are compared to a millionth, as the gate does; all the
rest is compared as it is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from harness.compare.scored import digest_answers
from harness.errors import StoreError
from harness.leaderboard.collect import Material
from harness.leaderboard.frame import Cell, Row
from harness.store.numbers import finite
from harness.suites.provenance import seetell_version

FORMAT = "seetell-site-1"


FILE = "site.json"


TOLERANCE = 1e-6


@functools.cache
def templates_digest() -> str:
    """SHA-256 over the templates, style sheets and scripts, whatever the line ends of the checkout."""
    digest = hashlib.sha256()
    folder = resources.files("harness.leaderboard") / "templates"
    for file in sorted(folder.iterdir(), key=lambda file_path: file_path.name):
        digest.update(file.name.encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def describe(materials: Sequence[Material], *, reproducible: bool) -> dict[str, Any]:
    """Everything that the pages follow from."""
    return {
        "format": FORMAT,
        "seetell": seetell_version(),
        "reproducible": reproducible,
        "templates": templates_digest(),
        "suites": [
            {
                "suite": material.board.name,
                "published": _digest([asdict(table) for table in material.board.published]) if material.board.published else None,
                "runs": {
                    run.content["identity"]: {
                        "decoder": run.row.decoder,
                        "texts": digest_answers(run.records),
                        "signatures": _digest({name: cell.signature for name, cell in run.row.cells.items()}),
                        "scores": {name: _score(cell) for name, cell in run.row.cells.items()},
                    }
                    for run in material.runs
                },
            }
            for material in materials
        ],
    }


def _score(cell: Cell) -> list[Any]:
    return [finite(cell.value), finite(cell.low), finite(cell.high), cell.letters]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a site on disk.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); expected a leaderboard site. Build it with `seetell leaderboard --out {folder}`"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(f"{path} is no site of this version; build it again with `seetell leaderboard --out {folder}`")
    return content


def damaged(folder: Path) -> list[str]:
    """Files of a site that are not what its manifest says: a sentence each."""
    sentences = []
    for file, digest in read(folder)["files"].items():
        try:
            actual = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except OSError:
            sentences.append(f"{file}: missing")
            continue
        if actual != digest:
            sentences.append(f"{file}: not as it was written")
    return sentences


def differences(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path | None = None) -> list[str]:
    """What has changed between two manifests, a sentence each; none if the site is current.

    Args:
        before: of the site on disk.
        now: of the site as it would be built.
        folder: of the site on disk, whose files are then compared with what their manifest says.
    """
    sentences = [
        f"{key}: was {before.get(key)!r}, is {now.get(key)!r}"
        for key in ("seetell", "reproducible", "templates")
        if before.get(key) != now.get(key)
    ]
    sentences += damaged(folder) if folder is not None else []
    old, new = ({suite_entry["suite"]: suite_entry for suite_entry in content["suites"]} for content in (before, now))
    sentences += [f"{suite}: no longer there" for suite in old if suite not in new]
    for suite, content in new.items():
        if suite not in old:
            sentences.append(f"{suite}: not in the site yet")
            continue
        if content["published"] != old[suite]["published"]:
            sentences.append(f"{suite}: other published numbers")
        sentences += _run_differences(suite, old[suite]["runs"], content["runs"])
    return sentences


def _run_differences(suite: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    sentences = [f"{suite}/{run['decoder']}-{key[:8]}: no longer there" for key, run in old.items() if key not in new]
    for key, run in new.items():
        name = f"{suite}/{run['decoder']}-{key[:8]}"
        if key not in old:
            sentences.append(f"{name}: not in the site yet")
            continue
        if run["texts"] != old[key]["texts"]:
            sentences.append(f"{name}: other texts")
        if run["signatures"] != old[key]["signatures"]:
            sentences.append(f"{name}: scored in another way")
        before, now = old[key]["scores"], run["scores"]
        sentences += [
            f"{name}: {output}: was {before.get(output)}, is {now.get(output)}"
            for output in {**before, **now}
            if not _same(before.get(output), now.get(output))
        ]
    return sentences


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(first == second)


_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}")


def file_name(text: str) -> str:
    """The text itself where it may be a file's name, as the slugs of suites may; else a hash of it."""
    if _SAFE.fullmatch(text) and not text.endswith("."):
        return text
    return "x-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def run_page(row: Row) -> str:
    """The page of a run."""
    return f"runs/{file_name(f'{row.suite}-{row.decoder}-{row.identity}')}.html"


def anchor(suite: str) -> str:
    """The address of a suite on the pages that show several: `index.html#suite-toybox-plain`."""
    return f"suite-{file_name(suite)}"


def examples_page(suite: str) -> str:
    """The page of a suite's examples."""
    return f"examples/{file_name(suite)}.html"
