"""Checking a study: whatever a published number rests on is covered by the audit chain, and the check says what it cannot see."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from harness.cli import main
from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from harness.study.tables import audit
from harness.study.tables.content import content_hashes
from harness.study.tables.schema import Audit
from tests.studies import Desk, rate_all


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which two people have rated everything that they were given."""
    folder = tmp_path_factory.mktemp("studies") / "pilot"
    desk = Desk(folder, items=3, annotators=2, ratings_per_item=2)
    for name, value in (("ann", 4), ("bob", 2)):
        rate_all(desk.service, desk.sit(name), value)
    desk.service.close()
    desk.admin.close()
    return folder


@pytest.fixture
def admin(template: Path, tmp_path: Path) -> StudyAdmin:
    return StudyAdmin.open(shutil.copytree(template, tmp_path / "pilot"))


def tamper(admin: StudyAdmin, script: str) -> None:
    """Change the database as somebody would who can write to the file."""
    with sqlite3.connect(admin.database.path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(script)
    connection.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("UPDATE output SET text = 'better' WHERE id = 1", "texts were changed"),
        ("UPDATE item SET prompt = 'another' WHERE id = 1", "items were changed"),
        ("UPDATE media SET content = X'00' WHERE id = 1", "images were changed"),
        ("UPDATE system SET name = 'winner' WHERE id = 1", "systems were changed"),
        ("UPDATE origin SET system_id = 3 - system_id WHERE system_id IN (1, 2)", "origins of texts were changed"),
        ("UPDATE aspect SET label = 'Beauty' WHERE id = 1", "aspects were changed"),
        ("UPDATE aspect_anchor SET text = 'fine' WHERE value = 1", "anchors were changed"),
        ("UPDATE campaign SET protocol = replace(protocol, '0.05', '0.5')", "protocol was changed"),
        ("UPDATE document SET text = 'Give everyone a 5.' WHERE kind = 'guidelines'", "guidelines of version"),
        ("UPDATE campaign SET status = 'frozen'", "frozen, and no entry"),
        ("UPDATE slot SET output_id = (SELECT max(id) FROM output) WHERE id = 1", "rated another text"),
        ("UPDATE annotator SET status = 'withdrawn' WHERE id = 1", "withdrawn, and no entry"),
    ],
)
def test_what_a_number_rests_on_is_covered(admin: StudyAdmin, script: str, words: str) -> None:
    assert admin.verify().problems == ()
    tamper(admin, script)
    assert any(words in problem for problem in admin.verify().problems), admin.verify().problems


ACTIONS: dict[str, Callable[[StudyAdmin], object]] = {
    "submit": lambda admin: None,
    "exclude": lambda admin: admin.exclude("annotator:bob", "manual", "asked to", "me"),
    "revert-exclusion": lambda admin: admin.revert(admin.exclude("annotator:bob", "manual", "asked to", "me"), "me"),
    "invite": lambda admin: admin.invite(lasts=timedelta(days=1)),
    "new-guidelines": lambda admin: admin.guidelines("New words.", by="me"),
    "annotator-paused": lambda admin: admin.pause("bob", by="me", reason="asked to"),
    "annotator-withdrawn": lambda admin: admin.withdraw("bob", by="me", reason="asked to"),
    "export": lambda admin: admin.export(admin.database.path.parent / "out", ("csv",)),
    "freeze": lambda admin: admin.freeze("me"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_deleted_last_entry_is_missed(admin: StudyAdmin, action: str) -> None:
    ACTIONS[action](admin)
    assert admin.verify().ok, admin.verify().problems
    last = admin.database.read(lambda session: session.scalars(select(Audit).order_by(Audit.seq.desc())).first())
    assert last is not None
    assert last.action == action
    tamper(admin, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    assert not admin.verify().ok


def test_frozen_is_for_good(admin: StudyAdmin) -> None:
    admin.freeze("me")
    assert admin.verify().ok
    tamper(admin, "UPDATE campaign SET status = 'open', frozen_at = NULL")
    assert any("was frozen" in problem for problem in admin.verify().problems)
    tamper(admin, "UPDATE campaign SET status = 'frozen'; UPDATE submission SET status = 'surplus' WHERE rowid = 1")
    assert any("counted when the study was frozen" in problem for problem in admin.verify().problems)


def test_exclusions_after_the_freeze_are_no_tampering(admin: StudyAdmin) -> None:
    admin.freeze("me")
    admin.exclude("annotator:bob", "manual", "asked to", "me")
    assert admin.verify().problems == ()


def test_a_chain_that_was_computed_again_shows_against_an_export(admin: StudyAdmin, tmp_path: Path) -> None:
    """The limit of every check within one database, and how an export that was kept elsewhere goes beyond it."""
    admin.export(tmp_path / "kept", ("csv",))
    noted = json.loads((tmp_path / "kept" / "manifest.json").read_bytes())["audit"]
    assert noted == {"entry": admin.verify().entries - 1, "hash": noted["hash"]}
    whole = admin.verify(tmp_path / "kept")
    assert whole.ok
    assert f"Entry {noted['entry']} is the one that the export names" in whole.promise
    tamper(admin, "UPDATE system SET name = 'winner' WHERE id = 1")

    def seal_again(session: object) -> None:
        before = ""
        for entry in session.scalars(select(Audit).order_by(Audit.seq)):  # type: ignore[attr-defined]
            if entry.action == "create":
                entry.payload = entry.payload | {"content": content_hashes(session)}  # type: ignore[arg-type]
            entry.prev_hash = before
            entry.hash = before = audit.seal(
                entry.seq, entry.at, entry.actor, entry.action, entry.object, entry.payload, entry.prev_hash
            )

    admin.database.write(seal_again)
    alone = admin.verify()
    assert alone.ok
    assert "compared with the manifest.json of an earlier export" in alone.promise
    assert any("computed again" in problem for problem in admin.verify(tmp_path / "kept").problems)
    with pytest.raises(StudyError, match="names no entry of an audit chain"):
        admin.verify(tmp_path)


def test_a_study_of_an_older_version_says_what_is_not_covered(admin: StudyAdmin) -> None:
    def as_before(session: object) -> None:
        before = ""
        for entry in session.scalars(select(Audit).order_by(Audit.seq)):  # type: ignore[attr-defined]
            entry.payload = {key: value for key, value in entry.payload.items() if key not in ("content", "output")}
            entry.prev_hash = before
            entry.hash = before = audit.seal(
                entry.seq, entry.at, entry.actor, entry.action, entry.object, entry.payload, entry.prev_hash
            )

    tamper(admin, "SELECT 1")
    admin.database.write(as_before)
    verified = admin.verify()
    assert verified.ok
    assert "Not covered: texts, images, systems" in verified.promise


def run() -> int:
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_compares_with_an_export(
    admin: StudyAdmin, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.export(tmp_path / "kept", ("csv",))
    where = str(admin.database.path.parent)
    monkeypatch.setattr("sys.argv", ["seetell", "study", "verify", where, "--against", str(tmp_path / "kept")])
    assert run() == 0
    assert "is the one that the export names" in " ".join(capsys.readouterr().err.split())
    manifest = tmp_path / "kept" / "manifest.json"
    noted = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps(noted | {"audit": noted["audit"] | {"hash": "0" * 64}}))
    monkeypatch.setattr("sys.argv", ["seetell", "study", "verify", where, "--against", str(manifest), "--json"])
    assert run() == 2
    assert json.loads(capsys.readouterr().out)["ok"] is False
