"""The packaged suites of the published experiments: every setting against the published table."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from harness.decode.plan import labels
from harness.metrics.evaluate import due_metrics
from harness.suites import registry
from harness.suites.places import data_folder
from harness.suites.spec import Suite

COCO, FLICKR, ROC = ("hf:cambridgeltl/magic_mscoco", "hf:cambridgeltl/magic_flickr30k", "hf:cambridgeltl/simctg_rocstories")
CLIP = "open_clip:ViT-B-32-quickgelu@openai"

# Su et al. 2022 and its repository: experiment, language model, k, alpha, beta, new tokens (decoding_len less 1), images.
CAPTIONS = [
    ("mscoco", COCO, 45, 0.1, 2.0, 15, 5000),
    ("flickr30k", FLICKR, 25, 0.1, 2.0, 19, 1000),
    ("mscoco-to-flickr30k", COCO, 45, 0.1, 2.0, 15, 1000),  # across domains the source's settings stay
    ("flickr30k-to-mscoco", FLICKR, 25, 0.1, 2.0, 19, 5000),
]
METRICS = {"bleu", "meteor", "rouge-l", "cider", "spice", "clipscore"}
DROPPED = """39068 46433 111109 122051 173081 185639 274219 377984 386204 406744 421195 427401 429633 439589 443689 451095 463454
559665"""


def settings(suite: Suite, label: str) -> dict[str, Any]:
    """A decoder's whole config, defaults included."""
    ref = labels(suite)[label]
    plugin = registry.decoders().load(ref.decoder or label)
    return plugin.Config.model_validate(dict(ref.options)).model_dump()


def some(found: dict[str, Any], *keys: str) -> tuple[Any, ...]:
    return tuple(found[key] for key in keys)


@pytest.mark.parametrize(("name", "model", "k", "alpha", "beta", "length", "images"), CAPTIONS)
def test_captioning_suites(name: str, model: str, k: int, alpha: float, beta: float, length: int, images: int) -> None:
    suite = Suite.load(name)
    assert (suite.models.language_model, suite.models.image_text, suite.task) == (model, CLIP, "caption")
    assert set(labels(suite)) == set(registry.decoders().entries)  # all that are built in, the constant row too
    assert (suite.text.prompt, suite.text.max_new_tokens, suite.text.max_length) == ("<-start_of_text->", length, None)
    assert some(settings(suite, "magic"), "k", "alpha", "beta", "clip_text_max_len") == (k, alpha, beta, 60)
    assert settings(suite, "contrastive") == {"k": k, "alpha": alpha}
    assert some(settings(suite, "constant"), "k", "alpha") == (k, alpha)
    assert some(settings(suite, "top-k"), "k", "temperature") == (40, 1.0)
    assert some(settings(suite, "nucleus"), "p", "temperature") == (0.95, 1.0)
    assert settings(suite, "typical")["mass"] == 0.2
    assert some(settings(suite, "beam"), "width", "length_penalty", "early_stopping") == (10, 1.0, False)
    assert settings(suite, "clipre") == {"first128": False}
    upstream = {"beam_size": 5, "candidates": 512, "num_iterations": 5, "stepsize": 0.3, "grad_norm_factor": 0.9,
                "clip_loss_temperature": 0.01, "clip_scale": 1.0, "ce_scale": 0.2, "fusion_factor": 0.99, "end_factor": 1.01,
                "repetition_penalty": 1.0, "forbidden_factor": 20.0, "cond_text": False}  # fmt: skip
    assert upstream.items() <= settings(suite, "zerocap").items()
    assert all(ref.max_new_tokens is None for ref in suite.decoders.values())
    assert suite.run.draws == 3
    assert {label: ref.draws for label, ref in suite.decoders.items() if ref.draws} == {"sample-rerank": 1}
    assert suite.run.dtype == "float32"
    assert {due.name for due in due_metrics(suite)} >= METRICS
    assert (suite.data.options["split"], suite.data.expect, suite.data.exclude) == ("test", images, ())


def test_captions_to_choose_from_are_those_of_the_language_models_domain() -> None:
    for name, model, *_ in CAPTIONS:
        suite = Suite.load(name)
        assert suite.captions is not None
        options = {**suite.captions.options}
        file = "dataset_coco.json" if model == COCO else "dataset_flickr30k.json"
        assert options.pop("file") == str(data_folder() / "karpathy" / file)
        assert options == {"split": "train"}


def test_stories() -> None:
    suite = Suite.load("rocstories")
    assert (suite.models.language_model, suite.models.image_text, suite.task) == (ROC, CLIP, "story")
    assert (suite.text.prompt, suite.text.max_length, suite.text.max_new_tokens) == (
        "{prompt} <|endoftext|>", 100, None,
    )  # fmt: skip
    assert some(settings(suite, "magic"), "k", "alpha", "beta", "clip_text_max_len") == (5, 0.6, 0.15, 60)
    assert settings(suite, "contrastive") == {"k": 5, "alpha": 0.6}
    assert (settings(suite, "top-k")["k"], settings(suite, "nucleus")["p"], settings(suite, "typical")["mass"]) == (
        40, 0.95, 0.2,
    )  # fmt: skip
    assert some(settings(suite, "beam"), "width", "length_penalty", "early_stopping") == (10, 1.0, False)
    assert "greedy" in suite.decoders
    assert (suite.run.draws, suite.data.expect) == (3, 1500)
    assert {due.name for due in due_metrics(suite)} >= {"mauve", "coherence", "clipscore", "repetition"}


@pytest.mark.parametrize("name", [name for name, *_ in CAPTIONS])
def test_as_published_differs_from_the_suite_in_what_was_wrong_and_in_nothing_else(name: str) -> None:
    suite, published = Suite.load(name), Suite.load(f"{name}-as-published")
    assert settings(published, "clipre") == {"first128": True}
    assert set(published.decoders) <= set(suite.decoders)
    across = "-to-" in name
    assert ("zerocap" in published.decoders) is not across
    if not across:
        ref = published.decoders["zerocap"]
        assert some(settings(published, "zerocap"), "beam_size", "cond_text") == (1, "Image of a")
        assert ref.max_new_tokens == 16  # on Flickr30k too
    for label in set(published.decoders) - {"clipre", "zerocap"}:
        assert published.decoders[label] == suite.decoders[label]
    assert (published.models, published.text, published.run, published.metrics) == (
        suite.models, suite.text, suite.run, suite.metrics,
    )  # fmt: skip
    coco_images = name in ("mscoco", "flickr30k-to-mscoco")
    dropped = {f"COCO_val2014_{int(number):012d}.jpg" for number in DROPPED.split()}
    assert set(published.data.exclude) == (dropped if coco_images else set())
    assert published.data.model_copy(update={"exclude": ()}) == suite.data
    if coco_images:
        assert (published.data.expect or 0) - len(published.data.exclude) == 4982


def test_stories_as_published_are_measured_as_they_were() -> None:
    suite, published = Suite.load("rocstories"), Suite.load("rocstories-as-published")
    impl = {each.name: each.metrics["repetition"].options.get("impl", "exact") for each in (suite, published)}
    assert impl == {"rocstories": "exact", "rocstories-as-published": "simctg"}
    assert set(suite.decoders) - set(published.decoders) == {"sample-rerank"}
    assert (published.data, published.models) == (suite.data, suite.models)
    assert (suite.text.sentences, published.text.sentences) == (5, 5)
    assert (suite.text.sentences_by, published.text.sentences_by) == ("splitter", "as-published")
    assert published.text.model_copy(update={"sentences_by": "splitter"}) == suite.text
    assert suite.images is not None
    assert published.images is not None
    assert (suite.images.top, published.images.top) == (1, 3)
    assert (suite.images.cleaner, published.images.cleaner) == ("proper", "as-published")


def test_sweeps_are_on_other_splits_than_the_suites() -> None:
    for name in (*(name for name, *_ in CAPTIONS), "toybox-plain"):
        suite = Suite.load(name)
        if suite.sweep is not None:
            assert suite.sweep.data["split"] in ("val", "dev")
            assert set(suite.sweep.grid) <= set(suite.decoders)
    assert Suite.load("mscoco").sweep is not None
    assert Suite.load("mscoco-to-flickr30k").sweep is None  # nothing is chosen on the target domain


def test_no_packaged_suite_depends_on_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEETELL_DATA", str(tmp_path / "elsewhere"))
    for name, *_ in CAPTIONS:
        monkeypatch.chdir(tmp_path)
        paths = [Path(value) for key, value in Suite.load(name).data.options.items() if key in ("file", "images")]
        assert all(path.is_relative_to(tmp_path / "elsewhere") for path in paths)


def test_what_differs_is_said_beside_it() -> None:
    folder = resources.files("harness") / "suites"
    for file in folder.iterdir():
        if file.name.endswith("-as-published.toml"):
            text = file.read_text("utf-8")
            assert text.startswith("# What MAGIC's repository ran")
            assert len(text.splitlines()) < 60  # the rest is extended, not repeated
            assert tomllib.loads(text)["extends"] == file.name.removesuffix("-as-published.toml")
