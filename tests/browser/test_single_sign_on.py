"""Running a study by an organisation's sign-in (OpenID Connect), from end to end in a Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Page

from harness.study.admin import StudyAdmin
from tests.browser import rating
from tests.browser.provider import Provider, provider
from tests.browser.rating import Served

pytestmark = [rating.needs_chromium, pytest.mark.heavy]
ADA = {"sub": "1", "email": "Ada@Example.org", "email_verified": True}


@pytest.fixture(scope="module")
def organisation() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, organisation: Provider) -> Iterator[Served]:
    study = rating.a_study(tmp_path_factory.mktemp("study"), items=4)
    study.home = tmp_path_factory.mktemp("home")
    study.environment = {"SEETELL_ADMINS": "boss@example.org, ada@example.org", "PYTHONPATH": str(rating.ROOT)}
    secrets = study.home / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text(organisation.secrets_toml(study.url))
    study.start()
    try:
        yield study
    finally:
        study.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with rating.a_browser() as found:
        yield found


def sign_in(browser: Browser, served: Served) -> Page:
    """By the button, to wherever it leads."""
    page = browser.new_context(locale="en").new_page()
    page.goto(f"{served.url}/admin")
    page.get_by_role("button", name="Sign in with your organisation").click()
    return page


def actors(served: Served, action: str) -> list[str]:
    """Who did such a thing, by the audit chain."""
    import sqlite3

    database = sqlite3.connect(f"file:{served.folder / 'study.sqlite'}?mode=ro", uri=True)
    found = [row[0] for row in database.execute("SELECT actor FROM audit WHERE action = ? ORDER BY seq", (action,))]
    database.close()
    return found


def test_who_is_named_runs_the_study_and_signs_decisions_by_address(
    served: Served, organisation: Provider, browser: Browser
) -> None:
    organisation.person = ADA
    page = sign_in(browser, served)
    page.get_by_role("heading", name="Invitations").wait_for()
    assert page.url == f"{served.url}/admin"
    assert organisation.tokens == 1
    page.get_by_role("button", name="Make an invitation link").click()
    page.get_by_text("Copy the link now").wait_for()
    assert actors(served, "invite")[-1] == "ada@example.org"
    page.reload()
    page.get_by_role("heading", name="Invitations").wait_for()  # the sign-in outlives the session
    page.context.close()


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "2", "email": "eve@example.org", "email_verified": True},
        {"sub": "3", "email": "ada@example.org", "email_verified": False},
        {"sub": "4", "email": "ada@example.org"},
        {"sub": "5"},
    ],
    ids=["not named", "not verified", "verified is not said", "no address"],
)
def test_nobody_else_comes_in_and_is_told_why(
    served: Served, organisation: Provider, browser: Browser, person: dict[str, Any]
) -> None:
    organisation.person = person
    page = sign_in(browser, served)
    page.get_by_text(f"You are signed in as {person.get('email', '–')}, which does not run this study").wait_for()
    assert page.get_by_role("heading", name="Invitations").count() == 0
    page.goto(f"{served.url}/admin-results")
    page.get_by_role("heading", name="Run the study").wait_for()
    page.get_by_role("button", name="Sign out of your organisation").click()
    page.get_by_text("Open the link that you were sent").wait_for()
    page.goto(f"{served.url}/admin")
    page.get_by_role("button", name="Sign in with your organisation").wait_for()  # another try, as somebody else
    page.context.close()


def test_a_token_that_another_key_signed_opens_nothing(served: Served, organisation: Provider, browser: Browser) -> None:
    organisation.person = ADA
    organisation.signs_with = RSAKey.generate_key(2048, parameters={"kid": "one"})
    try:
        page = sign_in(browser, served)
        page.wait_for_url(lambda url: "oauth2callback" in url or url.rstrip("/") == served.url)
    finally:
        organisation.signs_with = organisation.key
    page.goto(f"{served.url}/admin")
    page.get_by_role("button", name="Sign in with your organisation").wait_for()
    assert page.get_by_role("heading", name="Invitations").count() == 0
    page.context.close()


def test_an_invitation_is_not_taken_for_a_sign_in(served: Served, organisation: Provider, browser: Browser) -> None:
    """Somebody who is signed in may still join with the link that they were sent."""
    organisation.person = {"sub": "2", "email": "eve@example.org", "email_verified": True}
    page = sign_in(browser, served)
    page.get_by_text("You are signed in as eve@example.org").wait_for()
    page.goto(f"{served.url}/?invite={served.invite}")
    page.get_by_label("Name").wait_for()
    page.context.close()
    study = StudyAdmin.open(served.folder)
    assert study.annotators() == ()
    study.close()
