"""Imported ratings and the runs that wrote the texts: joined by system, item and text, or refused by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.store.runs import Results
from harness.study.admin import StudyAdmin
from harness.study.analysis.findings import study_report
from harness.study.exchange.imports import import_ratings
from tests.harness.scored_runs import install_metric, make_run
from tests.studies import Clock

VALUES = {"low": [1, 2, 1, 2], "high": [4, 5, 3, 4]}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugin")))
    results = Results(tmp_path / "results")
    for name, given in VALUES.items():
        make_run(results, name, {f"e{n}": f"{value / 10} Words, said." for n, value in enumerate(given)})
    return results


def ratings(folder: Path, **changed: str) -> Path:
    """Two people rate both systems, and a third system that was never run; texts in another spelling."""
    lines = ["system,item,annotator,aspect,value,text"]
    for name, given in {**VALUES, "person": [5, 5, 4, 5]}.items():
        for n, value in enumerate(given):
            text = changed.get(f"{name}/e{n}", f'"{value / 10}  words , said ."' if name != "person" else "a person's")
            lines += [f"{name},e{n},{who},fluency,{value},{text}" for who in "xy"]
    source = folder / "theirs.csv"
    source.write_text("\n".join(lines) + "\n")
    return source


def test_metrics_are_held_against_imported_ratings(results: Results, tmp_path: Path) -> None:
    import_ratings(ratings(tmp_path), "theirs", tmp_path / "theirs", runs=(results, "made"), now=Clock()())
    admin = StudyAdmin.open(tmp_path / "theirs")
    assert admin.runs()["person"] == ""
    admin.freeze("me")
    report = study_report(admin, results, draws=50)
    admin.close()
    [meta] = report.metas
    quality = {verdict.metric: verdict for verdict in meta.verdicts}["quality"]
    assert (quality.segment.value, quality.system.value) == (1.0, 1.0)
    assert "no run in the store" in meta.left_out["system 'person'"]


def test_texts_that_the_file_does_not_have_come_from_the_runs(results: Results, tmp_path: Path) -> None:
    source = ratings(tmp_path, **{"low/e0": ""})
    import_ratings(source, "theirs", tmp_path / "theirs", runs=(results, "made"), now=Clock()())
    admin = StudyAdmin.open(tmp_path / "theirs")
    texts = {text for item in admin.items() for text in item.texts}
    admin.close()
    assert "0.1 Words, said." in texts


@pytest.mark.parametrize(
    ("changed", "suite", "words"),
    [
        ({"low/e1": "something else"}, "made", "row 3: item 'e1' of 'low' was rated as 'something else', and the run of 'made'"),
        ({}, "mads", "no runs of 'mads'.*did you mean 'made'"),
    ],
)
def test_what_does_not_fit_is_refused(results: Results, tmp_path: Path, changed: dict[str, str], suite: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        import_ratings(ratings(tmp_path, **changed), "theirs", tmp_path / "theirs", runs=(results, suite), now=Clock()())
    assert not (tmp_path / "theirs" / "study.sqlite").exists()


def test_items_and_systems_have_to_be_those_of_the_suite(results: Results, tmp_path: Path) -> None:
    source = ratings(tmp_path)
    whole = source.read_text()
    for text, words in (
        (whole.replace(",e0,", ",x0,"), "row 1: item 'x0' of 'low' has no text in the run"),
        (whole.replace("low,", "theirs,").replace("high,", "ours,"), "no system of these ratings .* has a run of 'made'"),
    ):
        source.write_text(text)
        with pytest.raises(StudyError, match=words):
            import_ratings(source, "theirs", tmp_path / "theirs", runs=(results, "made"), now=Clock()())


def test_aspects_keep_the_order_of_the_file(results: Results, tmp_path: Path) -> None:
    source = tmp_path / "theirs.csv"
    lines = [f"{s},e{n},x,{a},{1 + n}" for s in VALUES for n in range(4) for a in ("wit", "clarity", "accuracy")]
    source.write_text("\n".join(["system,item,annotator,aspect,value", *lines]) + "\n")
    import_ratings(source, "theirs", tmp_path / "theirs", runs=(results, "made"), now=Clock()())
    admin = StudyAdmin.open(tmp_path / "theirs")
    admin.freeze("me")
    report = study_report(admin, results, draws=50)
    admin.export(tmp_path / "out")
    admin.close()
    assert report.analysis.aspects == ("wit", "clarity", "accuracy")
    assert [meta.aspect for meta in report.metas] == ["wit", "clarity", "accuracy"]
    import_ratings(tmp_path / "out", "again", tmp_path / "again", now=Clock()())
    again = StudyAdmin.open(tmp_path / "again")
    assert again.overview().aspects == ("wit", "clarity", "accuracy")
    again.close()
