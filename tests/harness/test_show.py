"""`seetell show`: a run and its examples in the terminal and as JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from harness.cli.show import show
from harness.errors import SeeTellError, StoreError, SuiteError
from harness.store.runs import Results
from harness.suites.examples import Failure
from tests.harness.scored_runs import install_metric, make_run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    store = Results(tmp_path / "results")
    make_run(store, "one", {"e1": "0.5 a", "e2": "0.9 [bold]b", "e3": "0.7 c", "e4": Failure("Bad", "no")})
    make_run(store, "two", {"e1": "0.4 a", "e2": "0.1 d", "e3": "0.8 e", "e4": "0.3 f"})
    return store.root


def told(capsys: pytest.CaptureFixture[str], name: str, results: Path, example: str | None = None, **flags: Any) -> Any:
    assert show(name, example, results=results, as_json=True, **flags) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_says_what_it_was_made_from_and_how_good_it_is(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "made/one", results)
    assert (said["decoder"], said["decoded"], said["failed"], said["total"]) == ("one", 3, 1, 4)
    assert said["spec"]["config"] == {"word": "one"}
    assert said["environment"]["packages"] == {"torch": "1"}
    assert said["reproduce"] == "seetell run made.toml --only one"
    quality = next(each for each in said["scores"] if each["output"] == "quality")
    assert quality["value"] == pytest.approx(0.7)
    assert quality["signature"].startswith("quality|way:plain")
    show("made/one", results=results)
    table = capsys.readouterr().out
    for expected in ("3 of 4 decoded, 1 failed", "config.word", "70.0", "quality|way:plain"):
        assert expected in table


@pytest.mark.parametrize(("flags", "expected"), [({"worst": True}, "e1"), ({"differ": True}, "e2"), ({"example": "e3"}, "e3")])
def test_an_example_is_picked_by_id_by_the_run_or_by_all_systems(
    flags: dict[str, Any], expected: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(capsys, "made/one", results, **flags)
    assert said["id"] == expected
    assert {each["decoder"] for each in said["systems"]} == {"one", "two"}


def test_the_worst_of_another_run_is_another(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "made/two", results, worst=True)["id"] == "e2"


def test_every_text_is_shown_as_it_is_and_a_failure_as_one(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show("made/one", "e2", results=results)
    table = capsys.readouterr().out
    assert "0.9 [bold]b" in table, "no markup of the terminal's"
    assert "> one" in table
    show("made/one", "e4", results=results)
    assert "<Bad> no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "flags", "error", "says"),
    [
        ("made/noe", {}, StoreError, "did you mean"),
        ("made/one", {"example": "e9"}, SuiteError, "no example 'e9' \\(did you mean"),
        ("made/one", {"example": "e1", "worst": True}, SuiteError, "give one of them"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    name: str, flags: dict[str, Any], error: type[SeeTellError], says: str, results: Path
) -> None:
    with pytest.raises(error, match=says):
        show(name, flags.pop("example", None), results=results, **flags)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_scores_of_every_text_go_into_a_table(ending: str, results: Path, tmp_path: Path) -> None:
    out = tmp_path / f"scores.{ending}"
    assert show("made", scores=out, results=results) == 0
    if ending == "csv":
        with out.open(newline="", encoding="utf-8") as file:
            rows = [{**row, "references": json.loads(row["references"])} for row in csv.DictReader(file)]
    else:
        rows = pyarrow.parquet.read_table(out).to_pylist()
    assert list(rows[0])[:7] == ["id", "system", "run", "draw", "text", "failure", "references"]
    assert {"quality", "badness", "words"} <= set(rows[0])
    by_key = {(row["system"], row["id"]): row for row in rows}
    assert float(by_key["one", "e2"]["quality"]) == pytest.approx(0.9)
    assert float(by_key["two", "e4"]["quality"]) == pytest.approx(0.3)
    assert by_key["one", "e2"]["text"] == "0.9 [bold]b"
    assert by_key["one", "e4"]["failure"] == "Bad"
    assert by_key["one", "e4"]["quality"] in ("", None)
    with pytest.raises(SuiteError, match=r"ends in \.csv or \.parquet"):
        show("made", scores=tmp_path / "scores.xls", results=results)
