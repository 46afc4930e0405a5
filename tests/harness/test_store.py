"""The store: whole files or none, a torn line costs that line, the same answers give the same bytes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RunIncomplete, RunLocked, StoreError
from harness.store.runs import Record, Results, RunFolder, write_json
from harness.suites.examples import Failure
from tests.harness.test_spec import spec

HARD_TEXTS = [
    "a red boat",
    "",
    "line\nbreak\r\u2028\u0085",
    "caf\u00e9 \u4e2d\u6587 \U0001f984",
    '"quoted" \\ {json}',
    "\x00nul",
    "\udc80 lone",
]


def records() -> list[Record]:
    texts = [Record(f"ex{i}", draw, text, (i, 50256), "eos") for i, text in enumerate(HARD_TEXTS) for draw in (0, 1)]
    return [*texts, Record("zz", 0, failure=Failure("UnreadableImage", "zz.jpg: no image \n at all"))]


def kept(record: Record) -> Record:
    """What UTF-8 can keep of it."""
    return Record(
        record.example_id, record.draw, record.text.replace("\udc80", "?"), record.tokens, record.finish, record.failure
    )


def open_run(root: Path) -> RunFolder:
    folder = Results(root).run(spec())
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.open(spec(), len(records()), {"name": "s"}, {"python": "3"})
    return folder


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    wanted = sorted(map(kept, records()), key=lambda record: record.key)
    assert folder.records() == wanted
    folder.finish([record.key for record in records()])
    assert folder.complete
    assert folder.records() == wanted
    assert not (folder.path / "parts").exists()
    assert folder.describe()["state"] == "complete"


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(records()), cuts=st.lists(st.integers(0, 15), max_size=3))
def test_samples_have_the_same_bytes_whatever_the_order_and_the_parts(
    tmp_path_factory: pytest.TempPathFactory, order: list[Record], cuts: list[int]
) -> None:
    wanted = open_run(tmp_path_factory.mktemp("a"))
    with wanted.part() as part:
        part.append(records())
    other = open_run(tmp_path_factory.mktemp("b"))
    edges = [0, *sorted(cuts), len(order)]
    for start, end in itertools.pairwise(edges):
        with other.part() as part:
            part.append(order[start:end])
    for folder in (wanted, other):
        folder.finish([record.key for record in records()])
    assert (wanted.path / "samples.parquet").read_bytes() == (other.path / "samples.parquet").read_bytes()


def test_a_part_cut_at_any_byte_loses_at_most_its_last_line(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    file = folder.path / "parts" / "000001.jsonl"
    whole = file.read_bytes()
    for size in range(len(whole) + 1):
        file.write_bytes(whole[:size])
        ends = whole[:size].count(b"\n")
        assert folder.records() == sorted(map(kept, records()[:ends]), key=lambda record: record.key)


def test_a_torn_part_is_never_appended_to(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records()[:2])
    file = folder.path / "parts" / "000001.jsonl"
    file.write_bytes(file.read_bytes()[:-7])
    with folder.part() as part:
        part.append(records()[1:])
    assert len(folder.records()) == len(records())
    assert not file.read_bytes().endswith(b"\n")


def test_damage_in_the_middle_is_told_with_its_place(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    file = folder.path / "parts" / "000001.jsonl"
    lines = file.read_bytes().split(b"\n")
    lines[2] = lines[2][:5]
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(StoreError, match=r"line 3 of .*000001\.jsonl"):
        folder.records()


def test_an_incomplete_run_cannot_be_finished(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records()[1:])
    with pytest.raises(RunIncomplete, match="lacks 1 answers .*'ex0', draw 0"):
        folder.finish([record.key for record in records()])
    assert not folder.complete


def test_finishing_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    folder.finish([record.key for record in records()])
    before = (folder.path / "samples.parquet").read_bytes()
    with folder.part() as part:  # as if the process had died between writing the samples and dropping the parts
        part.append(records())
    folder.finish([record.key for record in records()])
    assert (folder.path / "samples.parquet").read_bytes() == before
    assert not list(folder.path.glob("parts/*"))


def test_two_writers_do_not_share_a_run(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.lock(), pytest.raises(RunLocked, match="another process"), RunFolder(folder.path).lock():
        pass
    with folder.lock():
        pass


def test_a_folder_of_another_run_is_not_overwritten(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    content = folder.describe()
    write_json(folder.path / "run.json", {**content, "identity": "0" * 64})
    with pytest.raises(StoreError, match="move it away"):
        folder.open(spec(), 1, {}, {})


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    write_json(file, {"value": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, {"value": float("nan")})
    assert json.loads(file.read_bytes()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_rows_come_back_with_their_gaps_and_old_ones_go(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    rows = np.array([[1.0, np.nan], [0.1, 2.0]])
    folder.write_scores({"metrics": {}}, {"cider-1": rows, "old-1": rows})
    folder.write_scores({"metrics": {}}, {"cider-1": rows})
    np.testing.assert_array_equal(folder.rows("cider-1"), rows)
    assert [file.name for file in (folder.path / "rows").iterdir()] == ["cider-1.parquet"]


def test_rows_have_names_and_those_of_before_keep_theirs(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "made").mkdir()
    folder = RunFolder(tmp_path / "made")
    rows = np.arange(6.0).reshape(3, 2)
    folder.write_scores({"metrics": {}}, {"old-1": rows})
    before = (tmp_path / "made" / "rows" / "old-1.parquet").read_bytes()
    folder.write_scores({"metrics": {}}, {"old-1": rows, "new-1": rows}, {"new-1": ["right", "texts"]})
    assert (tmp_path / "made" / "rows" / "old-1.parquet").read_bytes() == before
    assert pq.read_schema(tmp_path / "made" / "rows" / "new-1.parquet").names == ["right", "texts"]
    folder.write_scores({"metrics": {}}, {"new-1": rows})
    assert pq.read_schema(tmp_path / "made" / "rows" / "new-1.parquet").names == ["right", "texts"]
    np.testing.assert_array_equal(folder.rows("new-1"), rows)
