"""Rating where things go wrong: images that come late, storage that is full, a server whose clock goes back, other keyboards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.browser import rating
from tests.browser.rating import Served, as_values, saved, showing, sit, type_form

pytestmark = [rating.needs_chromium, pytest.mark.heavy]
OFFLINE = {
    "forbidden": "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, "
    "{get() { throw new DOMException('forbidden', 'SecurityError'); }});",
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
}
FRENCH = """for (const [key, code] of [['&', 'Digit1'], ['é', 'Digit2'], ['"', 'Digit3'], ["'", 'Digit4']])
  window.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true, composed: true}));"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with rating.serving(
        tmp_path_factory.mktemp("trouble"), rating.some_sources(30, 3), items=4, ratings_per_item=8, annotators=8, share=0.0
    ) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with rating.a_browser() as found:
        yield found


def kept(served: Served, name: str) -> list[dict[str, int]]:
    return [row["values"] for row in served.rows() if row["pseudonym"] == name]


def picture(page: Page) -> tuple[str, int]:
    """Address and width of the image that is on the screen; no width while there is none."""
    address, width = page.locator(".zoom img").evaluate("image => [image.getAttribute('src'), image.naturalWidth]")
    return address, width


def test_no_text_stands_beside_the_image_of_another(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    page = context.new_page()
    held: dict[str, list[Route]] = {}
    context.route("**/api/image/*", lambda route: held.setdefault(route.request.url, []).append(route))
    page.close()
    page = sit(context, served, "Isa")
    page.get_by_text("The image is loading.").wait_for()
    first, width = picture(page)
    assert width == 0
    for route in held.pop(served.url + first):
        route.continue_()
    page.get_by_text("The image is loading.").wait_for(state="hidden")
    assert picture(page) == (first, 8)
    for count in range(1, 4):  # three texts an image; the next image is held back
        type_form(page, [1, 2, 3, 4])
        showing(page, count + 1)
    second, width = picture(page)
    assert second != first
    assert width == 0
    for routes in held.values():
        for route in routes:
            route.abort()
    page.get_by_text("is asked for again").wait_for()
    context.unroute("**/api/image/*")
    page.get_by_text("is asked for again").wait_for(state="hidden")
    assert picture(page) == (second, 8)
    context.close()


@pytest.mark.parametrize("storage", OFFLINE)
def test_without_storage_the_tab_keeps_the_forms_says_so_and_asks_before_it_closes(
    served: Served, browser: Browser, storage: str
) -> None:
    context = browser.new_context(locale="en")
    context.add_init_script(OFFLINE[storage])
    page = sit(context, served, storage)
    context.set_offline(True)
    type_form(page, [5, 4, 3, 2])
    showing(page, 2)
    page.locator(".state:visible").filter(has_text="1 kept here – keep this tab open").wait_for()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    context.set_offline(False)
    saved(page)
    context.close()
    assert kept(served, storage) == [as_values([5, 4, 3, 2])]


def test_a_server_whose_clock_went_back_is_still_believed(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    page = sit(context, served, "Tic")

    def an_hour_earlier(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["work"]["stamp"] -= 3_600_000
        route.fulfill(response=answer, json=body)

    context.route("**/api/outbox", an_hour_earlier)
    context.route("**/api/next", an_hour_earlier)
    for count in range(1, 13):  # every text of the study, more than came with the page
        showing(page, count)
        type_form(page, [1 + count % 5, 2, 3, 4])
    page.get_by_text("That was the last text").wait_for()
    context.close()
    assert kept(served, "Tic") == [as_values([1 + count % 5, 2, 3, 4]) for count in range(1, 13)]


def test_what_the_server_has_lost_is_asked_again(served: Served, browser: Browser) -> None:
    """Its database was put back to an earlier copy: forms that it had acknowledged are to be rated once more."""
    context = browser.new_context(locale="en")
    page = sit(context, served, "Old")
    context.route(
        "**/api/outbox",
        lambda route: route.fulfill(
            json={"receipts": [{"event_id": each["form"]["event_id"]} for each in route.request.post_data_json["forms"]]}
        ),
    )
    for _ in range(12):
        if not page.locator(".rate").is_visible():
            break
        type_form(page, [1, 1, 1, 1])
        page.wait_for_timeout(700)
    context.unroute("**/api/outbox")
    showing(page, 1)
    type_form(page, [2, 2, 2, 2])
    showing(page, 2)
    saved(page)
    context.close()
    assert kept(served, "Old") == [as_values([2, 2, 2, 2])]


def test_a_row_of_digits_that_wants_shift_rates_without_it(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    page = sit(context, served, "Zoé")
    page.evaluate(FRENCH)
    page.keyboard.press("Enter")
    showing(page, 2)
    saved(page)
    context.close()
    assert kept(served, "Zoé") == [as_values([1, 2, 3, 4])]


def test_on_a_phone_the_next_text_begins_at_its_image_and_a_second_tap_sets_nothing(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en", viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    page = sit(context, served, "Pho")
    page.wait_for_timeout(400)  # nobody answers earlier
    for row in range(4):
        page.locator(".cells").nth(row).locator("button").nth(row).tap()
    page.locator(".save").tap()
    showing(page, 2)
    page.locator(".cells button").first.dispatch_event("click", {"detail": 1})  # where a second tap falls, whatever is there
    assert page.locator(".rate").evaluate("rate => rate.getBoundingClientRect().top") >= 0
    assert page.locator("[aria-checked=true]").count() == 0
    saved(page)
    context.close()
    assert kept(served, "Pho") == [as_values([1, 2, 3, 4])]


def test_a_browser_that_refuses_cookies_is_told_before_anything_is_rated(served: Served, browser: Browser) -> None:
    context = browser.new_context(locale="en")
    context.route("**/api/seat", lambda route: route.fulfill(json={"seated": True}))  # the cookie gets lost on its way
    page = context.new_page()
    page.goto(f"{served.url}/?invite={served.invite}")
    page.get_by_label("Name").fill("Coo")
    page.keyboard.press("Enter")
    page.get_by_text("refuses cookies").wait_for()
    context.unroute("**/api/seat")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("checkbox").wait_for(state="attached")  # the consent text: the seat is kept now
    assert [each["name"] for each in context.cookies() if each["httpOnly"]] == [rating.cookie(served)]
    context.close()
