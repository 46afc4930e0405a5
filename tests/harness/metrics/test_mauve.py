"""MAUVE against its definition and against mauve-text, on the features of a real, tiny language model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from decoders.models.language_model import LanguageModel
from decoders.models.load import load_language_model
from decoders.models.loaded import Models
from decoders.models.reading import last_vectors, plain_ids
from harness.compare.paired import Clusters, align, permutation_test
from harness.errors import MetricError, MetricUnavailable, NeedMissing
from harness.metrics.mauve import Mauve, MauveConfig, codebooks, mauve
from harness.metrics.score import score_samples
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from tests.harness.metrics.bad_texts import BAD, SILENT
from tests.reference.likelihood import last_vector, load
from tests.reference.mauve import mauve as by_definition

pytest.importorskip("sklearn", reason="needs scikit-learn, of the dev extra")
SEEDS = range(25, 30)
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def lm(gpt2_folder: Path) -> LanguageModel:
    return load_language_model(f"local:{gpt2_folder}")


def features(n: int, shift: float, seed: int, d: int = 12, dtype: Any = np.float32) -> NDArray[Any]:
    generator = np.random.default_rng(seed)
    means = np.random.default_rng(7).standard_normal((6, d)) + shift
    return (means[generator.integers(0, 6, n)] + 0.3 * generator.standard_normal((n, d))).astype(dtype)


def histograms(p: NDArray[Any], q: NDArray[Any], buckets: int, seeds: Sequence[int]) -> Iterator[tuple[Floats, Floats]]:
    books = codebooks(p, q, buckets, seeds)
    for one, other in zip(books.p, books.q, strict=True):
        yield tuple(np.bincount(each, minlength=buckets).astype(float) for each in (one, other))  # type: ignore[misc]


# The curve


def test_is_the_definition() -> None:
    generator = np.random.default_rng(0)
    for buckets in (2, 3, 10, 40):
        p, q = generator.integers(0, 5, (2, 20, buckets)).astype(float) * (generator.random((2, 20, buckets)) < 0.8)
        p[:, 0] += 1
        q[:, -1] += 1
        expected = [by_definition(list(one), list(other)) for one, other in zip(p, q, strict=True)]
        np.testing.assert_allclose(mauve(p, q), expected, atol=1e-12)
        np.testing.assert_allclose(mauve(q, p), mauve(p, q), atol=1e-12)


def test_equal_histograms_give_one_and_disjoint_ones_almost_nothing() -> None:
    generator = np.random.default_rng(1)
    for buckets in (2, 4, 6, 8, 30):
        p = generator.integers(1, 9, (60, buckets)).astype(float)
        np.testing.assert_allclose(mauve(p, p), 1, atol=1e-9)
        np.testing.assert_allclose(mauve(p, 3 * p), 1, atol=1e-9)
    assert mauve(np.array([3.0, 0]), np.array([0, 2.0])) < 0.01


def test_is_vectorised_over_leading_axes_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = np.random.default_rng(2).integers(1, 9, (2, 3, 4, 7)).astype(float)
    whole = mauve(p, q)
    assert whole.shape == (3, 4)
    monkeypatch.setattr("harness.metrics.mauve._CHUNK", 8)
    np.testing.assert_allclose(mauve(p, q), whole, rtol=1e-12)
    assert mauve(p[0, 0], q[0, 0]) == pytest.approx(whole[0, 0], rel=1e-12)
    assert np.isnan(mauve(np.zeros(3), np.ones(3)))


# The codebook


@pytest.mark.parametrize(("n_p", "n_q", "dtype"), [(120, 120, np.float32), (100, 160, np.float64), (130, 110, np.float32)])
def test_equals_mauve_text(n_p: int, n_q: int, dtype: Any, capfd: pytest.CaptureFixture[str]) -> None:
    compute_mauve = pytest.importorskip("mauve", reason="needs mauve-text, of the dev extra").compute_mauve
    p, q = features(n_p, 0, 1, dtype=dtype), features(n_q, 0.15, 2, dtype=dtype)
    buckets = max(2, round(min(n_p, n_q) / 10))
    capfd.readouterr()
    ours = list(histograms(p, q, buckets, SEEDS))
    assert capfd.readouterr() == ("", ""), "k-means writes warnings past Python"
    values = []
    for seed, (one, other) in zip(SEEDS, ours, strict=True):
        theirs = compute_mauve(p_features=p, q_features=q, seed=seed)
        np.testing.assert_allclose(one / one.sum(), theirs.p_hist, atol=1e-12)
        np.testing.assert_allclose(other / other.sum(), theirs.q_hist, atol=1e-12)
        assert mauve(one, other) == pytest.approx(theirs.mauve, abs=1e-9)
        values.append(theirs.mauve)
    assert np.std(values) > 0, "the test needs seeds that differ"
    assert 0.05 < np.mean(values) < 0.95


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_degenerate_features_are_refused(bad: float) -> None:
    p = features(50, 0, 1)
    q = p.copy()
    q[3, 2] = bad
    with pytest.raises(MetricError, match="finite"):
        codebooks(p, q, 5, [25])
    for constant in (0.0, 1.0):
        with pytest.raises(MetricError, match="same features"):
            codebooks(np.full((50, 4), constant), np.full((50, 4), constant), 5, [25])


# The metric

WORDS = ("a", "red", "boat", "two", "dogs", "on", "the", "sea", "grass", "man", "street", "table", "cakes", "yellow", "bus")


def texts(generator: np.random.Generator, count: int, tilt: float = 0.0) -> list[str]:
    weights = np.exp(tilt * np.arange(len(WORDS)))
    lengths = generator.integers(3, 9, count)
    return [" ".join(generator.choice(WORDS, length, p=weights / weights.sum())) for length in lengths]


def run(said: Sequence[str], references: Sequence[str]) -> list[Sample]:
    return [
        Sample(Example(f"{i:04}", references=(reference, "another one")), text=text)
        for i, (text, reference) in enumerate(zip(said, references, strict=True))
    ]


def scorer(lm: LanguageModel | None, **options: object) -> Mauve:
    return Mauve(MauveConfig.model_validate(options), Models(lm))


def test_features_are_the_last_hidden_states(lm: LanguageModel, gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [plain_ids(lm, text) for text in texts(np.random.default_rng(3), 12)]
    model, _ = load(gpt2_folder)
    expected = np.stack([last_vector(model, each).numpy() for each in ids])
    np.testing.assert_allclose(last_vectors(lm, ids), expected, atol=1e-4)
    monkeypatch.setattr("decoders.models.reading._TOKENS", 1)
    np.testing.assert_allclose(last_vectors(lm, ids), expected, atol=1e-4)


@pytest.mark.parametrize("cut", ["pair", "max"])
def test_a_run_scores_what_mauve_text_gives_its_features(lm: LanguageModel, cut: str) -> None:
    compute_mauve = pytest.importorskip("mauve", reason="needs mauve-text, of the dev extra").compute_mauve
    generator = np.random.default_rng(4)
    samples = run(texts(generator, 110, 0.1), texts(generator, 110))
    metric = scorer(lm, cut=cut, max_tokens=12)
    mean, deviation = metric.finalise(metric.rows(samples[::-1]).sum(axis=0))
    pairs = []
    for sample in samples:
        said, theirs = plain_ids(lm, sample.text)[:12], plain_ids(lm, sample.example.references[0])[:12]
        shorter = min(len(said), len(theirs)) if cut == "pair" else 12
        pairs.append((theirs[:shorter], said[:shorter]))
    p, q = (last_vectors(lm, side) for side in zip(*pairs, strict=True))
    values = [compute_mauve(p_features=p, q_features=q, seed=seed).mauve for seed in SEEDS]
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert deviation > 0


def test_rows_are_counts_that_add_up(lm: LanguageModel) -> None:
    generator = np.random.default_rng(5)
    samples = run(texts(generator, 120), texts(generator, 120))
    metric = scorer(lm, buckets=6)
    rows = metric.rows(samples)
    assert rows.shape == (120, 2 * 5 * 6)
    np.testing.assert_array_equal(rows.reshape(120, 2, 5, 6).sum(axis=-1), 1)
    parts = rows[:50].sum(axis=0), rows[50:].sum(axis=0)
    np.testing.assert_allclose(metric.finalise(parts[0] + parts[1]), metric.finalise(rows.sum(axis=0)), rtol=1e-12)


def test_order_and_company_of_the_samples_do_not_matter(lm: LanguageModel) -> None:
    generator = np.random.default_rng(6)
    samples = run(texts(generator, 100), texts(generator, 100))
    rows = scorer(lm).rows(samples)
    order = generator.permutation(100)
    np.testing.assert_array_equal(scorer(lm).rows([samples[i] for i in order]), rows[order])
    odd = [Sample(Example(name, references=("a dog",)), text=BAD[name]) for name in SILENT]
    odd += [
        Sample(Example("failed", references=("a dog",)), failure=Failure("OutOfMemory", "no")),
        Sample(Example("bare"), text="a dog"),
        Sample(Example("no words", references=(" ",)), text="a dog"),
    ]
    mixed = scorer(lm).rows([*odd, *samples])
    assert np.isnan(mixed[: len(odd)]).all()
    np.testing.assert_array_equal(mixed[len(odd) :], rows)


def test_bad_texts_have_a_bucket(lm: LanguageModel) -> None:
    generator = np.random.default_rng(7)
    said = texts(generator, 100)
    loud = [text for name, text in BAD.items() if name not in SILENT]
    rows = scorer(lm).rows(run([*said, *loud], [*texts(generator, 100), *loud[::-1]]))
    assert np.isfinite(rows).all()


def test_too_few_texts_are_refused_and_few_are_marked(lm: LanguageModel) -> None:
    generator = np.random.default_rng(8)
    samples = run(texts(generator, 100), texts(generator, 100))
    with pytest.raises(MetricUnavailable, match="99 texts"):
        scorer(lm).rows([*samples[:99], Sample(samples[99].example, text="")])
    with pytest.raises(MetricUnavailable, match="1 texts"):
        scorer(lm).rows(samples[:1])
    # Three draws of 40 examples are 120 texts, but 40 references.
    draws = [Sample(each.example, draw, each.text) for each in samples[:40] for draw in range(3)]
    with pytest.raises(MetricUnavailable, match="40 texts"):
        scorer(lm, cut="max").rows(draws)
    metric = scorer(lm)
    assert metric.caution() == ""
    metric.rows(samples)
    assert "100 texts" in metric.caution()
    many = run(texts(generator, 500), texts(generator, 500))
    metric.rows(many)
    assert metric.caution() == ""


def test_no_interval_and_the_reason(lm: LanguageModel) -> None:
    generator = np.random.default_rng(9)
    sheet = score_samples(run(texts(generator, 100), texts(generator, 100)), {"mauve": scorer(lm)})
    value, deviation = sheet.scores
    assert 0 < value.value <= 1
    assert deviation.value > 0
    for score in sheet.scores:
        assert math.isnan(score.low)
        assert math.isnan(score.high)
        assert score.method == "none"
        assert "codebook" in score.no_interval
        assert "100 texts" in score.caution
    assert (value.higher_is_better, deviation.higher_is_better, value.percent) == (True, None, False)


def test_says_what_is_missing(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(10)
    samples = run(texts(generator, 100), texts(generator, 100))
    with pytest.raises(NeedMissing):
        scorer(None).rows(samples)
    with pytest.raises(MetricUnavailable, match="references"):
        scorer(lm).rows([Sample(Example(str(i)), text="a dog") for i in range(100)])
    monkeypatch.setattr("harness.metrics.mauve.find_spec", lambda name: None)
    with pytest.raises(MetricUnavailable, match=r"seetell\[metrics\]"):
        scorer(lm).rows(samples)


def test_signature(lm: LanguageModel) -> None:
    generator = np.random.default_rng(11)
    samples = run(texts(generator, 100), texts(generator, 100))
    metric = scorer(lm)
    metric.rows(samples)
    signature = metric.signature()
    assert Signature.parse(str(signature)) == signature
    fields = dict(signature.fields)
    assert {"cut": "pair", "max": "64", "seeds": "25-29", "k": "10", "codebook": "own", "n": "100"}.items() <= fields.items()
    metric.joint_rows([samples, samples])
    assert dict(metric.signature().fields)["codebook"] == "joint"
    with pytest.raises(ValueError, match="greater than or equal to 5"):
        MauveConfig(seeds=4)


# Two runs


def joint(lm: LanguageModel, *runs: Sequence[Sample], **options: object) -> list[Floats]:
    return scorer(lm, **options).joint_rows(runs)


def test_exchanging_texts_between_runs_exchanges_their_rows_and_nothing_else(lm: LanguageModel) -> None:
    """What makes the permutation test exact: the codebook does not know which run said what."""
    generator = np.random.default_rng(12)
    references = texts(generator, 100)
    first, second = (run(texts(generator, 100, tilt), references) for tilt in (0.0, 0.2))
    one, other = joint(lm, first, second)
    swapped = generator.random(100) < 0.5
    mixed = [b if swap else a for a, b, swap in zip(first, second, swapped, strict=True)]
    rest = [a if swap else b for a, b, swap in zip(first, second, swapped, strict=True)]
    found, left = joint(lm, mixed, rest)
    np.testing.assert_array_equal(found, np.where(swapped[:, None], other, one))
    np.testing.assert_array_equal(left, np.where(swapped[:, None], one, other))


def test_a_run_against_itself_differs_by_nothing(lm: LanguageModel) -> None:
    generator = np.random.default_rng(13)
    samples = run(texts(generator, 100), texts(generator, 100))
    one, other = joint(lm, samples, samples)
    np.testing.assert_array_equal(one, other)


def test_other_references_are_refused(lm: LanguageModel) -> None:
    generator = np.random.default_rng(14)
    said = texts(generator, 100)
    with pytest.raises(MetricError, match="different references"):
        joint(lm, run(said, texts(generator, 100)), run(said, texts(generator, 100)))


def p_value(lm: LanguageModel, first: Sequence[Sample], second: Sequence[Sample], draws: int) -> float:
    metric = scorer(lm, cut="max")
    ids = [each.example.id for each in first]
    rows = align([Clusters.of(ids, each) for each in metric.joint_rows([first, second])]).rows
    return float(permutation_test(rows, metric.finalise, [(0, 1)], draws=draws)[0, 0])


def test_a_difference_is_found(lm: LanguageModel) -> None:
    generator = np.random.default_rng(15)
    references = texts(generator, 100)
    assert p_value(lm, run(texts(generator, 100), references), run(texts(generator, 100, 2.0), references), 99) == 0.01


@pytest.mark.heavy
def test_where_there_is_no_difference_few_are_found(lm: LanguageModel) -> None:
    """The size of the test: 5 % of null comparisons, give or take three standard errors of 150 of them."""
    generator = np.random.default_rng(16)
    found = 0
    for _ in range(150):
        references = texts(generator, 100)
        first, second = (run(texts(generator, 100, 0.2), references) for _ in range(2))
        found += p_value(lm, first, second, 99) <= 0.05
    assert abs(found / 150 - 0.05) <= 3 * math.sqrt(0.05 * 0.95 / 150)
