"""`seetell study analyze` and `power` on a real study: rated through the service, kept in SQLite, frozen, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import console, main
from harness.study.service import StudyService
from tests.studies import Clock, a_study, form, sit

PEOPLE = 3


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one study: 6 items, 4 systems, 2 ratings a text. Texts that begin with `a` or `b` are liked."""
    root = tmp_path_factory.mktemp("results")
    clock = Clock()
    made = a_study(root / "studies" / "pilot", clock=clock, annotators=PEOPLE)
    service = StudyService.open(made.where, clock=clock)
    seats = [sit(service, made.invite, f"Ann {number}") for number in range(PEOPLE)]
    waiting = list(enumerate(seats))
    while waiting:
        for person, seat in list(waiting):
            slots = service.claim(seat, ahead=0).slots
            if not slots:
                waiting.remove((person, seat))
                continue
            liked = 4 if slots[0].text[0] in "ab" else 2
            values = {aspect: liked + (place + person) % 2 for place, aspect in enumerate(
                ("coherence", "fluency", "informativeness", "relevance"))}  # fmt: skip
            clock.pass_(seconds=30)
            service.submit(seat, form(slots[0], values))
    service.close()
    return root


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """One command, and its exit code."""
    monkeypatch.setattr("sys.argv", ["seetell", *map(str, arguments)])
    monkeypatch.setattr(console.out, "width", 300)
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_a_study_from_ratings_to_the_leaderboards_file(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    analyze = ("study", "analyze", "pilot", "--results", results)
    assert run(monkeypatch, *analyze) == 0
    blind = capsys.readouterr()
    assert "system A" in blind.out
    for name in ("magic", "beam", "nucleus", "zerocap"):
        assert name not in blind.out + blind.err
    assert "not frozen" in blind.err
    assert "3 annotators, fewer than 8" in blind.err
    assert not (results / "studies" / "pilot" / "human.json").exists()

    review = ("study", "review", "pilot", "--results", results, "--reason", "a test of exclusions")
    assert run(monkeypatch, *review, "--exclude", "annotator:Ann 0") == 0
    capsys.readouterr()
    counted = {}
    for way in ("exclude", "include"):
        assert run(monkeypatch, *analyze, "--json", "--excluded", way) == 0
        counted[way] = json.loads(capsys.readouterr().out)
    assert (counted["exclude"]["analysis"]["annotators"], counted["include"]["analysis"]["annotators"]) == (2, 3)
    assert counted["exclude"]["exclusions"] == counted["include"]["exclusions"]
    assert "ratings are excluded (annotators of whom nothing counts: 1)" in counted["exclude"]["exclusions"]["says"]
    assert run(monkeypatch, *review, "--revert", 1) == 0
    capsys.readouterr()

    assert run(monkeypatch, "study", "freeze", "pilot", "--results", results) == 0
    capsys.readouterr()
    texts = []
    for _ in range(2):
        assert run(monkeypatch, *analyze, "--json", "--seed", 5) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    content = json.loads(texts[0])
    assert content["frozen"]
    means = {each["system"]: each["mean"]["value"] for each in content["analysis"]["summaries"] if each["aspect"] == "fluency"}
    assert min(means["magic"], means["beam"]) > 3.9 > 3.1 > max(means["nucleus"], means["zerocap"])
    assert "not available" in content["no_metrics"]  # these runs were never in the store
    human = json.loads((results / "studies" / "pilot" / "human.json").read_text())
    assert {each["run"].partition("/")[0] for each in human["cells"]} == {"toy"}
    assert len(human["cells"]) == 16

    for suffix, mark in (("md", "## Agreement"), ("tex", r"\toprule"), ("json", '"frozen": true')):
        assert run(monkeypatch, *analyze, "--out", tmp_path / f"report.{suffix}") == 0
        assert mark in (tmp_path / f"report.{suffix}").read_text()


def test_power_of_a_pilot_and_without_one(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "study", "power", "--items", 100, 400, "--ratings-per-item", 3, "--json") == 0
    small, large = json.loads(capsys.readouterr().out)
    assert (small["plan"]["items"], large["plan"]["items"]) == (100, 400)
    assert small["power"]["0.2"] < large["power"]["0.2"]
    assert "assumed" in small["components"]["source"]
    assert run(monkeypatch, "study", "power", "pilot", "--results", results, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["components"]["source"] == "pilot"
    assert found[0]["plan"]["systems"] == 4
    assert found[0]["hours"] * 3600 / found[0]["texts"] == pytest.approx(12.345)  # seconds a form, as the browser measured


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze", "pilot", "--seed", "-1"], "--seed is -1"),
        (["analyze", "pilot", "--out", "report.doc"], "report.doc does not tell the format"),
        (["analyze", "nothing"], "nothing"),
        (["power", "--annotators", "2", "--ratings-per-item", "5"], "more annotators"),
        (["power", "--items", "1"], "a plan has 1 items"),
    ],
)
def test_what_cannot_be_done_is_one_clear_error(
    arguments: list[str], told: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "study", *arguments, "--results", results) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
