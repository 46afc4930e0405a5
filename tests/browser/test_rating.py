"""Rating in a real Chromium: by keyboard from the invitation to the thanks, through a crash, without a leak, for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from harness.study.design.sources import Sources
from tests.browser import leaks, rating
from tests.browser.accessible import faults
from tests.browser.rating import Served, as_values, join, number, saved, showing, sit, text, type_form

pytestmark = rating.needs_chromium
PRESS = "keys => keys.forEach(key => window.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, composed: true})))"
HOSTILE = "<img src=x onerror='window.hit=1'><b>bold</b> **stars** $x$"


def hostile_sources() -> Sources:
    """Texts that would like to be markup."""
    plain = leaks.telling_sources()
    runs = (replace(run, texts={each: f"{HOSTILE} {text}" for each, text in run.texts.items()}) for run in plain.runs)
    return replace(plain, runs=tuple(runs))


SOURCES = hostile_sources()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("zqfolderzq")
    design = {"items": 4, "ratings_per_item": 5, "annotators": 5, "share": 0.0, "name": "zqstudyzq"}
    with rating.serving(folder, SOURCES, **design) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with rating.a_browser() as found:
        yield found


def test_a_whole_session_by_keyboard_is_kept_as_typed_and_leaks_nothing(served: Served, browser: Browser) -> None:
    listener = leaks.Listener()
    context = browser.new_context(locale="en")
    listener.attach(context)
    page = join(context, served, "Ada")
    typed = {}
    for count in range(1, 13):
        showing(page, count)
        values = [1 + (count + place) % 5 for place in range(4)]
        typed[text(page)] = as_values(values)
        type_form(page, values)
        if count % 4 == 0:
            listener.look(page)
    page.get_by_role("link", name="Go on").press("Enter")
    page.get_by_text("You have rated 12 texts").wait_for()
    listener.look(page)
    context.close()
    kept = {row["text"]: row["values"] for row in served.rows() if row["pseudonym"] == "Ada"}
    assert kept == typed
    assert len(typed) == 12
    hits = listener.find(leaks.secrets(served.folder, SOURCES, served.folder / "study.sqlite"))
    assert hits == []
    assert listener.frames > 10
    assert listener.bodies > 20
    assert listener.find([next(iter(typed))])  # what is shown was heard, so the search can find things


def test_forms_outlive_a_crash_of_the_server_and_a_closed_tab(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    page = sit(context, served, "Ben")
    type_form(page, [5, 4, 3, 2])
    showing(page, 2)
    saved(page)
    served.kill()
    type_form(page, [1, 1, 2, 2])
    showing(page, 3)
    page.locator(".state").filter(has_text="Offline, 1 kept here").first.wait_for()
    served.start()
    saved(page)
    context.set_offline(True)
    type_form(page, [2, 3, 2, 3])
    showing(page, 4)
    page.keyboard.press("4")  # a form that is only begun
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(f"{served.url}/rate")
    showing(page, 4)
    page.locator(".row.now").filter(has_text="Fluency").wait_for()
    for key in ("5", "4", "5", "Enter"):
        page.keyboard.press(key)
    showing(page, 5)
    saved(page)
    context.close()
    values = [row["values"] for row in served.rows() if row["pseudonym"] == "Ben"]
    assert values == [as_values(each) for each in ([5, 4, 3, 2], [1, 1, 2, 2], [2, 3, 2, 3], [4, 5, 4, 5])]


def test_nothing_is_saved_by_accident(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="de-AT")
    page = context.new_page()
    page.goto(f"{served.url}/?invite={served.invite}")
    page.get_by_label("Name").fill("Eva")
    page.keyboard.press("Enter")
    page.get_by_text("Ich habe das gelesen").click()
    page.get_by_role("button", name="Weiter").click()
    page.get_by_role("button", name="Weiter zur Übung").click()
    page.get_by_role("button", name="Mit dem Bewerten beginnen").click()
    showing(page, 1)
    page.keyboard.press("Enter")  # nothing is set
    page.get_by_text("Noch offen: Coherence").wait_for()
    assert page.locator("html").get_attribute("lang") == "de"
    for _ in range(5):
        page.keyboard.down("1")  # held: it sets one row
    page.keyboard.up("1")
    for key in ("2", "3", "Control+4", "Backspace", "4", "Enter"):  # one short of four: the last is taken back, set again
        page.keyboard.press(key)
    page.get_by_text("Noch offen: Relevance").wait_for()
    assert number(page) == 1
    page.keyboard.press("5")
    box = page.get_by_role("button", name="Speichern").bounding_box()
    assert box
    page.mouse.dblclick(box["x"] + 20, box["y"] + 20)
    showing(page, 2)
    for _ in range(30):
        page.keyboard.down("Enter")  # held: the browser repeats it
    page.keyboard.up("Enter")
    page.get_by_text("Gespeichert").first.wait_for()
    assert number(page) == 2
    page.wait_for_timeout(500)
    # All at once: nobody has read the third or the fourth text.
    page.evaluate(PRESS, [*"1111", "Enter", *"2222", "Enter", *"55555"])
    showing(page, 4)
    page.get_by_text("Gespeichert").first.wait_for()
    assert page.locator("[aria-checked=true]").count() == 0
    context.close()
    kept = [row["values"] for row in served.rows() if row["pseudonym"] == "Eva"]
    assert kept == [as_values(each) for each in ([1, 2, 4, 5], [1, 1, 1, 1], [2, 2, 2, 2])]


def test_the_rating_screen_is_for_everybody(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en", color_scheme="light", viewport={"width": 1280, "height": 844})
    page = sit(context, served, "Lin")
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".rate.dark").wait_for()
    for key in "g?s":
        page.keyboard.press(key)
        page.locator("dialog[open]").wait_for()
        assert faults(page) == []
        page.keyboard.press("Escape")
    assert faults(page) == []
    sizes = page.locator(".cells button").evaluate_all("all => all.map(each => each.getBoundingClientRect())")
    assert len(sizes) == 20
    assert min(min(size["width"], size["height"]) for size in sizes) >= 44
    context.close()


def test_forms_take_the_other_way_when_http_is_blocked_and_texts_are_never_markup(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    page = sit(context, served, "Web")
    shown = text(page)
    assert shown.startswith(HOSTILE)
    page.route("**/api/outbox", lambda route: route.abort())
    type_form(page, [1, 2, 3, 4])
    showing(page, 2)
    saved(page)
    assert [row["values"] for row in served.rows() if row["pseudonym"] == "Web"] == [as_values([1, 2, 3, 4])]
    page.get_by_role("link", name="My work").click()
    page.get_by_text(shown).first.wait_for()
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Save and go on").wait_for()
    page.get_by_text(shown).first.wait_for()
    assert page.evaluate("window.hit") is None
    context.close()
