"""The README's pictures: the committed leaderboard in a Chromium, in light and dark, on a phone, and one of its examples.

`make screenshots`. It needs playwright (of the extra `dev`) and a Chromium on PATH; `SEETELL_CHROMIUM` names another.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "results" / "leaderboard"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SUITE = "toybox-plain"
SHOTS = (
    # file, page, colours, width, height, what is brought to the top
    ("leaderboard.png", "index.html", "light", 1280, 1000, f"#{SUITE}"),
    ("leaderboard-dark.png", "index.html", "dark", 1280, 620, ".figure"),
    ("leaderboard-phone.png", "index.html", "light", 390, 844, ""),
    ("leaderboard-example.png", f"examples/{SUITE}.html", "light", 1280, 900, "example"),
)


def main() -> None:
    """Take every picture, into this folder."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("SEETELL_CHROMIUM") or next((path for path in map(shutil.which, BROWSERS) if path), None)
    if chromium is None:
        sys.exit("there is no Chromium on PATH; install one, or name it in SEETELL_CHROMIUM")
    if not (SITE / "index.html").is_file():
        sys.exit(f"there is no leaderboard in {SITE}; `make leaderboard` makes it")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file, page, colours, width, height, top in SHOTS:
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
            tab.goto(f"{SITE.as_uri()}/{page}")
            _bring(tab, top)
            _save(tab.screenshot(), ROOT / "docs" / file)
            tab.close()
        browser.close()


def _bring(tab: Any, top: str) -> None:
    board = tab.locator("section[data-board]", has=tab.locator("h2", has_text=SUITE)).filter(
        has=tab.get_by_role("heading", name=SUITE, exact=True)
    )
    if top == "example":
        tab.locator(".card").first.click()
        tab.locator("#example img").evaluate("(image) => image.decode()")
    elif top.startswith("."):
        board.locator(top).evaluate("(element) => scrollTo(0, element.offsetTop - 80)")
    elif top:
        board.evaluate("(element) => scrollTo(0, element.offsetTop - 30)")


def _save(content: bytes, file: Path) -> None:
    """As a PNG of 256 colours, a third of the size."""
    from PIL import Image

    Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(file, optimize=True)
    print(f"wrote {file.relative_to(ROOT)}")  # noqa: T201


if __name__ == "__main__":
    main()
