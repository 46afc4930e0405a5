"""Two servers on this machine: a folder with Range support that hangs up or stalls when told to, and a small Hugging Face hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Served:
    """What a server has and how it behaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        self.stall_after: int | None = None
        """Send so many bytes of a file larger than that, then nothing more, until `go_on`."""
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.address = ""


@contextlib.contextmanager
def _serving(state: Served, handler: type[BaseHTTPRequestHandler]) -> Iterator[Served]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[Served]:
    """A folder as any web server serves it."""
    state = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            wanted = self.headers.get("Range", "")
            state.asked.append((self.path, wanted))
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            with contextlib.suppress(OSError):
                if state.stall_after is not None and len(content) > state.stall_after:
                    self.wfile.write(content[start : start + state.stall_after])
                    self.wfile.flush()
                    state.stalled.set()
                    state.go_on.wait(300)
                    return
                self.wfile.write(content[start:])

        def log_message(self, format: str, *args: object) -> None:
            return

    with _serving(state, Handler) as running:
        yield running


@contextlib.contextmanager
def serve_hub(repositories: dict[str, tuple[str, Path]]) -> Iterator[Served]:
    """What `huggingface_hub` asks a hub for: the listing of a repository at a revision, and its files.

    Args:
        repositories: by `org/name`, the commit and the folder of the files.
    """
    state = Served(Path())

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            state.asked.append((path, self.headers.get("Range", "")))
            for name, (commit, folder) in repositories.items():
                if path.startswith((f"/api/models/{name}/revision/", f"/api/models/{name}")):
                    self.send(json.dumps(listing(name, commit, folder)).encode(), commit, "application/json", body)
                    return
                if path.startswith(f"/{name}/resolve/{commit}/"):
                    file = folder / path.removeprefix(f"/{name}/resolve/{commit}/")
                    self.send(file.read_bytes(), commit, "application/octet-stream", body)
                    return
            self.send_error(404)

        def send(self, content: bytes, commit: str, kind: str, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if body:
                with contextlib.suppress(OSError):
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    with _serving(state, Handler) as running:
        yield running


def listing(name: str, commit: str, folder: Path) -> dict[str, object]:
    """A repository as the hub lists it, with the hash of what it keeps as a large file."""
    files = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        entry: dict[str, object] = {"rfilename": path.relative_to(folder).as_posix(), "size": len(content)}
        if path.suffix == ".safetensors":
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        files.append(entry)
    return {"id": name, "modelId": name, "sha": commit, "siblings": files, "tags": [], "private": False}
