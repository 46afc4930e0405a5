"""`seetell prefetch spice` from a server on this machine: whole, cut off, gone on with, wrong, without room."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import DataError
from harness.fetch import download
from harness.fetch import spice as prefetch
from harness.fetch.spice import ARCHIVE, fetch_spice
from harness.metrics.coco.java import CORENLP_JARS
from harness.store.durable import Progress
from tests.harness.in_process import seetell_here


def archive(jars: tuple[str, ...] = CORENLP_JARS) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        content.writestr("stanford-corenlp-full-2015-12-09/README.txt", "read me")
        for jar in jars:
            content.writestr(f"stanford-corenlp-full-2015-12-09/{jar}", jar.encode() * 5000)
    return buffer.getvalue()


class Mirror:
    """What the server has, how it behaves, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after: list[int] = []
        """How many bytes to send before hanging up, for each of the next answers."""
        self.ranges = True
        self.asked: list[tuple[str, str]] = []
        self.address = ""

    def offer(self, content: bytes, checksum: str | None = None) -> None:
        self.files = {f"/nlp/{ARCHIVE}": content}
        if checksum != "":
            digest = checksum or hashlib.sha256(content).hexdigest()
            self.files[f"/nlp/{ARCHIVE}.sha256"] = f"{digest}  {ARCHIVE}\n".encode()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted[len("bytes=") : -1]) if wanted and state.ranges else 0
            if start >= len(content) > 0 and wanted:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cut = state.cut_after.pop(0) if state.cut_after and self.path.endswith(".zip") else len(content)
            with contextlib.suppress(OSError):
                self.wfile.write(content[start : start + cut])

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/nlp"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return tmp_path / "cache" / "spice"


@contextlib.contextmanager
def no_bar(what: str) -> Iterator[Progress]:
    yield lambda done, total: None


def fetch(mirror: Mirror, say: Callable[[str], None] = lambda text: None) -> Path:
    return fetch_spice(mirror.address, say=say, progress_bar=no_bar)


def whole(folder: Path) -> bool:
    return {each.name: each.read_bytes() for each in folder.iterdir()} == {jar: jar.encode() * 5000 for jar in CORENLP_JARS}


def test_both_jars_are_put_in_place_and_the_room_is_told_before(mirror: Mirror, cache: Path) -> None:
    mirror.offer(archive())
    said: list[str] = []
    assert fetch(mirror, said.append) == cache
    assert whole(cache)
    assert "room needed" in said[0]
    before = len(mirror.asked)
    fetch(mirror, said.append)
    assert len(mirror.asked) == before
    assert "already" in said[-1]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_gone_on_with(mirror: Mirror, cache: Path, ranges: bool) -> None:
    content = archive()
    mirror.offer(content)
    mirror.ranges = ranges
    mirror.cut_after = [len(content) // 3, len(content) // 3]
    fetch(mirror)
    assert whole(cache)
    starts = [wanted for path, wanted in mirror.asked if path.endswith(".zip")]
    assert starts == ["", f"bytes={len(content) // 3}-", f"bytes={len(content) // 3 * (2 if ranges else 1)}-"]


def test_what_was_left_by_an_earlier_command_is_gone_on_with(mirror: Mirror, cache: Path) -> None:
    content = archive()
    mirror.offer(content)
    for kept in (content[:1000], content):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        (cache / f"{ARCHIVE}.part").write_bytes(kept)
        fetch(mirror)
        assert whole(cache)
        assert mirror.asked[-1][1] == f"bytes={len(kept)}-"


def test_a_wrong_checksum_puts_nothing_in_place_and_the_next_try_starts_anew(mirror: Mirror, cache: Path) -> None:
    mirror.offer(archive(), "0" * 64)
    with pytest.raises(DataError, match=f"says {'0' * 64}"):
        fetch(mirror)
    assert list(cache.iterdir()) == []
    mirror.offer(archive())
    fetch(mirror)
    assert whole(cache)


def test_a_damaged_beginning_is_found_out(mirror: Mirror, cache: Path) -> None:
    mirror.offer(archive())
    cache.mkdir(parents=True)
    (cache / f"{ARCHIVE}.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="deleted"):
        fetch(mirror)
    fetch(mirror)
    assert whole(cache)


@pytest.mark.parametrize(
    ("content", "checksum", "message"),
    [
        (archive(), "", r"\.sha256 cannot be fetched .*404"),
        (archive(), "not a checksum", "64 hexadecimal digits"),
        (archive(CORENLP_JARS[:1]), None, "holds no stanford-corenlp-3.6.0-models.jar"),
        (b"no zip", None, "no zip archive"),
    ],
)
def test_what_is_wrong_with_a_mirror_is_told(
    mirror: Mirror, cache: Path, content: bytes, checksum: str | None, message: str
) -> None:
    mirror.offer(content, checksum)
    with pytest.raises(DataError, match=message):
        fetch(mirror)
    assert not any((cache / jar).exists() for jar in CORENLP_JARS[1:])


def test_without_the_address_or_the_room_it_says_so(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.offer(archive())
    mirror.files.pop(f"/nlp/{ARCHIVE}")
    with pytest.raises(DataError, match="404"):
        fetch(mirror)
    mirror.offer(archive())
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match="make room"):
        fetch(mirror)
    assert not (cache / f"{ARCHIVE}.part").exists()
    with pytest.raises(DataError, match="http"):
        fetch_spice("ftp://x", say=lambda text: None, progress_bar=no_bar)


def test_a_server_that_is_not_there_is_told_with_what_is_kept(mirror: Mirror, cache: Path) -> None:
    content = archive()
    mirror.offer(content)
    mirror.cut_after = [1000, *[0] * 20]
    with pytest.raises(DataError, match="1000 bytes are kept, and the same command resumes"):
        fetch(mirror)
    mirror.cut_after = []
    fetch(mirror)
    assert whole(cache)


def test_from_its_own_home_the_pinned_checksum_decides(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.offer(archive(), "")
    monkeypatch.setattr(prefetch, "HOME", mirror.address)
    with pytest.raises(DataError, match=f"SeeTell says {prefetch.SHA1}"):
        fetch_spice(None, say=lambda text: None, progress_bar=no_bar)
    monkeypatch.setattr(prefetch, "SHA1", hashlib.sha1(archive()).hexdigest())  # noqa: S324 - what is pinned is a SHA-1
    fetch_spice(None, say=lambda text: None, progress_bar=no_bar)
    assert whole(cache)


def test_the_command(mirror: Mirror, tmp_path: Path) -> None:
    mirror.offer(archive())
    environment = {"SEETELL_CACHE": str(tmp_path / "cache")}
    done = seetell_here("prefetch", "spice", "--mirror", mirror.address, "--json", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["spice"])
    assert whole(folder)
    assert "room needed" in done.stderr
