"""People without a browser: sessions that keep the server busy, and annotators who rate by plain HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.browser import rating
from tests.browser.rating import Served

RERUN_EVERY = 2.0
"""Seconds between two runs of a busy session's script: livelier than anybody who rates."""


@contextlib.contextmanager
def busy_sessions(served: Served, count: int) -> Iterator[list[int]]:
    """So many open sessions whose scripts run all the time; the value counts frames they got, so that a test sees them work."""
    stop, heard = threading.Event(), [0] * count
    threads = [threading.Thread(target=_session, args=(served, index, stop, heard), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=20)


def _session(served: Served, index: int, stop: threading.Event, heard: list[int]) -> None:
    key = rating.seat_key(served, f"busy {index} {uuid.uuid4().hex[:6]}")
    headers = {"Cookie": f"{rating.cookie(served)}={key}"}
    address = f"{served.url.replace('http', 'ws')}/_stcore/stream"
    try:
        with connect(address, additional_headers=headers, max_size=None, open_timeout=rating.PATIENCE_MS / 1000) as socket:
            while not stop.is_set():
                message = BackMsg()
                message.rerun_script.page_name = "rate"
                socket.send(message.SerializeToString())
                until = time.monotonic() + RERUN_EVERY
                while (left := until - time.monotonic()) > 0 and not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        socket.recv(timeout=min(left, 0.5))
                        heard[index] += 1
    except (ConnectionClosed, TimeoutError):
        if not stop.is_set():  # a busy server may be slow to say goodbye
            raise


class Rater:
    """One annotator who rates by HTTP alone, as the component does."""

    def __init__(self, served: Served, name: str) -> None:
        self.served = served
        self.cookie = f"{rating.cookie(served)}={rating.seat_key(served, name)}"
        self.waits: list[float] = []
        self.sent: dict[str, tuple[str, Mapping[str, int]]] = {}
        self.work = self.post("next", {})["work"]

    def post(self, way: str, body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310
            f"{self.served.url}/api/{way}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Cookie": self.cookie},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def rate(self, values: Mapping[str, int]) -> bool:
        """Rate the first text that is there; False when there is none."""
        if not self.work["slots"]:
            return False
        slot = self.work["slots"][0]
        event = str(uuid.uuid4())
        now = int(time.time() * 1000)
        form = {
            "event_id": event, "slot": slot["slot"], "revision": slot["revision"] + 1, "values": dict(values),
            "shown_at": now - 20_000, "first_at": now - 9_000, "sent_at": now, "active_ms": 20_000, "hidden_ms": 0, "changes": 0,
            "input": "keys", "client": "test/1",
        }  # fmt: skip
        began = time.monotonic()
        answer = self.post("outbox", {"forms": [{"kind": "rate", "form": form}]})
        self.waits.append(time.monotonic() - began)
        assert [receipt["status"] for receipt in answer["receipts"]] == ["saved"]
        self.sent[event] = (slot["slot"], dict(values))
        self.work = answer["work"]
        return True
