"""A study that is being served, and a person at a browser: what the browser tests of the rating app share."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from harness.study.admin import StudyAdmin
from harness.study.design.create import create
from harness.study.design.fill import Design
from harness.study.design.sources import Sources
from harness.study.service import StudyService
from tests.browser import chromium
from tests.studies import some_sources

ASPECTS = ("coherence", "fluency", "informativeness", "relevance")
START_SECONDS = 300
PATIENCE_MS = 90_000.0
"""For what comes at once on a machine that has nothing else to do."""
ROOT = Path(__file__).resolve().parents[2]
needs_chromium = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on PATH; apt-get install chromium")


@dataclass
class Served:
    """A study and the process that serves it."""

    folder: Path
    invite: str
    secret: str
    port: int
    home: Path = ROOT
    """Where the process runs; Streamlit's secrets may lie there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default=Path())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server as users do, and wait until it answers."""
        self.log = self.folder / "server.log"
        command = [sys.executable, "-m", "harness.cli", "annotate", str(self.folder), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.home, env=os.environ | {"OMP_NUM_THREADS": "1"} | self.environment
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.healthy():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"no answer within {START_SECONDS} seconds: {self.log.read_text()}"
            time.sleep(0.05)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as answer:  # noqa: S310
                return bool(json.load(answer)["status"] == "ok")
        except OSError:
            return False

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def rows(self) -> list[dict[str, Any]]:
        """Current forms as the database has them, in the order in which they were finished."""
        import sqlite3

        query = """
            SELECT submission.event_id, slot.public_id AS slot, submission.revision, submission.status, aspect.code, rating.value,
                   submission.active_ms, submission.hidden_ms, output.text, annotator.pseudonym, submission.sent_at
            FROM submission JOIN rating USING (event_id) JOIN slot ON slot.id = submission.slot_id
            JOIN aspect ON aspect.id = rating.aspect_id JOIN output ON output.id = slot.output_id
            JOIN annotator ON annotator.id = submission.annotator_id
            ORDER BY submission.sent_at, submission.event_id
        """
        database = sqlite3.connect(f"file:{self.folder / 'study.sqlite'}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        forms: dict[str, dict[str, Any]] = {}
        for row in database.execute(query):
            names = ("event_id", "slot", "revision", "status", "text", "active_ms", "hidden_ms", "pseudonym")
            form = forms.setdefault(row["event_id"], {name: row[name] for name in names} | {"values": {}})
            form["values"][row["code"]] = row["value"]
        database.close()
        return list(forms.values())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def a_study(folder: Path, sources: Sources | None = None, **design: Any) -> Served:
    """A new study, and a port at which it can be served."""
    wanted = {"name": "toy", "items": 12, "ratings_per_item": 2, "annotators": 2, "practice": False} | design
    made = create(Design(**wanted), sources or some_sources(30, 6), folder)
    admin = StudyAdmin.open(folder)
    served = Served(folder, admin.invite(uses=1000), made.admin_secret, free_port())
    admin.close()
    return served


@contextmanager
def serving(folder: Path, sources: Sources | None = None, **design: Any) -> Iterator[Served]:
    """A new study, served as long as the block runs."""
    served = a_study(folder, sources, **design)
    served.start()
    try:
        yield served
    finally:
        served.kill()


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Chromium, as the machine has it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find() or shutil.which("chromium"), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def join(context: BrowserContext, served: Served, name: str) -> Page:
    """Somebody joins, agrees and begins; the rating screen shows. Keyboard only."""
    page = context.new_page()
    page.goto(f"{served.url}/?invite={served.invite}")
    page.get_by_label("Name").press_sequentially(name)
    page.keyboard.press("Enter")
    page.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Go on").press("Enter")
    page.get_by_role("button", name="On to practice").press("Enter")
    page.get_by_role("button", name="Begin rating").press("Enter")
    showing(page, 1)
    return page


def seat_key(served: Served, name: str) -> str:
    """A seat of somebody who has agreed and begun, without a browser."""
    service = StudyService.open(served.folder)
    seat = service.join(served.invite, name)
    service.consent(seat, service.protocol().consent_version)
    for item in service.practice(seat):
        told = service.answer_practice(seat, item.id, dict.fromkeys(ASPECTS, 3))
        service.answer_practice(seat, item.id, dict.fromkeys(ASPECTS, 3) | {each.aspect: each.low for each in told.values})
    service.begin(seat)
    service.close()
    return str(seat.key)


def cookie(served: Served) -> str:
    """Name of the cookie that holds a seat."""
    service = StudyService.open(served.folder)
    study = service.protocol().study
    service.close()
    return f"seetell_seat_{study}"


def sit(context: BrowserContext, served: Served, name: str) -> Page:
    """Somebody who has begun earlier comes back: the rating screen shows."""
    key = seat_key(served, name)
    context.add_cookies([{"name": cookie(served), "value": key, "url": served.url, "httpOnly": True}])
    page = context.new_page()
    page.goto(f"{served.url}/rate")
    showing(page, 1)
    return page


def showing(page: Page, number: int, timeout: float = PATIENCE_MS) -> None:
    """Wait until the so-many-th text is on the screen."""
    page.locator(".rate .count").filter(has_text=re.compile(rf"^{number} ")).wait_for(timeout=timeout)


def number(page: Page) -> int:
    """Which text is on the screen."""
    return int((page.locator(".rate .count").text_content() or "0").split()[0])


def text(page: Page) -> str:
    """The text on the screen."""
    return page.locator(".rate .text").text_content() or ""


def saved(page: Page, timeout: float = PATIENCE_MS) -> None:
    """Wait until the screen says that everything is saved."""
    page.locator(".state:visible").filter(has_text="Saved").wait_for(timeout=timeout)


def type_form(page: Page, values: Sequence[int], gap_ms: int = 0) -> None:
    """Press a digit an aspect, then Enter."""
    for value in values:
        page.keyboard.press(str(value))
        if gap_ms:
            page.wait_for_timeout(gap_ms)
    page.keyboard.press("Enter")


def as_values(values: Sequence[int]) -> Mapping[str, int]:
    """The same by aspect."""
    return dict(zip(ASPECTS, values, strict=True))
