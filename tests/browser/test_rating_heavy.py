"""Rating under strain, figures printed: lost keys, crashes, double clicks, a crowd, leaks, and every page for everybody."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from harness.study.service import StudyService
from tests.browser import leaks, rating
from tests.browser.accessible import faults
from tests.browser.crowd import Rater, busy_sessions
from tests.browser.rating import ASPECTS, Served, as_values, join, number, saved, showing, sit, text, type_form
from tests.studies import rate_all

pytestmark = [rating.needs_chromium, pytest.mark.heavy, pytest.mark.timeout(3000)]
GAPS_MS = (0, 30, 80, 200)
KEYS = 2000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with rating.a_browser() as found:
        yield found


def typed_by(served: Served, name: str) -> list[tuple[str, dict[str, int]]]:
    """What the database has of somebody, in the order in which it was typed."""
    return [(row["text"], row["values"]) for row in served.rows() if row["pseudonym"] == name]


@pytest.mark.parametrize("others", [0, 12])
def test_every_key_counts_for_the_text_and_aspect_it_was_typed_for(browser: Browser, tmp_path: Path, others: int) -> None:
    draw = random.Random(7)
    forms = KEYS // (len(ASPECTS) + 1) // len(GAPS_MS)
    with (
        rating.serving(tmp_path, rating.some_sources(90, 6), items=80, ratings_per_item=14, annotators=14, share=0.0) as served,
        busy_sessions(served, others) as heard,
    ):
        context = browser.new_context(locale="en")
        page = sit(context, served, "Kim")
        typed, count = [], 0
        for gap in GAPS_MS:
            for _ in range(forms):
                count += 1
                showing(page, count)
                values = [draw.randint(1, 5) for _ in ASPECTS]
                typed.append((text(page), dict(as_values(values))))
                type_form(page, values, gap)
        showing(page, count + 1)
        saved(page)
        context.close()
        kept = typed_by(served, "Kim")
        assert min(heard, default=1) > 0
    right = sum(
        was[1].get(aspect) == now[1][aspect]
        for was, now in zip(kept, typed, strict=False)
        if was[0] == now[0]
        for aspect in ASPECTS
    )
    print(
        f"\nkeystrokes: {len(typed) * 5} keys at {GAPS_MS} ms, {others} busy sessions ({sum(heard)} frames): "
        f"{right} of {len(typed) * 4} values on the right text and aspect, {len(kept)} of {len(typed)} forms"
    )
    assert kept == typed


def test_nothing_typed_is_lost_through_crashes_reloads_and_an_offline_minute(browser: Browser, tmp_path: Path) -> None:
    kills, reloads, offline_seconds, forms = 20, 5, 60, 200
    draw = random.Random(11)
    with rating.serving(tmp_path, rating.some_sources(70, 6), items=60, ratings_per_item=2, annotators=2, share=0.0) as served:
        context = browser.new_context(locale="en")
        page = sit(context, served, "Lee")
        killed = threading.Thread(target=_keep_killing, args=(served, kills))
        killed.start()
        typed: list[tuple[str, dict[str, int]]] = []
        reloaded, offline, offline_forms = 0, 0.0, 0
        recoveries: list[float] = []
        while len(typed) < forms or killed.is_alive() or reloaded < reloads or not offline:
            showing(page, len(typed) + 1)
            values = [draw.randint(1, 5) for _ in ASPECTS]
            now = (text(page), dict(as_values(values)))
            reload = reloaded < reloads and len(typed) >= 25 * (reloaded + 1) and not offline and served.healthy()
            if reload:
                for value in values[:2]:
                    page.keyboard.press(str(value))  # a form that is only begun
                if _reload(page, len(typed) + 1):
                    reloaded += 1
                    for value in values[2:]:
                        page.keyboard.press(str(value))
                    page.keyboard.press("Enter")
                else:
                    type_form(page, values)
            else:
                type_form(page, values, draw.choice((0, 20, 60)))
            typed.append(now)
            if reloaded == reloads and not offline:
                offline = time.monotonic()
                context.set_offline(True)
                for _ in range(3):  # what had been fetched before
                    showing(page, len(typed) + 1)
                    values = [draw.randint(1, 5) for _ in ASPECTS]
                    typed.append((text(page), dict(as_values(values))))
                    type_form(page, values, 200)
                    page.wait_for_timeout(1000)
                    offline_forms += 1
                page.wait_for_timeout(max(0.0, offline_seconds - (time.monotonic() - offline)) * 1000)
                context.set_offline(False)
                began = time.monotonic()
                saved(page)
                recoveries.append(time.monotonic() - began)
        killed.join()
        showing(page, len(typed) + 1)
        saved(page)
        context.close()
        kept = typed_by(served, "Lee")
    print(
        f"\ncrashes: {kills} x kill -9, {reloaded} reloads, {offline_seconds} s offline ({offline_forms} forms meanwhile, saved "
        f"{recoveries[0]:.1f} s after): {len(typed)} forms typed, {len(kept)} kept, "
        f"{len(typed) - sum(each in kept for each in typed)} lost, {len(kept) - len(dict(kept))} twice, in order: {kept == typed}"
    )
    assert kept == typed


def _keep_killing(served: Served, times: int) -> None:
    draw = random.Random(5)
    for _ in range(times):
        time.sleep(draw.uniform(1.0, 4.0))
        served.kill()
        time.sleep(draw.uniform(0.0, 1.0))
        served.start()


def _reload(page: Page, number: int) -> bool:
    """Load the page anew, as somebody does who waits for the server; True once the same text is there again."""
    for _ in range(60):
        try:
            page.reload(timeout=10_000)
            showing(page, number, timeout=15_000)
        except Exception:  # noqa: BLE001  # the server is down just now: try again
            page.wait_for_timeout(500)
        else:
            return True
    return False


def test_double_clicks_and_a_held_enter_save_each_form_once(browser: Browser, tmp_path: Path) -> None:
    draw = random.Random(3)
    with rating.serving(tmp_path, rating.some_sources(50, 6), items=40, ratings_per_item=1, annotators=1, share=0.0) as served:
        context = browser.new_context(locale="en")
        page = sit(context, served, "Max")
        typed = []
        for count in range(1, 201):
            showing(page, count)
            values = [draw.randint(1, 5) for _ in ASPECTS]
            typed.append((text(page), dict(as_values(values))))
            for value in values:
                page.keyboard.press(str(value))
            if count % 2:
                box = page.locator(".save").bounding_box()
                assert box
                place = (box["x"] + 20, box["y"] + 20)
                page.mouse.click(*place)
                page.wait_for_timeout(draw.choice((0, 30, 60, 150, 400, 900)))
                page.mouse.click(*place)  # wherever it lands now
            else:
                for _ in range(40):
                    page.keyboard.down("Enter")
                page.keyboard.up("Enter")
        showing(page, 201)
        saved(page)
        context.close()
        kept = typed_by(served, "Max")
    print(
        f"\ndouble clicks: 100 double clicks and 100 held Enter: {len(kept)} rows for {len(typed)} intended, "
        f"equal: {kept == typed}"
    )
    assert kept == typed


def test_a_hundred_annotators_at_once(tmp_path: Path) -> None:
    people, forms, think = 100, 20, 10.0  # twice the rate of twenty seconds
    with rating.serving(tmp_path, rating.some_sources(60, 6), items=50, ratings_per_item=10, annotators=100, share=0.0) as served:
        raters = [Rater(served, f"rater {index}") for index in range(people)]
        errors: list[str] = []

        def work(rater: Rater, index: int) -> None:
            draw = random.Random(index)
            time.sleep(draw.uniform(0, think))
            try:
                for _ in range(forms):
                    rater.rate({aspect: draw.randint(1, 5) for aspect in ASPECTS})
                    time.sleep(draw.uniform(0.5, 1.5) * think)
            except Exception as error:  # noqa: BLE001  # counted, and shown below
                errors.append(repr(error))

        threads = [threading.Thread(target=work, args=pair) for pair in zip(raters, range(people), strict=True)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        rows = {row["event_id"]: (row["slot"], row["values"]) for row in served.rows()}
    sent = {event: what for rater in raters for event, what in rater.sent.items()}
    waits = np.array([wait for rater in raters for wait in rater.waits]) * 1000
    wrong = sum(rows.get(event) != what for event, what in sent.items())
    p50, p95, p99 = np.percentile(waits, [50, 95, 99])
    print(
        f"\ncrowd: {people} annotators, {len(sent)} forms in {seconds:.0f} s ({len(sent) / seconds:.1f}/s): lost or wrong "
        f"{wrong}, too many {len(rows) - len(sent)}, errors {len(errors)}; p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms"
    )
    assert errors == []
    assert rows == sent
    assert len(sent) == people * forms
    assert p95 <= 500


def test_no_page_leaks(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "zqfolderzq"
    sources = leaks.telling_sources(14, 4)
    with rating.serving(folder, sources, name="zqstudyzq", items=4, ratings_per_item=1, annotators=1, share=0.1) as served:
        listener = leaks.Listener()
        context = browser.new_context(locale="en")
        listener.attach(context)
        page = join(context, served, "Noa")
        heard = set()
        for count in range(1, 40):
            page.locator(f".rate .count:text('{count} '), .empty .on").first.wait_for()
            if not page.locator(".rate").is_visible():
                break
            heard.add(text(page))
            if count == 2:
                page.keyboard.press("f")
                page.keyboard.press("5")
                page.keyboard.press("Enter")
            type_form(page, [3, 3, 4, 4])
            showing(page, count + 1) if count < 16 else page.wait_for_timeout(800)
            listener.look(page)
        for way in (
            "work",
            "rate?form=1",
            "guidelines",
            "done",
            "admin",
            "admin-items",
            "admin-exports",
            "nowhere",
            "api/image/nowhere",
        ):
            page.goto(f"{served.url}/{way}")
            page.wait_for_timeout(2500)
            listener.look(page)
        page.goto(f"{served.url}/admin")
        page.get_by_label("Admin secret").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("does not open").wait_for()
        listener.look(page)
        context.close()
        words = leaks.secrets(folder, sources, folder / "study.sqlite")
        hits = listener.find(words)
    print(
        f"\nleaks: {listener.frames} frames, {listener.bodies} bodies, "
        f"{sum(len(each[1]) for each in listener.heard):,} bytes searched for {len(words)} names, "
        f"identities, hashes and paths: {len(hits)} hits"
    )
    assert hits == []
    assert listener.find([heard.pop()])


def test_every_page_is_for_everybody(browser: Browser, tmp_path: Path) -> None:
    found: dict[str, list[str]] = {}
    with rating.serving(
        tmp_path, rating.some_sources(30, 3), items=5, ratings_per_item=12, annotators=12, practice=True
    ) as served:
        service = StudyService.open(served.folder)
        for value, name in enumerate(("Uma", "Vic"), start=2):
            rate_all(service, service.seat(rating.seat_key(served, name)), value)
        service.close()
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                context = browser.new_context(locale="en", color_scheme=scheme, viewport={"width": width, "height": 844})  # type: ignore[arg-type]
                for name, page in _tour(context.new_page(), served, f"{scheme} {width}"):
                    page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()  # what is stale is faded
                    found[f"{scheme} {width} {name}"] = faults(page)
                context.close()
    bad = {name: told for name, told in found.items() if told}
    print(f"\naxe: {len(found)} pages and dialogs, light and dark, 1280 and 390 px: {sum(map(len, bad.values()))} violations")
    assert bad == {}


def _tour(page: Page, served: Served, who: str) -> Iterator[tuple[str, Page]]:
    """Every page, one after another, as somebody sees them."""
    page.goto(served.url)
    page.get_by_label("Name").wait_for()
    yield "no seat", page
    page.goto(f"{served.url}/?invite={served.invite}")
    page.get_by_label("Name").fill(who)
    yield "join", page
    page.keyboard.press("Enter")
    page.get_by_role("checkbox").wait_for(state="attached")
    yield "consent", page
    page.get_by_text("I have read this").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="On to practice").wait_for()
    yield "guidelines", page
    page.get_by_role("button", name="On to practice").click()
    page.get_by_role("button", name="Compare").wait_for()
    yield "practice", page
    for row in range(len(ASPECTS)):
        page.get_by_role("radiogroup").nth(row).get_by_text("3", exact=True).click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Next text").wait_for()
    yield "feedback", page
    context = page.context
    context.clear_cookies()
    page.close()
    page = sit(context, served, f"{who} again")
    yield "rate", page
    for key in "gsfz?":
        page.keyboard.press(key)
        page.locator("dialog[open]").wait_for()
        yield f"rate, {key}", page
        page.keyboard.press("Escape")
    type_form(page, [1, 2, 3, 4])
    showing(page, 2)
    saved(page)
    page.goto(f"{served.url}/rate?form=1")
    page.get_by_role("button", name="Save and go on").wait_for()
    yield "form", page
    page.goto(f"{served.url}/work")
    page.get_by_role("button", name="Change").wait_for()
    yield "work", page
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Save and go on").wait_for()
    yield "change", page
    page.goto(f"{served.url}/done")
    page.get_by_text(re.compile("You have rated")).wait_for()
    yield "done", page
    page.goto(f"{served.url}/admin")
    page.get_by_label("Admin secret").wait_for()
    yield "admin, way in", page
    page.get_by_label("Admin secret").fill(served.secret)
    page.get_by_role("textbox", name="Your name").fill("Boss")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Ordinal alpha").wait_for()
    yield "admin", page
    for title, sign in (("Plan", "Variance components"), ("Quality", "Everything counts"), ("Items", "Disagreement")):
        _menu(page, title)
        page.get_by_text(sign).first.wait_for()
        yield f"admin, {title}", page
    _menu(page, "Leaderboard")
    page.get_by_role("button", name="Compute").click()
    page.get_by_text("Differences").first.wait_for()
    yield "admin, Leaderboard", page
    _menu(page, "Exports")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("are as they were written").wait_for()
    yield "admin, Exports", page


def _menu(page: Page, title: str) -> None:
    """Go to a screen by the menu, which on a phone lies beside the window until it is opened."""
    page.get_by_role("link", name=title, exact=True).first.dispatch_event("click")


def test_two_tabs_share_one_queue(browser: Browser, tmp_path: Path) -> None:
    """Two tabs of one person: what one finishes, the other does not ask again."""
    with rating.serving(tmp_path, items=4, ratings_per_item=1, annotators=1, share=0.0) as served:
        context = browser.new_context(locale="en")
        first = sit(context, served, "Two")
        second = context.new_page()
        second.goto(f"{served.url}/rate")
        showing(second, 1)
        type_form(first, [1, 2, 3, 4])
        showing(first, 2)
        saved(first)
        second.reload()
        showing(second, 2)
        assert number(second) == number(first) == 2
        assert text(second) == text(first)
        second.route("**/api/next", lambda route: route.abort())  # it does not learn what the first one does meanwhile
        type_form(first, [2, 2, 2, 2])
        type_form(second, [4, 4, 4, 4])
        showing(first, 3)
        showing(second, 3)
        saved(first)
        saved(second)
        context.close()
        rows = [row for row in served.rows() if row["status"] in ("current", "superseded")]
    assert len(rows) == 3  # the second text twice: both were kept, one as a revision of the other
    assert {row["revision"] for row in rows} == {0, 1}


def test_time_in_a_hidden_tab_is_told_apart(browser: Browser, tmp_path: Path) -> None:
    hide = (
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    kept = "JSON.parse(localStorage[Object.keys(localStorage).find(key => key.endsWith(':draft'))])"
    with rating.serving(tmp_path, items=4, ratings_per_item=1, annotators=1, share=0.0) as served:
        context = browser.new_context(locale="en")
        context.clock.install()
        page = sit(context, served, "Tim")
        page.clock.pause_at(page.evaluate("Date.now()") + 1000)  # from here on time passes only when it is told to
        page.evaluate(hide, True)
        before = page.evaluate(kept)
        page.clock.run_for(5000)
        page.evaluate(hide, False)
        page.clock.run_for(7000)
        page.keyboard.press("1")
        after = page.evaluate(kept)
        assert after["hiddenMs"] - before["hiddenMs"] == pytest.approx(5000, abs=50)
        assert after["activeMs"] - before["activeMs"] == pytest.approx(7000, abs=50)
        page.clock.resume()
        for key in ("2", "3", "4", "Enter"):
            page.keyboard.press(key)
        showing(page, 2)
        saved(page)
        context.close()
        (row,) = served.rows()
    assert row["hidden_ms"] == pytest.approx(after["hiddenMs"], abs=50)
    hidden, active = (after[name] - before[name] for name in ("hiddenMs", "activeMs"))
    print(f"\ntiming: {hidden:.0f} ms hidden of 5000, {active:.0f} ms active of 7000")
