"""Every screen for every kind of visitor: where they land, what they are refused, and that nothing breaks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from annotation_ui import browser_session, opened
from annotation_ui.screens import work
from harness.study.admin import StudyAdmin
from harness.study.rating.views import Seat
from harness.study.service import StudyService
from tests.studies import SYSTEMS, Clock, a_study, form, rate_all, sit, some_sources

SCRIPT = "from annotation_ui.main import main\nmain()\n"
SCREENS = ("join", "consent", "guidelines", "practice", "rate", "work", "done")
ADMIN_SCREENS = ("admin", "admin-plan", "admin-quality", "admin-items", "admin-results", "admin-exports")


@pytest.fixture(autouse=True)
def _main() -> Iterator[None]:
    """AppTest puts its script in the place of `__main__` and leaves it there; a process that is spawned later would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module", autouse=True)
def _packages_are_looked_through_once() -> Iterator[None]:
    """AppTest looks for components in every installed package before each run: nine tenths of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


class Visit:
    """A study and whoever comes to it."""

    def __init__(self, folder: Path, **design: Any) -> None:
        self.clock = Clock()
        self.made = a_study(folder / "toy", clock=self.clock, **design)
        self.service = StudyService.open(self.made.where, clock=self.clock)
        opened._opened = opened.Opened(self.made.where, self.service, folder, "seat_cookie")

    def app(self, seat: Seat | None = None, screen: str = "", **state: Any) -> AppTest:
        app = AppTest.from_string(SCRIPT, default_timeout=300)
        app.context["locale"] = "en"
        if seat is not None:
            app.session_state["seat_key"], app.session_state["kept"] = seat.key, "kept"
        for name, value in state.items():
            app.session_state[name] = value
        if screen:
            app._page_hash = calc_hash(screen)
        return app

    def show(self, seat: Seat | None = None, screen: str = "", **state: Any) -> AppTest:
        return well(self.app(seat, screen, **state).run())


def well(app: AppTest) -> AppTest:
    assert not app.exception, [each.value for each in app.exception]
    return app


def words(app: AppTest) -> str:
    return "\n".join(
        str(each.value) for kind in (app.title, app.header, app.markdown, app.info, app.error, app.success) for each in kind
    )


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    found = Visit(tmp_path)
    yield found
    found.service.close()
    opened._opened = None


def press(app: AppTest, label: str) -> AppTest:
    return well(next(button for button in app.button if button.label == label).click().run())


def test_without_a_seat_every_screen_is_the_door(visit: Visit) -> None:
    for screen in SCREENS:
        app = visit.show(screen=screen)
        assert [each.value for each in app.title] == ["Welcome"], screen
        assert "magic" not in words(app)


def test_annotators_do_not_get_to_run_the_study(visit: Visit) -> None:
    ann = sit(visit.service, visit.made.invite, "Ann")
    for screen in ADMIN_SCREENS:
        for seat in (None, ann):
            app = visit.show(seat, screen)
            assert [each.value for each in app.title] == ["Run the study"], screen
    app.text_input[0].set_value("not the secret")
    assert "does not open" in words(press(app, "Sign in"))
    assert "admin_secret" not in app.session_state


def test_the_secret_opens_every_screen_and_a_stale_one_none(visit: Visit) -> None:
    rate_all(visit.service, sit(visit.service, visit.made.invite, "Ann"))
    for screen in ADMIN_SCREENS:
        app = visit.show(None, screen, admin_secret=visit.made.admin_secret)
        assert app.title[0].value != "Run the study", screen
        german = visit.show(None, screen, admin_secret=visit.made.admin_secret, language="de")
        assert german.selectbox[-1].label == "Sprache"
        same = [each.value for each in german.title if each.value == app.title[0].value]
        assert same == (["How good are these captions?"] if screen == "admin" else []), screen  # the study's own title
        assert [each.value for each in visit.show(None, screen, admin_secret="stale").title] == ["Run the study"]


def test_from_the_invitation_to_the_first_text(visit: Visit) -> None:
    app = visit.app()
    app.query_params["invite"] = visit.made.invite
    well(app.run())
    assert "it need not be your real one" in words(app)
    app.text_input[0].set_value("Ann")
    press(app, "Join")
    app.session_state["kept"] = "kept"  # what the browser answers
    well(app.run())
    assert "Taking part is voluntary" in words(app)
    assert "Tick the box" in words(press(app, "Go on"))
    app.checkbox[0].check()
    press(app, "Go on")
    assert "How to rate captions" in words(app)
    press(app, "On to practice")
    press(app, "Begin rating")
    assert visit.service.seat(str(app.session_state["seat_key"])).status == "active"


@pytest.mark.parametrize(
    ("invite", "name", "told"),
    [("unknown", "Ann", "not known here"), ("", " ", "Choose a name of 1 to 40"), ("", "Bob", "name is taken")],
)
def test_a_refused_invitation_says_why(visit: Visit, invite: str, name: str, told: str) -> None:
    visit.service.join(visit.made.invite, "Bob")
    app = visit.app()
    app.query_params["invite"] = invite or visit.made.invite
    well(app.run()).text_input[0].set_value(name)
    assert told in words(press(app, "Join"))


def test_guessing_invitations_is_slowed_down(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_session, "address", lambda: "192.0.2.7")
    app = visit.app()
    app.query_params["invite"] = "guess"
    well(app.run()).text_input[0].set_value("Ann")
    for _ in range(10):
        press(app, "Join")
    assert "Joining failed too often" in words(press(app, "Join"))


def test_practice_tells_what_was_expected_and_opens_the_way(tmp_path: Path) -> None:
    visit = Visit(tmp_path, practice=True)
    seat = visit.service.join(visit.made.invite, "Ann")
    seat = visit.service.consent(seat, visit.service.protocol().consent_version)
    items = visit.service.practice(seat)
    app = visit.show(seat, "practice")
    assert "Give every aspect" in words(press(app, "Compare"))
    for _ in items:
        for radio in app.radio:
            radio.set_value(3)
        press(app, "Compare")
        told = "\n".join(each.value for each in (*app.markdown, *app.warning, *app.success))
        assert "expected" in told
        press(app, "Next text")
    assert app.query_params["text"] == str(len(items) + 1)  # a reload goes on here
    assert "Practise again" in [button.label for button in app.button]
    press(app, "Practise again")
    for item in items:  # now with the answers that the comparison names
        wanted = {each.aspect: each.low for each in visit.service.answer_practice(seat, item.id, _threes(visit)).values}
        for radio, aspect in zip(app.radio, visit.service.protocol().aspects, strict=True):
            radio.set_value(wanted.get(aspect.code, 3))
        press(app, "Compare")
        press(app, "Next text")
    press(app, "Begin rating")
    assert visit.service.seat(str(seat.key)).status == "active"
    visit.service.close()
    opened._opened = None


def _threes(visit: Visit) -> dict[str, int]:
    return {aspect.code: 3 for aspect in visit.service.protocol().aspects}


def scales(app: AppTest) -> list[Any]:
    return [radio for radio in app.radio if radio.key and radio.key.count(":") == 2]


def test_the_plain_form_saves_what_was_chosen_and_nothing_by_itself(visit: Visit) -> None:
    seat = sit(visit.service, visit.made.invite, "Ann")
    app = visit.app(seat, "rate")
    app.query_params["form"] = "1"
    well(app.run())
    assert [radio.value for radio in scales(app)] == [None] * 4
    assert "nothing has been saved yet" in words(press(app, "Save and go on"))
    assert visit.service.history(seat) == ()
    for radio, value in zip(scales(app), (1, 5, 2, 4), strict=True):
        radio.set_value(value)
    assert "Saved." in words(press(app, "Save and go on"))
    assert [list(each.values.values()) for each in visit.service.history(seat)] == [[1, 5, 2, 4]]


def test_changing_an_answer_keeps_both(visit: Visit) -> None:
    seat = sit(visit.service, visit.made.invite, "Ann")
    visit.service.submit(seat, form(visit.service.claim(seat).slots[0], 2))
    app = press(visit.show(seat, "work"), "Change")
    assert [radio.value for radio in app.radio] == [2, 2, 2, 2]
    app.radio[3].set_value(5)
    assert "Saved as a new version" in words(press(app, "Save and go on"))
    (rated,) = visit.service.history(seat)
    assert (list(rated.values.values()), rated.revision) == ([2, 2, 2, 5], 1)


def test_more_is_shown_when_asked_for_and_skipped_texts_are_not_counted_as_rated(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PAGE", 2)
    seat = sit(visit.service, visit.made.invite, "Ann")
    note = {"event_id": "2d7a4a4e-9c61-4b36-a4b5-6f8d6a6b0a01", "reason": "other", "note": ""}
    visit.service.skip(seat, note | {"slot": visit.service.claim(seat).slots[0].slot})
    rate_all(visit.service, seat, most=3)
    app = visit.show(seat, "work")
    assert "You have rated 3 texts" in words(app)
    assert len([button for button in app.button if button.label == "Change"]) == 2
    press(app, "Show more")
    labels = [button.label for button in app.button]
    assert (labels.count("Change"), labels.count("Show more")) == (3, 0)
    assert "You have rated **3** texts" in words(visit.show(seat, "done"))


def test_another_annotators_text_cannot_be_opened_for_change(visit: Visit) -> None:
    ann, ben = (sit(visit.service, visit.made.invite, name) for name in ("Ann", "Ben"))
    slot = visit.service.claim(ann).slots[0]
    visit.service.submit(ann, form(slot, 2))
    app = visit.show(ben, "work", work_slot=slot.slot)
    assert "You have not rated anything yet." in words(app)
    assert not app.radio


def test_the_leaderboard_is_blind_until_it_is_frozen(tmp_path: Path) -> None:
    visit = Visit(tmp_path, share=0.0)
    for name in ("Ann", "Ben"):
        seat = sit(visit.service, visit.made.invite, name)
        key = str(seat.key)
        rate_all(visit.service, seat)
    app = visit.show(None, "admin-results", admin_secret=visit.made.admin_secret, admin_name="Boss")
    names = [run.name for run in some_sources().runs]
    assert names[0] in SYSTEMS
    shown = _tables(press(app, "Compute from the ratings so far"))
    assert "system A" in shown
    assert not [name for name in names if name in shown]
    assert "Tick the box" in words(press(app, "Freeze"))
    app.checkbox[0].check()
    shown = _tables(press(app, "Freeze"))
    assert all(name in shown for name in names)
    assert visit.service.claim(visit.service.seat(key)).message == "frozen"
    visit.service.close()
    opened._opened = None


def _tables(app: AppTest) -> str:
    return "\n".join(str(each.proto.body) for each in app.get("html"))


def test_decisions_about_people_need_a_reason_and_can_be_taken_back(visit: Visit) -> None:
    rate_all(visit.service, sit(visit.service, visit.made.invite, "<b>Ann</b>"))
    admin = StudyAdmin.open(visit.made.where, clock=visit.clock)
    app = visit.show(None, "admin-quality", admin_secret=visit.made.admin_secret, admin_name="Boss")
    assert "&lt;b&gt;Ann&lt;/b&gt;" in _tables(app)
    assert "<b>Ann</b>" not in _tables(app)
    app.radio[0].set_value("exclude")
    assert "needs a reason" in words(press(app, "Sign and apply"))
    assert admin.exclusions() == ()
    app.text_input[0].set_value("asked to")
    press(app, "Sign and apply")
    (exclusion,) = admin.exclusions()
    assert (exclusion.reason, exclusion.by, exclusion.reverted_at) == ("asked to", "Boss", None)
    assert len(admin.ratings()) == 0
    press(app, "Revert")
    assert admin.exclusions()[0].reverted_by == "Boss"
    admin.close()


def test_an_invitation_made_here_lets_somebody_in(visit: Visit) -> None:
    app = visit.show(None, "admin", admin_secret=visit.made.admin_secret)
    press(app, "Make an invitation link")
    token = app.code[0].value.split("invite=")[1]
    assert visit.service.join(token, "Cyd").pseudonym == "Cyd"


def test_everything_can_be_taken_out_and_checked(visit: Visit) -> None:
    rate_all(visit.service, sit(visit.service, visit.made.invite, "Ann"))
    app = visit.show(None, "admin-exports", admin_secret=visit.made.admin_secret)
    app = press(app, "Prepare the export")
    assert bytes(app.session_state["export_ready"][:2]) == b"PK"
    assert "are as they were written" in words(press(app, "Check the audit chain and every form"))


def test_a_rater_cannot_take_the_data_out_before_the_end(visit: Visit) -> None:
    seat = sit(visit.service, visit.made.invite, "Ann")
    app = visit.show(seat, "admin-exports", admin_secret=visit.made.admin_secret)
    assert "once the ratings are frozen" in words(app)
    assert "Prepare the export" not in [button.label for button in app.button]


def test_the_language_is_the_browsers_until_another_is_chosen(visit: Visit) -> None:
    seat = sit(visit.service, visit.made.invite, "Ann")
    app = visit.app()
    app.context["locale"] = "de-AT"
    assert [each.value for each in well(app.run()).title] == ["Willkommen"]
    app = visit.show(seat, "done")
    app.selectbox[0].set_value("de")
    assert [each.value for each in well(app.run()).title] == ["Vielen Dank"]
    assert visit.service.seat(str(seat.key)).language == "de"
