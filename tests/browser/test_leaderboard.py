"""The leaderboard page in a real Chromium: it sorts, filters and changes its colours, fits a phone, and runs nobody's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.leaderboard import render
from harness.store.numbers import Column
from tests.browser import chromium
from tests.browser.chromium import Page
from tests.harness.leaderboard.samples import COLUMNS, HOSTILE, board, hostile_board

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on PATH; apt-get install chromium")

ORDER = "[...document.querySelectorAll('tbody .decoder')].map(each => each.textContent)"
SORTED = "[...document.querySelectorAll('th[aria-sort]')].map(each => [each.innerText.trim(), each.ariaSort])"
LATER = "new Promise(done => setTimeout(() => done(document.documentElement.id), 200))"
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium.page(str(chromium.find()), tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(tab: Page, tmp_path: Path) -> Page:
    """The plain board, in light colours, on a wide screen."""
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    tab.call("Emulation.clearDeviceMetricsOverride")
    return show(tab, tmp_path, render([board()], "html"))


def show(tab: Page, folder: Path, text: str) -> Page:
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    tab.open(file)
    tab.evaluate("localStorage.clear()")
    return tab


def test_the_script_runs_under_its_own_policy_and_nothing_is_fetched(page: Page) -> None:
    assert page.evaluate("document.getElementById('theme').hidden") is False
    assert page.evaluate("document.querySelectorAll('button:disabled').length") == 0
    addresses = {each["request"]["url"].partition(":")[0] for each in page.seen("Network.requestWillBeSent")}
    assert addresses <= {"file", "data"}
    assert [each["entry"] for each in page.seen("Log.entryAdded")] == []
    assert page.seen("Runtime.exceptionThrown") == []


def test_columns_sort_by_click_and_by_key_with_the_incomplete_last(page: Page) -> None:
    assert page.evaluate(ORDER) == ["magic", "clipre", "constant", "contrastive", "greedy", "elsewhere", "nucleus"]
    page.evaluate("[...document.querySelectorAll('th .sort')].find(each => each.textContent.includes('rep-2')).focus()")
    page.press("Enter", "\r")
    assert page.evaluate(SORTED) == [["rep-2 ↓", "ascending"]]
    order = page.evaluate(ORDER)
    assert (order[0], order[-3:]) == ("contrastive", ["greedy", "clipre", "nucleus"])
    page.press("Enter", "\r")
    order = page.evaluate(ORDER)
    assert (order[0], order[-3:]) == ("greedy", ["contrastive", "clipre", "nucleus"])
    page.evaluate("document.querySelector('th .sort').click()")
    assert page.evaluate(ORDER) == [*sorted(["magic", "clipre", "constant", "contrastive", "greedy", "elsewhere"]), "nucleus"]


def test_sorting_never_mixes_signatures(page: Page) -> None:
    for _ in range(2):
        page.evaluate("[...document.querySelectorAll('th .sort')].find(each => each.innerText.includes('CIDEr')).click()")
        assert page.evaluate(ORDER)[-2:] == ["elsewhere", "nucleus"]


def test_the_filter_keeps_examples_that_hold_every_word(page: Page) -> None:
    page.evaluate("document.querySelector('input[type=search]').focus()")
    page.type("BALL blue")
    hidden = "[...document.querySelectorAll('.example')].map(each => each.hidden)"
    assert page.evaluate(hidden) == [True, False]
    assert page.evaluate("document.querySelector('.tally').textContent") == "1 of 2 examples"
    page.evaluate("document.querySelector('input[type=search]').select()")
    page.type(" ")
    assert page.evaluate(hidden) == [False, False]


def test_colours_follow_the_system_until_the_reader_chooses(page: Page) -> None:
    light = page.evaluate(PAPER)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = page.evaluate(PAPER)
    assert dark != light
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(PAPER) == light
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(PAPER) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_readers_need(page: Page, scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1."""
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    contrasts = page.evaluate(
        """(() => {
          const style = getComputedStyle(document.documentElement);
          const luminance = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
              .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          return ["--ink", "--soft", "--accent", "--warm"].flatMap((ink) => ["--paper", "--card", "--faint"].map((paper) => {
            const [a, b] = [luminance(ink), luminance(paper)].sort((x, y) => y - x);
            return [`${ink} on ${paper}`, (a + 0.05) / (b + 0.05)];
          }));
        })()"""
    )
    assert len(contrasts) == 12
    assert [pair for pair, contrast in contrasts if contrast < 4.5] == []


def test_a_phone_scrolls_the_table_not_the_page(page: Page, tmp_path: Path) -> None:
    more = tuple(Column(f"m{index}", f"Metric {index}") for index in range(12))
    show(page, tmp_path, render([replace(board(), columns=(*COLUMNS, *more))], "html"))
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    assert page.evaluate("document.querySelector('.example').scrollWidth <= innerWidth")
    page.evaluate("document.querySelector('.scroll').scrollLeft = 200")
    assert page.evaluate("document.querySelector('.scroll').scrollLeft") == 200
    assert 0 <= page.evaluate("document.querySelector('tbody .name').getBoundingClientRect().left") < 40


def test_hostile_text_is_inert(tab: Page, tmp_path: Path) -> None:
    show(tab, tmp_path, render([hostile_board(), replace(board(), suite=HOSTILE[1])], "html"))
    assert tab.evaluate("document.documentElement.id") == ""
    assert tab.evaluate("[document.scripts.length, document.images.length]") == [1, 1]
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(name => /^on/i.test(name))"
    assert tab.evaluate(handlers) == []
    assert tab.evaluate("document.querySelector('.answers bdi').textContent") in HOSTILE
    assert tab.evaluate("document.title").startswith("SeeTell leaderboard: <script>")
    assert [each["entry"] for each in tab.seen("Log.entryAdded")] == [], "the policy had nothing to stop"


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_the_policy_stops_text_that_was_not_escaped(text: str, tab: Page, tmp_path: Path) -> None:
    """The second wall by itself; and without both walls the payload does run, or these tests would prove nothing."""
    whole = render([board()], "html")
    show(tab, tmp_path, whole.replace("<main", f'<p title="{text}">{text}</p><main'))
    assert tab.evaluate(LATER) == ""
    assert any("Content Security Policy" in each["entry"]["text"] for each in tab.seen("Log.entryAdded"))
    show(tab, tmp_path, f'<!DOCTYPE html><p title="{text}">{text}</p>')
    assert tab.evaluate(LATER) == "pwned"
