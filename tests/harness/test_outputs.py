"""Outputs of other people's systems: every format read, joined by id, and what is wrong with a file told."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from harness.decode.imported.read import common_subset, differing_sets, read_outputs
from harness.errors import DataError
from tests.harness.in_process import seetell_here

CAPTIONS = [
    {"split": "test", "image_name": f"{i}.jpg", "captions": [f"a red ball {i}", "one ball"], "prediction": f" a ball {i}"}
    for i in range(4)
]
ANNOTATIONS = {
    "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)],
    "annotations": [{"image_id": i, "caption": text} for i in range(4) for text in (f"a red ball {i}", "one ball")],
}
STORIES = {
    "evaluation_result": [
        {
            "prefix_text": "Same Title <|endoftext|>",
            "reference_continuation_text": f"Once {i}.",
            "generated_result": {rank: {"generated_continuation_text": f"Story {i} {rank}."} for rank in ("0", "1")},
        }
        for i in range(3)
    ]
}


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


@pytest.mark.parametrize("name", ["magic.json", "magic.json.gz"])
def test_captions_as_magic_publishes_them(tmp_path: Path, name: str) -> None:
    found = read_outputs(write(tmp_path, name, json.dumps(CAPTIONS)))
    assert found.name == "magic"
    assert "MAGIC" in found.format
    assert [sample.example.id for sample in found.samples] == [f"{i}.jpg" for i in range(4)]
    assert found.samples[2].text == " a ball 2"
    assert found.samples[2].example.references == ("a red ball 2", "one ball")


def test_all_flat_formats_say_the_same(tmp_path: Path) -> None:
    rows = [{"id": each["image_name"], "prediction": each["prediction"], "references": each["captions"]} for each in CAPTIONS]
    table = "id,prediction,reference_1,reference_2\n" + "".join(
        f"{row['id']},{row['prediction']},{row['references'][0]},{row['references'][1]}\n" for row in rows
    )
    karpathy = {
        "images": [
            {
                "filename": each["image_name"],
                "prediction": each["prediction"],
                "sentences": [{"raw": text} for text in each["captions"]],
            }
            for each in CAPTIONS
        ]
    }
    files = [
        write(tmp_path, "a.json", json.dumps(CAPTIONS)),
        write(tmp_path, "b.jsonl", "\n".join(map(json.dumps, rows))),
        write(tmp_path, "c.csv", table),
        write(tmp_path, "d.json", json.dumps(karpathy)),
    ]
    first, *others = (read_outputs(file) for file in files)
    for other in others:
        assert other.samples == first.samples


TRICKY = ['a "red" ball, it\'s big', "two\nlines", "", " spaces ", "ünï 🐕", "a;b\tc", "a\u2028b", "=1+1"]


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("kind", ["csv", "csv, one column of references", "jsonl", "json", "karpathy"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_texts_come_out_as_they_went_in(tmp_path: Path, kind: str, zipped: str, mark: str) -> None:
    """Quotes, commas, line breaks inside fields, a byte order mark, Windows line ends, blank lines."""
    rows = [{"image_id": i, "caption": text, "references": [f"{text} 1", "second"]} for i, text in enumerate(TRICKY)]
    if kind.startswith("csv"):
        buffer = io.StringIO(newline="")
        one = kind != "csv"
        writer = csv.writer(buffer, lineterminator="\r\n")
        writer.writerow(["image_id", "caption", *(["references"] if one else ["reference_1", "reference_2"])])
        for row in rows:
            refs = row["references"]
            writer.writerow([row["image_id"], row["caption"], *([json.dumps(refs)] if one else refs)])
        content, name = buffer.getvalue(), "table.csv"
    elif kind == "jsonl":
        content, name = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "lines.jsonl"
    elif kind == "karpathy":
        images = [
            {"cocoid": row["image_id"], "caption": row["caption"], "sentences": [{"raw": each} for each in row["references"]]}
            for row in rows
        ]
        content, name = json.dumps({"dataset": "coco", "images": images}), "dataset.json"
    else:
        content, name = json.dumps(rows), "array.json"
    found = read_outputs(write(tmp_path, name + zipped, mark + content))
    assert [sample.text for sample in found.samples] == TRICKY
    assert [sample.example.references for sample in found.samples] == [(f"{text} 1", "second") for text in TRICKY]
    assert found.notes == ("1 empty predictions, scored as they are: 2",)


def test_half_a_surrogate_pair_is_a_failure_in_a_prediction_and_a_fault_in_a_reference(tmp_path: Path) -> None:
    bad = {**CAPTIONS[0], "prediction": "half \ud83d"}
    found = read_outputs(write(tmp_path, "a.json", json.dumps([bad, *CAPTIONS[1:]])))
    assert found.samples[0].failure is not None
    assert "1 predictions hold half a surrogate pair and are unscored: 0.jpg" in found.notes
    with pytest.raises(DataError, match=r"record 0 .*0\.jpg.*ud83d"):
        read_outputs(write(tmp_path, "b.json", json.dumps([{**CAPTIONS[0], "captions": ["\ud83d"]}])))


@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_coco_results_of_images_without_annotations_are_told_by_id(tmp_path: Path, zipped: str) -> None:
    results = write(tmp_path, f"r.json{zipped}", json.dumps([{"image_id": 77, "caption": "a ball"}]))
    annotations = write(tmp_path, f"captions.json{zipped}", json.dumps(ANNOTATIONS))
    with pytest.raises(DataError, match=r"\(77\) has no references in"):
        read_outputs(results, annotations)


@pytest.mark.parametrize("key", ["image_id", "file"])
def test_coco_results_find_their_annotations_by_number_or_by_file(tmp_path: Path, key: str) -> None:
    results = [{"image_id": i if key == "image_id" else f"{i}.jpg", "caption": f"a ball {i}"} for i in range(3)]
    annotations = write(tmp_path, "captions.json", json.dumps(ANNOTATIONS))
    found = read_outputs(write(tmp_path, "results.json", json.dumps(results)), annotations)
    assert found.format == "COCO results"
    assert found.samples[1].example.references == ("a red ball 1", "one ball")
    assert found.notes == ("1 of 4 references have no answer: 3",)


def test_coco_results_find_karpathys_references_by_the_number_of_coco(tmp_path: Path) -> None:
    images = [
        {"filename": f"{i}.jpg", "imgid": i, "cocoid": 100 + i, "sentences": [{"raw": f"a red ball {i}"}]} for i in range(2)
    ]
    references = write(tmp_path, "dataset.json", json.dumps({"images": images}))
    results = [{"image_id": 101, "caption": "a ball"}]
    found = read_outputs(write(tmp_path, "results.json", json.dumps(results)), references)
    assert found.samples[0].example.references == ("a red ball 1",)
    assert found.notes == ("1 of 2 references have no answer: 0.jpg",)
    results[0]["image_id"] = 1  # the place in Karpathy's file is no name
    with pytest.raises(DataError, match=r"\(1\) has no references in .*, whose ids are such as 0\.jpg, 1\.jpg"):
        read_outputs(write(tmp_path, "results.json", json.dumps(results)), references)


def test_references_of_an_example_are_given_once_or_alike(tmp_path: Path) -> None:
    answers = write(tmp_path, "a.json", json.dumps([{"id": 1, "text": "a ball"}]))
    given = [{"id": 1, "refs": ["x"]}, {"id": 1, "refs": ["x"]}]
    found = read_outputs(answers, write(tmp_path, "r.json", json.dumps(given)))
    assert found.samples[0].example.references == ("x",)
    given[1]["refs"] = ["y"]
    with pytest.raises(DataError, match="record 1 of .* gives '1' other references than before"):
        read_outputs(answers, write(tmp_path, "r.json", json.dumps(given)))


def test_draws_of_an_example_are_told_apart(tmp_path: Path) -> None:
    rows = "id,text,draw,reference\na,one,0,x\na,two,1,x\nb,three,,x\n"
    found = read_outputs(write(tmp_path, "a.csv", rows))
    assert [(each.example.id, each.draw) for each in found.samples] == [("a", 0), ("a", 1), ("b", 0)]


def test_stories_are_told_apart_by_position_for_titles_repeat(tmp_path: Path) -> None:
    found = read_outputs(write(tmp_path, "stories.json", json.dumps(STORIES)))
    assert [sample.text for sample in found.samples] == ["Story 0 0.", "Story 1 0.", "Story 2 0."]
    assert "2 stories a title" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[", "neither JSON"),
        ("a.json", "[]", "holds no outputs"),
        ("a.json", '{"x": 1}', "no known format"),
        ("a.json", "[3]", "record 0 of .* is int"),
        ("a.json", '[{"image_name": "a", "captions": ["x"]}]', "has no text"),
        ("a.json", '[{"prediction": "a", "captions": ["x"]}]', "has no id"),
        ("a.json", '[{"image_name": "a", "prediction": "b"}]', "no references with it; name a file"),
        ("a.json", json.dumps([CAPTIONS[0], CAPTIONS[0]]), "answers '0.jpg' twice"),
        ("a.json", '[{"image_name": "a", "prediction": ["b"], "captions": ["x"]}]', "expected a text"),
        ("a.jsonl", '{"id": 1}\n{"id"\n', "line 2 of .* is no JSON"),
        ("a.csv", "id,prediction\na,b,c\n", "row 2 of .* has more cells"),
        ("a.json.gz", "", "cannot be read|neither JSON"),
        ("a.json", "[" * 100_000, "nests too deeply"),
        ("a.json", '[{"id": 1, "text": "b", "refs": ["x"], "draw": "one"}]', "draw is 'one'; expected a whole number"),
        ("a.json", '[{"id": 1, "text": "b", "refs": ["x"], "draw": -1}]', "draw is '-1'"),
        ("a.json", '[{"id": 1, "text": "b", "refs": ["x"], "draw": 10000}]', "below 10000"),
        ("a.json", '[{"id": 1, "text": "b", "refs": ["x"], "draw": [1]}]', "draw is"),
        ("a.json", '[{"id": 1, "text": "b", "refs": "x"}]', "refs is 'x'; expected a list of texts"),
        ("a.json", '[{"id": 1, "text": "b", "refs": ["x", null]}]', "refs holds 'None', which is NoneType"),
        ("a.csv", "id,id,text\n1,2,b\n", "several columns named id"),
        ("a.csv", "id|text\n1|b\n", r"has no id, only id\|text"),
    ],
)
def test_a_faulty_file_is_told_its_fault_and_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_outputs(write(tmp_path, name, content))


def test_systems_on_different_images_are_told_apart(tmp_path: Path) -> None:
    whole = read_outputs(write(tmp_path, "whole.json", json.dumps(CAPTIONS)))
    part = read_outputs(write(tmp_path, "part.json", json.dumps(CAPTIONS[1:])))
    assert differing_sets([whole, part]) == ["part lacks 1 of 4 examples: 0.jpg"]
    assert [len(each.samples) for each in common_subset([whole, part])] == [3, 3]
    other = read_outputs(write(tmp_path, "other.json", json.dumps([{**CAPTIONS[0], "image_name": "x"}])))
    with pytest.raises(DataError, match=r"whole has 0\.jpg, 1\.jpg; other has x; expected ids of the same kind"):
        common_subset([whole, other])


def test_the_command_scores_files_into_one_table_each_set_of_images(tmp_path: Path) -> None:
    empty = [{**CAPTIONS[0], "prediction": ""}, *CAPTIONS[1:]]
    write(tmp_path, "first.json", json.dumps(CAPTIONS))
    write(tmp_path, "second.json", json.dumps(empty))
    write(tmp_path, "third.json", json.dumps(CAPTIONS[1:]))
    environment = {"SEETELL_CACHE": str(tmp_path / "cache")}
    files = ("first.json", "second.json", "third.json", "--metrics", "cider,repetition")
    done = seetell_here("score", *files, "--json", cwd=tmp_path, **environment)
    assert "1 empty predictions, scored as they are: 0.jpg" in done.stderr
    assert "third lacks 1 of 4 examples: 0.jpg" in done.stderr
    scores = json.loads(done.stdout)
    assert {name: each["cider"]["n"] for name, each in scores.items()} == {"first": 4, "second": 4, "third": 3}
    assert scores["first"]["cider"]["signature"] == scores["second"]["cider"]["signature"]
    assert scores["first"]["cider"]["signature"] != scores["third"]["cider"]["signature"]
    board = json.loads(seetell_here("leaderboard", "--format", "json", cwd=tmp_path, **environment).stdout)
    assert len({row["suite"] for row in board["rows"]}) == 2
    common = seetell_here("score", *files, "--common", "--json", cwd=tmp_path, **environment)
    assert {each["cider"]["n"] for each in json.loads(common.stdout).values()} == {3}
