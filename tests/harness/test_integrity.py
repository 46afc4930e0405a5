"""What lies on disk and decides a number is checked when it is read: a change is noticed, or does no harm."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.compare.baseline import Baseline
from harness.compare.scored import ScoredRun
from harness.decode.imported.keep import Imported, score_imported, store_outputs
from harness.decode.imported.read import Outputs
from harness.errors import SeeTellError, StoreError
from harness.metrics.coco import ptb
from harness.store import sealed
from harness.store.answers import Record, read_part, read_samples, write_samples
from harness.store.runs import Results, RunFolder
from harness.store.speed import Speed, read_speed, write_speed
from harness.suites.examples import Example, Sample
from harness.suites.spec import MetricRef
from tests.harness.test_spec import spec
from tests.harness.test_speed import FIELDS
from tests.harness.test_store import open_run, records

METRICS = {"repetition": MetricRef(), "length": MetricRef(), "distinct": MetricRef()}


def outputs(count: int = 6) -> Outputs:
    samples = [Sample(Example(f"e{i}", references=("a b",)), 0, f"one two three one two {i} three") for i in range(count)]
    return Outputs("system", "CSV", samples)


@pytest.fixture
def stored(tmp_path: Path) -> Imported:
    """A complete run with scores of three metrics."""
    [imported] = store_outputs([outputs()], Results(tmp_path / "results"), METRICS)
    score_imported([imported])
    return imported


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_bytes())
    change(content)
    file.write_text(json.dumps(content))


def set_value(content: dict[str, Any]) -> None:
    content["metrics"]["length"]["scores"][0]["value"] = 0.99


def test_a_value_that_was_set_in_scores_json_is_refused_and_made_anew(stored: Imported) -> None:
    file = stored.folder.path / "scores.json"
    whole = file.read_bytes()
    edit(file, set_value)
    for read in (stored.folder.scores, lambda: ScoredRun.load(stored.folder)):
        with pytest.raises(StoreError, match=r"scores\.json was changed or damaged .*, at length"):
            read()
    score_imported([stored])
    assert file.read_bytes() == whole


def test_a_value_without_a_seal_is_held_against_its_rows(stored: Imported) -> None:
    """As files from before there were seals are."""
    file = stored.folder.path / "scores.json"
    whole = json.loads(file.read_bytes())

    def without_seals(content: dict[str, Any]) -> None:
        set_value(content)
        for entry in content["metrics"].values():
            del entry[sealed.SEAL], entry["rows_sha256"]

    edit(file, without_seals)
    score_imported([stored])
    assert json.loads(file.read_bytes())["metrics"]["length"]["scores"] == whole["metrics"]["length"]["scores"]


def test_rows_that_were_changed_are_refused_and_made_anew(stored: Imported) -> None:
    [file] = (stored.folder.path / "rows").glob("length-*.parquet")
    [other] = (stored.folder.path / "rows").glob("distinct-*.parquet")
    whole = file.read_bytes()
    file.write_bytes(other.read_bytes())
    with pytest.raises(StoreError, match="changed or damaged"):
        ScoredRun.load(stored.folder)
    score_imported([stored])
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda records: [*records[:-2]], "changed or damaged after the run ended"),
        (lambda records: [Record("e0", 0, "other", (), "imported"), *records[1:]], "changed or damaged after the run ended"),
    ],
)
def test_answers_that_were_changed_are_no_run(stored: Imported, change: Any, message: str) -> None:
    file = stored.folder.path / "samples.parquet"
    write_samples(file, change(read_samples(file)))
    for read in (stored.folder.records, lambda: ScoredRun.load(stored.folder), lambda: score_imported([stored])):
        with pytest.raises(StoreError):
            read()
    with pytest.raises(StoreError, match=message):
        stored.folder.records()


def test_two_rows_fewer_are_noticed_without_a_seal_too(stored: Imported) -> None:
    edit(stored.folder.path / "run.json", lambda content: [content.pop(key) for key in ("sha256", "samples", "format")])
    file = stored.folder.path / "samples.parquet"
    write_samples(file, read_samples(file)[:-2])
    with pytest.raises(StoreError, match="holds 4 of 6 answers"):
        stored.folder.records()


@pytest.mark.parametrize(
    "line", [b"[]", b"7", b'{"id":5,"draw":0}', b"9" * 5000, b"[" * 100_000, b'{"id":"a","draw":"0","text":""}']
)
def test_a_part_line_of_a_wrong_type_is_damage_with_its_place(tmp_path: Path, line: bytes) -> None:
    part = tmp_path / "000001.jsonl"
    good = Record("a", 0, "x", (), "eos").to_line()
    part.write_bytes(line + b"\n" + good)
    with pytest.raises(StoreError, match="line 1 of .* is damaged"):
        read_part(part)
    part.write_bytes(good + line + b"\n")
    assert [record.key for record in read_part(part)] == [("a", 0)], "a torn last line is decoded again"


def test_every_flipped_bit_of_a_part_is_noticed(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append(records())
    [file] = (folder.path / "parts").glob("*.jsonl")
    whole, read = file.read_bytes(), [record.to_line() for record in folder.records()]
    for place in range(0, len(whole), 3):
        file.write_bytes(flipped(whole, 8 * place + place % 8))
        with contextlib.suppress(StoreError):
            found = [record.to_line() for record in folder.records()]
            assert all(line in read for line in found), whole[max(0, place - 10) : place + 10]


def test_a_foreign_id_among_the_parts_is_not_counted(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    with folder.part() as part:
        part.append([*records(), Record("stranger", 0, "x", (), "eos")])
    folder.finish([record.key for record in records()])
    assert [record.key for record in folder.records()] == sorted(record.key for record in records())


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"answers": ' + "9" * 5000 + "}", "null", "[]", '{"format": "seetell-run-9"}'],
    ids=["deep", "long number", "null", "list", "another layout"],
)
def test_a_run_that_cannot_be_read_is_named_and_the_others_stay(stored: Imported, content: str) -> None:
    results = Results(stored.folder.path.parents[2])
    broken = open_run(results.root)
    (broken.path / "run.json").write_text(content)
    described, unreadable = results.described()
    assert [folder.path for folder, _ in described] == [stored.folder.path]
    assert [each.folder.path for each in unreadable] == [broken.path]
    assert "run.json cannot be read" in str(unreadable[0].reason)


def test_a_suite_whose_name_breaks_its_rule_is_one_error(stored: Imported) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["suite"]["name"] = "../up"
        del content["sha256"]

    edit(stored.folder.path / "run.json", rename)
    with pytest.raises(StoreError, match="small letters, digits"):
        ScoredRun.load(stored.folder)
    assert [str(each.reason) for each in Results(stored.folder.path.parents[2]).described()[1]]


def test_run_json_of_another_spec_is_refused(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    edit(folder.path / "run.json", lambda content: content["spec"].update(seed=99))
    with pytest.raises(StoreError, match="changed or damaged"):
        folder.describe()
    edit(folder.path / "run.json", lambda content: content.pop("sha256"))
    with pytest.raises(StoreError, match="which its spec does not give"):
        folder.describe()


def test_a_run_of_before_there_were_formats_keeps_its_bytes(stored: Imported) -> None:
    file = stored.folder.path / "run.json"
    edit(file, lambda content: [content.pop(key) for key in ("sha256", "samples", "format")])
    content = stored.folder.describe()
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    before = file.read_bytes()
    store_outputs([outputs()], Results(stored.folder.path.parents[2]), METRICS)
    assert file.read_bytes() == before


def test_tokens_that_were_changed_on_disk_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path))
    texts = ["A dog.", "Two cats!"]
    made = ptb.tokenize(texts, "python", keep=True)
    [kept] = tmp_path.rglob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b"dog", b"cow"))
    ptb._memory.cache_clear()
    assert ptb.tokenize(texts, "python", keep=True) == made == ["a dog", "two cats"]


def test_speeds_that_were_changed_are_refused(tmp_path: Path) -> None:
    results = Results(tmp_path)
    file = write_speed(results, "s", [Speed(**FIELDS)])
    file.write_bytes(file.read_bytes().replace(b'"threads": ', b'"threads": 1'))
    with pytest.raises(StoreError, match="changed or damaged"):
        read_speed(results, "s")


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged(file: Path, seed: int) -> bytes:
    """One bit flipped, or one line (of a text) or row (of answers) dropped."""
    chance, content = random.Random(seed), file.read_bytes()
    if seed % 4 == 0 and file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(file)
        buffer = pa.BufferOutputStream()
        pq.write_table(table.slice(0, table.num_rows - 1), buffer, compression="zstd")
        return bytes(buffer.getvalue())
    lines = content.split(b"\n")
    if seed % 4 == 0 and file.suffix in (".json", ".jsonl") and len(lines) > 2:
        del lines[chance.randrange(len(lines) - 1)]
        return b"\n".join(lines)
    return flipped(content, chance.randrange(8 * len(content)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with everything in it: two scored runs, one that is half decoded, a baseline, speeds."""
    root = tmp_path_factory.mktemp("world")
    results = Results(root)
    imported = store_outputs([outputs(12)], results, METRICS)
    score_imported(imported)
    run = ScoredRun.load(imported[0].folder)
    Baseline.accept(results.baseline("s"), {"system": run}, {"length": 0.5}, keep_others=False)
    write_speed(results, "s", [Speed(**FIELDS)])
    half = results.run(spec())
    half.path.mkdir(parents=True)
    half.open(spec(), 9, {"name": "s"}, {"python": "3"})
    with half.part() as part:
        part.append(records())
    return root


def numbers(root: Path) -> list[object]:
    """Every number and text that a store tells, or the error instead."""
    results, told = Results(root), []

    def ask(what: Callable[[], object]) -> None:
        try:
            told.append(what())
        except SeeTellError:
            told.append("noticed")

    def scored(folder: RunFolder) -> object:
        run = ScoredRun.load(folder)
        values = [
            (score.output, score.value, score.low, score.high, score.signature)
            for m in run.metrics.values()
            for score in m.scores
        ]
        return (run.spec.identity(), run.digest, values, [m.rows.tobytes() for m in run.metrics.values() if m.rows is not None])

    for path in sorted((root / "runs").glob("*/*")):
        folder = RunFolder(path)
        if path.is_dir():
            ask(lambda folder=folder: scored(folder) if folder.complete else [r.to_line() for r in folder.records()])  # type: ignore[misc]
            ask(lambda folder=folder: {k: v for k, v in folder.describe().items() if k not in ("sha256", "format")})  # type: ignore[misc]
    ask(lambda: read_speed(results, "s"))
    ask(lambda: Baseline.read(results.baseline("s")))
    return told


def try_mutations(root: Path, copy: Path, seeds: range) -> int:
    """Damage one file after the other; each change is noticed or changes nothing. How many were noticed."""
    expected, noticed = numbers(root), 0
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size and path.name != "examples.jsonl")
    for seed in seeds:
        file = files[seed % len(files)]
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root, copy)
        place = copy / file.relative_to(root)
        place.write_bytes(damaged(place, seed))
        for now, before in zip(numbers(copy), expected, strict=True):
            if now == "noticed":
                noticed += 1
            elif isinstance(now, list) and "parts" in file.parts:
                assert set(now) <= set(before), f"seed {seed}: {file}"  # type: ignore[call-overload]  # the rest is decoded again
            else:
                assert now == before, f"seed {seed}: {file}"
    return noticed


def test_damage_anywhere_is_noticed_or_harmless(world: Path, tmp_path: Path) -> None:
    assert try_mutations(world, tmp_path / "copy", range(20)) >= 10


@pytest.mark.heavy
def test_two_hundred_damages_are_noticed_or_harmless(world: Path, tmp_path: Path) -> None:
    assert try_mutations(world, tmp_path / "copy", range(20, 220)) >= 100


@pytest.mark.parametrize("times", [20, pytest.param(100, marks=pytest.mark.heavy)])
def test_features_of_captions_that_were_changed_are_encoded_anew(clip_folder: Path, tmp_path: Path, times: int) -> None:
    from decoders.models.load import load_image_text
    from harness.datasets.index.captions import text_features

    clip = load_image_text(f"local-dir:{clip_folder}")
    whole = np.array(text_features(["a", "b"], clip, tmp_path))
    [file] = tmp_path.rglob("*.npy")
    for seed in range(times):
        content = file.read_bytes()
        file.write_bytes(flipped(content, random.Random(seed).randrange(8 * len(content))))
        np.testing.assert_array_equal(text_features(["a", "b"], clip, tmp_path), whole)


@pytest.mark.parametrize("times", [6, pytest.param(70, marks=pytest.mark.heavy)])
def test_damage_to_an_index_is_noticed_or_harmless(clip_folder: Path, tmp_path: Path, times: int) -> None:
    from decoders.models.load import load_image_text
    from harness.datasets.index.build import build_index, caption_corpus
    from harness.datasets.index.captions import built_index

    clip = load_image_text(f"local-dir:{clip_folder}")
    texts = ["a", "b", "c"]
    build_index(caption_corpus("c", texts, clip), tmp_path)
    features = np.array(built_index(tmp_path, texts, clip).features)
    for name in sorted(file.name for file in tmp_path.iterdir() if file.is_file() and file.stat().st_size):
        whole = (tmp_path / name).read_bytes()
        for seed in range(times):
            (tmp_path / name).write_bytes(flipped(whole, random.Random(seed).randrange(8 * len(whole))))
            try:
                index = built_index(tmp_path, texts, clip)
            except SeeTellError:
                continue
            assert name not in ("features.f32", "rows.arrow", "manifest.json"), f"seed {seed}: {name}"
            np.testing.assert_array_equal(np.array(index.features), features)  # a file that decides nothing here
        (tmp_path / name).write_bytes(whole)
