"""The leaderboard as a static site: `index.html` and what it leads to, opened from disk, without network or server.

Every page holds its style and script inside and allows them by their hash, as the single page does; beside the pages there are
only pictures, loaded as they come into view. `site.json` says what the site was made of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.leaderboard import FORMATS, render
from harness.leaderboard.collect import THUMBNAIL, Material
from harness.leaderboard.gallery import gallery
from harness.leaderboard.site import manifest, pages
from harness.leaderboard.site.images import Pictures
from harness.leaderboard.site.manifest import examples_page, run_page
from harness.store.durable import Progress, no_progress
from harness.store.runs import write_bytes

SMALL = 96
"""Longest side of a picture of a reproducible site, which is meant to be committed."""


@dataclass(frozen=True, slots=True)
class Site:
    """What was written."""

    folder: Path
    files: int
    size: int
    """Bytes of all files."""

    @property
    def start(self) -> Path:
        """The page to open."""
        return self.folder / "index.html"


def write_site(
    materials: Sequence[Material],
    folder: Path,
    *,
    reproducible: bool = False,
    picture_size: int | None = None,
    progress: Progress = no_progress,
) -> Site:
    """Write the site; what an earlier build left there and this one does not need is removed.

    `index.html` and `site.json` are written last, so that a build that was stopped is not taken for a whole one.

    Args:
        materials: one a suite, from `harness.leaderboard.collect.materials`.
        folder: where to; made if it is not there. Files in it that no build wrote are left alone.
        reproducible: leave out times, machines and package versions: the same results give the same bytes anywhere.
        picture_size: longest side of a picture, in pixels.
        progress: called with pages done and due.
    """
    before = _files_of(folder)
    boards = [replace(material.board, created="", environment="") if reproducible else material.board for material in materials]
    galleries = pages.galleries_of(materials)
    pictures = Pictures(folder, picture_size or (SMALL if reproducible else THUMBNAIL))
    written: dict[str, bytes] = {}

    def write(file: str, text: str) -> None:
        written[file] = text.encode("utf-8", "replace")
        if file != "index.html":
            write_bytes(folder / file, written[file])

    due = sum(1 + len(material.runs) for material in materials) + 2
    done = 0
    for material in materials:
        if not material.runs:
            continue
        if pages.has_gallery(material):
            shown = gallery(material)
            addresses = {item.example.id: pictures.add(item.example) for item in shown.items}
            write(examples_page(material.board.suite), pages.gallery(material.board.suite, shown, addresses, galleries))
        for run in material.runs:
            write(run_page(run.row), pages.run(material, run, galleries, reproducible=reproducible))
            progress(done := done + 1, due)
    write("speed.html", pages.speed(boards, materials, galleries))
    for format in FORMATS:
        if format != "html":
            write(f"leaderboard.{format}", render(boards, format))
    write("index.html", pages.index(boards, materials, galleries))
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in written.items()}
    for file in pictures.files:
        digests[file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    content = {**manifest.describe(materials, reproducible=reproducible), "files": dict(sorted(digests.items()))}
    write_bytes(folder / "index.html", written["index.html"])
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("},", "},\n")
    write_bytes(folder / manifest.FILE, text.encode("utf-8", "replace") + b"\n")
    _remove(folder, before - digests.keys())
    progress(due, due)
    size = sum((folder / file).stat().st_size for file in [*digests, manifest.FILE])
    return Site(folder, len(digests) + 1, size)


def _files_of(folder: Path) -> set[str]:
    """The files that the last build wrote, none where there was none."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return {str(file) for file in json.loads((folder / manifest.FILE).read_bytes()).get("files", {})}
    return set()


def _remove(folder: Path, files: set[str]) -> None:
    inside = folder.resolve()
    for file in files:
        path = (folder / file).resolve()
        if path.is_relative_to(inside) and path != inside:  # a manifest is a file, and files can be tampered with
            path.unlink(missing_ok=True)
