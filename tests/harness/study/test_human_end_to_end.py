"""From runs in the store to the verdict about metrics and the leaderboard's columns, all by commands and real forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import console, main
from harness.datasets.digests import data_digest
from harness.datasets.load import load_examples
from harness.store.runs import Results
from harness.study.service import StudyService
from harness.suites.spec import Suite
from tests.harness.scored_runs import SUITE, install_metric, make_run
from tests.studies import form, sit


def test_a_metric_that_says_what_people_say_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugin")))
    monkeypatch.setattr(console.out, "width", 300)
    root = tmp_path / "results"
    results = Results(root)
    root.mkdir()
    lines = [json.dumps({"id": f"e{n}", "prompt": f"title {n}", "references": [f"told {n}"]}) for n in range(8)]
    (root / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    suite = Suite.parse(SUITE % (b"made", b"plain"), "suite", root)
    digest = data_digest(sorted(load_examples(suite), key=lambda each: each.id))
    worth = {"poor": 2, "fair": 3, "good": 5}
    for name, value in worth.items():
        texts = {f"e{n}": f"0.{value}{n} {name} words about title {n}" for n in range(8)}
        make_run(results, name, texts, data_digest=digest)

    def seetell(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["seetell", *map(str, arguments), "--results", str(root)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert not left.value.code, said.err
        return said.out

    made = json.loads(
        seetell("study", "create", "pilot", "--suite", "made", "--items", 6, "--ratings-per-item", 2, "--no-practice",
                "--controls", 0, "--aspects", "fluency,coherence", "--json")
    )  # fmt: skip
    service = StudyService.open(root / "studies" / "pilot")
    for person in range(2):
        seat = sit(service, made["invite"].rpartition("=")[2], f"Ann {person}")
        while slots := service.claim(seat, ahead=0).slots:
            name = next(name for name in worth if name in slots[0].text)
            given = worth[name] - person * (name == "good")
            receipt = service.submit(seat, form(slots[0], {"fluency": given, "coherence": given}))
            assert receipt.status == "saved"
    service.close()
    seetell("study", "freeze", "pilot")
    report = json.loads(seetell("study", "analyze", "pilot", "--json"))
    verdicts = {each["metric"]: each for each in report["metrics"]["fluency"]["verdicts"]}
    assert verdicts["quality"]["segment"]["value"] == 1.0
    assert verdicts["quality"]["system"]["value"] == 1.0
    assert report["metrics"]["fluency"]["items"] == report["analysis"]["items"] == 6
    board = json.loads(seetell("leaderboard", "made", "--format", "json"))
    human = {row["decoder"]: row["metrics"]["human-fluency"]["value"] for row in board["rows"]}
    assert human == {"poor": 2.0, "fair": 3.0, "good": 4.5}
