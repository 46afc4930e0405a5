"""Every format of other people's outputs and references is read, and joined by the image, never by a running number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.decode.imported.joining import NAME_KEYS
from harness.decode.imported.read import NOT_ANSWERED, TEXT_KEYS, read_for_suite, read_outputs
from harness.errors import DataError
from harness.suites.examples import Example

CAPTIONS = {3: "A boat on a lake.", 1: "Two cats on a sofa.", 4: "A child with a kite.", 0: "A red bus.", 2: "A man eats."}
"""Image number to caption, in the order of the outputs: its places are not its numbers."""
REFERENCES = {number: (caption, f"{caption} It is so.") for number, caption in sorted(CAPTIONS.items())}


def coco_name(number: int) -> str:
    return f"COCO_val2014_{number:012d}.jpg"


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def flat(name: Callable[[int], object] = int) -> list[dict[str, object]]:
    return [
        {"id": 700 + index, "image_id": name(number), "caption": text}
        for index, (number, text) in enumerate((n, text) for n, texts in REFERENCES.items() for text in texts)
    ]


ANNOTATIONS = json.dumps({"images": [{"id": n, "file_name": coco_name(n)} for n in CAPTIONS], "annotations": flat()})
OUTPUTS: dict[str, tuple[str, str]] = {
    "COCO results": ("a.json", json.dumps([{"image_id": n, "caption": c} for n, c in CAPTIONS.items()])),
    "COCO results with a running id and a score": (
        "a.json",
        json.dumps([{"id": i, "image_id": n, "caption": c, "score": -1.5} for i, (n, c) in enumerate(CAPTIONS.items())]),
    ),
    "JSON Lines with a running id": (
        "a.jsonl",
        lines(*({"id": i, "image_id": n, "caption": c} for i, (n, c) in enumerate(CAPTIONS.items()))),
    ),
    "CSV with a running id": (
        "a.csv",
        "id,image_id,caption\n" + "".join(f"{i},{n},{c}\n" for i, (n, c) in enumerate(CAPTIONS.items())),
    ),
    "TSV": ("a.tsv", "file_name\toutput\n" + "".join(f"{coco_name(n)}\t{c}\n" for n, c in CAPTIONS.items())),
    "captions by id": ("a.json", json.dumps({str(n): c for n, c in CAPTIONS.items()})),
    "lists of one caption by id": ("a.json", json.dumps({str(n): [c] for n, c in CAPTIONS.items()})),
    "pycocoevalcap's own": ("a.json", json.dumps({str(n): [{"image_id": n, "caption": c}] for n, c in CAPTIONS.items()})),
    "Flickr's token file": ("a.txt", "".join(f"{coco_name(n)}#0\t{c}\n" for n, c in CAPTIONS.items())),
    "file names": ("a.json", json.dumps([{"fname": coco_name(n), "generated": c} for n, c in CAPTIONS.items()])),
    "paths": ("a.json", json.dumps([{"image": f"val2014/{coco_name(n)}", "text": c} for n, c in CAPTIONS.items()])),
    "names without ending": ("a.json", json.dumps({f"{n:012d}": c for n, c in CAPTIONS.items()})),
    "Karpathy-style JSON": (
        "a.json",
        json.dumps({"images": [{"filename": coco_name(n), "imgid": i, "prediction": c}
                               for i, (n, c) in enumerate(CAPTIONS.items())]}),
    ),
}  # fmt: skip
TABLE = "image_id,caption_1,caption_2\n" + "".join(f"{n},{a},{b}\n" for n, (a, b) in REFERENCES.items())
GIVEN: dict[str, tuple[str, str]] = {
    "COCO annotations": ("r.json", ANNOTATIONS),
    "flat JSON by number": ("r.json", json.dumps(flat())),
    "flat JSON by file": ("r.json", json.dumps(flat(coco_name))),
    "flat JSON Lines": ("r.jsonl", lines(*flat())),
    "flat CSV": ("r.csv", "image_id,caption\n" + "".join(f"{row['image_id']},{row['caption']}\n" for row in flat())),
    "CSV with caption_1, caption_2": ("r.csv", TABLE),
    "TSV with caption_1, caption_2": ("r.tsv", TABLE.replace(",", "\t")),
    "lists by id": ("r.json", json.dumps(REFERENCES)),
    "Karpathy's file": (
        "r.json",
        json.dumps({"images": [{"filename": coco_name(n), "cocoid": n, "imgid": 40 - n, "sentences": [{"raw": t} for t in texts]}
                               for n, texts in REFERENCES.items()]}),
    ),
    "lists in a JSON array": (
        "r.json", json.dumps([{"image_name": coco_name(n), "captions": texts} for n, texts in REFERENCES.items()])
    ),
    "Flickr's token file": (
        "r.txt",
        "".join(f"{coco_name(n)}#{i}\t{text}\n" for n, texts in REFERENCES.items() for i, text in enumerate(texts)),
    ),
}  # fmt: skip


CSV = "image_id,caption\n" + "".join(f"{n},{c}\n" for n, c in CAPTIONS.items())
RECORDS = [{"id": i, "image_id": n, "caption": c} for i, (n, c) in enumerate(CAPTIONS.items())]
AS_PROGRAMS_WRITE_THEM: dict[str, tuple[str, str | bytes]] = {
    "Excel's CSV": ("a.csv", CSV.replace(",", ";")),
    "Excel's CSV that names its delimiter": ("a.csv", "sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n")),
    "Excel's Unicode text": ("a.csv", CSV.replace(",", "\t").encode("utf-16")),
    "CSV called TSV": ("a.tsv", CSV),
    "CSV with spaces and quotes": ("a.csv", "caption, image_id\n" + "".join(f'"{c}", "{n}"\n' for n, c in CAPTIONS.items())),
    "CSV with ids as decimals": ("A.CSV", "\ufeff" + re.sub(r"(?m)^(\d)", r"\1.0", CSV)),
    "records beside facts of the run": ("a.json", json.dumps({"model": "x", "results": RECORDS})),
    "records under a key": ("a.json", json.dumps({"predictions": RECORDS})),
    "an array called JSON Lines": ("a.jsonl", json.dumps(RECORDS)),
    "NaN in a field that is not read": ("a.json", json.dumps([{**row, "score": float("nan")} for row in RECORDS])),
    "paths of Windows": ("a.json", json.dumps({f"D:\\val2014\\{coco_name(n)}": c for n, c in CAPTIONS.items()})),
    "addresses": ("a.json", json.dumps({f"http://images.example/{coco_name(n)}?s=1": c for n, c in CAPTIONS.items()})),
    "upper case": ("a.json", json.dumps({coco_name(n).upper(): c for n, c in CAPTIONS.items()})),
}

DOCUMENTED = {
    "COCO results": ("COCO results with a running id and a score", "flat JSON by number"),
    "COCO annotations": ("", "COCO annotations"),
    "captions by id": ("lists of one caption by id", "lists by id"),
    "JSON array": ("file names", "lists in a JSON array"),
    "Karpathy-style JSON": ("Karpathy-style JSON", "Karpathy's file"),
    "JSON Lines": ("JSON Lines with a running id", "flat JSON Lines"),
    "CSV": ("CSV with a running id", "CSV with caption_1, caption_2"),
    "TSV": ("TSV", "TSV with caption_1, caption_2"),
    "plain text": ("", ""),
    "Flickr's token file": ("Flickr's token file", "Flickr's token file"),
    "MAGIC's stories": ("", ""),
}
"""The rows of the table in docs/data.md, with the files that are read for them here; plain text and stories have other tests."""


def write(folder: Path, named: tuple[str, str | bytes]) -> Path:
    path, content = folder / named[0], named[1]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def check(found: object, folder: Path) -> None:
    samples = found.samples  # type: ignore[attr-defined]
    assert len(samples) == len(CAPTIONS)
    for sample in samples:
        assert sample.text == sample.example.references[0]
        assert len(sample.example.references) == 2


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_outputs_of_every_format_find_their_references(tmp_path: Path, outputs: str) -> None:
    check(read_outputs(write(tmp_path, OUTPUTS[outputs]), write(tmp_path, GIVEN["COCO annotations"])), tmp_path)


@pytest.mark.parametrize("outputs", AS_PROGRAMS_WRITE_THEM)
def test_outputs_as_programs_write_them_find_their_references(tmp_path: Path, outputs: str) -> None:
    check(read_outputs(write(tmp_path, AS_PROGRAMS_WRITE_THEM[outputs]), write(tmp_path, GIVEN["COCO annotations"])), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"1": "Two cats on a sofa.",\n "1": "A red bus."}', r"a\.json: an object has the key '1' twice"),
        ("a.jsonl", '{"id": 1, "text": "a"}\n{"id": 2, "text": "a", "text": "b"}', "line 2 of .*has the key 'text' twice"),
        ("a.csv", CSV.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("a.csv", "sep=;\nimage_id;caption\n1;a\n2\n", r"row 4 of .*a\.csv has fewer cells"),
    ],
)
def test_what_would_lose_an_output_is_refused(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_outputs(write(tmp_path, (name, content)), write(tmp_path, GIVEN["COCO annotations"]))


@pytest.mark.parametrize("outputs", ["COCO results with a running id and a score", "TSV", "CSV with a running id"])
@pytest.mark.parametrize("references", GIVEN)
def test_references_of_every_format_are_found(tmp_path: Path, outputs: str, references: str) -> None:
    check(read_outputs(write(tmp_path, OUTPUTS[outputs]), write(tmp_path, GIVEN[references])), tmp_path)


def test_the_table_of_formats_in_the_docs_is_what_is_read_here() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    section = text.partition("## Outputs and references of other systems")[2].partition("\n## ")[0]
    names = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    assert names[1:] == list(DOCUMENTED)
    for outputs, references in DOCUMENTED.values():
        assert not outputs or outputs in OUTPUTS
        assert not references or references in GIVEN
    keys = [key for key in (*TEXT_KEYS, *NAME_KEYS) if f"`{key}`" not in section]
    assert not keys


def test_plain_text_is_joined_line_by_line_with_plain_text_of_as_many_lines(tmp_path: Path) -> None:
    outputs = write(tmp_path, ("a.txt", "one\n\n\fthree\n"))
    found = read_outputs(outputs, write(tmp_path, ("r.txt", "one ref\ntwo ref\nthree ref\n")))
    assert [(sample.text, *sample.example.references) for sample in found.samples] == [
        ("one", "one ref"), ("", "two ref"), ("\fthree", "three ref"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"a\.txt has 3 lines and .*r\.txt has 2"):
        read_outputs(outputs, write(tmp_path, ("r.txt", "one ref\ntwo ref\n")))
    with pytest.raises(DataError, match="has no references in"):
        read_outputs(outputs, write(tmp_path, GIVEN["lists by id"]))


def test_keys_that_name_two_images_are_refused_and_named(tmp_path: Path) -> None:
    rows = [{"image_id": n, "file_name": coco_name(n), "caption": c} for n, c in CAPTIONS.items()]
    references = write(tmp_path, GIVEN["COCO annotations"])
    check(read_outputs(write(tmp_path, ("a.json", json.dumps(rows))), references), tmp_path)
    rows[1]["file_name"] = coco_name(0)
    path = write(tmp_path, ("a.json", json.dumps(rows)))
    with pytest.raises(DataError, match=rf"record 1 .*image_id '1'.*'1'.*file_name '{coco_name(0)}'.*'0'.*--id"):
        read_outputs(path, references)
    assert len(read_outputs(path, references, id_field="image_id").samples) == len(CAPTIONS)


def test_a_running_number_never_stands_for_an_image(tmp_path: Path) -> None:
    rows = [{"id": i, "caption": c} for i, c in enumerate(CAPTIONS.values())]
    named = [{"image_name": coco_name(n), "references": texts} for n, texts in REFERENCES.items()]
    with pytest.raises(DataError, match="has no references in"):
        read_outputs(write(tmp_path, ("a.json", json.dumps(rows))), write(tmp_path, ("r.json", json.dumps(named))))


def test_two_fields_that_may_be_the_output_are_named_and_one_is_chosen(tmp_path: Path) -> None:
    rows = [{"image_id": n, "caption": "the reference", "generated": c} for n, c in CAPTIONS.items()]
    path, references = write(tmp_path, ("a.json", json.dumps(rows))), write(tmp_path, GIVEN["lists by id"])
    with pytest.raises(DataError, match=r"several fields that may be the output: caption, generated\. .*--text"):
        read_outputs(path, references)
    check(read_outputs(path, references, text="generated"), tmp_path)
    with pytest.raises(DataError, match="--text words: no record"):
        read_outputs(path, references, text="words")
    both = [{"image_id": 1, "caption": "a", "text": "b"}]
    with pytest.raises(DataError, match="several keys that may be the reference: caption, text"):
        read_outputs(write(tmp_path, OUTPUTS["COCO results"]), write(tmp_path, ("r.json", json.dumps(both))))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_prompts_stay_with_their_texts(tmp_path: Path, name: str) -> None:
    content = "id,prompt,text,reference\n1,The dog,It ran.,It slept.\n"
    if name == "a.jsonl":
        content = lines({"id": 1, "prompt": "The dog", "text": "It ran.", "reference": "It slept."})
    (sample,) = read_outputs(write(tmp_path, (name, content))).samples
    assert (sample.example.prompt, sample.text, sample.example.references) == ("The dog", "It ran.", ("It slept.",))


def test_the_right_row_and_line_of_a_bad_table_is_named(tmp_path: Path) -> None:
    content = 'id,text,reference\n1,"two\nlines",x\n2,short\n'
    with pytest.raises(DataError, match=re.escape("row 3 (line 4) of")):
        read_outputs(write(tmp_path, ("a.csv", content)))


def test_answers_to_a_suite_are_joined_and_missing_ones_are_failures(tmp_path: Path) -> None:
    examples = [Example(coco_name(n), references=texts) for n, texts in REFERENCES.items()]
    rows = [{"id": i, "image_id": n, "caption": c} for i, (n, c) in enumerate(CAPTIONS.items()) if n != 2]
    rows.append({"id": 9, "image_id": 99, "caption": "of another split"})
    found = read_for_suite(write(tmp_path, ("theirs.json", json.dumps(rows))), examples)
    assert [sample.example for sample in found.samples] == examples
    answered = [sample for sample in found.samples if not sample.failure]
    assert [sample.text for sample in answered] == [sample.example.references[0] for sample in answered]
    assert [sample.failure.kind for sample in found.samples if sample.failure] == [NOT_ANSWERED]
    assert any("1 outputs are about no example of the suite" in note and "99" in note for note in found.notes)
    assert any("1 of 5 examples have no answer and count as failures" in note for note in found.notes)
    with pytest.raises(DataError, match="answers none of the suite's 5 examples"):
        read_for_suite(write(tmp_path, ("b.json", json.dumps(rows[-1:]))), examples)


def test_stories_of_a_suite_are_joined_by_position_and_held_to_their_titles(tmp_path: Path) -> None:
    records = [
        {
            "prefix_text": f"{title} <|endoftext|>",
            "reference_continuation_text": "x",
            "generated_result": {"0": {"generated_continuation_text": f"{title} story"}},
        }
        for title in ("One", "Two")
    ]
    path = write(tmp_path, ("s.json", json.dumps({"evaluation_result": records})))
    examples = [Example(f"{i:06d}", prompt=title) for i, title in enumerate(("One", "Two"))]
    assert [sample.text for sample in read_for_suite(path, examples).samples] == ["One story", "Two story"]
    with pytest.raises(DataError, match="continues 'One'; the suite's '000000' is 'Two'"):
        read_for_suite(path, [Example(f"{i:06d}", prompt=title) for i, title in enumerate(("Two", "One"))])


def test_a_suites_running_ids_are_no_numbers_of_images(tmp_path: Path) -> None:
    examples = [Example(str(i), image=tmp_path / coco_name(n), references=("x",)) for i, n in enumerate((7, 0))]
    path = write(tmp_path, ("a.json", json.dumps([{"image_id": 0, "caption": "a"}])))
    with pytest.raises(DataError, match="image_id '0' is the example '0' and image_id '0' is the example '1'"):
        read_for_suite(path, examples)


@pytest.mark.parametrize("name", ["plain.json", "with_id_score.json", "with_id.jsonl", "with_id.csv"])
def test_shared_results_are_joined_by_the_image(shared: Path, name: str) -> None:
    samples = read_outputs(shared / "inputs" / name, shared / "inputs" / "idkey_gt.json").samples
    assert [(sample.text,) for sample in samples] == [sample.example.references for sample in samples]
