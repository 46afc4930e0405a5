"""Which runs are ranked together and on which examples: failing never pays; other data, models and arithmetic stand apart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.compare.same_examples import on_same_examples
from harness.compare.scored import ScoredRun
from harness.leaderboard import FORMATS, render
from harness.leaderboard.collect import boards, material_of, materials
from harness.leaderboard.figures import verdict
from harness.leaderboard.frame import Board, Row
from harness.leaderboard.markdown import notes
from harness.leaderboard.matrix import to_matrix
from harness.leaderboard.site import manifest, write_site
from harness.store.runs import Results, RunFolder
from harness.suites.examples import Failure
from harness.suites.spec import ModelPin
from tests.harness.leaderboard.samples import png
from tests.harness.scored_runs import install_metric, make_run, noisy

BROKEN = Failure("UnreadableImage", "no image")
HARD = Failure("OutOfMemory", "too hard")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.syspath_prepend(install_metric(tmp_path / "site"))
    return Results(tmp_path / "results")


def write_data(results: Results, count: int, broken: tuple[int, ...] = ()) -> None:
    """The suite's data, `ex0000` and so on, each with an image; some images are no images."""
    results.root.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        name = f"{index}.png"
        (results.root / name).write_bytes(b"no image" if index in broken else png())
        lines.append(json.dumps({"id": f"ex{index:04}", "image": name}))
    (results.root / "data.jsonl").write_text("\n".join(lines), "utf-8")


def run(results: Results, label: str, texts: dict[str, str | Failure], **options: object) -> RunFolder:
    return make_run(results, label, texts, **{"metrics": ["bounded"], **options})  # type: ignore[arg-type]


def row(board: Board, label: str) -> Row:
    return next(row for row in board.rows if row.decoder == label)


def places(board: Board, name: str = "bounded-quality") -> dict[str, tuple[int | None, bool]]:
    """Rank and star of each row in a column."""
    column = next(column for column in board.columns if column.name == name)
    standings = board.standings(column)
    return {row.name: (place.rank, place.best) for row, place in zip(board.ordered(), standings, strict=True)}


def picky(texts: dict[str, str], failed: int, failure: Failure) -> dict[str, str | Failure]:
    """A system that answers the easy examples alone, and those better than anybody."""
    hard = sorted(texts)[:failed]
    return {key: failure if key in hard else "0.99 words" for key in texts}


@pytest.mark.parametrize("failure", [BROKEN, HARD], ids=["claims a broken image", "runs out of memory"])
@pytest.mark.parametrize("with_data", [True, False])
def test_a_decoder_that_fails_on_the_hard_examples_does_not_win(results: Results, failure: Failure, with_data: bool) -> None:
    texts = noisy(np.random.default_rng(0), 30)
    if with_data:
        write_data(results, 30)
    run(results, "plain", texts)  # type: ignore[arg-type]
    run(results, "picky", picky(texts, 27, failure))
    [board] = boards(results)
    assert places(board) == {"plain": (1, True), "picky": (2, False)}
    cell = row(board, "picky").cells["bounded-quality"]
    assert cell.number == pytest.approx(3 * 0.99 / 30), "27 of 30 count as 0"
    assert (cell.failed, cell.n, cell.unscored) == (27, 3, 27)
    assert cell.interval is not None
    assert row(board, "plain").cells["bounded-quality"].letters == "a"
    assert cell.letters == "b"
    column = board.order_by
    assert column is not None
    assert verdict(board, column).startswith("plain is first")
    said = " ".join(notes(board))
    assert "counts as the worst value (0 where higher is better): picky (27)" in said


def test_without_a_worst_value_a_system_that_failed_is_not_ranked(results: Results) -> None:
    texts = noisy(np.random.default_rng(1), 30)
    run(results, "plain", texts, metrics=["quality"])  # type: ignore[arg-type]
    run(results, "other", noisy(np.random.default_rng(2), 30), metrics=["quality"])  # type: ignore[arg-type]
    run(results, "picky", picky(texts, 1, HARD), metrics=["quality"])
    [board] = boards(results)
    assert places(board, "quality")["picky"] == (None, False)
    cell = row(board, "picky").cells["quality"]
    assert cell.not_ranked == "1 answer has no score, and this number has no worst value to count for them"
    assert cell.letters == ""
    assert row(board, "other").cells["quality"].letters
    assert "Not ranked where such an answer has no worst value: quality (picky); badness (picky)." in " ".join(notes(board))
    assert cell.not_ranked in render([board], "json")


def test_a_broken_image_leaves_the_table_for_everyone(results: Results) -> None:
    texts = noisy(np.random.default_rng(3), 30)
    write_data(results, 30, broken=(4,))
    blind = texts | {"ex0004": "0.0 words"}
    sees = {"ex0004": BROKEN}
    run(results, "blind", blind)  # type: ignore[arg-type]
    run(results, "sees", {**texts, **sees})
    run(results, "unlucky", {**texts, **sees, "ex0009": BROKEN})
    [board] = boards(results)
    cells = {label: row(board, label).cells["bounded-quality"] for label in ("blind", "sees", "unlucky")}
    assert cells["blind"].value == cells["sees"].value > cells["unlucky"].value
    assert [cells[label].failed for label in cells] == [0, 0, 1], "nobody could read the one, only one could not read the other"
    assert cells["blind"].n == 29
    assert "their images cannot be read: 1 (ex0004)" in " ".join(notes(board))


def test_one_system_alone_is_measured_on_every_example_too(results: Results) -> None:
    texts = noisy(np.random.default_rng(4), 30)
    write_data(results, 30)
    run(results, "picky", picky(texts, 20, BROKEN))
    [board] = boards(results)
    assert row(board, "picky").cells["bounded-quality"].number == pytest.approx(10 * 0.99 / 30)


def test_nothing_changes_where_nothing_failed(results: Results) -> None:
    folder = run(results, "plain", noisy(np.random.default_rng(5), 10))  # type: ignore[arg-type]
    loaded = ScoredRun.load(folder)
    assert on_same_examples({"a": loaded})["a"].metrics == loaded.metrics
    assert material_of([folder], letters=False).runs[0].scores == loaded.metrics["bounded"].scores


def test_runs_on_other_data_stand_apart_and_move_nobody(results: Results) -> None:
    write_data(results, 20)
    from harness.datasets.load import Digests, load_examples
    from harness.suites.spec import Suite
    from tests.harness.scored_runs import SUITE

    suite = Suite.parse(SUITE % (b"made", b"plain"), "suite", results.root)
    now = Digests(suite, load_examples(suite)).data
    generator = np.random.default_rng(6)
    for label in ("one", "two"):
        run(results, label, noisy(generator, 20), data_digest=now)  # type: ignore[arg-type]
    [before] = boards(results)
    stale = run(results, "one", noisy(generator, 20, 0.3), data_digest="a" * 64)  # type: ignore[arg-type]
    for label in ("one", "two", "three"):  # fewer examples, and more runs than the suite's own data has
        run(results, label, noisy(generator, 4, 0.3), data_digest="b" * 64)  # type: ignore[arg-type]
    main, *apart = boards(results)
    assert (main.apart, main.rows) == ("", before.rows), "same ranks, same letters"
    assert [(board.apart, len(board.rows)) for board in apart] == [("other data (aaaaaaaa)", 1), ("other data (bbbbbbbb)", 3)]
    assert f"`seetell runs made/{stale.path.name} --remove` removes it" in main.left_out
    assert "`seetell run made --only one` makes what the main table has" in main.left_out
    rows = list(csv.DictReader(io.StringIO(render([main, *apart], "csv"))))
    assert {(line["suite"], line["ranked"]) for line in rows if line["metric"] == "bounded-quality"} == {
        ("made", "2"), ("made (other data (aaaaaaaa))", "1"), ("made (other data (bbbbbbbb))", "3"),
    }  # fmt: skip
    content = json.loads(render([main, *apart], "json"))
    assert [line.get("apart", "") for line in content["rows"]].count("other data (bbbbbbbb)") == 3
    for format in FORMATS:
        assert "bbbbbbbb" in render([main, *apart], format)
    assert "bbbbbbbb" not in to_matrix([main, *apart], ["bounded-quality"])


def shown(folder: RunFolder) -> str:
    return f"RESULTS/runs/made/{folder.path.name}"


@pytest.mark.parametrize("newest", [False, True])
def test_where_the_data_is_gone_the_largest_group_is_the_table(results: Results, newest: bool) -> None:
    generator = np.random.default_rng(7)
    few = [("one", "a" * 64)]
    many = [("one", "b" * 64), ("two", "b" * 64)]
    for label, digest in [*few, *many] if newest else [*many, *few]:
        run(results, label, noisy(generator, 8), data_digest=digest)  # type: ignore[arg-type]
    main, apart = boards(results)
    assert (len(main.rows), len(apart.rows), apart.apart) == (2, 1, "other data (aaaaaaaa)")


def pin(content: str) -> ModelPin:
    return ModelPin(name="local:model", digest=hashlib.sha256(content.encode()).hexdigest())


def test_other_weights_in_the_same_folder_stand_apart(results: Results) -> None:
    generator = np.random.default_rng(8)
    for model, labels in (("new", ("magic", "greedy", "constant")), ("old", ("magic", "constant"))):
        for label in labels:
            run(results, label, noisy(generator, 8), language_model=pin(model))  # type: ignore[arg-type]
    run(results, "clipre", noisy(generator, 8))  # type: ignore[arg-type]
    main, apart = boards(results)
    assert sorted(row.name for row in main.rows) == ["clipre", "constant", "greedy", "magic"]
    assert sorted(row.name for row in apart.rows) == ["constant", "magic"]
    assert apart.apart == f"other language model ({pin('old').digest[:8]})"


@pytest.mark.parametrize("dtype", ["bfloat16", "tf32"])
def test_faster_arithmetic_and_older_versions_are_never_ranked_with_the_others(results: Results, dtype: str) -> None:
    generator = np.random.default_rng(9)
    run(results, "plain", noisy(generator, 8))  # type: ignore[arg-type]
    for label in ("quick", "quicker"):
        run(results, label, noisy(generator, 8, 0.3), dtype=dtype)  # type: ignore[arg-type]
    run(results, "plain", noisy(generator, 8, 0.3), decoder_version=0)  # type: ignore[arg-type]
    main, fast, old = boards(results)
    assert [row.decoder for row in main.rows] == ["plain"]
    assert (fast.apart, fast.models["arithmetic"]) == (dtype, dtype)
    assert old.apart == "version 0 of echo, not 1"
    assert dtype in render([main, fast, old], "md")


def test_a_suite_that_is_bfloat16_says_so(results: Results) -> None:
    run(results, "quick", noisy(np.random.default_rng(10), 8), dtype="bfloat16")  # type: ignore[arg-type]
    [board] = boards(results)
    assert board.apart == ""
    assert board.description.endswith("in bfloat16")


def test_rows_of_one_label_are_told_apart_everywhere(results: Results) -> None:
    generator = np.random.default_rng(11)
    for beta in (1, 2):
        run(results, "magic", noisy(generator, 8), config={"word": str(beta)})  # type: ignore[arg-type]
    [board] = boards(results)
    names = [row.name for row in board.rows]
    assert len(set(names)) == 2
    assert names == [f"magic {row.identity}" for row in board.rows]
    for text in (*(render([board], format) for format in FORMATS), to_matrix([board], ["bounded-quality"])):
        for shown_row in board.rows:
            assert shown_row.identity in text
    column = board.order_by
    assert column is not None
    assert any(name in verdict(board, column) for name in names)


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(results: Results) -> None:
    generator = np.random.default_rng(12)
    run(results, "good", noisy(generator, 8))  # type: ignore[arg-type]
    bad = run(results, "bad", noisy(generator, 8))  # type: ignore[arg-type]
    content = json.loads((bad.path / "run.json").read_bytes())
    (bad.path / "run.json").write_text(json.dumps({**content, "spec": {"label": 3}}), "utf-8")
    [board] = boards(results)
    assert [row.decoder for row in board.rows] == ["good"]
    assert f"{shown(bad)} is not shown:" in board.left_out
    assert "run.json" in board.left_out


def test_scores_that_do_not_follow_from_the_texts_are_no_numbers(results: Results) -> None:
    generator = np.random.default_rng(13)
    texts = {label: noisy(generator, 8) for label in ("good", "edited", "moved")}
    folders = {label: run(results, label, texts[label]) for label in texts}  # type: ignore[arg-type]
    scores = json.loads((folders["edited"].path / "scores.json").read_bytes())
    scores["metrics"]["bounded"]["scores"][0]["value"] = 0.99
    (folders["edited"].path / "scores.json").write_text(json.dumps(scores), "utf-8")
    samples = folders["good"].path / "samples.parquet"
    (folders["moved"].path / "samples.parquet").write_bytes(samples.read_bytes())
    [board] = boards(results)
    assert row(board, "good").cells["bounded-quality"].number is not None
    shown_labels = {shown_row.decoder for shown_row in board.rows}
    for label in ("edited", "moved"):
        if label in shown_labels:
            cell = row(board, label).cells["bounded-quality"]
            assert cell.number is None
            assert cell.unavailable
        else:
            assert f"{shown(folders[label])} is not shown:" in board.left_out


def test_a_value_that_its_rows_do_not_give_is_no_number(results: Results) -> None:
    loaded = ScoredRun.load(run(results, "edited", noisy(np.random.default_rng(15), 8)))  # type: ignore[arg-type]
    scored = loaded.metrics["bounded"]
    better = replace(scored, scores=(replace(scored.scores[0], value=0.99), *scored.scores[1:]))
    score = on_same_examples({"edited": replace(loaded, metrics={"bounded": better})})["edited"].metrics["bounded"].scores[0]
    assert np.isnan(score.value)
    assert "do not give the stored value" in score.unavailable


def test_a_site_with_tables_apart_is_whole(results: Results, tmp_path: Path) -> None:
    generator = np.random.default_rng(14)
    for label, digest in (("one", "a" * 64), ("two", "a" * 64), ("one", "b" * 64)):
        run(results, label, noisy(generator, 8), data_digest=digest)  # type: ignore[arg-type]
    write_site(materials(results, shown=0), tmp_path / "out", reproducible=True)
    assert manifest.damaged(tmp_path / "out") == []
    content = manifest.read(tmp_path / "out")
    assert [suite["suite"] for suite in content["suites"]] == ["made", "made (other data (bbbbbbbb))"]
    assert sum(len(suite["runs"]) for suite in content["suites"]) == 3
    assert str(tmp_path) not in (tmp_path / "out" / "index.html").read_text("utf-8")
