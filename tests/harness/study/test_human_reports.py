"""Reports of a study: readable, escaped, the same bytes twice, blind until frozen; and the leaderboard's human columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, StoreError
from harness.leaderboard import FORMATS, render
from harness.leaderboard.collect import boards
from harness.leaderboard.side_columns import HumanStudy
from harness.store.runs import Results
from harness.study.analysis.findings import blinded, publish, study_report
from harness.study.analysis.ratings import RatingTable
from harness.study.analysis.reports import to_json, to_latex, to_markdown
from harness.suites.provenance import Signature
from tests.harness.scored_runs import install_metric, make_run
from tests.harness.study.human_data import joined, simulated, table

HOSTILE = r"<b>\input{x} & 50% |"


@dataclass
class Overview:
    name: str
    status: str
    aspects: tuple[str, ...] = ("fluency", "relevance")


@dataclass
class Made:
    """A study that is nothing but its ratings: what `harness.study.analysis.findings` asks of one."""

    counted: RatingTable
    everything: RatingTable | None = None
    status: str = "frozen"
    name: str = "pilot"
    found: Mapping[str, str] = field(default_factory=dict)

    def overview(self) -> Overview:
        return Overview(self.name, self.status)

    def ratings(self, *, excluded: bool = False) -> RatingTable:
        return self.everything if excluded and self.everything is not None else self.counted

    def runs(self) -> Mapping[str, str]:
        return self.found


def renamed(ratings: RatingTable, names: Mapping[str, str]) -> RatingTable:
    return replace(ratings, system=np.array([names.get(each, each) for each in ratings.system.tolist()]))


NAMES = {"system 0": "greedy", "system 1": "magic", "system 2": HOSTILE}


@pytest.fixture(scope="module")
def study() -> Made:
    return Made(renamed(simulated(), NAMES))


@pytest.fixture
def empty(tmp_path: Path) -> Results:
    return Results(tmp_path)


def test_the_same_ratings_and_seed_give_the_same_bytes(study: Made, empty: Results) -> None:
    texts = [to_json(study_report(study, empty, seed=3, draws=500)) for _ in range(2)]
    assert texts[0] == texts[1]
    shuffled = Made(study.counted.rows(np.random.default_rng(2).permutation(len(study.counted))))
    assert to_json(study_report(shuffled, empty, seed=3, draws=500)) == texts[0]
    assert to_json(study_report(study, empty, seed=4, draws=500)) != texts[0]


def test_json_says_everything(study: Made, empty: Results) -> None:
    content = json.loads(to_json(study_report(study, empty, draws=500)))
    analysis = content["analysis"]
    assert analysis["sha256"] == study.counted.sha256
    assert (len(analysis["summaries"]), len(analysis["differences"]), len(analysis["agreement"])) == (6, 6, 2)
    for each in analysis["summaries"]:
        assert each["mean"]["low"] < each["mean"]["value"] < each["mean"]["high"]
        assert sum(each["distribution"]) == each["ratings"]
    signature = Signature.parse(analysis["summaries"][0]["signature"])
    assert dict(signature.fields) | {"v": ""} == {
        "aspect": "fluency", "k": "3", "annotators": "9", "ratings": study.counted.sha256[:8], "v": "",
    }  # fmt: skip
    undefined = analysis["agreement"][0]["repeats"]["alpha"]
    assert undefined["value"] is None
    assert "second time" in undefined["reason"]


def test_names_from_outside_are_escaped(study: Made, empty: Results) -> None:
    report = study_report(study, empty, draws=500)
    page, paper = to_markdown(report), to_latex(report)
    assert "<b>" not in page
    assert r"\<b\>" in page
    assert "\\input" not in paper
    assert r"\textbackslash{}input\{x\} \& 50\% \textbar{}" in paper
    tables = [part.splitlines() for part in page.split("\n\n") if part.startswith("| ")]
    assert len(tables) >= 4
    for lines in tables:  # a bar in a name must not make another cell
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert paper.count(r"\begin{tabular}") == paper.count(r"\end{tabular}") == paper.count(r"\toprule") >= 4


def test_no_difference_found_names_what_could_have_been(empty: Results) -> None:
    same = Made(simulated(effects=(0.0, 0.0)))
    report = study_report(same, empty, draws=500)
    page = to_markdown(report)
    for each in report.analysis.differences:
        assert not each.significant
        assert f"no difference found; it would have to be {each.detectable:.2f}" in page


def test_systems_stay_hidden_until_the_study_is_frozen(study: Made, empty: Results) -> None:
    open_study = replace(study, status="open")
    report = study_report(open_study, empty, draws=500)
    for text in (to_markdown(report), to_latex(report), to_json(report)):
        assert "magic" not in text
        assert "greedy" not in text
        assert "system A" in text
    assert report.analysis.sha256 == study.counted.sha256
    assert report.metas == ()
    assert any("not frozen" in caution for caution in report.cautions)
    with pytest.raises(DataError, match="seetell study freeze pilot"):
        publish(report, {}, empty)
    means = sorted(each.mean.value or 0 for each in report.analysis.summaries)
    revealed = study_report(study, empty, draws=500).analysis.summaries
    assert means == pytest.approx(sorted(each.mean.value or 0 for each in revealed))


def test_stand_ins_stay_the_same_and_tell_no_order() -> None:
    ratings = renamed(simulated(), NAMES)
    one, other = blinded(ratings, "pilot", ratings.systems), blinded(ratings, "pilot", ratings.systems)
    assert one.sha256 == other.sha256
    orders = {tuple(blinded(ratings, f"study {n}", ratings.systems).system.tolist()) for n in range(12)}
    assert len(orders) > 2


def test_exclusions_are_shown_either_way(empty: Results) -> None:
    honest = simulated(effects=(0.0, 0.1), annotators=3, k=2, aspects=("fluency",), items=30)
    rows = [
        {"system": system, "item": item, "annotator": "zealot", "value": value}
        for item in honest.items
        for system, value in (("system 0", 5), ("system 1", 1))
    ]
    study = Made(honest, joined(honest, table(rows)))
    counted = study_report(study, empty, draws=300)
    everything = study_report(study, empty, excluded="include", draws=300)
    assert (counted.analysis.annotators, everything.analysis.annotators) == (3, 4)
    assert counted.effect == everything.effect
    assert "60 ratings are excluded" in to_markdown(counted)
    with pytest.raises(DataError, match="not excluded"):
        publish(everything, {}, empty)
    nothing = Made(honest.rows(np.zeros(len(honest), bool)), honest)
    with pytest.raises(DataError, match="every rating of 'pilot' is excluded"):
        study_report(nothing, empty)


def test_the_leaderboard_shows_people_beside_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install_metric(tmp_path / "plugin")))
    results = Results(tmp_path / "results")
    values = {"greedy": 2, "magic": 4, "other": 3}
    folders = {
        name: make_run(results, name, {f"item {n:05d}": f"0.{value} words" for n in range(40)}) for name, value in values.items()
    }
    runs = {name: f"made/{folders[name].path.name}" for name in ("greedy", "magic")}
    study = Made(renamed(simulated(effects=(0.0, 1.0)), NAMES), found=runs)
    assert not any("human" in column.name for column in boards(results)[0].columns)

    publish(study_report(study, results, draws=500), runs, results)
    [board] = boards(results)
    rows = {row.decoder: row for row in board.rows}
    cell = rows["magic"].cells["human-fluency"]
    analysis = study_report(study, results, draws=500).analysis
    told = analysis.summary("magic", "fluency")
    assert cell.value == pytest.approx(told.mean.value)
    assert cell.interval == pytest.approx((told.mean.low, told.mean.high))
    assert (cell.letters, cell.signature, cell.n) == ("a", told.signature, 40)
    assert rows["greedy"].cells["human-fluency"].letters == "b"
    assert "human-fluency" not in rows["other"].cells
    texts = {format: render([board], format) for format in FORMATS}
    for format, text in texts.items():
        assert "human-fluency" in text if format in ("csv", "json") else f"{cell.value:.2f}" in text, format
    assert "two-way bootstrap" in texts["md"]
    human = json.loads(texts["json"])["rows"][0]["metrics"]["human-fluency"]
    assert human["value"] in (pytest.approx(cell.value), pytest.approx(rows["greedy"].cells["human-fluency"].value))

    again = replace(study, name="second")
    publish(study_report(again, results, draws=500), runs, results)
    names = [column.name for column in boards(results)[0].columns]
    assert {"human-fluency", "human-fluency:second"} <= set(names)


def test_a_damaged_file_is_told_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "studies" / "pilot" / "human.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"study": "pilot"}')
    with pytest.raises(StoreError, match="seetell study analyze pilot"):
        HumanStudy.read(path)
