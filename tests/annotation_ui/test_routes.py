"""The plain HTTP side of the rating app: idempotent, for one's own seat only, deaf to other sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from annotation_ui import opened, routes
from harness.study.service import StudyService
from tests.studies import Clock, a_study, form, sit

JSON = {"content-type": "application/json"}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Any]:
    clock = Clock()
    made = a_study(tmp_path / "zqstudyzq", clock=clock)
    service = StudyService.open(made.where, clock=clock)
    opened._opened = opened.Opened(made.where, service, tmp_path, "seat_cookie")
    yield made
    service.close()
    opened._opened = None


def client() -> TestClient:
    app = Starlette(routes=list(routes.ROUTES), exception_handlers={routes.Refused: routes.refuse})
    return TestClient(app, base_url="http://study.example")


def seated(study: Any, name: str) -> TestClient:
    seat = sit(opened.opened().service, study.invite, name)
    browser = client()
    assert browser.post("/api/seat", json={"key": seat.key}).json() == {"seated": True}
    return browser


def test_a_form_is_kept_once_however_often_it_comes(study: Any) -> None:
    ann = seated(study, "Ann")
    first = ann.post("/api/next", json={}).json()["work"]["slots"][0]
    sent = {"forms": [{"kind": "rate", "form": form(first["slot"], 4)}]}
    answers = [ann.post("/api/outbox", json=sent).json() for _ in range(3)]
    assert [answer["receipts"][0]["status"] for answer in answers] == ["saved", "duplicate", "duplicate"]
    assert all(answer["work"]["slots"][0]["slot"] != first["slot"] for answer in answers)
    assert answers[0]["work"]["slots"][0]["number"] == 2
    stamps = [answer["work"]["stamp"] for answer in answers]
    assert stamps == sorted(stamps)


def test_skips_and_flags_take_the_same_way(study: Any) -> None:
    ann = seated(study, "Ann")
    slots = ann.post("/api/next", json={}).json()["work"]["slots"]
    note = {"slot": slots[0]["slot"], "reason": "offensive", "note": "=cmd"}
    events = ["2d7a4a4e-9c61-4b36-a4b5-6f8d6a6b0a01", "2d7a4a4e-9c61-4b36-a4b5-6f8d6a6b0a02"]
    forms = [{"kind": kind, "form": note | {"event_id": event}} for kind, event in zip(("flag", "skip"), events, strict=True)]
    answer = ann.post("/api/outbox", json={"forms": forms}).json()
    assert [receipt["event_id"] for receipt in answer["receipts"]] == events
    assert answer["work"]["slots"][0]["slot"] == slots[1]["slot"]


def test_nobody_reaches_what_is_anothers(study: Any) -> None:
    ann, ben = seated(study, "Ann"), seated(study, "Ben")
    hers = ann.post("/api/next", json={}).json()["work"]["slots"][0]
    receipt = ben.post("/api/outbox", json={"forms": [{"kind": "rate", "form": form(hers["slot"], 1)}]}).json()["receipts"][0]
    assert receipt["status"] == "refused"
    assert ann.post("/api/next", json={}).json()["work"]["slots"][0]["slot"] == hers["slot"]
    assert ann.get(f"/api/image/{hers['media']}").headers["content-type"] == "image/png"
    for media in ("nothing", "..%2f..%2fstudy.sqlite", "%00", "a" * 3000):
        assert ann.get(f"/api/image/{media}").status_code == 404, media


def test_without_a_seat_nothing_is_told(study: Any) -> None:
    ann = seated(study, "Ann")
    media = ann.post("/api/next", json={}).json()["work"]["slots"][0]["media"]
    stranger = client()
    for answer in (
        stranger.post("/api/outbox", json={"forms": []}),
        stranger.post("/api/next", json={}),
        stranger.get(f"/api/image/{media}"),
        stranger.post("/api/seat", json={"key": "guessed"}),
        stranger.post("/api/next", json={}, headers={"cookie": "seat_cookie=guessed"}),
    ):
        assert answer.status_code == 401
        assert answer.json() == {"error": "no seat"}
    assert stranger.get("/api/health").json() == {"status": "ok"}


def test_leaving_makes_the_seat_worthless(study: Any) -> None:
    ann = seated(study, "Ann")
    key = ann.cookies["seat_cookie"]
    ann.post("/api/leave", json={})
    assert "seat_cookie" not in ann.cookies
    assert client().post("/api/next", json={}, headers={"cookie": f"seat_cookie={key}"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        (JSON | {"origin": "https://elsewhere.example"}, b"{}", 403),
        ({"content-type": "text/plain"}, b"{}", 415),
        (JSON, b"{", 400),
        (JSON, b"[" * 100_000, 400),
        (JSON, b" " * (routes.LONGEST_BODY + 1), 413),
    ],
)
def test_what_no_page_of_ours_sends_is_refused(study: Any, headers: dict[str, str], content: bytes, status: int) -> None:
    assert seated(study, "Ann").post("/api/outbox", content=content, headers=headers).status_code == status


@pytest.mark.parametrize(
    "body", [None, 3, [], {}, {"forms": 3}, {"forms": "abc"}, {"forms": [3, None, {}, {"form": 3}, {"kind": "rate", "form": {}}]}]
)
def test_nonsense_from_a_browser_breaks_nothing(study: Any, body: Any) -> None:
    answer = seated(study, "Ann").post("/api/outbox", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 200
    assert all(receipt["status"] == "refused" for receipt in answer.json()["receipts"])


def test_the_seat_is_kept_where_no_script_can_read_it(study: Any) -> None:
    seat = sit(opened.opened().service, study.invite, "Ann")
    plain = client().post("/api/seat", json={"key": seat.key}).headers["set-cookie"].lower()
    assert "httponly" in plain
    assert "samesite=lax" in plain
    assert "secure" not in plain
    behind = client().post("/api/seat", json={"key": seat.key}, headers={"x-forwarded-proto": "https"})
    assert "secure" in behind.headers["set-cookie"].lower()


def test_a_browser_is_told_no_more_than_it_shows(study: Any) -> None:
    slot = seated(study, "Ann").post("/api/next", json={}).json()["work"]["slots"][0]
    assert sorted(slot) == ["media", "number", "of", "prompt", "revision", "slot", "text"]
