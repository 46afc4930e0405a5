"""`seetell train lm`: from a corpus to a folder that a suite runs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from decoders.models import torchvision_schemas
from decoders.models.load import load_for_training, load_language_model
from harness.cli import app
from harness.errors import DataError, NeedMissing, OutOfMemory, StoreError, SuiteError, TrainingFailed
from harness.store.runs import Results
from harness.suites.spec import Suite
from harness.training import lm
from harness.training.card import card
from harness.training.comparison import compare_models
from harness.training.corpus import Corpus, encode
from harness.training.lm import train_lm
from harness.training.losses import measure
from harness.training.recipe import recipe
from tests.checkpoints import CORPUS as SENTENCES
from tests.checkpoints import captions_of, write_gpt2, write_karpathy
from tests.harness.in_process import seetell_here

torchvision_schemas.ensure()

from transformers import AutoTokenizer  # noqa: E402

CORPUS = Corpus(
    tuple(("", text) for n in range(9) for text in captions_of(n)),
    tuple(("", text) for n in range(9, 12) for text in captions_of(n)),
    "drawings",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 before it knows the tokens of captions."""
    return write_gpt2(tmp_path_factory.mktemp("base") / "gpt2", captions=False)


def train(base: Path, out: Path, corpus: Corpus = CORPUS, **changes: Any) -> dict[str, Any]:
    values = {"model": f"local:{base}", "steps": 12, "eval_every": 4, "batch_size": 8, "learning_rate": 2e-3, **changes}
    return train_lm(recipe("mscoco", values), corpus, out, device="cpu")


def test_a_suite_from_training_to_scores(
    base: Path, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real JPEGs, a Karpathy file, GPT-2 and open_clip checkpoints: `train lm SUITE`, then `run` with what came out."""
    write_karpathy(tmp_path, 12, layout="original", splits=("train", "restval", "val", "test"))
    data = 'dataset = "karpathy"\nfile = "dataset.json"\nimages = "images"\nsplit = "{}"'
    (tmp_path / "mine.toml").write_text(f"""
name = "mine"
[data]
{data.format("test")}
[models]
language_model = "local:adapted"
image_text = "local-dir:{clip_folder}"
[captions]
{data.format("train")}
[text]
prompt = "<-start_of_text->"
max_length = 10
[decoders.magic]
k = 4
[metrics.cider]
tokenizer = "python"
""")
    monkeypatch.chdir(tmp_path)

    def command_line(*arguments: str) -> tuple[str, str]:
        assert app(arguments, result_action="return_value", exit_on_error=False) == 0
        return capsys.readouterr()

    out, err = command_line(
        "train", "lm", "mine.toml", "--out", "adapted", "--model", f"local:{base}", "--steps", "8", "--eval-every", "4",
        "--batch-size", "8", "--learning-rate", "2e-3",
    )  # fmt: skip
    assert "31 training and 15 validation texts from suite mine; 8 updates of 8 texts" in err
    assert "│ 0 " in out
    out, _ = command_line("run", "mine.toml", "--results", "results", "--json")
    assert [(run["decoder"], run["decoded"]) for run in json.loads(out)["runs"]] == [("magic", 3), ("constant", 3)]
    model = load_language_model(f"local:{tmp_path / 'adapted'}")
    assert model.encode("") == [model.known_tokens - 2]  # the start token that was added
    out, _ = command_line("train", "compare", "adapted", "--suite", "mine.toml", "--only", "magic", "--json")
    [line] = json.loads(out)["models"]
    assert (line["decoder"], line["updates"], list(line["scores"])) == ("magic", 8, ["cider"])


def test_the_folder_holds_model_record_picture_and_card(base: Path, tmp_path: Path) -> None:
    record = train(base, tmp_path / "out")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json", "losses.png", "README.md"} <= files
    assert "checkpoints" not in files
    assert json.loads((tmp_path / "out" / "training.json").read_bytes()) == record
    assert len(record["losses"]["updates"]) == 12
    assert [each["step"] for each in record["losses"]["evaluations"]] == [0, 4, 8, 12]
    assert record["corpus"]["digest"] == CORPUS.digest()
    assert (tmp_path / "out" / "losses.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    first, *_, last = record["losses"]["evaluations"]
    assert last["likelihood"] < first["likelihood"] - 0.05


@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_other_architectures_and_stories(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Rotary positions, a head of its own, no start or padding token: what is added is learnt and saved."""
    folder = request.getfixturevalue(f"{family}_folder")
    stories = Corpus((("Boat", "A boat came. It left."), ("Dog", "A dog ran.")), (("Cat", "A cat slept."),), "stories")
    record = train(folder, tmp_path / "story", stories, task="story", steps=4)
    assert record["losses"]["best"] == 4
    train(folder, tmp_path / "caption", steps=4)
    model, tokenizer, _ = load_for_training(f"local:{tmp_path / 'caption'}")
    start = tokenizer.convert_tokens_to_ids("<-start_of_text->")
    assert start == len(AutoTokenizer.from_pretrained(folder))
    assert model.get_output_embeddings().weight.shape[0] > start
    assert load_language_model(f"local:{tmp_path / 'caption'}").encode("") == [start]


def test_what_is_kept_is_the_best_by_validation_and_training_stops_when_it_gets_no_better(base: Path, tmp_path: Path) -> None:
    """Learning one kind of text by heart is unlearning another."""
    others = Corpus(CORPUS.train, tuple(("", text) for text in SENTENCES), "drawings, and not")
    record = train(base, tmp_path / "out", others, steps=60, eval_every=2, learning_rate=0.03, patience=3)
    losses = record["losses"]
    looks = {each["step"]: each["likelihood"] for each in losses["evaluations"] if each["step"] > 0}
    assert losses["best"] == min(looks, key=lambda step: looks[step])
    assert len(losses["updates"]) == losses["best"] + 3 * 2 < 60
    assert record["stopped_early"]
    model, tokenizer, _ = load_for_training(f"local:{tmp_path / 'out'}")
    setting = recipe("mscoco", {})
    val, _ = encode(tokenizer, others.val, setting, model.config.n_positions)
    assert measure(model, val, 0.5).likelihood == pytest.approx(looks[losses["best"]], abs=1e-6)


def test_new_weights_are_drawn_from_the_seed_and_nothing_of_the_old_is_left(base: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        train(base, tmp_path / name, steps=1, eval_every=1, from_scratch=True, learning_rate=1e-9, seed=seed)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    old = load_file(base / "model.safetensors")
    matrix = "transformer.h.0.mlp.c_fc.weight"
    assert a[matrix].std() == pytest.approx(0.02, rel=0.05)  # GPT-2's initializer
    assert not a[matrix].allclose(b[matrix])
    assert not a[matrix].allclose(old[matrix])
    assert all(a[name].equal(c[name]) for name in a)


def test_the_added_tokens_are_drawn_like_those_of_a_new_model(base: Path, tmp_path: Path) -> None:
    """As published; the base's own embeddings are ten times as wide, and stay what they were."""
    train(base, tmp_path / "out", steps=1, eval_every=1, learning_rate=1e-9)
    rows = load_file(tmp_path / "out" / "model.safetensors")["transformer.wte.weight"]
    old = load_file(base / "model.safetensors")["transformer.wte.weight"]
    assert len(rows) == len(old) + 2
    assert rows[:-2].allclose(old, atol=1e-6)
    assert 0.01 < float(rows[-2:].std()) < 0.03


def test_losses_that_are_no_numbers_end_training_with_the_remedy(base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="lower --learning-rate"):
        train(base, tmp_path / "out", learning_rate=1e30)
    assert not (tmp_path / "out" / "config.json").exists()


def test_too_little_memory_is_said_with_the_remedy(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("harness.training.loop.losses", too_large)
    with pytest.raises(OutOfMemory, match="not even one text at a time fits"):
        train(base, tmp_path / "out")


def test_texts_that_leave_nothing_to_learn_from_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two tokens"):
        train(base, tmp_path / "out", Corpus((("", "a"),), CORPUS.val, "one letter"))


def test_without_matplotlib_the_extra_is_named_before_anything_is_done(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm, "find_spec", lambda _: None)
    with pytest.raises(NeedMissing, match=r"seetell\[train\]"):
        train(base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_shows_names_as_they_are(base: Path, tmp_path: Path) -> None:
    record = train(base, tmp_path / "out", steps=2, eval_every=1)
    record["corpus"]["source"] = "<img src=x onerror=alert(1)> [click](http://x) | ![](y)"
    record["recipe"]["model"] = 'hf:a/b"\nlicense: mit'
    shown = card(record)
    assert r"\<img src=x onerror=alert(1)\>" in shown
    assert r"\[click\](http&#58;//x) \| \!\[\](y)" in shown
    assert "\nlicense: mit" not in shown
    assert 'language_model = "local:' in shown
    assert "| margin | 0.5 |" in shown


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"steps": 0}, "steps = 0"),
        ({"margin": 1.5}, "margin = 1.5"),
        ({"batch_size": 4, "micro_batch_size": 8}, "micro-batch of 8 is larger than the batch of 4"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0"),
    ],
)
def test_values_out_of_range_are_refused_with_the_rule(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(SuiteError, match=why):
        recipe("mscoco", changes)


def test_an_unknown_preset_gets_the_nearest() -> None:
    with pytest.raises(SuiteError, match="mscoc.*mscoco"):
        recipe("mscoc", {})


def test_comparing_wants_folders_of_finished_trainings(base: Path, tmp_path: Path) -> None:
    suite = Suite.load("toybox-plain")
    with pytest.raises(StoreError, match="training.json cannot be read"):
        compare_models([base], suite, ["magic"], Results(tmp_path))
    with pytest.raises(SuiteError, match="no model was named"):
        compare_models([], suite, ["magic"], Results(tmp_path))


@pytest.mark.heavy
def test_the_margin_keeps_hidden_states_apart_on_toybox(tmp_path: Path) -> None:
    """The comparison of docs/training.md on a smaller scale: both commands, as users type them."""
    for margin in ("0", "0.5"):
        made = seetell_here(
            "train", "lm", "toybox-plain", "--margin", margin, "--steps", "150", "--eval-every", "50", "--out", f"m{margin}",
            cwd=tmp_path,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    told = seetell_here("train", "compare", "m0", "m0.5", "--only", "magic", "--size", "24", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    mle, simctg = json.loads(told.stdout)["models"]
    assert (mle["margin"], simctg["margin"]) == (0.0, 0.5)
    assert simctg["anisotropy"] < mle["anisotropy"]
    assert simctg["contrast"] < mle["contrast"]
    assert 1 < simctg["perplexity"] < 10
    assert set(simctg["scores"]) == {"cider", "grounding-f1", "rep-4"}
    again = seetell_here("train", "compare", "m0", "--only", "magic", "--size", "24", "-f", "md", cwd=tmp_path)
    assert again.stdout.startswith("| model | margin | kept | perplexity |")
