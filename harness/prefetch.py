"""`seetell prefetch`: fetch what cannot come with the package, once, whole and checked.

A download that was cut off goes on where it stopped. Nothing is put in place before its checksum is right.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from harness.errors import DataError
from harness.metrics.java import CORENLP_JARS
from harness.metrics.spice import spice_folder

Progress = Callable[[int, int], None]
ProgressBar = Callable[[str], AbstractContextManager[Progress]]

ARCHIVE = "stanford-corenlp-full-2015-12-09.zip"
HOME = "https://nlp.stanford.edu/software"
SHA1 = "55c9d653eb30ace7d5a60eb3138e424f9442e539"
"""Of the archive. Stanford publishes no checksum of it; this one is what a public build script pins it to."""
SIZE = 536_000_000
"""Bytes of the archive, roughly, as Stanford's download page says; used only where a server does not tell."""

_BLOCK = 1 << 18
_SECONDS = 60
_TRIES = 5
_MB = 10**6


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
            found = hashlib.file_digest(file, self.kind).hexdigest()
        return "" if found == self.value else found


def fetch_spice(mirror: str | None, *, say: Callable[[str], None], progress_bar: ProgressBar) -> Path:
    """Bring Stanford CoreNLP 3.6.0 into SPICE's folder; what is there already is left as it is.

    Args:
        mirror: address of a folder with the archive and, beside it, the same name with `.sha256` (as sha256sum writes it).
        say: for what the user should know.
        progress_bar: from `harness.console`.

    Returns:
        The folder.

    Raises:
        DataError: not reachable, not enough room, or not what it should be.
    """
    folder = spice_folder()
    if all((folder / name).is_file() for name in CORENLP_JARS):
        say(f"{folder} has Stanford CoreNLP 3.6.0 already")
        return folder
    address = f"{(mirror or HOME).rstrip('/')}/{ARCHIVE}"
    if not address.startswith(("http://", "https://")):
        raise DataError(f"--mirror {mirror}: expected an address that starts with http:// or https://")
    checksum = _checksum_beside(address) if mirror else Checksum("sha1", SHA1, "SeeTell")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f"{ARCHIVE}.part"
        _download(address, archive, say, progress_bar)
        if found := checksum.fits(archive):
            archive.unlink()
            raise DataError(
                f"{address} has the {checksum.kind} {found}; {checksum.source} says {checksum.value}. It was deleted; try again, "
                "or from another place with --mirror"
            )
        _unpack(archive, folder, address)
        archive.unlink()
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error}); make room, or set SEETELL_CACHE to another folder"
        ) from error
    say(f"Stanford CoreNLP 3.6.0 is in {folder}; `seetell score FILE --metrics spice` uses it")
    return folder


def _checksum_beside(address: str) -> Checksum:
    place = f"{address}.sha256"
    try:
        with _open(place, 0) as answer:
            text = answer.read(4096).decode("ascii", "replace")
    except (URLError, OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{place} cannot be had ({error}), and nothing unchecked is put in place; `sha256sum {ARCHIVE}` makes that file"
        ) from error
    found = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
    if not found:
        raise DataError(f"{place} says {text[:80]!r}; expected a SHA-256 in 64 hexadecimal digits")
    return Checksum("sha256", found.group(1).lower(), place)


def _download(address: str, path: Path, say: Callable[[str], None], progress_bar: ProgressBar) -> None:
    """Fetch into `path`, going on after what it holds; a broken connection is tried again as long as something comes."""
    told = False
    failures = 0
    with progress_bar(f"fetching {ARCHIVE} (MB)") as progress:
        while True:
            have = path.stat().st_size if path.exists() else 0
            try:
                with _open(address, have) as answer:
                    start, size = _range(answer, have)
                    if not told:
                        _check_room(path.parent, size, start, say)
                        told = True
                    _copy(answer, path, start, size, progress)
                if path.stat().st_size >= size:
                    return
                error: Exception = OSError(f"the connection ended after {path.stat().st_size} of {size} bytes")
            except HTTPError as refusal:
                if refusal.code == 416 and have:  # nothing after what we have: the checksum will tell whether it is all
                    return
                raise DataError(f"{address} answered {refusal.code} {refusal.reason}; try --mirror URL") from refusal
            except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as failure:
                error = failure
            now = path.stat().st_size if path.exists() else 0
            failures = 0 if now > have else failures + 1
            if failures >= _TRIES or (not now and failures):
                raise DataError(
                    f"{address} cannot be fetched ({error}); {now} bytes are kept, and the same command goes on from there. "
                    "Without a way there, fetch it elsewhere and name the place with --mirror URL"
                )
            time.sleep(min(failures, _TRIES))


def _open(address: str, start: int) -> Any:
    headers = {"User-Agent": "seetell", **({"Range": f"bytes={start}-"} if start else {})}
    return urlopen(Request(address, headers=headers), timeout=_SECONDS)  # noqa: S310 - http and https only, checked before


def _range(answer: Any, have: int) -> tuple[int, int]:
    """Where the answer starts in the file, and how long the file is in all."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if found and int(found.group(1)) == have:
            return have, int(found.group(2))
        raise http.client.HTTPException(
            f"it answered with another part than asked: {answer.headers.get('Content-Range')}"
        )
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length else SIZE


def _check_room(folder: Path, size: int, have: int, say: Callable[[str], None]) -> None:
    """Say what is needed before anything is written: the rest of the archive, and as much again for what is in it."""
    needed, free = 2 * size - have, shutil.disk_usage(folder).free
    said = f"{size / _MB:.0f} MB to fetch ({have / _MB:.0f} MB are there), {needed / _MB:.0f} MB of room needed in {folder}"
    if needed > free:
        raise DataError(f"{said}, and {free / _MB:.0f} MB are free; make room, or set SEETELL_CACHE to another folder")
    say(f"{said}, {free / _MB:.0f} MB free")


def _copy(answer: Any, path: Path, start: int, size: int, progress: Progress) -> None:
    done = start
    with path.open("r+b" if start else "wb") as file:
        file.seek(start)
        while block := answer.read(_BLOCK):
            file.write(block)
            done += len(block)
            progress(done // _MB, size // _MB)


def _unpack(archive: Path, folder: Path, address: str) -> None:
    """Take the two jars out of the archive, each put in place whole."""
    try:
        with zipfile.ZipFile(archive) as content:
            names = {Path(name).name: name for name in content.namelist()}
            for jar in CORENLP_JARS:
                if jar not in names:
                    raise DataError(f"{address} holds no {jar}; expected Stanford CoreNLP 3.6.0")
                beside = folder / f".{jar}.tmp"
                with content.open(names[jar]) as source, beside.open("wb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
                beside.replace(folder / jar)
    except zipfile.BadZipFile as error:
        raise DataError(f"{address} is no zip archive ({error}), though its checksum is right") from error
