"""Published human judgements: they import from their own columns, and give the published values."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.store.runs import Results
from harness.study.admin import StudyAdmin
from harness.study.analysis.analyze import analyse
from harness.study.analysis.findings import study_report
from harness.study.analysis.reports import Report
from harness.study.exchange.columns import ColumnMap
from harness.study.exchange.imports import import_ratings
from harness.study.tables.scale import Scale
from tests.harness.in_process import seetell_here
from tests.studies import Clock

HANNA = ColumnMap(system="Model", value="Human {annotator} {aspect}", scores="BLEU Ξ§", unscored="Human")


def unpacked(shared: Path, name: str, target: Path) -> Path:
    source = shared / "judgements" / name
    if not source.is_file():
        pytest.skip(f"needs {source}, which is not there")
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


def report_of(folder: Path, results: Results) -> Report:
    admin = StudyAdmin.open(folder)
    admin.freeze("me")
    report = study_report(admin, results, scores=admin.given_scores(), draws=50)
    assert admin.verify().ok
    admin.close()
    return report


def small(folder: Path, scores: str = "[1, 2]") -> Path:
    """Three systems, two items in lists, two annotators; the first system's texts are people's."""
    lines = ["who,H 1 wit,H 2 wit,bleu,ter"]
    lines += ['people,"[5, 5]","[4, 5]","[100, 100]","[0, 0]"', f'a,"[2, 1]","[2, 2]","{scores}","[3, 4]"']
    lines += ['b,"[3, 4]","[3, 5]","[2, 3]","[1, 2]"']
    source = folder / "small.csv"
    source.write_text("\n".join(lines) + "\n", "utf-8")
    return source


SMALL = ColumnMap(system="who", value="H {annotator} {aspect}", scores="bleu,-ter", unscored="people")


def test_scores_beside_the_ratings_are_compared_with_them(tmp_path: Path) -> None:
    import_ratings(small(tmp_path), "small", tmp_path / "small", columns=SMALL, now=Clock()())
    admin = StudyAdmin.open(tmp_path / "small")
    admin.export(tmp_path / "out", by="ada")
    import_ratings(tmp_path / "out", "again", tmp_path / "again", now=Clock()())
    again = StudyAdmin.open(tmp_path / "again")
    assert admin.given_scores() == again.given_scores()
    assert admin.given_scores()["a"] == {"bleu": {"0": 1.0, "1": 2.0}, "-ter": {"0": 3.0, "1": 4.0}}
    admin.close()
    again.close()
    [meta] = report_of(tmp_path / "small", Results(tmp_path)).metas
    assert {verdict.metric: verdict.system.value for verdict in meta.verdicts} == {"bleu": 1.0, "ter": 1.0}
    assert meta.left_out == {"system 'people'": "it has no scores"}


@pytest.mark.parametrize(
    ("columns", "scores", "words"),
    [
        (
            ColumnMap(system="who", value="H {annotator} {aspect}", scores="blue"),
            "[1, 2]",
            "no column 'blue'.*did you mean 'bleu'",
        ),
        (ColumnMap(system="who", value="H {annotator} {aspect}", scores="bleu", unscored="peple"), "[1, 2]", "no system 'peple'"),
        (SMALL, "good", "row 2 of .*bleu is 'good'; expected a number"),
    ],
)
def test_scores_that_cannot_be_taken_are_named(tmp_path: Path, columns: ColumnMap, scores: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        import_ratings(small(tmp_path, scores), "small", tmp_path / "small", columns=columns, now=Clock()())
    assert not (tmp_path / "small" / "study.sqlite").exists()


@pytest.mark.heavy
def test_hanna(shared: Path, tmp_path: Path) -> None:
    source = unpacked(shared, "hanna/hanna_metric_scores_llm.csv.gz", tmp_path / "hanna.csv")
    import_ratings(source, "hanna", tmp_path / "hanna", columns=HANNA, now=Clock()())
    report = report_of(tmp_path / "hanna", Results(tmp_path))
    relevance = {agreement.aspect: agreement for agreement in report.analysis.agreement}["RE"]
    assert relevance.ordinal.value == pytest.approx(0.1651, abs=5e-5)
    [verdict] = next(meta for meta in report.metas if meta.aspect == "RE").verdicts
    assert verdict.pooled.value == pytest.approx(0.0737787, abs=5e-8)
    assert verdict.pooled.n == 960


@pytest.mark.heavy
def test_flickr8k_experts_and_captions_that_each_have_their_own_images(shared: Path, tmp_path: Path) -> None:
    source = unpacked(shared, "flickr8k-expert/judgements.gz", tmp_path / "judgements.csv")
    one = ColumnMap("=retrieved", "id", value="j{annotator}", aspect="=quality")
    sparse = ColumnMap("textid", "imageid", value="j{annotator}", aspect="=quality")
    for name, columns in (("one", one), ("sparse", sparse)):
        import_ratings(source, name, tmp_path / name, columns=columns, scale=Scale.parse("1-4"), now=Clock()())
        admin = StudyAdmin.open(tmp_path / name)
        analysis = analyse(admin.ratings(), draws=20)
        admin.close()
        assert analysis.ratings == 3 * 5822
        assert analysis.agreement[0].ordinal.value == pytest.approx(0.6939, abs=5e-5)
    assert len(analysis.systems) == 977


@pytest.mark.heavy
def test_flickr8k_means_give_the_published_correlations(shared: Path, tmp_path: Path) -> None:
    """Means of three experts, thirds of a point, joined with the runs by id and by text."""
    pairs = json.loads(unpacked(shared, "flickr8k-expert/flickr8k-expert.json.gz", tmp_path / "pairs.json").read_bytes())
    texts = [{"id": name, "caption": pair["cand"][0], "references": pair["refs"]} for name, pair in pairs.items()]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts), "utf-8")
    with (tmp_path / "means.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pair", "mean", "caption"])
        writer.writerows([name, pair["score"], pair["cand"][0]] for name, pair in pairs.items())
    results = tmp_path / "results"
    metrics = ["--metrics", "bleu,rouge-l,meteor,cider", "--name", "retrieved", "--results", str(results)]
    assert seetell_here("score", str(tmp_path / "pairs.jsonl"), *metrics).returncode == 0
    [suite] = [folder.name for folder in (results / "runs").iterdir()]
    columns = ColumnMap("=retrieved", "pair", "=experts", "=quality", "mean", "caption")
    import_ratings(
        tmp_path / "means.csv", "means", tmp_path / "means",
        columns=columns, scale=Scale.parse("1-4:1/3"), runs=(Results(results), suite), now=Clock()(),
    )  # fmt: skip
    [meta] = report_of(tmp_path / "means", Results(results)).metas
    taus = {verdict.metric: verdict.pooled.value for verdict in meta.verdicts}
    for metric, published in {"bleu-4": 0.321, "rouge-l": 0.336, "meteor": 0.450, "cider": 0.468}.items():
        assert taus[metric] == pytest.approx(published, abs=6e-4)
