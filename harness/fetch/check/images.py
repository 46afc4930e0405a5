"""The images of a data set: there or missing, and, when all of them are opened, whole or broken, equal or not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from decoders.models.images import ImageLike, stored_mode
from harness.datasets.images import AbsentImage
from harness.datasets.known import SHOWN, first_few
from harness.errors import UnreadableImage
from harness.fetch.check.findings import Finding, Progress, Section, count

MOST_BROKEN = 100
"""Images that cannot be read, as many as a line of text names."""


def check_images(section: Section, deep: bool, progress: Progress) -> list[Finding]:
    """Look for every image of a section; `deep` opens those that are there."""
    named = [(example.id, example.image) for example in section.examples if example.image is not None]
    if not named:
        return []
    absent = [(example_id, image) for example_id, image in named if _is_absent(image)]
    blind = [example.id for example in section.examples if example.image is None]
    findings = []
    if absent:
        looked_at = tuple(str(image) for _, image in absent)
        first = ", ".join(looked_at[:SHOWN]) + (", ..." if len(looked_at) > SHOWN else "")
        detail = f"{len(absent):,} of {len(named):,} images are missing: {first}"
        if section.without == "note":
            findings.append(Finding(section.name, "note", f"{detail}; only texts are read here, so they may stay away"))
        else:
            remedy = "put them where the others are; without them these examples fail and are counted as failures"
            findings.append(Finding(section.name, "problem", detail, (remedy,), looked_at))
    if blind:
        findings.append(Finding(section.name, "note", f"{count(blind, 'example')} without an image: {first_few(blind)}"))
    gone = {example_id for example_id, _ in absent}
    present = [(example_id, image) for example_id, image in named if example_id not in gone]
    if deep:
        findings += _open_all(section, present, progress)
    elif present:
        findings.append(Finding(section.name, "ok", f"{len(present):,} images found, none opened (--deep opens them all)"))
    return findings


def _is_absent(image: ImageLike) -> bool:
    return isinstance(image, AbsentImage) or (isinstance(image, Path) and not os.path.isfile(image))  # noqa: PTH113  # of any name


def _open_all(section: Section, images: Sequence[tuple[str, ImageLike]], progress: Progress) -> list[Finding]:
    """Decode every image; tell broken ones, equal ones, and what colours they are stored in."""
    from harness.datasets.digests import image_digest

    broken: list[str] = []
    twins: list[str] = []
    modes: Counter[str] = Counter()
    for done, (example_id, image) in enumerate(images, start=1):
        try:
            modes[stored_mode(image)] += 1
        except UnreadableImage as error:
            broken.append(str(error) if not isinstance(image, bytes) else f"{example_id}: {error}")
        else:
            digest = image_digest(image)
            if (first := section.contents.setdefault(digest, example_id)) != example_id:
                twins.append(f"{first} = {example_id}")
        progress(f"{section.name}: opening images", done, len(images))
    findings = []
    if broken:
        remedy = "fetch them again; as they are, these examples fail and are counted as failures"
        remainder = f"; and {len(broken) - MOST_BROKEN:,} more (--json lists them all)" if len(broken) > MOST_BROKEN else ""
        detail = f"{count(broken, 'image')} cannot be read: {'; '.join(broken[:MOST_BROKEN])}{remainder}"
        findings.append(Finding(section.name, "problem", detail, (remedy,), tuple(broken)))
    if twins:
        findings.append(
            Finding(section.name, "note", f"{count(twins, 'image')} with the same content as another: {first_few(twins)}")
        )
    colours = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
    note = "; all are converted to RGB, and none is left out" if set(modes) - {"RGB"} else ""
    findings.append(Finding(section.name, "ok", f"{modes.total():,} images opened: {colours or 'none'}{note}"))
    return findings
