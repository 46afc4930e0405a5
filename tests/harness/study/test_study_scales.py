"""Ratings on any scale: stored exactly, exported as they came, and right in every statistic."""

from __future__ import annotations

import json
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from postgres import Server

from harness.errors import StudyError
from harness.leaderboard.side_columns import HumanStudy
from harness.store.runs import Results
from harness.study.admin import StudyAdmin
from harness.study.analysis.agreement import fleiss_kappa, krippendorff_alpha, pairwise_kappas, repeats
from harness.study.analysis.analyze import analyse
from harness.study.analysis.findings import human_columns, study_report
from harness.study.analysis.panel import Panel
from harness.study.analysis.reports import to_json, to_markdown
from harness.study.exchange.export import export_sha256
from harness.study.exchange.imports import import_ratings
from harness.study.tables.base import utc_now
from harness.study.tables.scale import FIVE, Scale

SCALES = ("0-1", "1-3", "1-6", "1-7", "0-100", "1-5:0.5", "-2-2")


def values_of(scale: Scale, count: int, seed: int = 0) -> list[float]:
    generator = np.random.default_rng(seed)
    return [scale.value(int(code)) for code in generator.integers(1, scale.count + 1, count)]


def write_ratings(folder: Path, scale: Scale, seed: int = 0) -> Path:
    """Two systems, twelve items, three annotators; not everybody rates everything."""
    values = iter(values_of(scale, 72, seed))
    lines = ["system,item,annotator,aspect,value"]
    for system in ("magic", "greedy"):
        for item in range(12):
            lines += [f"{system},{item},{who},quality,{next(values)}" for who in "xyz" if (item, who) != (3, "z")]
    folder.mkdir(exist_ok=True)
    path = folder / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_scale_is_read_as_people_write_it() -> None:
    assert Scale.parse("1-5") == Scale.parse("1 to 5") == Scale.parse("1..5") == FIVE
    assert Scale.parse("1-5:0.5").count == 9
    assert Scale.parse("-2-2").count == 5
    assert (str(Scale.parse("0-100")), Scale.parse("1-5:0.5").name) == ("0 to 100", "1-5:0.5")
    for wrong in ("5", "5-1", "1-5:0.3", "a-b", "0-100000", "1-5:0", ""):
        with pytest.raises(StudyError, match="expected the lowest and the highest value"):
            Scale.parse(wrong)


@pytest.mark.parametrize("name", [*SCALES, "0-1:0.1"])
def test_every_value_comes_back_exactly_and_others_are_refused(name: str) -> None:
    scale = Scale.parse(name)
    values = [scale.value(code) for code in range(1, scale.count + 1)]
    assert [scale.code(value) for value in values] == list(range(1, scale.count + 1))
    assert scale.holds(np.array(values, np.float64)).all()
    assert scale.values(np.arange(1, scale.count + 1)).tolist() == values
    for wrong in (values[0] - 1, values[-1] + 1, values[0] + float(scale.step) / 3):
        with pytest.raises(ValueError, match="not on the scale"):
            scale.code(wrong)
        assert not scale.holds(np.array([wrong])).any()
    assert Scale.of_protocol({"scale": json.loads(json.dumps(scale.to_json()))}) == scale


@pytest.mark.parametrize("name", SCALES)
def test_agreement_equals_the_independent_package(name: str) -> None:
    scale = Scale.parse(name)
    units = np.array(values_of(scale, 90, seed=3), np.float64).reshape(30, 3)
    units[:, 1] = units[:, 0]  # some agreement
    units[5:8, 2] = np.nan
    domain = [float(scale.value(code)) for code in range(1, scale.count + 1)]
    for level in ("nominal", "ordinal", "interval"):
        expected = krippendorff.alpha(units.T, level_of_measurement=level, value_domain=domain)
        assert krippendorff_alpha(units, level, scale=scale).value == pytest.approx(expected, abs=1e-9)  # type: ignore[arg-type]
    drawn = krippendorff_alpha(units, draws=50, scale=scale)
    assert drawn.low is not None
    assert drawn.value is not None
    assert drawn.low <= drawn.value


def test_statistics_do_not_depend_on_what_the_values_are_called() -> None:
    """A scale from 1 to 5 and the same answers as 0, 25, 50, 75, 100: equal agreement, means and differences moved along."""
    five = np.array(values_of(FIVE, 60, seed=5), np.float64).reshape(2, 10, 3)
    wide = Scale.parse("0-100:25")
    axes = (("a", "b"), tuple("0123456789"), ("x", "y", "z"))
    panels = [Panel(*axes, five), Panel(*axes, (five - 1) * 25, wide)]
    for level in ("ordinal", "interval"):
        plain, moved = (krippendorff_alpha(panel.units, level, draws=100, scale=panel.scale) for panel in panels)
        assert (plain.value, plain.low, plain.high) == pytest.approx((moved.value, moved.low, moved.high))
    assert pairwise_kappas(panels[0]).defined == pytest.approx(pairwise_kappas(panels[1]).defined)
    assert fleiss_kappa(panels[0].units).value == pytest.approx(fleiss_kappa(panels[1].units, wide).value)
    plain_looks = repeats(five[0, :, 0], five[0, :, 1])
    moved_looks = repeats((five[0, :, 0] - 1) * 25, (five[0, :, 1] - 1) * 25, wide)
    assert plain_looks.kappa.value == pytest.approx(moved_looks.kappa.value)
    assert plain_looks.error.value is not None
    assert moved_looks.error.value == pytest.approx(25 * plain_looks.error.value)


@pytest.mark.parametrize("name", ["0-1", "0-100", "1-5:0.5"])
def test_import_analyse_export_and_import_again(name: str, tmp_path: Path) -> None:
    scale = Scale.parse(name)
    path = write_ratings(tmp_path / "in", scale)
    count, _ = import_ratings(path, "theirs", tmp_path / "theirs", scale=scale, now=utc_now())
    study = StudyAdmin.open(tmp_path / "theirs")
    table = study.ratings()
    written = sorted(float(line.rsplit(",", 1)[1]) for line in path.read_text().splitlines()[1:])
    assert sorted(table.value.tolist()) == pytest.approx(written)
    assert (table.scale, len(table)) == (scale, count)
    assert study.verify().ok
    analysis = analyse(table, study="theirs", draws=200, permutations=200)
    for system in ("magic", "greedy"):
        by_item: dict[str, list[float]] = {}
        for line in path.read_text().splitlines()[1:]:
            who, item, _, _, value = line.split(",")
            if who == system:
                by_item.setdefault(item, []).append(float(value))
        summary = analysis.summary(system, "quality")
        assert summary.mean.value == pytest.approx(np.mean([np.mean(values) for values in by_item.values()]))
        assert sum(summary.distribution) == summary.ratings == 35
        assert len(summary.distribution) == (scale.count if scale.count <= 11 else 10)
        assert ("scale:" in summary.signature) == (scale != FIVE)
    files = study.export(tmp_path / "out", ("csv", "jsonl", "parquet"), by="me")
    digest = export_sha256(study.database)
    study.close()
    assert {file.name for file in files} >= {"ratings.csv", "study.json", "codebook.md"}
    codebook = (tmp_path / "out" / "codebook.md").read_text()
    assert f"Ratings from {scale} of texts" in codebook
    import_ratings(tmp_path / "out", "again", tmp_path / "again", now=utc_now())
    again = StudyAdmin.open(tmp_path / "again")
    assert export_sha256(again.database) == digest
    assert again.ratings().sha256 == table.sha256
    again.close()


def test_long_and_fractional_scales_on_postgres(tmp_path: Path, postgres: Server) -> None:
    for name in ("0-100", "1-5:0.5"):
        scale = Scale.parse(name)
        url = postgres.fresh()
        path = write_ratings(tmp_path / "in", scale)
        import_ratings(path, "theirs", tmp_path / name.replace(":", "-"), scale=scale, database=url, now=utc_now())
        study = StudyAdmin.open(url)
        assert study.ratings().value.max() <= float(scale.high)
        assert study.verify().ok
        study.close()


def test_a_value_off_the_scale_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = write_ratings(tmp_path / "in", Scale.parse("0-100"))
    with pytest.raises(StudyError, match=r"row \d+ of .*: value is \d+; expected 1 to 5; --scale names another scale"):
        import_ratings(path, "theirs", tmp_path / "theirs", now=utc_now())
    with pytest.raises(StudyError, match=r"expected 0 to 10$"):
        import_ratings(path, "theirs", tmp_path / "theirs", scale=Scale.parse("0-10"), now=utc_now())
    assert not (tmp_path / "theirs").exists()


def test_reports_and_the_leaderboard_name_the_scale(tmp_path: Path) -> None:
    scale = Scale.parse("0-100")
    import_ratings(write_ratings(tmp_path / "in", scale), "theirs", tmp_path / "theirs", scale=scale, now=utc_now())
    study = StudyAdmin.open(tmp_path / "theirs")
    report = study_report(study, Results(tmp_path), draws=200)
    study.close()
    analysis = report.analysis
    assert "from 0 to 100." in to_markdown(report)
    assert json.loads(to_json(report))["analysis"]["scale"] == {"low": 0, "high": 100, "step": 1}
    content = human_columns(analysis, dict.fromkeys(analysis.systems, "made/magic-12345678"))
    folder = tmp_path / "results" / "studies" / "theirs"
    folder.mkdir(parents=True)
    (folder / "human.json").write_text(json.dumps(content))
    read = HumanStudy.read(folder / "human.json")
    assert "mean rating from 0 to 100," in read.remark()
    content["cells"][0]["value"] = 101.0
    (folder / "human.json").write_text(json.dumps(content))
    with pytest.raises(Exception, match="a mean rating is 101; expected 0 to 100"):
        HumanStudy.read(folder / "human.json")
    assert Results(tmp_path / "results").root.is_dir()
