"""From stored runs to a site: ratings and speeds stand beside metrics, and the verb builds, checks and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.results import Site, leaderboard
from harness.errors import SeeTellError
from harness.leaderboard.collect import materials
from harness.leaderboard.side_columns import HumanCell, HumanStudy
from harness.leaderboard.site.manifest import run_page
from harness.store.runs import Results
from harness.store.speed import Speed, write_speed
from tests.harness.scored_runs import install_metric, make_run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    store = Results(tmp_path / "results")
    made = {
        "one": make_run(store, "one", {"e1": "0.5 a", "e2": "0.9 b"}),
        "two": make_run(store, "two", {"e1": "0.4 a", "e2": "0.1 d"}),
    }
    cell = HumanCell(
        run=f"made/{made['one'].path.name}", aspect="fluency", value=4.25, low=4.0, high=4.5, items=2, letters="",
        signature="human|aspect:fluency|study:pilot", unavailable="", caution="",
    )  # fmt: skip
    study = HumanStudy(study="pilot", sha256="0" * 64, draws=10, permutations=10, seed=0, aspects=("fluency",), cells=(cell,))
    path = store.root / "studies" / "pilot" / "human.json"
    path.parent.mkdir(parents=True)
    path.write_text(study.model_dump_json())
    speeds = [
        Speed(decoder=label, identity=folder.describe()["identity"], images_per_second=5.0, low=4.0, high=6.0, relative=2.0,
              batch_size=8, device="a machine", threads=2, signature="speed|device:cpu", seetell="0.1.0")
        for label, folder in made.items()
    ]  # fmt: skip
    other = speeds[0].model_copy(update={"identity": "f" * 64, "device": "of other settings"})
    write_speed(store, "made", [*speeds, other])
    return store


def test_ratings_and_speeds_are_columns_of_their_own_kind(results: Results, tmp_path: Path) -> None:
    [made] = materials(results, shown=0)
    kinds = {column.name: column.kind for column in made.board.columns}
    assert kinds["quality"] == "metric"
    assert kinds["human-fluency"] == "human"
    assert kinds["images-per-second"] == kinds["times-zerocap"] == "speed"
    assert made.board.order_by is not None
    assert made.board.order_by.name == "quality"
    assert leaderboard(out=tmp_path / "out", results=results.root) == 0
    page = (tmp_path / "out" / run_page(next(run.row for run in made.runs if run.row.decoder == "one"))).read_text("utf-8")
    for expected in ("Human fluency", "human|aspect:fluency|study:pilot", "4.25", "Images/s", "4.00 to 6.00"):
        assert expected in page, expected
    index = (tmp_path / "out" / "index.html").read_text("utf-8")
    for kind in ("Metrics", "Human ratings", "Speed"):
        assert f">{kind}</th>" in index
    speed = (tmp_path / "out" / "speed.html").read_text("utf-8")
    assert "a machine" in speed
    assert "of other settings" not in speed, "a run that is not shown"


def test_the_verb_tells_a_site_that_is_current_from_one_that_is_not(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert leaderboard(out=out, site=Site(reproducible=True), results=results.root) == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert leaderboard(out=out, site=Site(check=True), results=results.root) == 0
    make_run(results, "three", {"e1": "0.4 a", "e2": "0.3 d"})
    assert leaderboard(out=out, site=Site(check=True), results=results.root) == 1
    said = capsys.readouterr().err
    assert "made/three-" in said
    assert "not in the site yet" in said
    assert f"seetell leaderboard --reproducible --out {out}" in said.replace("\n", "")
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before, "a check writes nothing"


def test_by_default_the_site_is_not_the_committed_one(results: Results) -> None:
    leaderboard(results=results.root)
    assert (results.root / "site" / "index.html").is_file()
    assert not (results.root / "leaderboard").exists()
    assert json.loads((results.root / "site" / "leaderboard.json").read_text())["rows"][0]["reproduce"]


def test_a_flag_of_the_site_with_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeeTellError, match="--check is for the site"):
        leaderboard(format="md", site=Site(check=True), results=tmp_path)
    with pytest.raises(SeeTellError, match="--reproducible is for the site"):
        leaderboard(out=tmp_path / "x.html", site=Site(reproducible=True), results=tmp_path)
