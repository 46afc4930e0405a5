"""A file fetched over HTTP, gone on with where it stopped: what `seetell prefetch` stands on."""

from __future__ import annotations

import http.client
import re
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from harness.errors import DataError
from harness.store.durable import BLOCK, MB, Progress

ProgressBar = Callable[[str], AbstractContextManager[Progress]]


_SECONDS = 60


_TRIES = 5


UNREACHABLE = (URLError, TimeoutError, ConnectionError, http.client.HTTPException)
"""What a server that cannot be reached or breaks off raises."""


def download(
    address: str,
    path: Path,
    *,
    size: int,
    progress: Progress,
    before: Callable[[int, int], None] = lambda size, have: None,
) -> None:
    """Fetch into `path`, going on after what it holds; a broken connection is tried again as long as something comes.

    Args:
        address: http or https.
        path: the unfinished file.
        size: bytes of the whole, used only where the server does not tell.
        progress: called with megabytes there and due.
        before: called once with the size and what is there, before anything is written.

    Raises:
        DataError: it cannot be fetched; what came is kept.
    """
    told = False
    failures = 0
    while True:
        have = path.stat().st_size if path.exists() else 0
        try:
            with opened(address, have) as answer:
                start, whole = _range(answer, have, size)
                if not told:
                    before(whole, start)
                    told = True
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
        failures = 0 if now > have else failures + 1
        if failures >= _TRIES or (not now and failures):
            raise DataError(
                f"{address} cannot be fetched ({error}); {now} bytes are kept, and the same command goes on from there. "
                "Without a way there, fetch it elsewhere and name the place with --mirror URL"
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
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if found and int(found.group(1)) == have:
            return have, int(found.group(2))
        raise http.client.HTTPException(
            f"it answered with another part than asked: {answer.headers.get('Content-Range')}"
        )
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
