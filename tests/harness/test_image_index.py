"""Stories get images by title, CLIPRe its captions from an index, and texts are cut before they are stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from decoders.base import Generation
from decoders.models.load import load_image_text
from decoders.models.loaded import Models
from harness.cli import app
from harness.compare.scored import ScoredRun
from harness.datasets.index.for_titles import quality, retrieve
from harness.datasets.load import Digests, load_examples
from harness.decode.executor import Job, Task, Worker
from harness.decode.plan import plan
from harness.decode.run import decode
from harness.errors import DataError, ModelMismatch, StoreError, SuiteError
from harness.metrics.repetition import Repetition
from harness.metrics.score import score_samples
from harness.store.runs import Results
from harness.suites.spec import Suite
from tests.checkpoints import captions_of, write_images, write_open_clip

SUITE = """
name = "mine"
task = "story"
[data]
dataset = "jsonl"
file = "titles.jsonl"
[images]
{images}
[models]
language_model = "local:{gpt2}"
image_text = "local-dir:{clip}"
[captions]
dataset = "{captions}"
[text]
prompt = "{{prompt}} <|endoftext|>"
max_new_tokens = 12
sentences = 1
[decoders.magic]
k = 3
[decoders.clipre]
[metrics.repetition]
"""
TITLES = ("[ WP ] A red boat", "fishing", "The old house", "fishing")


@pytest.fixture
def home(tmp_path: Path, gpt2_folder: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of four titles, nine images and an index of each kind."""
    write_images(tmp_path / "images", 9)
    lines = [{"id": str(n), "prompt": title, "references": [f"story {n}"]} for n, title in enumerate(TITLES)]
    (tmp_path / "titles.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "captions.txt").write_text("\n".join(text for n in range(9) for text in captions_of(n)))
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    seetell("index", "images", "images", "--out", "index", "--model", f"local-dir:{clip_folder}")
    seetell("index", "captions", "captions.txt", "--out", "said", "--model", f"local-dir:{clip_folder}")
    write_suite(tmp_path, gpt2_folder, clip_folder)
    return tmp_path


def write_suite(home: Path, gpt2: Path, clip: Path, images: str = 'index = "index"') -> None:
    captions = 'index"\nfolder = "said'
    (home / "mine.toml").write_text(SUITE.format(images=images, gpt2=gpt2, clip=clip, captions=captions))


def seetell(*arguments: str) -> int:
    code: int = app(list(arguments), result_action="return_value", exit_on_error=False)
    return code


def examples_of(home: Path, **images: Any) -> Any:
    suite = Suite.load(str(home / "mine.toml"))
    assert suite.images is not None
    return load_examples(suite.model_copy(update={"images": suite.images.model_copy(update=images)}))


def test_titles_get_the_nearest_images(home: Path, clip_folder: Path) -> None:
    clip = load_image_text(f"local-dir:{clip_folder}")
    files = sorted((home / "images").iterdir())
    queries = clip.text_features(["A red boat", "fishing", "The old house", "fishing"])
    order = (-(queries @ clip.image_features(files).T)).argsort(dim=1, stable=True)
    examples = examples_of(home, top=3)
    assert [example.id for example in examples[:4]] == ["0", "0#1", "0#2", "1"]
    expected = [files[row].name for rows in order[:, :3].tolist() for row in rows]
    assert [example.meta["retrieved"]["image"] for example in examples] == expected
    assert [example.image.name for example in examples] == expected
    assert examples[1].prompt == TITLES[0], "the language model gets the title as it is"
    assert (examples[1].cluster, examples[1].references) == ("0", ("story 0",))
    assert [example.id for example in examples_of(home)] == ["0", "1", "2", "3"]
    published = examples_of(home, cleaner="as-published", top=9)
    ishing = (-(clip.text_features(["ishing"]) @ clip.image_features(files).T)).argsort(dim=1, stable=True)[0]
    assert [each.meta["retrieved"]["image"] for each in published[9:18]] == [files[row].name for row in ishing.tolist()]


def test_retrieval_is_kept_and_needs_no_model_then(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = examples_of(home)
    monkeypatch.setattr("harness.datasets.index.for_titles.load_image_text", None)
    assert examples_of(home) == first
    with pytest.raises(TypeError):
        examples_of(home, top=2)


def test_the_identity_follows_the_images_not_their_place(home: Path, gpt2_folder: Path, clip_folder: Path) -> None:
    def identity() -> str:
        suite = Suite.load(str(home / "mine.toml"))
        return plan(suite, "magic", load_examples(suite)).spec.identity()

    before = identity()
    shutil.move(home / "images", home / "elsewhere")
    shutil.move(home / "index", home / "index2")
    write_suite(home, gpt2_folder, clip_folder, 'index = "index2"')
    with pytest.raises(DataError, match="nothing at"):
        identity()
    write_suite(home, gpt2_folder, clip_folder, 'index = "index2"\nsource = "elsewhere"')
    assert identity() == before
    write_suite(home, gpt2_folder, clip_folder, 'index = "index2"\nsource = "elsewhere"\ntop = 2')
    assert identity() != before
    used = Path(str(examples_of(home)[0].image))
    used.write_bytes(used.read_bytes() + b" ")
    with pytest.raises(DataError, match="has changed since it was indexed"):
        identity()
    used.unlink()
    with pytest.raises(DataError, match="is gone"):
        identity()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ('index = "none"', StoreError, "there is no index in"),
        ('index = "said"', DataError, "an index of captions"),
        ("top = 1", SuiteError, "needs either index"),
        ('index = "index"\ndataset = "jsonl"', SuiteError, "needs either index"),
        ('index = "index"\ntops = 1', SuiteError, "unknown key 'tops' beside index"),
        ('index = "index"\ncleaner = "none"', SuiteError, "cleaner"),
    ],
)
def test_sections_that_cannot_be_are_refused(
    home: Path, gpt2_folder: Path, clip_folder: Path, images: str, error: type[Exception], message: str
) -> None:
    write_suite(home, gpt2_folder, clip_folder, images)
    with pytest.raises(error, match=message):
        load_examples(Suite.load(str(home / "mine.toml")))


def test_an_index_of_another_model_is_refused(home: Path, gpt2_folder: Path) -> None:
    other = write_open_clip(home / "other-clip", seed=9)
    write_suite(home, gpt2_folder, other)
    suite = Suite.load(str(home / "mine.toml"))
    with pytest.raises(ModelMismatch, match=r"\[images\]: the index in .* was made with"):
        load_examples(suite)
    with pytest.raises(ModelMismatch, match="other features"):
        seetell("index", "query", "index", "a boat", "--model", f"local-dir:{other}")


def test_titles_must_be_there(home: Path) -> None:
    (home / "titles.jsonl").write_text('{"id": "7"}')
    with pytest.raises(SuiteError, match="example '7' has none"):
        examples_of(home)


def test_runs_end_to_end_with_cut_texts_and_captions_of_the_index(home: Path) -> None:
    suite = Suite.load(str(home / "mine.toml"))
    assert suite.images is not None
    suite = suite.model_copy(update={"images": suite.images.model_copy(update={"top": 2})})
    examples = load_examples(suite)
    digests = Digests(suite, examples)
    for label in ("magic", "clipre"):
        outcome = decode(plan(suite, label, examples, digests=digests), suite, Results(home / "results"))
        assert (outcome.decoded, len(outcome.failures)) == (8, 0)
    assert not (home / "cache" / "caption-index").exists(), "nothing was encoded again"
    said = {record.text for record in outcome.folder.records()}
    assert said <= set((home / "captions.txt").read_text().split("\n"))
    text = 'dataset = "index"\nfolder = "said"', 'dataset = "jsonl"\nfile = "captions.jsonl"'
    (home / "captions.jsonl").write_text(
        "\n".join(json.dumps({"references": [line]}) for line in (home / "captions.txt").read_text().split("\n"))
    )
    (home / "plain.toml").write_text((home / "mine.toml").read_text().replace(*text))
    plain = Suite.load(str(home / "plain.toml")).model_copy(update={"images": suite.images})
    assert plan(plain, "clipre", load_examples(plain)).spec.identity() == outcome.identity, "captions by content"
    again = decode(plan(plain, "clipre", load_examples(plain)), plain, Results(home / "plain"))
    assert [each.text for each in again.folder.records()] == [each.text for each in outcome.folder.records()]


def test_two_images_of_a_title_are_one_cluster(home: Path) -> None:
    suite = Suite.load(str(home / "mine.toml"))
    assert suite.images is not None
    suite = suite.model_copy(update={"images": suite.images.model_copy(update={"top": 2})})
    run = ScoredRun(None, suite, {}, ("0", "0#1", "a#b", "1#12"), "", {})  # type: ignore[arg-type]
    assert run.clusters == ("0", "0", "a#b", "1")
    assert ScoredRun(None, suite.model_copy(update={"images": None}), {}, ("0#1",), "", {}).clusters == ("0#1",)  # type: ignore[arg-type]
    from harness.suites.examples import Sample

    examples = load_examples(suite)
    texts = ["a b a b", "a b a b", "c d e", "c d e", "a a a", "a a a", "f g", "f g"]
    both = [Sample(example, text=text) for example, text in zip(examples, texts, strict=True)]
    metric = Repetition(Repetition.Config(), Models())
    [paired, *_] = score_samples(both, {"r": metric}).scores
    [single, *_] = score_samples(both[::2], {"r": metric}).scores
    assert (paired.low, paired.high) == pytest.approx((single.low, single.high)), "copies bring no certainty"


def test_the_worker_cuts_texts_and_leaves_tokens(home: Path) -> None:
    suite = Suite.load(str(home / "mine.toml"))
    planned = plan(suite, "magic", load_examples(suite))

    class Says:
        def decode(self, prompts: Any, seeds: Any) -> list[Generation]:
            return [Generation("Really? Mr. Lee ran. He", (1, 2, 3), "length", {}) for _ in prompts]

    for sentences, rule, expected in (
        (1, "splitter", "Really?"), (2, "splitter", "Really? Mr. Lee ran."), (2, "as-published", "Really? Mr. Lee ran."),
        (1, "as-published", "Really? Mr."), (9, "splitter", "Really? Mr. Lee ran. He"),
        (None, "splitter", "Really? Mr. Lee ran. He"),
    ):  # fmt: skip
        spec = planned.spec.model_copy(update={"sentences": sentences, "sentences_by": rule})
        worker = Worker.__new__(Worker)
        worker.job, worker.decoder = Job(spec, None, "cpu", home), Says()  # type: ignore[assignment]
        [record] = worker.decode([Task(("0", 0), planned.tasks(set())[0].prompt, 0)])
        assert (record.text, record.tokens) == (expected, (1, 2, 3))


def test_cutting_is_part_of_the_identity_only_where_something_is_cut(home: Path) -> None:
    suite = Suite.load(str(home / "mine.toml"))
    spec = plan(suite, "magic", load_examples(suite)).spec
    changed = [spec.model_copy(update=each) for each in ({"sentences": 2}, {"sentences_by": "as-published"})]
    assert len({spec.identity(), *(each.identity() for each in changed)}) == 3
    uncut = [spec.model_copy(update={"sentences": None, "sentences_by": rule}) for rule in ("splitter", "as-published")]
    assert uncut[0].identity() == uncut[1].identity() != spec.identity()


def test_the_verbs_show_what_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "images" / "broken.png").write_text("no")
    assert seetell("index", "images", "images", "--out", "other", "--model", _model(home), "--kind", "ivf", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["kind"], told["skipped"][0]["name"]) == (9, "ivf", "broken.png")
    assert seetell("index", "info", "other", "--check") == 0
    assert "broken.png" in capsys.readouterr().out
    first = min((home / "images").glob("0*"))
    assert seetell("index", "query", "other", str(first), "--top", "2", "--json") == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert (hits[0]["name"], len(hits)) == (first.name, 2)
    assert hits[0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert seetell("index", "query", "said", "[b]a boat[/b]", "--exact") == 0
    assert "said (flat, exact)" in capsys.readouterr().out
    assert seetell("index", "retrieved", "mine.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["quality"]["titles"] == 4
    with pytest.raises(SuiteError, match="no model is named"):
        seetell("index", "images", "images", "--out", "third")
    with pytest.raises(DataError, match="no suite, .jsonl or .txt"):
        seetell("index", "captions", "captions.csv", "--out", "third", "--model", _model(home))


def _model(home: Path) -> str:
    name: str = json.loads((home / "index" / "manifest.json").read_text())["model"]["name"]
    return name


def test_toybox_finds_the_thing_that_a_title_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more often than by chance; and the example then knows the scene of the image that was found."""
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path))
    suite = Suite.load("toybox-stories-retrieved")
    small = {**suite.data.options, "size": 24}
    suite = suite.model_copy(update={"data": suite.data.model_copy(update={"options": small})})
    assert suite.images is not None
    pool = {**suite.images.options, "size": 64}
    suite = suite.model_copy(update={"images": suite.images.model_copy(update={"options": pool})})
    found = load_examples(suite)
    assert all(example.image is not None and example.meta["scene"] for example in found)
    assert any(example.meta["scene"] != example.meta["instead_of"]["scene"] for example in found)
    own = load_examples(suite.model_copy(update={"images": None}))
    told = quality(own, retrieve(suite, own))
    assert (told["titles"], told["known"], told["scenes"]) == (24, 24, 24)
    assert told["object"] >= 20 > 3 * told["chance"]["object"]
    assert told["own"] >= 5
