"""The published numbers as they are committed: whole, sourced, consistent; and what is not is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store.published import Published, PublishedRow

FILE = Path(__file__).resolve().parents[2] / "results" / "published" / "magic.json"


@pytest.fixture(scope="module")
def magic() -> Published:
    return Published.read(FILE)


def rows(published: Published, suite: str) -> tuple[PublishedRow, ...]:
    return next(table.rows for table in published.tables if table.suite == suite)


def test_every_number_has_a_source_that_can_be_found(magic: Published) -> None:
    assert sum(len(row.values) for table in magic.tables for row in table.rows) == 249
    for table in magic.tables:
        for row in table.rows:
            source = magic.sources[row.source]
            assert any(mark in source.where for mark in ("github.com/", "arXiv:")), source
            assert all(0 <= value <= 2 for name, value in row.values.items() if magic.metrics[name].percent)


def test_nothing_that_is_only_remembered_is_shown(magic: Published) -> None:
    text = FILE.read_text(encoding="utf-8").lower()
    assert not {word for word in ("recall", "memory of the", "believed", "unverified") if word in text}
    systems = {row.system for table in magic.tables for row in table.rows}
    assert not systems & {"BUTD", "GVD", "Oscar", "LEMON", "UIC", "IC-SME", "S2S-SS", "S2S-GCC"}
    speeds = {row.system: row for table in magic.tables for row in table.rows if "speed" in row.values}
    assert list(speeds) == ["MAGIC"]
    assert magic.sources[speeds["MAGIC"].source].title == "MAGIC paper, abstract"


def test_authors_and_scoring_again_agree_to_the_digit_they_print(magic: Published) -> None:
    """What papers print and what their published outputs give, wherever both are known: 22 numbers, some of them quoted twice."""
    agreed: dict[tuple[str, str, str], float] = {}
    for table in magic.tables:
        again = {row.system: row for row in table.rows if magic.sources[row.source].origin == "re-scored"}
        for row in table.rows:
            if magic.sources[row.source].origin == "re-scored" or row.system not in again:
                continue
            for name, value in row.values.items():
                if name in again[row.system].values:
                    found = again[row.system].values[name]
                    assert abs(found - value) <= 0.00051, (table.suite, row.system, name)
                    agreed[table.suite, row.system, name] = found
    assert len(agreed) == 22


def test_what_makes_numbers_incomparable_is_said_beside_them(magic: Published) -> None:
    for suite in ("mscoco", "flickr30k-to-mscoco"):
        examples = {row.system: row.examples for row in rows(magic, suite) if row.source == "captions"}
        assert examples["Top-k"] == 5000
        for row in rows(magic, suite):
            if row.source == "captions":
                assert (row.examples == 4982) == ("missing-18" in row.notes) == (row.system in ("MAGIC", "CLIPRe"))
    for table in magic.tables:
        for row in table.rows:
            assert (row.system == "CLIPRe") == ("first-128" in row.notes)
            assert (row.system == "Contrastive" and table.task == "caption") == ("constant-caption" in row.notes)


def test_it_says_what_the_published_outputs_give(magic: Published, shared: Path) -> None:
    """Against full-precision scores of the same files by pycocoevalcap."""
    golden = json.loads((shared / "published" / "golden.json").read_text())["flickr30k"]
    names = {"contrastive": "Contrastive", "clipre-first128": "CLIPRe", "zerocap": "ZeroCap", "magic": "MAGIC"}
    outputs = {f"Bleu_{n}": f"bleu-{n}" for n in range(1, 5)} | {"METEOR": "meteor", "ROUGE_L": "rouge-l", "CIDEr": "cider"}
    for file, system in names.items():
        [row] = [row for row in rows(magic, "flickr30k") if (row.system, row.source) == (system, "captions-seetell")]
        assert set(row.signatures) == set(row.values)
        for theirs, ours in outputs.items():
            assert row.values[ours] == pytest.approx(golden[file]["scores"][theirs], abs=1e-9)
    for system, prefix in (("Top-k", "top-k"), ("Nucleus", "nucleus")):
        [row] = [row for row in rows(magic, "flickr30k") if row.system == system]
        for theirs, ours in outputs.items():
            runs = [golden[f"{prefix}-run{number}"]["scores"][theirs] for number in (1, 2, 3)]
            assert row.values[ours] == pytest.approx(sum(runs) / 3, abs=6e-5)
            spread = (sum((each - sum(runs) / 3) ** 2 for each in runs) / 2) ** 0.5
            assert row.deviations[ours] == pytest.approx(spread, abs=6e-5)


def broken(change: str) -> dict[str, Any]:
    content: dict[str, Any] = copy.deepcopy(json.loads(FILE.read_text(encoding="utf-8")))
    row = content["tables"][0]["rows"][0]
    match change:
        case "a number without a source":
            del row["source"]
        case "a source that nobody describes":
            row["source"] = "hearsay"
        case "a source without a place":
            content["sources"]["viecap"]["where"] = ""
        case "a source that no row uses":
            content["sources"]["idle"] = content["sources"]["viecap"]
        case "a note that nobody wrote":
            row["notes"] = ["lost"]
        case "a value that is no number":
            row["values"]["cider"] = "NaN"
        case "a deviation of nothing":
            row["deviations"] = {"spice": 0.1}
        case "a signature that is none":
            row["signatures"] = {"cider": "cider|nonsense"}
        case "the same twice":
            content["tables"][0]["rows"].append(row)
        case "a field that nobody knows":
            row["rank"] = 1
        case "an origin from memory":
            content["sources"]["viecap"]["origin"] = "recall"
    return content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("a number without a source", ".source' is missing"),
        ("a source that nobody describes", "sources that are named but not described: hearsay"),
        ("a source without a place", "sources.viecap.where"),
        ("a source that no row uses", "sources that no row names: idle"),
        ("a note that nobody wrote", "notes that are named but not described: lost"),
        ("a value that is no number", "cider is nan; expected a finite number"),
        ("a deviation of nothing", "deviations of spice, for which Top-k has no value"),
        ("a signature that is none", "has no colon"),
        ("the same twice", "Top-k is listed twice from captions"),
        ("a field that nobody knows", "unknown key"),
        ("an origin from memory", "Input should be 'authors', 'third party' or 're-scored'"),
    ],
)
def test_what_is_not_whole_is_refused(change: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(broken(change)), encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        Published.read(path)
    assert said in str(caught.value)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Published.read(tmp_path / "none.json")
    (tmp_path / "none.json").write_bytes(b"not json")
    with pytest.raises(StoreError, match="mend the file or move it away"):
        Published.read(tmp_path / "none.json")
