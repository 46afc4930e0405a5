"""What every answer of the app tells a browser to refuse, and what the app itself refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from annotation_ui import opened, server
from annotation_ui.headers import SecurityHeaders
from tests.studies import a_study


async def page(request: Request) -> Response:
    return PlainTextResponse("numbers of sessions")


async def image(request: Request) -> Response:
    return PlainTextResponse("an image", headers={"Content-Security-Policy": "default-src 'none'; sandbox"})


@pytest.fixture(scope="module")
def browser() -> TestClient:
    paths = ("/", "/rate", "/_stcore/health", "/_stcore/metrics", "/study/_stcore/metrics")
    routes = [*(Route(path, page) for path in paths), Route("/api/image/x", image)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(SecurityHeaders)]))


@pytest.mark.parametrize("path", ["/", "/rate", "/_stcore/health", "/nowhere", "/_stcore/metrics"])
def test_every_answer_has_the_headers(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_route_may_be_stricter(browser: TestClient) -> None:
    assert browser.get("/api/image/x").headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/metrics/", "/study/_stcore/metrics"])
def test_the_numbers_of_the_process_are_for_nobody(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.text) == (404, "not found")
    assert browser.get("/_stcore/health").status_code == 200


def test_the_app_is_served_with_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served: dict[str, Any] = {}

    class App:
        def __init__(self, script: Path, **options: Any) -> None:
            served.update(options)

        def run(self, **options: Any) -> None:
            pass

    monkeypatch.setattr("streamlit.App", App)
    monkeypatch.setattr(sys, "argv", [])
    a_study(tmp_path / "pilot")
    server.serve(str(tmp_path / "pilot"), "127.0.0.1", 1, browse=False)
    opened.opened().service.close()
    monkeypatch.setattr(opened, "_opened", None)
    assert [middleware.cls for middleware in served["middleware"]] == [SecurityHeaders]
