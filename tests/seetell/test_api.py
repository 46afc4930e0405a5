"""`import seetell`: what people type in a notebook gives what the command line gives."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seetell
from harness.datasets.load import load_examples
from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here

MODELS = {"language_model": "toybox:plain", "image_text": "toybox:clip"}
ROOT = Path(__file__).resolve().parents[2]


PICTURES = [
    Image.open(io.BytesIO(example.image)).convert("RGB")
    for example in load_examples(Suite.load("toybox-plain", ["data.size=3"]))
    if isinstance(example.image, bytes)
]


def _drawing() -> Image.Image:
    return PICTURES[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two decoders on six images, run from Python."""
    folder = tmp_path_factory.mktemp("api")
    seetell.run("toybox-plain", only=["magic", "greedy"], settings={"data.size": 6}, results=folder)
    return folder


def test_importing_it_loads_neither_torch_nor_pandas() -> None:
    program = "import sys, seetell; print([name for name in ('torch', 'pandas', 'numpy', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_only_those() -> None:
    for name in seetell.__all__:
        assert getattr(seetell, name) is not None
    assert sorted(seetell.__all__) == dir(seetell) == sorted(name for names in seetell._HOMES.values() for name in names)
    with pytest.raises(AttributeError, match="no public name 'decod'"):
        seetell.decod  # noqa: B018


def test_an_image_in_any_form_gives_the_same_text(tmp_path: Path) -> None:
    picture = _drawing()
    picture.save(tmp_path / "a.png")
    content = io.BytesIO()
    picture.save(content, "PNG")
    forms = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        content.getvalue(),
        picture,
        np.asarray(picture),
        np.asarray(picture) / 255,
    ]
    texts = seetell.decode("magic", forms, **MODELS)
    assert len(set(texts)) == 1
    assert texts[0]
    assert seetell.decode("magic", picture, **MODELS) == texts[0], "one image gives one text"


def test_a_text_depends_neither_on_the_batch_nor_on_other_settings_of_speed() -> None:
    pictures = PICTURES
    together = seetell.decode("nucleus", pictures, prompts="There is", seed=3, **MODELS)
    assert together == seetell.decode("nucleus", pictures, prompts=["There is"] * 3, seed=3, batch_size=1, **MODELS)
    assert together != seetell.decode("nucleus", pictures, prompts="There is", seed=4, **MODELS)


def test_retrieval_chooses_among_the_captions_that_are_given(tmp_path: Path) -> None:
    captions = ["a red ball in the grass", "a blue boat on the sea"]
    (tmp_path / "captions.txt").write_text("\n".join(captions), encoding="utf-8")
    text = seetell.decode("clipre", _drawing(), captions=captions, **MODELS)
    assert text in captions
    assert seetell.decode("clipre", _drawing(), captions=tmp_path / "captions.txt", **MODELS) == text


class Shout(seetell.Decoder):
    """The prompt in capitals."""

    def decode(self, prompts, seeds):  # type: ignore[no-untyped-def]
        return [seetell.Generation(text=prompt.text.upper(), tokens=(), finish="eos") for prompt in prompts]


def test_a_class_that_is_not_installed_decodes() -> None:
    assert seetell.decode(Shout, prompts=["a dog", "a cat"]) == ["A DOG", "A CAT"]


class Short(Shout):
    """Forgets the last prompt."""

    def decode(self, prompts, seeds):  # type: ignore[no-untyped-def]
        return super().decode(prompts, seeds)[:-1]


def test_a_decoder_that_forgets_a_prompt_is_refused_and_full_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(seetell.SeeTellError, match="returned 1 texts for 2 prompts"):
        seetell.decode(Short, prompts=["a", "b"])
    with monkeypatch.context() as patch:
        patch.setattr(Shout, "decode", lambda self, prompts, seeds: [None] * len(prompts))
        with pytest.raises(seetell.SeeTellError, match="its list holds NoneType"):
            seetell.decode(Shout, prompts=["a", "b"])
    sizes = []

    def crowded(self, prompts, seeds):  # type: ignore[no-untyped-def]
        sizes.append(len(prompts))
        if len(prompts) > 1:
            raise MemoryError
        return [seetell.Generation(text=prompt.text.upper(), tokens=(), finish="eos") for prompt in prompts]

    monkeypatch.setattr(Shout, "decode", crowded)
    assert seetell.decode(Shout, prompts=["a", "b", "c"], batch_size=2) == ["A", "B", "C"]
    assert sizes == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: seetell.decode("magc", _drawing()), "did you mean 'magic'"),
        (lambda: seetell.decode("magic", _drawing()), "needs a language model; pass language_model="),
        (lambda: seetell.decode("magic", 3, **MODELS), "images of type int; expected a path"),
        (lambda: seetell.decode("magic", [3], **MODELS), "an image of type int; expected a path"),
        (lambda: seetell.decode("magic", np.full((4, 4, 3), 1.5), **MODELS), "from 1.5 to 1.5; expected"),
        (lambda: seetell.decode("magic", "nowhere.png", **MODELS), "nowhere.png"),
        (lambda: seetell.decode("greedy", prompts="a", language_model="toybox:plain", betta=1), "unknown key 'betta'"),
        (lambda: seetell.decode("greedy", language_model="toybox:plain"), "nothing to decode"),
        (lambda: seetell.decode(3, prompts="a"), "a decoder of type int; expected a name"),  # type: ignore[call-overload]
        (lambda: seetell.score("a dog", ["a dog"]), "texts of type str; expected a list"),
        (lambda: seetell.score([]), "no texts to score"),
        (lambda: seetell.score(["a"], ["b", "c"]), "there is no text '1'"),
        (lambda: seetell.score({"x": "a"}, {"y": "b"}), "text 'x' has none"),
        (lambda: seetell.score([1], ["b"]), "text '0' is a int"),  # type: ignore[list-item]
        (lambda: seetell.score(["a"], [[1]]), "references of '0'"),  # type: ignore[list-item]
        (lambda: seetell.score(["a"], metrics="cider"), "pass references="),
        (lambda: seetell.score(["a"], metrics="clipscore", images=[_drawing()]), "pass image_text="),
        (lambda: seetell.score(["a"], metrics={"repetition": {"imple": 1}}), "unknown key 'imple'"),
        (lambda: seetell.run("toybox-plane"), "did you mean 'toybox-plain'"),
        (lambda: seetell.run("toybox-plain", only="magik"), "only='magik'"),
        (lambda: seetell.run("toybox-plain", limit=0), "limit=0: expected 1 or more"),
        (lambda: seetell.run(7), "a suite of type int"),  # type: ignore[arg-type]
        (lambda: seetell.results("/nowhere/at/all"), "there is no results folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(seetell.SeeTellError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_equal_those_of_the_command_line(tmp_path: Path) -> None:
    texts = {"1": "a dog runs over the grass", "2": "two cats sit on a mat"}
    references = {"1": ["a dog is running on grass", "a dog runs"], "2": ["a pair of cats on a mat", "two cats sit"]}
    (tmp_path / "texts.json").write_text(json.dumps([{"image_id": int(key), "caption": text} for key, text in texts.items()]))
    (tmp_path / "references.json").write_text(json.dumps(references))
    done = seetell_here(
        "score", "texts.json", "--references", "references.json", "--metrics", "cider,rouge-l", "--json", cwd=tmp_path
    )
    [typed] = json.loads(done.stdout).values()
    scores = seetell.score(texts, references, metrics=["cider", "rouge-l"])
    for output, fields in typed.items():
        assert scores[output].value == pytest.approx(fields["value"], abs=1e-12)
        assert (scores[output].n, scores[output].signature.split("|refs")[0]) == (
            fields["n"],
            fields["signature"].split("|refs")[0],
        )
    assert scores.rows["cider"].shape[0] == len(scores.ids) == 2
    assert list(scores.to_pandas().index) == list(scores)


def test_a_score_of_images_needs_one_call() -> None:
    scores = seetell.score(["a red ball", "a boat"], images=PICTURES[:2], image_text="toybox:clip")
    assert {"clipscore", "clip-cosine"} <= set(scores)
    assert not scores["clipscore"].unavailable


def test_what_comes_from_outside_is_escaped_in_a_notebook() -> None:
    scores = seetell.score(["a"], metrics="length")
    assert "<table>" in scores._repr_html_()
    frames = importlib.import_module("seetell.frames")
    assert "<script>" not in frames.html_table(["<script>"], [["<script>"]])


def test_a_run_from_python_is_the_run_of_the_command_line(store: Path) -> None:
    runs = seetell.run("toybox-plain", only="magic", settings={"data.size": 6}, results=store)
    assert runs["magic"].outcome.fresh == 0, "nothing is decoded twice"
    done = seetell_here("run", "toybox-plain", "--only", "magic", "--set", "data.size=6", "--results", str(store), "--json")
    [typed] = json.loads(done.stdout)["runs"]
    assert typed["identity"] == runs[0].outcome.identity
    assert len(runs["magic"].texts) == 6
    assert "magic" in repr(runs)
    assert runs.to_pandas().loc["magic", "cider"] == pytest.approx(runs[0].scores[0].value)


def test_a_suite_may_be_a_dict(tmp_path: Path) -> None:
    suite = {
        "name": "mine", "data": {"dataset": "toybox", "domain": "plain", "size": 2}, "models": {"language_model": "toybox:plain"},
        "text": {"max_new_tokens": 4}, "decoders": {"greedy": {}}, "metrics": {"length": {}},
    }  # fmt: skip
    runs = seetell.run(suite, only="greedy", limit=1, results=tmp_path)
    assert runs[0].outcome.decoded == 1
    assert runs[0].scores == ()


def test_stored_results_are_data_frames(store: Path) -> None:
    stored = seetell.results(store)
    assert stored.suites == ["toybox-plain"]
    with pytest.raises(seetell.SeeTellError, match="data.size=6"):
        stored.scores("toybox-plain")
    scores = stored.scores("toybox-plain", settings={"data.size": 6})
    assert set(scores["decoder"]) == {"magic", "greedy"}
    examples = stored.examples("toybox-plain/magic")
    assert len(examples) == 6
    assert {"id", "text", "cider"} <= set(examples.columns)


def test_two_runs_compare(store: Path) -> None:
    size = {"data.size": 6}
    folders = sorted((store / "runs" / "toybox-plain").iterdir())
    compared = seetell.compare(str(folders[0]), "toybox-plain/magic", results=store, settings=size, permutations=50)
    assert "cider" in repr(compared)
    assert compared.to_pandas().loc["cider", "difference"] == pytest.approx(
        next(each.difference for each in compared.comparison.differences if each.output == "cider")
    )
    assert compared.to_html().startswith("<!DOCTYPE html>")
