"""`seetell study` from end to end: from runs in the store, or imported outputs, to a frozen, exported, verified study."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from pathlib import Path

import pytest
from postgres import Server
from studies import Clock, _dot, form, rate_all, sit

from harness.cli import app
from harness.datasets.digests import data_digest
from harness.datasets.load import load_examples
from harness.decode.imported.keep import store_outputs
from harness.decode.imported.read import read_outputs
from harness.errors import SeeTellError, StudyError
from harness.store.runs import Record, Results, write_json
from harness.store.sealed import sealed, without_seal
from harness.study.admin import StudyAdmin
from harness.study.service import StudyService
from harness.study.tables.schema import Media
from harness.suites.spec import RunSpec, Suite


def seetell(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a verb, in this process."""
    code = app([str(word) for word in words], result_action="return_value", exit_on_error=False)
    said = capsys.readouterr()
    return code or 0, said.out, said.err


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with four complete runs of one suite (one of them the constant's), and one that is not complete."""
    root = tmp_path_factory.mktemp("store")
    data = root / "data"
    data.mkdir()
    lines = []
    for number in range(14):
        (data / f"{number}.png").write_bytes(_dot(number))
        lines.append(
            {"id": f"e{number}", "image": f"{number}.png", "references": [f"a person saw {number} blue boats on a lake"]}
        )
    (data / "examples.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    suite = Suite.parse(
        b"name = 'boats'\n[data]\ndataset = 'jsonl'\nfile = 'examples.jsonl'\n[text]\nmax_new_tokens = 9\n"
        b"[decoders.magic]\n[decoders.beam]\n[decoders.nucleus]\n",
        "boats",
        data,
    )
    digest = data_digest(load_examples(suite))
    for label in ("magic", "beam", "nucleus", "constant", "late"):
        spec = RunSpec(
            suite="boats", label=label, task="caption", decoder=label, decoder_version=1, config={}, language_model=None,
            image_text=None, data_digest=digest, captions_digest=None, prompt="{prompt}", max_new_tokens=9, max_length=None,
            seed=0, draws=1, dtype="float32",
        )  # fmt: skip
        run = Results(root / "results").run(spec)
        run.path.mkdir(parents=True)
        records = [Record(f"e{number}", 0, f"{label[0]} sees {number} boats near the shore") for number in range(14)]
        run.open(spec, len(records), suite.document(), {})
        if label != "late":
            with run.part() as part:
                part.append(records)
            run.finish([record.key for record in records])
    return root / "results"


def test_from_runs_to_a_frozen_study(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEETELL_RESULTS", str(results))
    code, _, said = seetell(
        capsys, "study", "create", "pilot", "--suite", "boats", "--items", "5", "--ratings-per-item", "2",
        "--annotators", "2", "--no-practice", "--url", "https://rate.example/",
    )  # fmt: skip
    assert code == 0
    token = re.search(r"https://rate\.example/\?invite=(\S+)", said).group(1)
    assert "next: `seetell annotate pilot" in said
    folder = results / "studies" / "pilot"
    admin = StudyAdmin.open(folder)
    assert admin.overview().systems == ("beam", "magic", "nucleus"), "the constant run is left out unless it is asked for"
    assert re.fullmatch(r"boats/magic-[0-9a-f]{8}", admin.runs()["magic"])
    contents = admin.database.read(lambda session: session.query(Media.content).all())
    assert {content for (content,) in contents} <= {_dot(number) for number in range(14)}
    service = StudyService.open(folder)
    for name, value in (("ann", 2), ("bob", 4)):
        rate_all(service, sit(service, token, name), value)
    service.close()
    admin.close()

    code, out, _ = seetell(capsys, "study", "status", "pilot", "--json")
    found = json.loads(out)
    assert (code, found["forms_done"], len(found["people"])) == (0, found["forms_planned"], 2)
    code, out, _ = seetell(capsys, "study", "review", "pilot", "--json")
    signals = json.loads(out)["signals"]
    assert {row["rule"] for row in signals} == {"longstring", "speed"} & {row["rule"] for row in signals}
    number = signals[0]["id"]
    seetell(capsys, "study", "review", "pilot", "--exclude", number, "--reason", "same answers", "--by", "me")
    code, out, _ = seetell(capsys, "study", "review", "pilot", "--revert", "1", "--by", "me", "--json")
    assert json.loads(out)["exclusions"][0]["reverted_by"] == "me"
    code, _, said = seetell(capsys, "study", "freeze", "pilot")
    assert "is frozen with" in said
    code, out, _ = seetell(capsys, "study", "export", "pilot", "--out", tmp_path / "out", "--json")
    digest = json.loads(out)["export_sha256"]
    code, out, _ = seetell(capsys, "study", "import", tmp_path / "out", "again", "--json")
    assert json.loads(out)["export_sha256"] == digest
    code, _, said = seetell(capsys, "study", "backup", "pilot")
    assert "checked" in said
    assert seetell(capsys, "study", "verify", "pilot")[0] == 0
    code, out, _ = seetell(capsys, "study", "status", "--json")
    assert [row["name"] for row in json.loads(out)] == ["again", "pilot"]
    with sqlite3.connect(folder / "study.sqlite") as connection:
        connection.executescript("DROP TRIGGER rating_no_update; UPDATE rating SET value = 5")
    connection.close()
    code, _, said = seetell(capsys, "study", "verify", "pilot")
    assert code == 2
    assert "was changed" in said


def test_the_published_protocol(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = seetell(
        capsys, "study", "create", "as-published", "--suite", "boats", "--runs", "magic,beam", "--preset", "magic-2022",
        "--items", "4", "--results", results, "--json",
    )  # fmt: skip
    plan = json.loads(out)
    assert (code, plan["ratings_per_item"], plan["annotators"], plan["systems"]) == (0, 5, 5, ["magic", "beam"])
    assert 0 < plan["smallest_difference"] < 4
    said = sqlite3.connect(results / "studies" / "as-published" / "study.sqlite").execute("SELECT protocol FROM campaign")
    protocol = json.loads(said.fetchone()[0])
    assert list(protocol["aspects"]) == ["coherence", "fluency", "informativeness", "relevance"]
    assert protocol["analysis"]["test"] == "sign"
    assert protocol["preset"] == "magic-2022"


def test_imported_outputs_with_a_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres: Server) -> None:
    images = tmp_path / "images"
    images.mkdir()
    systems = []
    for name in ("theirs", "ours"):
        path = tmp_path / f"{name}.jsonl"
        rows = [
            {"id": f"x{number}", "text": f"{name} thinks of {number} cups", "references": ["some cups"]} for number in range(4)
        ]
        path.write_text("\n".join(json.dumps(row) for row in rows))
        systems.append(read_outputs(path))
    suite = store_outputs(systems, Results(tmp_path / "results"), {})[0].suite.name
    create = ["study", "create", "cups", "--suite", suite, "--items", "3", "--results", tmp_path / "results", "--json"]
    with pytest.raises(StudyError, match="has no image"):
        seetell(capsys, *create)
    for number in range(4):
        (images / f"x{number}.png").write_bytes(_dot(number))
    with pytest.raises(StudyError, match="names the system 'ours'"):
        seetell(capsys, *create, "--images", images, "--title", "Ours or not?")
    code, out, _ = seetell(capsys, *create, "--images", images, "--database", postgres.fresh())
    assert code == 0
    assert json.loads(out)["database"].startswith("postgresql+psycopg://")
    clock = Clock()
    service = StudyService.open(tmp_path / "results" / "studies" / "cups", clock=clock)
    seat = sit(service, json.loads(out)["invite"], "ann")
    assert service.submit(seat, form(service.claim(seat).slots[0])).status == "saved"
    service.close()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--suite", "boots"], "did you mean 'boats'"),
        (["--suite", "boats", "--runs", "majic,beam"], "did you mean 'magic'"),
        (["--suite", "boats", "--runs", "late,beam"], "is not complete"),
        (["--suite", "boats", "--runs", "beam"], "compares two systems"),
        (["--suite", "boats", "--aspects", "beauty"], "no aspect 'beauty'"),
        (["--suite", "boats", "--preset", "magic"], "no preset 'magic'"),
        (["--suite", "boats", "--seed", "-1"], "--seed is -1"),
        (["--suite", "boats", "--ratings-per-item", "5", "--annotators", "3"], "need 5 annotators"),
        (["--suite", "boats", "--controls", "0.9"], "expected 0 to 50 %"),
        (["--suite", "boats", "--guidelines", "nowhere.md"], "cannot be read"),
        (["--suite", "boats", "--database", "mysql://x/y"], "SQLite or PostgreSQL"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_designs_that_cannot_be(results: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str) -> None:
    with pytest.raises(SeeTellError, match=words):
        seetell(capsys, "study", "create", "none", *flags, "--results", results)
    assert not (results / "studies" / "none" / "study.sqlite").exists()
    assert not list((results / "studies").glob("none/.*"))


def test_data_that_has_changed_is_refused(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next((results / "runs" / "boats").glob("magic-*"))
    described = json.loads((folder / "run.json").read_bytes())
    spec = RunSpec.model_validate(described["spec"] | {"data_digest": "0" * 64})
    other = without_seal(described) | {"spec": spec.model_dump(mode="json"), "identity": spec.identity()}
    write_json(folder / "run.json", sealed(other))
    try:
        with pytest.raises(StudyError, match="different data"):
            seetell(capsys, "study", "create", "none", "--suite", "boats", "--results", results)
    finally:
        write_json(folder / "run.json", described)


def test_own_aspects_and_words(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[humour]\nlabel = "Humour"\ndefinition = "Is it <b>funny</b>?"\nanchors = ["a", "b", "c", "d", "e"]\n')
    (tmp_path / "g.md").write_text("# Laugh\n")
    seetell(
        capsys, "study", "create", "fun", "--suite", "boats", "--aspects", "humour,fluency", "--aspects-file", own,
        "--guidelines", tmp_path / "g.md", "--items", "4", "--results", results,
    )  # fmt: skip
    protocol = StudyService.open(results / "studies" / "fun").protocol()
    assert [aspect.code for aspect in protocol.aspects] == ["humour", "fluency"]
    assert protocol.guidelines == "# Laugh\n"
    own.write_text('[humour]\nlabel = "Humour"\ndefinition = "?"\nanchors = ["a"]\n')
    with pytest.raises(StudyError, match="five anchors"):
        seetell(
            capsys, "study", "create", "bad", "--suite", "boats", "--aspects", "humour", "--aspects-file", own,
            "--results", results,
        )  # fmt: skip


@pytest.mark.parametrize("task", ["caption", "story"])
def test_packaged_aspects_are_whole(task: str) -> None:
    import harness.study

    path = Path(harness.study.__file__).parent / "design" / "protocols" / f"{task}.toml"
    for code, aspect in tomllib.loads(path.read_text("utf-8")).items():
        assert len(aspect["anchors"]) == len(set(aspect["anchors"])) == 5, code
        assert len(aspect["examples"]) == len(set(aspect["examples"])) == 5, code
        assert aspect["definition"].endswith((".", "?"))
