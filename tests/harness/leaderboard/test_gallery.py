"""Examples in the order in which systems differ, each with its own scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.leaderboard.collect import material_of, materials
from harness.leaderboard.gallery import gallery
from harness.store.runs import Results
from harness.suites.examples import Failure
from tests.harness.leaderboard.sites import material
from tests.harness.scored_runs import install_metric, make_run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    store = Results(tmp_path / "results")
    bounded = {"metrics": ["bounded"]}
    make_run(store, "one", {"e1": "0.5 a", "e2": "0.9 b", "e3": ["0.2 c", "0.4 c"], "e4": Failure("Bad", "no")}, **bounded)
    make_run(store, "two", {"e1": "0.5 a", "e2": "0.1 d", "e3": ["0.6 e", "0.8 e"], "e4": "0.3 f"}, **bounded)
    make_run(store, "apart", {"e1": "0.0 a", "e2": "0.9 d", "e3": "0.6 e", "e4": "0.3 f"}, way="crooked", **bounded)
    return store


def test_examples_come_by_the_spread_of_their_own_scores(results: Results) -> None:
    [made] = materials(results, shown=0)
    found = gallery(made)
    assert [item.example.id for item in found.items] == ["e2", "e3", "e1", "e4"]
    assert found.column is not None
    assert found.column.name == "bounded-quality"
    names = [row.decoder for row in found.systems]
    by = {item.example.id: dict(zip(names, item.values, strict=True)) for item in found.items}
    assert by["e3"]["one"] == pytest.approx(0.3)
    assert by["e3"]["two"] == pytest.approx(0.7)
    assert by["e3"]["apart"] is None, "made in another way, so no part of the spread"
    assert by["e4"]["one"] is None
    spread = {item.example.id: item.spread for item in found.items}
    assert spread["e2"] == pytest.approx(np.std([0.9, 0.1]))
    assert (spread["e1"], spread["e4"]) == (0, 0), "alike, and scored for one system only"


def test_every_draw_and_failure_is_there_for_each_system(results: Results) -> None:
    [made] = materials(results, shown=0)
    found = gallery(made)
    place = [row.decoder for row in found.systems].index("one")
    item = found.find("e3")
    assert item is not None
    assert [answer.text for answer in item.answers[place]] == ["0.2 c", "0.4 c"]
    failed = found.find("e4")
    assert failed is not None
    assert failed.answers[place][0].failure == Failure("Bad", "no")
    assert found.find("nowhere") is None


def test_one_run_alone_is_a_gallery_too(results: Results) -> None:
    [folder] = [each for each in results.runs() if each.path.name.startswith("one")]
    found = gallery(material_of([folder], letters=False))
    assert [row.decoder for row in found.systems] == ["one"]
    assert len(found.items) == 4


def test_without_scores_texts_decide(tmp_path: Path) -> None:
    found = gallery(material(tmp_path, examples=6, systems=3))
    assert found.column is None
    assert [item.example.id for item in found.items] == ["ex-00000", "ex-00003", "ex-00001", "ex-00002", "ex-00004", "ex-00005"]
    assert [item.spread > 0 for item in found.items] == [True, True, False, False, False, False]
