"""A data set hub on this machine: as much of the Hugging Face hub's protocol as the `datasets` library asks for.

One repository at one commit. Requests for anything else are answered as the hub answers them: 404 with the name of the error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def serve_hub(repository: str, commit: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the files of a folder as a data set of that name.

    Yields:
        The server's address, for `HF_ENDPOINT`, and the list of paths asked for so far.
    """
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing on standard error."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            asked.append(self.path)
            path = self.path.partition("?")[0]
            resolve, tree = f"/datasets/{repository}/resolve/{commit}/", f"/api/datasets/{repository}/tree/{commit}"
            if path.startswith(resolve):
                name = path.removeprefix(resolve)
                self._send(files[name]) if name in files else self._refuse("EntryNotFound")
            elif path.startswith(tree):
                entries = _entries(files, path.removeprefix(tree).strip("/"))
                self._send(json.dumps(entries).encode()) if entries else self._refuse("EntryNotFound")
            elif path in (f"/api/datasets/{repository}", f"/api/datasets/{repository}/revision/{commit}"):
                self._send(json.dumps(_about(repository, commit, files)).encode())
            else:
                self._refuse("RevisionNotFound")

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def _refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _about(repository: str, commit: str, files: dict[str, bytes]) -> dict[str, Any]:
    return {"id": repository, "sha": commit, "private": False, "gated": False, "tags": [], "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": name} for name in files]}  # fmt: skip


def _entries(files: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
    """What lies directly in a folder of the repository."""
    found: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        if folder and not name.startswith(f"{folder}/"):
            continue
        rest = name.removeprefix(f"{folder}/") if folder else name
        first, slash, _ = rest.partition("/")
        path = f"{folder}/{first}" if folder else first
        oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        found[path] = {"type": "directory" if slash else "file", "path": path, "size": 0 if slash else len(content), "oid": oid}
    return list(found.values())
