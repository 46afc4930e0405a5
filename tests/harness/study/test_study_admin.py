"""Running a study: decisions are signed and reversible, tampering is seen, a frozen study stays as it is."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from studies import ASPECTS, Clock, a_study, form, rate_all, sit

from harness.errors import InviteRefused, NotAllowed, StudyError, StudyFrozen
from harness.study.admin import StudyAdmin
from harness.study.service import StudyService


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study in which two of three have done a part; each gives the same answer to everything."""
    folder = tmp_path_factory.mktemp("rated") / "pilot"
    clock = Clock()
    made = a_study(folder, clock=clock)
    service = StudyService.open(folder, clock=clock)
    for name, value in (("ann", 2), ("bob", 4)):
        rate_all(service, sit(service, made.invite, name), value, most=12)
    service.close()
    return folder


@pytest.fixture
def rated(template: Path, tmp_path: Path) -> tuple[StudyAdmin, StudyService, Path]:
    """A copy of that study, some minutes later."""
    folder = shutil.copytree(template, tmp_path / "pilot")
    clock = Clock()
    clock.pass_(minutes=5)
    return StudyAdmin.open(folder, clock=clock), StudyService.open(folder, clock=clock), folder / "study.sqlite"


def test_who_may_come_in(tmp_path: Path) -> None:
    clock = Clock()
    made = a_study(tmp_path / "pilot", clock=clock)
    where = tmp_path / "pilot"
    assert StudyAdmin.open(where, secret=made.admin_secret).overview().name == "pilot"
    for wrong in ("", "guess", made.invite):
        with pytest.raises(NotAllowed):
            StudyAdmin.open(where, secret=wrong)
    admin, service = StudyAdmin.open(where, clock=clock), StudyService.open(where, clock=clock)
    boss = service.join(admin.invite(role="admin"), "boss")
    ann = service.join(made.invite, "ann")
    assert boss.role == "admin"
    assert StudyAdmin.open(where, secret=boss.key).overview()
    with pytest.raises(NotAllowed):
        StudyAdmin.open(where, secret=ann.key)


def test_signals_wait_for_a_person(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, _, _ = rated
    before = admin.ratings().sha256
    signals = admin.signals()
    assert {signal.rule for signal in signals} == {"longstring"}
    assert len(signals) == 2
    assert all(signal.n and signal.says and signal.evidence for signal in signals)
    assert admin.ratings().sha256 == before, "nothing is excluded by itself"
    assert [row.id for row in admin.signals()] == [row.id for row in signals], "looking again adds nothing"
    with pytest.raises(StudyError, match="name and a reason"):
        admin.dismiss(signals[0].id, by="", reason="")
    admin.dismiss(signals[0].id, by="me", reason="the texts are alike")
    assert [row.id for row in admin.signals()] == [signals[1].id]
    assert [row.decision for row in admin.signals(decided=True)] == ["dismissed", ""]
    number = admin.exclude_for(signals[1].id, by="me", reason="same answer throughout")
    assert admin.signals() == ()
    assert len(set(admin.ratings().annotator)) == 1
    admin.revert(number, "somebody else")
    assert admin.ratings().sha256 == before
    assert admin.verify().ok


def test_exclusions_hide_and_come_back(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, _service, path = rated
    everything = admin.ratings()
    number = admin.exclude("annotator:bob", "manual", "did not read", "me")
    assert set(admin.ratings().value.tolist()) == {2}
    assert len(admin.ratings(excluded=True)) == len(everything)
    for again, words in (("annotator:bob", "already"), ("annotator:eve", "nothing to exclude"), ("bob", "nothing")):
        with pytest.raises(StudyError, match=words):
            admin.exclude(again, "manual", "did not read", "me")
    event = sqlite3.connect(path).execute("SELECT event_id FROM submission WHERE annotator_id = 1").fetchone()[0]
    admin.exclude(f"submission:{event}", "manual", "slipped", "me")
    assert len(admin.ratings()) == len(everything.where(value=2)) - len(ASPECTS)
    admin.revert(number, "me")
    with pytest.raises(StudyError, match="reverted already"):
        admin.revert(number, "me")
    assert [row.reverted_by for row in admin.exclusions()] == ["me", ""]


def test_frozen_for_good(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, service, _ = rated
    token = admin.invite()
    cleo = sit(service, token, "cleo")
    slots = service.claim(cleo).slots
    service.submit(cleo, form(slots[0]))
    before = admin.ratings()
    admin.freeze("me")
    assert service.claim(cleo).message == "frozen"
    assert service.submit(cleo, form(slots[1])).reason == "frozen"
    assert service.submit(cleo, form(slots[0], 1, 1)).status == "surplus"
    assert admin.ratings().sha256 == before.sha256
    assert admin.overview().surplus == 2
    with pytest.raises(StudyFrozen):
        admin.freeze("me")
    with pytest.raises(InviteRefused, match="no more"):
        service.join(admin.invite(), "dora")


def test_a_voided_block_opens_afresh(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, service, _ = rated
    cleo = sit(service, admin.invite(), "cleo")
    slots = service.claim(cleo, ahead=0).slots
    service.submit(cleo, form(slots[0]))
    admin.void(slots[0].block, by="me", reason="a wrong start")
    assert admin.overview().blocks["void"] == 1
    assert admin.overview().surplus == 1
    assert service.submit(cleo, form(slots[1])).status == "surplus"
    with pytest.raises(StudyError, match="no live block"):
        admin.void(slots[0].block, by="me", reason="again")
    rate_all(service, sit(service, admin.invite(), "dora"))
    assert admin.verify().ok


def test_somebody_leaves(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, service, _ = rated
    cleo = sit(service, admin.invite(), "cleo")
    slots = service.claim(cleo).slots
    admin.withdraw("cleo", by="me", reason="asked to")
    assert service.claim(cleo).message == "withdrawn"
    assert service.submit(cleo, form(slots[0])).reason == "withdrawn"
    assert admin.verify().ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "UPDATE rating SET value = 5",
        "DELETE FROM rating",
        "UPDATE submission SET active_ms = 1",
        "DELETE FROM submission",
        "UPDATE origin SET kind = 'system'",
        "UPDATE campaign SET k = 9",
        "UPDATE qc_signal SET value = 0",
        "DELETE FROM exclusion",
        "INSERT INTO rating SELECT event_id, 99, 6 FROM submission",
    ],
)
def test_the_database_refuses(rated: tuple[StudyAdmin, StudyService, Path], statement: str) -> None:
    admin, _, _ = rated
    admin.signals()
    admin.exclude("annotator:bob", "manual", "did not read", "me")
    with pytest.raises(DBAPIError):
        admin.database.write(lambda session: session.connection().exec_driver_sql(statement))


@pytest.mark.parametrize(
    ("table", "statement", "words"),
    [
        ("rating", "UPDATE rating SET value = 6 - value WHERE value <> 3", "does not have its hash"),
        ("submission", "UPDATE submission SET annotator_id = 2 WHERE annotator_id = 1", "is not the one that the audit chain"),
        ("submission", "UPDATE submission SET payload_sha256 = 'x'", "does not have its hash"),
        ("audit", "UPDATE audit SET actor = 'nobody' WHERE seq = 3", "entry 3 was changed"),
        ("audit", "DELETE FROM audit WHERE seq = 3", "entry 3 is missing"),
        ("submission", "DELETE FROM rating; DELETE FROM submission", "is in the audit chain and nowhere else"),
    ],
)
def test_tampering_is_seen(rated: tuple[StudyAdmin, StudyService, Path], table: str, statement: str, words: str) -> None:
    admin, _, path = rated
    assert admin.verify().ok
    with sqlite3.connect(path) as connection:
        for trigger in ("rating", "submission", "audit"):
            connection.execute(f"DROP TRIGGER {trigger}_no_update")
            connection.execute(f"DROP TRIGGER {trigger}_no_delete")
        connection.executescript(statement)
    found = admin.verify()
    assert not found.ok
    assert any(words in problem for problem in found.problems)


def test_overview_and_lists(rated: tuple[StudyAdmin, StudyService, Path]) -> None:
    admin, _, _ = rated
    overview = admin.overview()
    assert overview.systems == ("beam", "magic", "nucleus", "zerocap")
    assert overview.aspects == ASPECTS
    assert overview.forms_done == sum(row.forms for row in admin.annotators()) < overview.forms_planned
    items = admin.items()
    assert len(items) == 4
    assert all(len(row.texts) == 4 for row in items)
    measured = [row.disagreement for row in items if not math.isnan(row.disagreement)]
    assert measured
    assert all(abs(value - 2**0.5) < 1e-9 for value in measured), "2 and 4, by two people"
    assert admin.runs()["magic"].startswith("toy/magic-")
    assert len(admin.invites()) == 1
