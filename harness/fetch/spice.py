"""`seetell prefetch spice`: fetch SPICE's parser, which cannot be shipped with the package, and verify it.

An interrupted download is resumed. A file is installed only after its checksum is verified.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError
from harness.fetch.download import UNREACHABLE, ProgressBar, check_address, download, extract, opened, room_in
from harness.metrics.coco.java import CORENLP_JARS
from harness.metrics.coco.spice import spice_folder
from harness.store.durable import MB

ARCHIVE = "stanford-corenlp-full-2015-12-09.zip"
HOME = "https://nlp.stanford.edu/software"
SHA1 = "55c9d653eb30ace7d5a60eb3138e424f9442e539"
"""Of the archive. Stanford publishes no checksum of it; this one is what a public build script pins it to."""
SIZE = 536_000_000
"""Bytes of the archive, roughly, as Stanford's download page says; used only where a server does not tell."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file must hash to."""

    kind: str
    """As hashlib calls it."""
    value: str
    source: str
    """Who says so."""

    def fits(self, path: Path) -> str:
        """Empty if the file has it, else the one it has."""
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, self.kind).hexdigest()
        return "" if actual == self.value else actual


def fetch_spice(mirror: str | None, *, say: Callable[[str], None], progress_bar: ProgressBar) -> Path:
    """Fetch Stanford CoreNLP 3.6.0 into SPICE's folder; files that are there are kept.

    Args:
        mirror: address of a folder with the archive and, beside it, the same name with `.sha256` (as sha256sum writes it).
        say: prints a message for the user.
        progress_bar: from `harness.cli.console`.

    Returns:
        The folder.

    Raises:
        DataError: not reachable, not enough room, or not what it should be.
    """
    folder = spice_folder()
    if all((folder / name).is_file() for name in CORENLP_JARS):
        say(f"{folder} has Stanford CoreNLP 3.6.0 already")
        return folder
    address = f"{check_address(mirror or HOME, '--mirror')}/{ARCHIVE}"
    checksum = _checksum_beside(address) if mirror else Checksum("sha1", SHA1, "SeeTell")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f"{ARCHIVE}.part"
        with progress_bar(f"fetching {ARCHIVE} (MB)") as progress:
            download(
                address, archive, size=SIZE, progress=progress, before=lambda size, have: _check_room(folder, size, have, say)
            )  # fmt: skip
        if actual := checksum.fits(archive):
            archive.unlink()
            raise DataError(
                f"{address} has the {checksum.kind} {actual}; {checksum.source} says {checksum.value}. It was deleted; try "
                "again, or from another place with --mirror"
            )
        jars = {jar: folder / jar for jar in CORENLP_JARS}
        extract(archive, jars, owner=address, remedy="expected Stanford CoreNLP 3.6.0")
        archive.unlink()
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); make room, or set SEETELL_CACHE to another folder") from error
    say(f"Stanford CoreNLP 3.6.0 is in {folder}; `seetell score FILE --metrics spice` uses it")
    return folder


def _checksum_beside(address: str) -> Checksum:
    place = f"{address}.sha256"
    try:
        with opened(place) as answer:
            text = answer.read(4096).decode("ascii", "replace")
    except (*UNREACHABLE, OSError) as error:
        raise DataError(
            f"{place} cannot be fetched ({error}), and no unchecked file is installed; `sha256sum {ARCHIVE}` makes that file"
        ) from error
    match = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
    if not match:
        raise DataError(f"{place} says {text[:80]!r}; expected a SHA-256 in 64 hexadecimal digits")
    return Checksum("sha256", match.group(1).lower(), place)


def _check_room(folder: Path, size: int, have: int, say: Callable[[str], None]) -> None:
    """Report the disk space needed before anything is written: the rest of the archive, and as much again for its content."""
    needed, free = 2 * size - have, room_in(folder)
    needs = f"{size / MB:.0f} MB to fetch ({have / MB:.0f} MB are there), {needed / MB:.0f} MB of room needed in {folder}"
    if needed > free:
        raise DataError(f"{needs}, and {free / MB:.0f} MB are free; make room, or set SEETELL_CACHE to another folder")
    say(f"{needs}, {free / MB:.0f} MB free")
