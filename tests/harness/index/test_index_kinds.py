"""Flat is exact; HNSW and IVF find almost all of it where there is something to find; nothing is loaded whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.bench.index import MadeUp, measure
from harness.datasets.index.build import build_index
from harness.datasets.index.kinds import FLAT_UP_TO, HNSW_UP_TO, choose, parameters
from harness.datasets.index.manifest import read_manifest, stored
from harness.datasets.index.query import Index


def test_the_kind_follows_from_the_size() -> None:
    assert [choose(rows) for rows in (1, FLAT_UP_TO, FLAT_UP_TO + 1, HNSW_UP_TO, HNSW_UP_TO + 1)] == [
        "flat", "flat", "hnsw", "hnsw", "ivf",
    ]  # fmt: skip
    for rows in (1, 2, 70, 10**4, 10**6, 10**8):
        ivf = parameters("ivf", rows)
        assert 1 <= ivf["probes"] <= ivf["lists"] <= max(1, 2 * rows**0.5)


def test_flat_is_the_whole_sort(tmp_path: Path) -> None:
    made = MadeUp("random", 700, 16, 0)
    build_index(made.corpus(), tmp_path)
    queries, features = made.queries(40), np.array(Index(tmp_path).features.features)
    exact = queries.astype(np.float64) @ features.astype(np.float64).T
    rows, cosines = Index(tmp_path).search(queries, 13)
    assert rows.tolist() == np.argsort(-exact, axis=1, kind="stable")[:, :13].tolist()
    np.testing.assert_allclose(cosines, -np.sort(-exact, axis=1)[:, :13], atol=1e-12)
    assert Index(tmp_path).search(queries, 5000)[0].shape == (40, 700)


def test_rows_that_float32_cannot_tell_apart_are_told_apart_and_equal_ones_come_lowest_first(tmp_path: Path) -> None:
    made = MadeUp("random", 600, 64, 0)
    build_index(made.corpus(), tmp_path)
    features = np.array(Index(tmp_path).features.features)
    query = features[7].copy()
    noise = np.random.default_rng(1).normal(size=(400, 64)) * 2e-8
    features[40:440] = (query + noise).astype(np.float32)
    features[500:540] = features[300]
    (tmp_path / "features.f32").write_bytes(features.tobytes())
    manifest = read_manifest(tmp_path)
    files = {**manifest.files, "features.f32": stored(tmp_path / "features.f32")}
    manifest.model_copy(update={"files": files}).write(tmp_path)
    exact = features.astype(np.float64) @ query.astype(np.float64)
    _, cosines = Index(tmp_path).search(query[None], 20)
    np.testing.assert_allclose(cosines[0], np.sort(exact)[::-1][:20], rtol=0, atol=1e-15)
    twice = [int(row) for row in Index(tmp_path).search(features[300:301], 600)[0][0]]
    places = [twice.index(row) for row in (300, *range(500, 540))]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_shortlists_find_almost_all_of_clusters_and_their_cosines_are_exact(tmp_path: Path, kind: str) -> None:
    made = MadeUp("clustered", 4000, 32, 0)
    build_index(made.corpus(), tmp_path, kind=kind)  # type: ignore[arg-type]
    index, queries = Index(tmp_path), made.queries(100)
    truth, exact = index.search(queries, 10, exact=True)
    rows, cosines = index.search(queries, 10)
    assert np.mean(rows[:, 0] == truth[:, 0]) > 0.9
    both = rows == truth
    assert both.mean() > 0.8
    np.testing.assert_array_equal(cosines[both], exact[both])
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert sorted(path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        ".arrow", ".f32", ".faiss", ".json", ".json",
    ]  # fmt: skip
    build_index(made.corpus(), tmp_path, kind="flat")
    assert not list(tmp_path.glob("*.faiss")), "what the new kind does not need goes"


def test_ivf_is_built_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_index(MadeUp("clustered", 1500, 16, 0).corpus(), tmp_path / name, kind="ivf")
    assert Index(tmp_path / "a").manifest == Index(tmp_path / "b").manifest


MEASURED = """
import json, sys
from pathlib import Path
import numpy as np
from harness.bench.memory import forget_peak, peak_bytes
from decoders import nearest
from harness.datasets.index.query import Index
nearest._memory = lambda: 0  # as on a machine for which the features are large
index = Index(Path(sys.argv[1]))
queries = np.ascontiguousarray(np.array(index.features.features[:4]))
index.rows([5])
index.search(queries, 5)
before = peak_bytes()
print(json.dumps([forget_peak(), before, index.search(queries, 5)[0][:, 0].tolist()]))
"""


def test_a_query_does_not_load_the_features(tmp_path: Path) -> None:
    """The peak with 120 MB of features is the peak with 12 MB, but for the blocks that pass by."""
    peaks = {}
    for rows in (3_000, 30_000):
        build_index(MadeUp("random", rows, 1000, 0).corpus(), tmp_path / str(rows), kind="flat")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(tmp_path / str(rows))],
            env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        _, peaks[rows], nearest = json.loads(done.stdout)
        assert nearest == [0, 1, 2, 3]
    assert peaks[30_000] - peaks[3_000] < 60e6, peaks


def test_the_measurement_tells_recall_against_flat(tmp_path: Path) -> None:
    found = measure(3000, 24, ("flat", "ivf"), ("clustered", "random"), 50, tmp_path)
    by = {(each.making, each.kind): each for each in found}
    assert len(by) == 4
    for making in ("clustered", "random"):
        assert by[making, "flat"].recall_1 == by[making, "flat"].recall_10 == 1
    assert by["random", "ivf"].recall_10 < by["clustered", "ivf"].recall_10
    assert all(len(each.row()) == 12 and each.peak > 0 and each.disk > 3000 * 24 * 4 for each in found)


@pytest.mark.heavy
def test_a_million_rows_fit(tmp_path: Path) -> None:
    [flat, ivf] = measure(1_000_000, 512, ("flat", "ivf"), ("clustered",), 200, tmp_path)
    assert max(flat.peak, ivf.peak, ivf.query_peak) < 8 * 2**30
    assert ivf.recall_1 > 0.9
