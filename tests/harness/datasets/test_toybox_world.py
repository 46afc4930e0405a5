"""The Toybox world: splits that share no scene, drawings in which nothing floats, words that are true."""

from __future__ import annotations

import hashlib
import io
import random
import re
import sys
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from harness.datasets.toybox import LARGEST, Domain, Toybox, ToyboxOptions
from harness.datasets.toybox.captions import caption, claims, references
from harness.datasets.toybox.draw import DRAWINGS, HORIZON, TOPS, Box, Brush, draw, layout, png
from harness.datasets.toybox.stories import story, title
from harness.datasets.toybox.world import (
    COLOURS,
    FLYERS,
    HELD_OUT,
    KINDS,
    PLACES,
    SHARES,
    Scene,
    Split,
    Style,
    Thing,
    scenes,
    split_of,
)

DOMAINS: tuple[Domain, ...] = get_args(Domain)
STYLES: tuple[Style, ...] = get_args(Style)
SPLITS: tuple[Split, ...] = get_args(Split)


def toybox(**options: Any) -> Toybox:
    return Toybox(ToyboxOptions.model_validate(options), Path())


def some(count: int, style: Style = "ornate", split: Split = "dev") -> list[Scene]:
    return list(islice(scenes(style, split), count))


# Splits


def test_no_scene_is_in_two_splits_whatever_the_domain_or_seed() -> None:
    """Drawn for real, as training, indices and examples draw them, and compared with each other."""
    drawn: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for style in STYLES:
            for seed in (0, 1):
                drawn[split] |= {scene.key for scene in islice(scenes(style, split, seed), 600)}
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not drawn[one] & drawn[other], f"{one} and {other} share scenes"
    assert all(len(keys) > 500 for keys in drawn.values())


def test_shares_cover_every_bucket_once() -> None:
    assert sorted(bucket for share in SHARES.values() for bucket in share) == list(range(100))


def test_what_models_read_is_never_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dataset against dataset, all domains on the other side: cross-domain suites count too."""
    monkeypatch.setattr("harness.datasets.toybox.png", lambda *_: b"")  # scenes are compared, not their drawings

    def scenes_of(*splits: Split) -> set[str]:
        return {
            str(example.meta["scene"])
            for domain in DOMAINS
            for split in splits
            for example in toybox(domain=domain, split=split, size=60).examples()
        }

    assert not scenes_of("lm", "index") & scenes_of("dev", "test")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("split", ["lm", "index"])
def test_held_out_compositions_stay_out_of_what_language_models_read(style: Style, split: Split) -> None:
    shown = {(thing.kind, thing.colour) for scene in some(1500, style, split) for thing in scene.things}
    kept_back = {(kind, colour) for kind, colours in HELD_OUT.items() for colour in colours}
    assert not shown & kept_back
    assert len(shown) > 90, "and most of the other 108 are there"


@pytest.mark.parametrize("style", STYLES)
def test_test_scenes_are_distinct_and_of_all_sorts(style: Style) -> None:
    found = some(256, style, "test")
    assert len({scene.key for scene in found}) == 256
    novel = sum(scene.held_out for scene in found)
    pairs = sum(scene.second is not None for scene in found)
    assert 25 < novel < 231
    assert 256 - pairs > 25
    assert pairs > 25
    assert {scene.place for scene in found} == set(PLACES)
    assert {scene.count for scene in found} == {1, 2, 3}
    assert {thing.kind for scene in found for thing in scene.things} == set(KINDS)
    assert {thing.colour for scene in found for thing in scene.things} == set(COLOURS)


def test_the_largest_split_can_be_had() -> None:
    for style in STYLES:
        assert len(some(LARGEST, style, "dev")) == LARGEST


def test_scenes_survive_json() -> None:
    for scene in some(50):
        assert Scene.from_json(scene.to_json()) == scene
        assert split_of(Scene.from_json(scene.to_json())) == "dev"


# Drawings

BOXES = [(scene, seed) for style in STYLES for scene in some(150, style) for seed in (0, 1)]


def test_everything_but_flyers_stands_on_the_ground_or_on_its_support() -> None:
    for scene, seed in BOXES:
        boxes = layout(scene, random.Random(seed))
        for box in boxes:
            assert box.left >= 0
            assert box.right <= 1
            assert box.top >= 0
            if scene.relation == "on" and box.thing == scene.first:
                continue
            assert box.bottom <= 0.95
            if box.thing.kind not in FLYERS:
                assert box.bottom >= HORIZON + 0.1, f"{scene.key}: {box.thing} stands in the sky"


def test_what_is_on_something_rests_on_its_flat_top() -> None:
    looked_at = 0
    for scene, seed in BOXES:
        if scene.relation != "on" or scene.second is None:
            continue
        lower, *upper = layout(scene, random.Random(seed))
        assert lower.thing == scene.second
        start, end = (lower.left + edge * lower.width for edge in TOPS[scene.second.kind])
        for box in upper:
            looked_at += 1
            middle = (box.left + box.right) / 2
            assert start < middle < end, f"{scene.key}: {box.thing} hangs beside the {lower.thing.kind}"
            assert 0 <= box.bottom - lower.top < 0.02
    assert looked_at > 50


def test_what_is_above_hangs_free() -> None:
    for scene, seed in BOXES:
        if scene.relation == "above":
            lower, *upper = layout(scene, random.Random(seed))
            assert all(box.bottom < lower.bottom - 0.2 for box in upper)


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_reach_the_lower_edge_of_their_box_and_hardly_leave_it(kind: str) -> None:
    """So that the geometry above speaks of what one sees."""
    full = 300
    image = Image.new("RGB", (full, full), (1, 2, 3))
    box = Box(Thing(kind, "red"), 0.25, 0.25, 0.5, 0.5)
    DRAWINGS[kind](Brush(ImageDraw.Draw(image), full, box))
    rows, columns = np.nonzero((np.asarray(image) != (1, 2, 3)).any(axis=-1))
    slack = 9  # a line's width and a half
    assert abs(rows.max() - 0.75 * full) <= slack
    assert abs(rows.min() - 0.25 * full) <= slack
    assert columns.min() >= 0.25 * full - slack
    assert columns.max() <= 0.75 * full + slack


def test_images_are_the_same_each_time_and_differ_between_scenes() -> None:
    found = some(20)
    once, twice = ([hashlib.sha256(png(scene, 96)).hexdigest() for scene in found] for _ in range(2))
    assert once == twice
    assert len(set(once)) == len(found)
    assert png(found[0], 96, seed=1) != png(found[0], 96, seed=0)


def test_an_image_is_the_same_picture_at_any_size() -> None:
    for scene in some(8):
        small, large = draw(scene, 64), draw(scene, 256)
        difference = np.asarray(large.resize((64, 64), Image.Resampling.LANCZOS), float) - np.asarray(small, float)
        assert np.abs(difference).mean() < 6
        assert large.size == (256, 256)


def test_each_colour_is_seen_where_it_is_named() -> None:
    """The most frequent strong colour inside a ball is the ball's."""
    for colour in COLOURS:
        scene = Scene("room", Thing("ball", colour), 1)
        box = layout(scene, random.Random(f"draw {scene.key} 0"))  # not the drawn jitter; only kind and colour matter here
        assert box[0].thing.colour == colour
        others = [draw(Scene("room", Thing("ball", other), 1), 64) for other in COLOURS if other != colour]
        mine = draw(scene, 64)
        assert all(np.abs(np.asarray(mine, float) - np.asarray(other, float)).max() > 60 for other in others)


# Words


@pytest.mark.parametrize("style", STYLES)
def test_references_are_five_different_true_sentences(style: Style) -> None:
    for scene in some(120, style):
        written = references(scene, style)
        assert len(set(written)) == 5
        for text in written:
            assert re.fullmatch(r"[A-Z][a-z, ]+\.", text), text
            assert set(claims(text)) == {(thing.kind, thing.colour) for thing in scene.things}
            assert (" two " in f" {text.lower()}") == (scene.count == 2)
            assert (" three " in f" {text.lower()}") == (scene.count == 3)
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text.lower()), text


def test_the_hands_differ_in_words() -> None:
    """Cross-domain decoding has to cost something."""
    plain, ornate = (
        {word for scene in some(200, style) for text in references(scene, style) for word in re.findall("[a-z]+", text.lower())}
        for style in STYLES
    )
    assert len(ornate - plain) > 40
    assert len(plain - ornate) > 15


def test_one_thing_exchanged_is_one_word_exchanged() -> None:
    """What training and gates rely on: the same draws give the same sentence."""
    cat, ball = Scene("snow", Thing("cat", "red"), 2), Scene("snow", Thing("ball", "red"), 2)
    for seed in range(20):
        one, other = (caption(scene, "plain", random.Random(seed)).split() for scene in (cat, ball))
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1


def test_stories_have_five_true_sentences_and_titles_give_nothing_away() -> None:
    for scene in some(150, "plain"):
        text = story(scene)
        assert len(re.findall(r"\.(?: |$)", text)) == 5, text
        assert set(claims(text)) == {(thing.kind, thing.colour) for thing in scene.things}
        assert claims(title(scene)) == []
        assert not set(re.findall("[a-z]+", title(scene).lower())) & set(COLOURS)


# The dataset


@pytest.mark.parametrize("domain", DOMAINS)
def test_more_scenes_begin_with_the_same(domain: Domain) -> None:
    few, many = toybox(domain=domain, size=4).examples(), toybox(domain=domain, size=9).examples()
    assert few == many[:4]
    assert len(many) == 9
    assert len({example.id for example in many}) == 9


def test_examples_carry_what_decoders_and_metrics_need() -> None:
    (caption_example,) = toybox(domain="plain", size=1).examples()
    (story_example,) = toybox(domain="stories", size=1).examples()
    assert caption_example.prompt == ""
    assert len(caption_example.references) == 5
    assert story_example.prompt
    assert len(story_example.references) == 1
    for example in (caption_example, story_example):
        assert isinstance(example.image, bytes)
        with Image.open(io.BytesIO(example.image)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (192, 192))
        scene = Scene.from_json(example.meta["scene"])
        assert split_of(scene) == "test"


def test_compositions_divide_the_scenes() -> None:
    def keys(which: str) -> list[str]:
        return [
            Scene.from_json(each.meta["scene"]).key for each in toybox(domain="plain", size=12, compositions=which).examples()
        ]

    seen, novel, both = keys("seen"), keys("novel"), keys("all")
    assert len(seen) == len(novel) == 12
    assert not set(seen) & set(novel)
    assert [key for key in both if key in set(seen)] == [key for key in seen if key in set(both)]


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_index_is_made_without_drawing(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("harness.datasets.toybox.png", lambda *_: pytest.fail("an image was drawn"))
        texts = toybox(domain=domain, split="index").captions()
    assert len(texts) == (1400 if domain == "stories" else 7000)
    sized = toybox(domain=domain, split="index", size=3)
    assert sized.captions() == [text for example in sized.examples() for text in example.references]
    assert texts[: len(sized.captions())] == sized.captions()


@pytest.mark.parametrize("bad", [{"domain": "fancy"}, {"domain": "plain", "size": 0}, {"domain": "plain", "sise": 3}])
def test_bad_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        toybox(**bad)


def test_the_dataset_needs_no_torch() -> None:
    import subprocess

    code = "import sys; import harness.datasets.toybox, harness.metrics.grounding; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
