"""The models of the Toybox world: the shipped ones are what their manifest says, and the recipe makes such models."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from decoders.base import Limits, Prompt
from decoders.models import torchvision_schemas
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from decoders.models.names import TOYBOX
from decoders.sampling import Greedy
from harness.datasets.toybox import Domain
from harness.datasets.toybox.captions import claims
from harness.datasets.toybox.world import Scene, Thing
from harness.errors import ModelMismatch
from harness.training import perplexity
from harness.training.toybox.gates import GATES, alternatives
from harness.training.toybox.language import RECIPES, corpus
from harness.training.toybox.train import PARTS, ToyboxRecipe, check_clip, quick, train_toybox

DOMAINS: tuple[Domain, ...] = ("plain", "ornate", "stories")


@cache
def manifest() -> dict[str, Any]:
    return json.loads((TOYBOX / "manifest.json").read_bytes())  # type: ignore[no-any-return]


# The shipped models


def test_the_manifest_names_every_file_and_its_content() -> None:
    there = {file.relative_to(TOYBOX).as_posix() for part in PARTS for file in (TOYBOX / part).iterdir()}
    assert set(manifest()["files"]) == there
    for name, digest in manifest()["files"].items():
        assert hashlib.sha256((TOYBOX / name).read_bytes()).hexdigest() == digest, name


def test_the_models_are_small_and_hold_no_pickle() -> None:
    files = [file for file in TOYBOX.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    assert {file.suffix for file in files} == {".json", ".safetensors"}


def test_the_models_were_made_by_the_recipe_that_ships() -> None:
    assert manifest()["recipe"] == ToyboxRecipe().digest()


def test_the_manifest_tells_of_passed_gates() -> None:
    figures = manifest()["figures"]
    assert all(figures["clip"][gate] >= least for gate, least in GATES.items())
    assert set(figures) == set(PARTS)
    assert set(manifest()["minutes"]) == set(PARTS)


def test_the_clip_passes_its_gates_again() -> None:
    figures = check_clip(TOYBOX / "clip", scenes_per_style=30)
    missed = {gate: (figures[gate], least) for gate, least in GATES.items() if figures[gate] < least - 0.03}
    assert not missed, "3 points below a gate are more than 60 scenes explain"


@pytest.mark.parametrize("domain", DOMAINS)
def test_language_models_are_as_sure_as_the_manifest_says(domain: Domain) -> None:
    lm = load_language_model(f"toybox:{domain}")
    texts = corpus(domain, "dev", 100, manifest()["seed"])
    ids = [lm.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    assert perplexity(lm.model, ids) == pytest.approx(manifest()["figures"][domain]["perplexity"], rel=0.02)


@pytest.mark.parametrize("domain", ["plain", "ornate"])
def test_a_caption_model_writes_a_sentence_from_its_start_token(domain: str) -> None:
    models = Models(language_model=load_language_model(f"toybox:{domain}"))
    (said,) = Greedy(Greedy.Config(), models, Limits(max_new_tokens=32)).decode([Prompt("1", "<-start_of_text->")], [0])
    assert said.finish == "eos"
    assert re.fullmatch(r"[A-Z][a-z, ]+\.", said.text)
    assert claims(said.text)
    assert all(colour is not None for _, colour in claims(said.text))


def test_the_story_model_writes_five_sentences_and_stops() -> None:
    models = Models(language_model=load_language_model("toybox:stories"))
    titles = ["A Winter Morning", "By the Sea", "In the City"]
    prompts = [Prompt(title, f"{title} <|endoftext|>") for title in titles]
    said = Greedy(Greedy.Config(), models, Limits(max_length=110)).decode(prompts, [0] * len(prompts))
    for generation in said:
        assert generation.finish == "eos"
        assert len(re.findall(r"\.(?: |$)", generation.text)) == 5
        assert len(set(claims(generation.text))) <= 2, "it remembers what the story is about"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_word_inside_a_text_is_one_token(domain: Domain) -> None:
    """Candidates of a decoder are then words, and the image-text model is asked about whole words."""
    lm = load_language_model(f"toybox:{domain}")
    words = {word for text in corpus(domain, "dev", 150) for word in re.findall(" [a-z]+", text)}
    assert len(words) > 60
    assert [word for word in words if len(lm.tokenizer(word, add_special_tokens=False).input_ids) > 1] == []


def test_open_clip_opens_the_folder_itself() -> None:
    torchvision_schemas.ensure()
    import open_clip

    tokenize = open_clip.get_tokenizer(f"local-dir:{TOYBOX / 'clip'}")
    ids = tokenize(["A red  CAT, on a\ttable.", "a red cat , on a table .", "zxq", ""])
    assert ids.shape == (4, 77)
    assert ids[0].tolist() == ids[1].tolist(), "case and white space do not count"
    assert (ids.argmax(dim=-1) > 0).all(), "the end token has the highest id"
    assert len(set(ids.max(dim=-1).values.tolist())) == 1


def test_beginnings_and_broken_words_are_encoded() -> None:
    """MAGIC asks about beginnings of captions, and a token may end inside a word."""
    clip = load_image_text("toybox:clip")
    features = clip.text_features(["", "A", "A re", "A red b", "A red ball \ufffd <|x|>", "ball " * 200])
    assert features.shape[0] == 6
    assert torch.isfinite(features).all()


def test_gates_change_one_thing() -> None:
    scene = Scene("snow", Thing("cat", "red"), 2, "beside", Thing("ball", "blue"))
    found = alternatives(scene)
    assert {gate: len(others) for gate, others in found.items()} == {"object": 16, "colour": 7, "count": 2, "binding": 1}
    assert scene not in [other for others in found.values() for other in others]
    assert found["binding"] == [replace(scene, first=Thing("cat", "blue"), second=Thing("ball", "red"))]
    same = replace(scene, second=Thing("ball", "red"))
    assert "binding" not in alternatives(same), "equal colours cannot be exchanged"


# Training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """The whole pipeline, for real but for seconds."""
    out, told = tmp_path_factory.mktemp("toybox"), []  # type: ignore[var-annotated]
    return out, train_toybox(out, recipe=quick(), progress=told.append), told


def test_training_writes_models_that_runs_can_load(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    out, written, told = trained
    assert json.loads((out / "manifest.json").read_bytes()) == written
    assert set(written["figures"]) == set(PARTS)
    assert set(written["figures"]["clip"]) == set(GATES)
    assert all(any(line.startswith(f"{part}:") for line in told) for part in PARTS)
    clip = load_image_text(f"local-dir:{out / 'clip'}")
    assert torch.isfinite(clip.text_features(["a red ball"])).all()
    for domain in DOMAINS:
        assert load_language_model(f"local:{out / domain}").end_id >= 0
    for name, digest in written["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_training_again_gives_the_same_files(trained: tuple[Path, dict[str, Any], list[str]], tmp_path: Path) -> None:
    _, before, _ = trained
    after = train_toybox(tmp_path, parts=["clip", "plain"], recipe=quick())
    assert after["files"] == {name: digest for name, digest in before["files"].items() if name.split("/")[0] in ("clip", "plain")}
    other = train_toybox(tmp_path, parts=["plain"], seed=1, recipe=quick())
    assert other["files"]["plain/model.safetensors"] != after["files"]["plain/model.safetensors"]
    assert set(other["figures"]) == {"plain"}, "a CLIP of another seed is not vouched for"
    assert {name.split("/")[0] for name in other["files"]} == {"plain"}


def test_a_missed_gate_ends_training_with_its_name(tmp_path: Path) -> None:
    strict = replace(quick(), gates=True)
    with pytest.raises(ModelMismatch, match="object is 0"):
        train_toybox(tmp_path, parts=["clip"], recipe=strict)
    assert (tmp_path / "manifest.json").is_file(), "what came out is there to look at"


def test_a_recipe_has_one_digest() -> None:
    assert ToyboxRecipe().digest() == ToyboxRecipe().digest()
    longer = replace(RECIPES["plain"], scenes=RECIPES["plain"].scenes + 1)
    assert ToyboxRecipe(language={**RECIPES, "plain": longer}).digest() != ToyboxRecipe().digest()
