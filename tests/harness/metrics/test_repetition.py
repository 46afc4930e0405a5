"""rep-n and diversity: counted by hand, against the published code's way of counting, and on published stories."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from decoders.models.loaded import Models
from harness.metrics.repetition import Repetition, RepetitionConfig
from harness.suites.examples import Example, Failure, Sample

Floats = NDArray[np.float64]


def metric(impl: str = "exact") -> Repetition:
    return Repetition(RepetitionConfig.model_validate({"impl": impl}), Models())


def texts(*each: str) -> list[Sample]:
    return [Sample(Example(str(i)), text=text) for i, text in enumerate(each)]


def values(samples: list[Sample], impl: str = "exact") -> Floats:
    scorer = metric(impl)
    return scorer.finalise(scorer.rows(samples).sum(axis=0))


def published_way(stories: list[str]) -> list[float]:
    """rep-n in percent as the published code counts it: the loop stops one n-gram early, percentages have two places."""
    found = []
    for n in (2, 3, 4):
        unique = total = 0
        for story in stories:
            tokens, grams, start = story.split(), [], 0
            while start + n < len(tokens):
                grams.append(" ".join(tokens[start : start + n]))
                start += 1
            unique, total = unique + len(set(grams)), total + len(grams)
        found.append(round(100 * (1 - unique / total), 2))
    return found


def test_by_hand() -> None:
    # bigrams: 5, "a b" three times and "b a" twice; trigrams: 4, 2 different; 4-grams: 3, 2 different
    found = values(texts("a b a b a b"))
    np.testing.assert_allclose(found, [1 - 2 / 5, 1 - 2 / 4, 1 - 2 / 3, 2 / 5 * 2 / 4 * 2 / 3])


def test_counts_are_summed_over_texts_and_not_pooled() -> None:
    """Two texts that say the same do not repeat themselves; a long text weighs more than a short one."""
    np.testing.assert_allclose(values(texts("a b c d e", "a b c d e")), [0, 0, 0, 1])
    found = values(texts("a a a a a", "b c d e f g h i j k l m n o p"))
    assert found[0] == pytest.approx(1 - (1 + 14) / (4 + 14))


def test_case_and_punctuation_are_kept_and_any_white_space_divides() -> None:
    assert values(texts("The dog the dog"))[0] == 0
    assert values(texts("the dog. the dog"))[0] == 0
    assert values(texts("a\tb\nc  a\u00a0b"))[0] == pytest.approx(1 / 4)


@pytest.mark.parametrize("text", ["", " ", "one", "one two three"])
def test_too_short_texts_count_nothing(text: str) -> None:
    alone, beside = values(texts(text)), values(texts(text, "a b a b a b"))
    assert np.isnan(alone[2])
    assert np.isnan(alone[3])
    assert beside[2] == pytest.approx(1 / 3)


def test_failures_are_unscored() -> None:
    samples = [*texts("a b a b"), Sample(Example("x"), failure=Failure("OutOfMemory", "no"))]
    rows = metric().rows(samples)
    assert np.isnan(rows[1]).all()
    assert not np.isnan(rows[0]).any()


def test_the_published_way_of_counting_goes_by_its_own_name() -> None:
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 40))) for _ in range(50)]
    exact, published = values(texts(*stories)), values(texts(*stories), "simctg")
    np.testing.assert_allclose(100 * published[:3], published_way(stories), atol=1e-9)
    assert published[3] == pytest.approx(np.prod([1 - each / 100 for each in published_way(stories)]))
    assert not np.allclose(exact[:3], published[:3], atol=1e-4)
    assert values(texts("a b c a b"))[0] > values(texts("a b c a b"), "simctg")[0] == 0  # the repeated one is the last
    assert str(metric().signature()) != str(metric("simctg").signature())


@pytest.mark.parametrize("impl", ["exact", "simctg"])
def test_finalise_works_on_many_sums_at_once(impl: str) -> None:
    scorer = metric(impl)
    sums = np.random.default_rng(1).integers(1, 9, (3, 5, 6)).astype(float)
    found = scorer.finalise(sums)
    assert found.shape == (3, 5, 4)
    np.testing.assert_array_equal(found[2, 4], scorer.finalise(sums[2, 4]))


@pytest.mark.parametrize(
    ("system", "impl", "expected"),
    [
        ("contrastive", "simctg", (0.0249, 0.0038, 0.0009, 0.9705)),
        ("contrastive", "exact", (0.0264, 0.0046, 0.0013, 0.9679)),
        ("magic", "simctg", (0.0260, 0.0040, 0.0010, 0.9691)),
        ("magic", "exact", (0.0273, 0.0046, 0.0012, 0.9671)),
    ],
)
def test_published_stories(shared: Path, system: str, impl: str, expected: tuple[float, ...]) -> None:
    """Values that two independent counts of the released stories agreed on (first rank), to the digits kept."""
    content = json.loads(gzip.decompress((shared / "published" / "rocstories" / f"{system}.json.gz").read_bytes()))
    results = [each["generated_result"]["0"] for each in content["evaluation_result"]]
    stories = [result["generated_continuation_text"] for result in results]
    assert len(stories) == 1500
    np.testing.assert_allclose(np.round(values(texts(*stories), impl), 4), expected, atol=1e-9)
