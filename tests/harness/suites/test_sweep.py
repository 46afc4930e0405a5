"""`seetell sweep`: on dev data alone, ranked with what cannot be told apart, kept out of every table."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.cli import app, console
from harness.compare.sweep import Result, check_apart, dev_suite, sweep, to_paste
from harness.compare.sweep_picture import to_svg
from harness.datasets.load import load_examples
from harness.errors import StoreError, SuiteError
from harness.leaderboard.collect import boards
from harness.store.runs import Results
from harness.suites.spec import Suite
from tests.harness.scored_runs import install_metric
from tests.plugins import ECHO, install

SUITE = """
extends = "toybox-plain"
name = "small"
[data]
size = 4
[sweep.data]
size = 6
[sweep.grid.magic]
k = [3, 6]
beta = [0.0, 1.0]
[sweep.grid.greedy]
repetition_penalty = [1.0, 1.3]
[metrics.cider]
tokenizer = "python"
"""


def suite_of(folder: Path, text: str = "") -> Suite:
    path = folder / "small.toml"
    path.write_text(SUITE + text)
    return Suite.load(str(path))


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ({}, [], "names the suite's own data"),
        ({"split": "test"}, [], "names the suite's own data"),
        ({"first": 2}, [], "names the suite's own data"),
        ({"expect": 4, "how": "as ever"}, [], "names the suite's own data"),
        ({"size": 6, "first": 0}, [], r"\[sweep.data\]: first = 0: .* greater than or equal to 1"),
        ({"split": "test", "size": 9}, [], "has 4 examples of its test data, such as the id"),
        ({"split": "dev", "size": 6}, ['data.split="dev"', "data.size=2"], "has 2 examples of its test data"),
    ],
)
def test_what_touches_the_test_data_is_refused_before_anything_is_run(
    tmp_path: Path, data: dict[str, object], settings: list[str], message: str
) -> None:
    suite_of(tmp_path)
    suite = Suite.load(str(tmp_path / "small.toml"), settings)
    assert suite.sweep is not None
    suite = suite.model_copy(update={"sweep": suite.sweep.model_copy(update={"data": data})})
    with pytest.raises(SuiteError, match=message):
        sweep(suite, Results(tmp_path), progress_bar=console.progress_bar)
    assert not (tmp_path / "sweeps").exists()


def test_the_same_image_under_another_name_is_found(tmp_path: Path) -> None:
    from dataclasses import replace

    suite = suite_of(tmp_path)
    test, dev = load_examples(suite), load_examples(dev_suite(suite))
    check_apart(suite, dev, test)
    with pytest.raises(SuiteError, match="'other', which is .* of the test data"):
        check_apart(suite, [*dev, replace(test[1], id="other")], test)
    story = [replace(each, prompt="Title", image=None) for each in test]
    with pytest.raises(SuiteError, match="'other', which is"):
        check_apart(suite, [replace(story[0], id="other")], story)
    check_apart(suite, [replace(story[0], id="other", references=("Another story.",))], story)  # titles repeat


@pytest.mark.parametrize(
    ("text", "only", "metric", "message"),
    [
        ("", ["magc"], None, r"has no 'magc' .did you mean 'magic'"),
        ("", [], "cidr", r"has no number of this name that can rank .did you mean 'cider'"),
        ("[sweep.grid.beem]\nwidth = [1]\n", [], None, r"\[sweep.grid.beem\]: .* no such decoder .did you mean 'beam'"),
        ("[sweep.grid.nucleus]\npp = [0.9]\n", [], None, "unknown key 'pp'"),
        ("[sweep.grid.nucleus]\np = []\n", [], None, "expected at least one value"),
        ("[sweep.grid.nucleus]\ndraws = [1, 0]\n", [], None, r"\[sweep.grid.nucleus\]: draws = 0: .* greater than or equal"),
    ],
)
def test_a_grid_that_cannot_be_run_is_told(tmp_path: Path, text: str, only: list[str], metric: str | None, message: str) -> None:
    suite = suite_of(tmp_path, text)
    with pytest.raises(SuiteError, match=message):
        sweep(suite, Results(tmp_path), only=only, metric=metric, progress_bar=console.progress_bar)


def test_a_suite_without_a_sweep_says_what_to_add() -> None:
    with pytest.raises(SuiteError, match="has no .sweep.; add .sweep.data. with another split"):
        dev_suite(Suite.load("toybox-ornate"))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path, list[Result], list[str]]:
    folder = tmp_path_factory.mktemp("sweep")
    suite = suite_of(folder)
    said: list[str] = []
    found = sweep(suite, Results(folder), say=said.append, progress_bar=console.progress_bar)
    return suite, folder, found, said


def test_every_combination_is_run_and_ranked(swept: tuple[Suite, Path, list[Result], list[str]]) -> None:
    _, _, found, said = swept
    magic = [each for each in found if each.label == "magic"]
    assert {(each.values["k"], each.values["beta"]) for each in magic} == {(3, 0.0), (3, 1.0), (6, 0.0), (6, 1.0)}
    assert [each.score.value for each in magic] == sorted((each.score.value for each in magic), reverse=True)
    assert magic[0].values["beta"] == 1.0  # the image helps
    assert magic[0].p != magic[0].p  # the best is tested against nobody
    assert all(0 < each.p <= 1 for each in magic[1:])
    assert [each.apart for each in magic[1:]] == [each.p <= 0.05 for each in magic[1:]]
    assert {each.score.n for each in found} == {6}
    assert len([each for each in found if each.label == "greedy"]) == 2
    assert len(said) == 6


def test_a_second_time_nothing_is_decoded(swept: tuple[Suite, Path, list[Result], list[str]]) -> None:
    suite, folder, before, _ = swept
    said: list[str] = []
    after = sweep(suite, Results(folder), only=["magic"], say=said.append, progress_bar=console.progress_bar)
    assert [each.to_json() for each in after] == [each.to_json() for each in before if each.label == "magic"]
    assert all("already on disk" in each for each in said)


def test_no_table_knows_of_it(swept: tuple[Suite, Path, list[Result], list[str]]) -> None:
    suite, folder, found, _ = swept
    assert all(each.folder.path.is_relative_to(folder / "sweeps") for each in found)
    assert Results(folder).runs() == []
    with pytest.raises(StoreError, match="there are no runs"):
        boards(Results(folder), [suite.name])


def test_what_is_pasted_is_a_suites_table(swept: tuple[Suite, Path, list[Result], list[str]], tmp_path: Path) -> None:
    suite, _, found, _ = swept
    path = tmp_path / "pasted.toml"
    path.write_text('extends = "toybox-plain"\nname = "pasted"\n' + to_paste(found[0]))
    assert Suite.load(str(path)).decoders["magic"].options == {**suite.decoders["magic"].options, **found[0].values}


def test_pictures_of_one_two_and_more_settings(swept: tuple[Suite, Path, list[Result], list[str]]) -> None:
    from dataclasses import replace

    _, _, found, _ = swept
    magic, greedy = ([each for each in found if each.label == label] for label in ("magic", "greedy"))
    odd = [replace(each, label="<b>&", values={'te"xt': f"<{place}>"}) for place, each in enumerate(magic)]
    three = [replace(each, values={**each.values, "alpha": place % 2}) for place, each in enumerate(magic)]
    for results, shape in ((magic, "rect"), (greedy, "polyline"), (odd, "circle"), (three, "circle"), (magic[:1], "text")):
        picture = ET.fromstring(to_svg(results))  # noqa: S314 - our own
        names = [each.tag.rpartition("}")[2] for each in picture.iter()]
        assert shape in names
        titles = [each.text for each in picture.iter() if each.tag.endswith("title")]
        assert len(titles) == len(results)
        assert all(each and results[0].score.output in each for each in titles)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    suite_of(tmp_path)
    arguments = ["sweep", "small.toml", "--only", "greedy", "--metric", "clipscore", "--set", "greedy.temperature=1"]
    with pytest.raises(SuiteError, match="unknown key 'temperature'"):
        app(arguments, result_action="return_value")
    arguments = arguments[:-2]
    assert app(arguments, result_action="return_value") == 0
    shown = capsys.readouterr().out
    assert "[decoders.greedy]\nrepetition_penalty = " in shown
    assert "told apart" in shown
    assert app([*arguments, "--json"], result_action="return_value") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["output"] for each in report["results"]] == ["clipscore"] * 2
    ET.parse(report["pictures"]["greedy"])  # noqa: S314 - our own


def test_a_setting_that_fails_on_the_hard_examples_is_not_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = ECHO.replace('"UNREADABLE" in prompt.text', '"UNREADABLE" in prompt.text and self.config.word == "0.99"')
    site = install_metric(tmp_path / "site")
    install(site, "sweep-echo", "sweep_echo", failing, {"seetell.decoders": {"echo": "sweep_echo:Echo"}})
    monkeypatch.syspath_prepend(site)
    for name in ("test", "dev"):
        lines = [{"id": f"{name}{i}", "prompt": f"{name} {i} {'UNREADABLE' if i < 8 else ''}"} for i in range(10)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    path = tmp_path / "picky.toml"
    path.write_text(
        'name = "picky"\ntask = "story"\n[data]\ndataset = "jsonl"\nfile = "test.jsonl"\n[text]\nmax_new_tokens = 8\n'
        '[decoders.echo]\n[metrics.bounded]\n[metrics.quality]\n[sweep]\nmetric = "bounded-quality"\n'
        '[sweep.data]\nfile = "dev.jsonl"\n[sweep.grid.echo]\nword = ["0.5", "0.99"]\n',
        encoding="utf-8",
    )
    suite, results = Suite.load(str(path)), Results(tmp_path / "results")
    found = sweep(suite, results, device="cpu", progress_bar=console.progress_bar)
    assert [(result.values["word"], result.failed) for result in found] == [("0.5", 0), ("0.99", 8)]
    assert found[1].score.value == pytest.approx(0.198)
    with pytest.raises(SuiteError, match=r'quality has no value that ranks echo with word = "0.99" \(8 answers have no score'):
        sweep(suite, results, metric="quality", device="cpu", progress_bar=console.progress_bar)
