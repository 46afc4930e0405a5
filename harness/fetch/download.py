"""Download a file over HTTP and resume where a download stopped; used by `seetell prefetch`."""

from __future__ import annotations

import http.client
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from harness.errors import DataError
from harness.store.durable import BLOCK, MB, Progress
from harness.store.runs import replacing

ProgressBar = Callable[[str], AbstractContextManager[Progress]]


_SECONDS = 60


_TRIES = 5


UNREACHABLE = (URLError, TimeoutError, ConnectionError, http.client.HTTPException)
"""What a server that cannot be reached or breaks off raises."""


def download(
    address: str, path: Path, *, size: int, progress: Progress, before: Callable[[int, int], None] = lambda size, have: None
) -> None:
    """Fetch into `path`, resuming after the bytes it holds; a broken connection is retried as long as bytes arrive.

    Args:
        address: http or https.
        path: the unfinished file.
        size: bytes of the whole, used only where the server does not tell.
        progress: called with megabytes there and due.
        before: called once with the size and what is there, before anything is written.

    Raises:
        DataError: it cannot be fetched; what came is kept.
    """
    announced = False
    failures = 0
    while True:
        have = path.stat().st_size if path.exists() else 0
        try:
            with opened(address, have) as answer:
                start, whole = _range(answer, have, size)
                if not announced:
                    before(whole, start)
                    announced = True
                _copy(answer, path, start, whole, progress)
            if path.stat().st_size >= whole:
                return
            error: Exception = OSError(f"the connection ended after {path.stat().st_size} of {whole} bytes")
        except HTTPError as refusal:
            if refusal.code == 416 and have:  # nothing after what we have: the checksum will tell whether it is all
                return
            raise DataError(f"{address} answered {refusal.code} {refusal.reason}; try --mirror URL") from refusal
        except UNREACHABLE as failure:
            error = failure
        now = path.stat().st_size if path.exists() else 0
        # Only attempts that bring nothing count: a slow connection that breaks often still gets there.
        failures = 0 if now > have else failures + 1
        if failures >= _TRIES or (not now and failures):
            raise DataError(
                f"{address} cannot be fetched ({error}); {now} bytes are kept, and the same command resumes from there. "
                "If this machine cannot reach it, fetch it on another one and name the copy with --mirror URL"
            )
        time.sleep(min(failures, _TRIES))


def check_address(address: str, flag: str) -> str:
    """The address without a slash at its end.

    Raises:
        DataError: it is not one of the web.
    """
    if not address.startswith(("http://", "https://")):
        raise DataError(f"{flag} {address}: expected an address that starts with http:// or https://")
    return address.rstrip("/")


def extract(archive: Path, members: Mapping[str, Path], *, owner: str, remedy: str) -> None:
    """Extract files from a zip archive, each renamed into place when complete.

    Args:
        archive: the zip file.
        members: file names in it, in whatever folder, with the paths to write them to.
        owner: where the archive is from, for messages.
        remedy: what to do where a member is missing.

    Raises:
        DataError: it is not a zip archive, or has no such member.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            names = {Path(name).name: name for name in content.namelist()}
            for member, target in members.items():
                if member not in names:
                    raise DataError(f"{owner} holds no {member}; {remedy}")
                with content.open(names[member]) as source, replacing(target) as file:
                    shutil.copyfileobj(source, file, BLOCK)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise DataError(f"{owner} is no zip archive ({error}); it was deleted, try again") from error


def room_in(folder: Path) -> int:
    """Free bytes where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def opened(address: str, start: int = 0, method: str = "GET") -> Any:
    """The answer of a server to a question for a file from a byte on."""
    headers = {"User-Agent": "seetell", **({"Range": f"bytes={start}-"} if start else {})}
    return urlopen(Request(address, headers=headers, method=method), timeout=_SECONDS)  # noqa: S310 - http and https only: `check_address`


def _range(answer: Any, have: int, size: int) -> tuple[int, int]:
    """Where the answer starts in the file, and how long the file is in all."""
    if answer.status == 206:
        part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if part and int(part.group(1)) == have:
            return have, int(part.group(2))
        raise http.client.HTTPException(f"it answered with another part than asked: {answer.headers.get('Content-Range')}")
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length else size


def _copy(answer: Any, path: Path, start: int, size: int, progress: Progress) -> None:
    done = start
    with path.open("r+b" if start else "wb") as file:
        file.seek(start)
        while block := answer.read1(BLOCK):  # what has come, so that little is lost to a kill
            file.write(block)
            done += len(block)
            progress(done // MB, size // MB)
