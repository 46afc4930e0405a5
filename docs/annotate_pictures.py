"""Takes the pictures of the rating app that the README shows: `python docs/annotate_pictures.py`, after `make demo`.

It creates a study of the embedded suite's runs in a temporary folder, lets five simulated annotators rate most of it, serves it
with `seetell annotate`, and visits it with the machine's Chromium (playwright). The ratings in the pictures are random.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from harness.study.admin import StudyAdmin
from harness.study.rating.views import Seat
from harness.study.service import StudyService

HERE = Path(__file__).resolve().parent
PEOPLE = ("Ada", "Ben", "Cleo", "Dov", "Esi")
SECONDS = 60


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="where the runs of toybox-plain are")
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures go")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        (results / "runs").symlink_to((chosen.results / "runs").resolve())
        create = [sys.executable, "-m", "harness.cli", "study", "create", "demo", "--suite", "toybox-plain"]
        subprocess.run([*create, "--items", "60", "--annotators", "5", "--no-practice", "--results", folder], check=True)
        study = results / "studies" / "demo"
        rate_most(study)
        port = free_port()
        serve = [sys.executable, "-m", "harness.cli", "annotate", str(study), "--port", str(port), "--results", folder]
        server = subprocess.Popen(serve, env=os.environ)
        try:
            wait_for(f"http://127.0.0.1:{port}/api/health")
            take(study, f"http://127.0.0.1:{port}", chosen.out)
        finally:
            server.kill()
            server.wait()
    return 0


def rate_most(study: Path) -> None:
    """Submit random ratings of every annotator; longer texts get higher values, so that the pictures show differences."""
    draw, service = random.Random(4), StudyService.open(study)
    seats = [sit(study, service, name) for name in PEOPLE]
    for seat in seats * 20:
        for _ in range(6):
            slots = service.claim(seat, ahead=0).slots
            if slots and draw.random() < 0.95:
                service.submit(seat, made_up(slots[0].slot, slots[0].text, draw))
    service.close()


def made_up(slot: str, text: str, draw: random.Random) -> dict[str, object]:
    """A form with random values."""
    usual = 2.2 + min(len(text), 60) / 40
    values = {
        code: round(min(5, max(1, draw.gauss(usual, 0.7)))) for code in ("coherence", "fluency", "informativeness", "relevance")
    }
    now = int(time.time() * 1000)
    return {
        "event_id": str(uuid.UUID(int=draw.getrandbits(128), version=4)), "slot": slot, "revision": 0, "values": values,
        "shown_at": now - 20_000, "first_at": now - 9_000, "sent_at": now, "active_ms": draw.randint(9_000, 30_000),
        "hidden_ms": 0, "changes": 0, "input": "keys", "client": "pictures/1",
    }  # fmt: skip


def sit(study: Path, service: StudyService, name: str) -> Seat:
    """Join the study and start rating."""
    admin = StudyAdmin.open(study)
    seat = service.join(admin.invite(), name)
    admin.close()
    service.consent(seat, service.protocol().consent_version)
    return service.begin(seat)


def take(study: Path, url: str, out: Path) -> None:
    """Visit the application and take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, scheme, size in (
            ("light", "light", (1280, 720)),
            ("dark", "dark", (1280, 720)),
            ("phone", "light", (390, 844)),
        ):
            page = visit(browser, study, url, scheme, size)
            for key in "45":
                page.keyboard.press(key)
            page.wait_for_timeout(600)
            page.screenshot(path=out / f"annotate-{name}.png")
            page.context.close()
        page = visit(browser, study, url, "light", (1280, 900), role="admin")
        page.goto(f"{url}/admin")
        page.get_by_text("Ordinal alpha").wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=out / "annotate-overview.png")
        browser.close()


def visit(browser: Browser, study: Path, url: str, scheme: str, size: tuple[int, int], role: str = "annotator") -> Page:
    """A page of an annotator who has started before."""
    service, admin = StudyService.open(study), StudyAdmin.open(study)
    seat = service.join(admin.invite(role=role), f"{role} {scheme} {size[0]}")  # type: ignore[arg-type]
    service.consent(seat, service.protocol().consent_version)
    service.begin(seat)
    name = f"seetell_seat_{service.protocol().study}"
    service.close()
    admin.close()
    context = browser.new_context(locale="en", color_scheme=scheme, viewport={"width": size[0], "height": size[1]})  # type: ignore[arg-type]
    context.add_cookies([{"name": name, "value": str(seat.key), "url": url, "httpOnly": True}])
    page = context.new_page()
    page.goto(f"{url}/rate")
    page.locator(".rate .count").wait_for()
    page.wait_for_timeout(800)
    return page


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    """Wait until the server answers."""
    for _ in range(SECONDS * 4):
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except OSError:
            time.sleep(0.25)
        else:
            return
    raise SystemExit(f"{url} did not answer within {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
