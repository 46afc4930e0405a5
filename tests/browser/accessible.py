"""Holds a page to WCAG 2.2 AA with axe-core, and to the width of its window."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
_axe = Axe()


def faults(page: Page) -> list[str]:
    """What is wrong with a page as it is now: axe's violations, and whether it scrolls sideways."""
    found: dict[str, Any] = _axe.run(page, options=RULES).response
    assert len(found["passes"]) > 5, "axe looked at nothing"
    told = []
    for each in found["violations"]:
        for node in each["nodes"]:
            checks = node["any"] + node["all"] + node["none"]
            told.append(f"{each['id']} at {node['target']}: {node['html'][:200]} {[check['message'] for check in checks][:2]}")
    wide, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if wide > room:
        told.append(f"scrolls sideways: {wide} px in a window of {room} px")
    return told
