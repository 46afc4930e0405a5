"""`seetell annotate`: where it finds a study, and what it says when it cannot serve one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.cli.study import annotate as annotating
from harness.errors import StudyError
from harness.study.admin import StudyAdmin
from tests.studies import a_study


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_study_is_found_by_name_folder_file_or_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(a_study(tmp_path / "results" / "studies" / "toy").where)
    assert annotating.place("toy", Path("results")) == str(folder)
    assert annotating.place("results/studies/toy", Path("elsewhere")) == str(folder)
    assert annotating.place(str(folder / "study.sqlite"), Path("results")) == str(folder / "study.sqlite")
    assert annotating.place("postgresql://a@b/c", Path("results")) == "postgresql://a@b/c"


def test_what_cannot_be_served_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("it was served"))
    with pytest.raises(StudyError, match="nowhere"):
        annotating.annotate("nowhere", results=tmp_path)
    a_study(tmp_path / "studies" / "toy")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StudyError, match=rf"cannot listen on 127.0.0.1:{taken.getsockname()[1]} .*--port"):
            annotating.annotate("toy", port=taken.getsockname()[1], results=tmp_path)
    with pytest.raises(StudyError, match="--port is 99999; expected 1 to 65535"):
        annotating.annotate("toy", port=99999, results=tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"seetell\[ui\]"):
        annotating.annotate("toy", results=tmp_path)


def test_the_first_start_prints_a_link_and_the_url_of_a_database_stays_out_of_the_process_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []
    monkeypatch.setattr("os.execve", lambda _, command, environment: started.append((command, environment)))
    where = a_study(tmp_path / "studies" / "toy").where
    annotating.serve("toy", port=free_port(), browse=True, results=tmp_path)
    ((command, environment),) = started
    assert environment["SEETELL_STUDY"] == where
    assert where not in command
    assert command[-1] == "--open"
    told = capsys.readouterr().err
    token = told.split("?invite=")[1].split()[0]
    admin = StudyAdmin.open(where)
    assert len(token) >= 22  # 128 bits
    assert admin.invites()[0].note == "printed by annotate"
    admin.close()
