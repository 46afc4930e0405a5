"""Grounding: claims are read as people mean them, and the counts add up to the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.datasets.toybox import Toybox, ToyboxOptions
from harness.datasets.toybox.captions import claims
from harness.datasets.toybox.world import Scene, Thing
from harness.errors import MetricError
from harness.metrics.grounding import Grounding, GroundingConfig
from harness.suites.examples import Example, Failure, Sample

SCENE = Scene("beach", Thing("cat", "red"), 2, "beside", Thing("butterfly", "blue"))


def sample(text: str, scene: Scene | None = SCENE, **extra: Any) -> Sample:
    return Sample(Example("one", meta={} if scene is None else {"scene": scene.to_json()}), text=text, **extra)


def score(*texts: str, bound: bool = True) -> list[float]:
    metric = Grounding(GroundingConfig(bound=bound), Models())
    return [float(value) for value in metric.finalise(metric.rows([sample(text) for text in texts]).sum(axis=0))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two red cats next to a blue butterfly on the sand.", [("cat", "red"), ("butterfly", "blue")]),
        ("two lovely crimson kittens, alongside AZURE Butterflies", [("cat", "red"), ("butterfly", "blue")]),
        ("A coach and two coaches; three yellow buses", [("bus", None), ("bus", None), ("bus", "yellow")]),
        ("A ball on the green field.", [("ball", None)]),
        ("Red, and a ball.", [("ball", None)]),
        ("a caterpillar in a redoubt", []),
        ("", []),
    ],
)
def test_claims_are_read_off_the_words(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert claims(text) == expected


@pytest.mark.parametrize("domain", ["plain", "ornate", "stories"])
def test_references_claim_exactly_what_is_there(domain: str) -> None:
    options = ToyboxOptions.model_validate({"domain": domain, "size": 40})
    examples = Toybox(options, Path()).examples()
    samples = [Sample(example, text=text) for example in examples for text in example.references]
    rows = Grounding(GroundingConfig(), Models()).rows(samples)
    assert (rows[:, 0] == rows[:, 1]).all()
    assert (rows[:, 0] == rows[:, 2]).all()


def test_exchanged_colours_score_nothing_but_name_the_right_kinds() -> None:
    swapped = "Two blue cats next to a red butterfly."
    assert score("Two red cats next to a blue butterfly.") == [1, 1, 1]
    assert score(swapped) == [0, 0, 0]
    assert score(swapped, bound=False) == [1, 1, 1]


def test_figures_follow_from_summed_counts() -> None:
    # 1 right of 1 claimed and 2 there; nothing claimed of 2; 1 right of 2 claimed (one without a colour) and 2 there.
    precision, recall, f1 = score("A red cat.", "How nice.", "A red cat, and a table.")
    assert precision == pytest.approx(2 / 3)
    assert recall == pytest.approx(2 / 6)
    assert f1 == pytest.approx(2 * 2 / (3 + 6))


def test_repeating_a_claim_changes_nothing() -> None:
    assert score("A red cat, a red cat and a red kitten.") == score("A red cat.")


def test_no_claim_at_all_is_zero_not_nan() -> None:
    assert score("How nice.") == [0, 0, 0]


def test_failures_and_unknown_scenes_are_unscored() -> None:
    metric = Grounding(GroundingConfig(), Models())
    rows = metric.rows(
        [sample("A red cat."), sample("", failure=Failure("UnreadableImage", "no")), sample("A red cat.", scene=None)]
    )
    assert not np.isnan(rows[0]).any()
    assert np.isnan(rows[1:]).all()


def test_without_any_scene_it_says_that_it_is_for_toybox() -> None:
    metric = Grounding(GroundingConfig(), Models())
    with pytest.raises(MetricError, match="toybox"):
        metric.rows([sample("A red cat.", scene=None)])


def test_a_scene_of_another_making_is_named() -> None:
    foreign = Sample(Example("x7", meta={"scene": {"objects": []}}), text="A red cat.")
    with pytest.raises(MetricError, match="x7"):
        Grounding(GroundingConfig(), Models()).rows([foreign])


def test_signature_tells_the_kinds_of_claims_apart() -> None:
    kinds = {str(Grounding(GroundingConfig(bound=bound), Models()).signature()) for bound in (True, False)}
    assert len(kinds) == 2
