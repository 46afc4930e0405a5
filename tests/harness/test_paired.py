"""The statistics checked as statistics: against enumeration, against tables, against SciPy, and by simulation."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.compare.corrections import correct
from harness.compare.groups import letter_display, significance_groups
from harness.compare.paired import Clusters, align, detectable_effect, differences, permutation_test, standard_error
from harness.errors import MetricError, SuiteError

Floats = NDArray[np.float64]
PAIR = [(0, 1)]


def mean(sums: Floats) -> Floats:
    """Rows `[value, 1]`."""
    return sums[..., :1] / sums[..., 1:]


def ratio_and_log(sums: Floats) -> Floats:
    """Two outputs, neither of them a mean of per-example values, as with corpus BLEU."""
    return np.stack([sums[..., 0] / sums[..., 1], np.log(sums[..., 0]) - np.log(sums[..., 1])], axis=-1)


def as_rows(values: Floats) -> Floats:
    return np.stack([values, np.ones_like(values)], axis=-1)


def by_hand(pair: Floats, finalise) -> Floats:  # type: ignore[no-untyped-def]
    """The exact p-value, one exchange after the other."""
    first, second = pair
    observed = np.abs(finalise(second.sum(0)) - finalise(first.sum(0)))
    count = np.zeros_like(observed)
    for swaps in itertools.product([False, True], repeat=len(first)):
        keep = np.array(swaps)[:, None]
        one, other = np.where(keep, second, first), np.where(keep, first, second)
        count += np.abs(finalise(other.sum(0)) - finalise(one.sum(0))) >= observed - 1e-12
    return count / 2 ** len(first)


@pytest.mark.parametrize("m", [1, 2, 5, 8, 10])
@pytest.mark.parametrize("finalise", [mean, ratio_and_log])
def test_few_examples_are_enumerated(m: int, finalise) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(m)
    for shift in (0.0, 0.8):
        pair = generator.random((2, m, 2)) + 0.1
        pair[1, :, 0] += shift
        p = permutation_test(pair, finalise, PAIR)
        np.testing.assert_allclose(p[0], by_hand(pair, finalise), rtol=0, atol=1e-15)


def test_integer_rows_with_many_ties_are_enumerated_right() -> None:
    pair = np.random.default_rng(3).integers(1, 3, (2, 9, 2)).astype(float)
    np.testing.assert_allclose(permutation_test(pair, ratio_and_log, PAIR)[0], by_hand(pair, ratio_and_log), atol=1e-15)


def test_random_exchanges_agree_with_enumeration() -> None:
    pair = np.random.default_rng(4).random((2, 10, 2)) + 0.1
    pair[1, :, 0] += 0.15
    exact = by_hand(pair, ratio_and_log)
    draws = 1000  # fewer than 2^10, so exchanges are drawn
    drawn = np.mean([permutation_test(pair, ratio_and_log, PAIR, draws=draws, seed=s)[0] for s in range(50)], axis=0)
    expected = (exact * draws + 1) / (draws + 1)
    assert np.all(np.abs(drawn - expected) < 4 * np.sqrt(exact * (1 - exact) / (draws * 50)))


def test_it_agrees_with_scipy_on_a_mean() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.normal(size=40), generator.normal(0.15, size=40)
    p = permutation_test(np.stack([as_rows(first), as_rows(second)]), mean, PAIR, seed=1)[0, 0]
    theirs = stats.permutation_test(
        (first, second), lambda a, b: np.mean(b) - np.mean(a), permutation_type="samples", n_resamples=9_999, rng=2
    ).pvalue
    assert 0.005 < p < 0.4
    assert abs(p - theirs) < 4 * math.sqrt(2 * p * (1 - p) / 10_000)


def made_up_corpora() -> tuple[list[str], list[list[str]]]:
    """150 references and three systems that garble them more and more."""
    generator = np.random.default_rng(20)
    words = np.array([f"w{index}" for index in range(30)])
    references: list[str] = []
    systems: list[list[str]] = [[], [], []]
    for _ in range(150):
        reference = words[generator.integers(0, 30, generator.integers(6, 14))]
        references.append(" ".join(reference))
        for system, keep in zip(systems, (0.72, 0.70, 0.66), strict=True):
            noise = words[generator.integers(0, 30, len(reference))]
            text = np.where(generator.random(len(reference)) < keep, reference, noise)
            system.append(" ".join(text[: len(text) - int(generator.integers(0, 2))]))
    return references, systems


def bleu_rows(texts: list[str], references: list[str]) -> Floats:
    """Matches and n-grams of 1 to 4 words, and both lengths: what corpus BLEU is made of (Papineni et al. 2002)."""
    rows = []
    for text, reference in zip(texts, references, strict=True):
        said, wanted = text.split(), reference.split()
        row: list[float] = []
        for n in range(1, 5):
            grams, known = (Counter(tuple(each[i : i + n]) for i in range(len(each) - n + 1)) for each in (said, wanted))
            row += [sum((grams & known).values()), sum(grams.values())]
        rows.append([*row, len(said), len(wanted)])
    return np.array(rows, np.float64)


def corpus_bleu(sums: Floats) -> Floats:
    precisions = sums[..., 0:8:2] / sums[..., 1:8:2]
    brevity = np.minimum(0.0, 1 - sums[..., 9] / sums[..., 8])
    return np.exp(brevity + np.log(precisions).mean(axis=-1))[..., None]


def test_it_agrees_with_sacrebleu_on_corpus_bleu() -> None:
    """sacrebleu 2.6.0: `PairedTest(..., test_type="ar", n_samples=10000)` with BLEU(tokenize="none", smooth_method="none")."""
    scores = [45.36407135350175, 38.75296364963943, 37.175781245198166]
    p_values = [0.0402959704029597, 0.006099390060993901]  # against the first, SACREBLEU_SEED=12345
    references, systems = made_up_corpora()
    rows = np.stack([bleu_rows(system, references) for system in systems])
    np.testing.assert_allclose(100 * corpus_bleu(rows.sum(axis=1))[:, 0], scores, rtol=1e-12)
    ours = permutation_test(rows, corpus_bleu, [(0, 1), (0, 2)], seed=1)[:, 0]
    for p, theirs in zip(ours, p_values, strict=True):
        assert abs(p - theirs) < 4 * math.sqrt(2 * theirs * (1 - theirs) / 10_000)


def test_it_agrees_with_sacrebleu_run_here_and_now() -> None:
    """The same test by sacrebleu itself, on its own sufficient statistics."""
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed; pip install sacrebleu==2.6.0")
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    references, systems = made_up_corpora()
    metric = BLEU(tokenize="none", smooth_method="none", references=[references])
    named = [(str(index), system) for index, system in enumerate(systems)]
    _, scores = PairedTest(named, {"BLEU": metric}, references=None, test_type="ar", n_samples=10_000)()
    theirs = scores["BLEU"]
    rows = np.stack([bleu_rows(system, references) for system in systems])
    np.testing.assert_allclose(100 * corpus_bleu(rows.sum(axis=1))[:, 0], [each.score for each in theirs], rtol=1e-12)
    ours = permutation_test(rows, corpus_bleu, [(0, 1), (0, 2)], seed=2)[:, 0]
    for p, result in zip(ours, theirs[1:], strict=True):
        assert abs(p - result.p_value) < 4 * math.sqrt(2 * result.p_value * (1 - result.p_value) / 10_000)


def test_p_is_never_zero_and_counts_the_observed_arrangement() -> None:
    pair = np.stack([as_rows(np.zeros(200)), as_rows(np.ones(200))])
    assert permutation_test(pair, mean, PAIR, draws=999)[0, 0] == 1 / 1000


def test_equal_systems_have_p_one() -> None:
    rows = np.random.default_rng(6).random((300, 2)) + 0.1
    assert permutation_test(np.stack([rows, rows]), mean, PAIR)[0, 0] == 1.0


def test_the_result_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = np.random.default_rng(7).random((2, 130, 2)) + 0.1
    once = permutation_test(pair, mean, PAIR, seed=3, draws=2000)
    assert permutation_test(pair, mean, PAIR, seed=4, draws=2000) != once
    monkeypatch.setattr("harness.compare.paired._CHUNK_BYTES", 8 * 130 * 7)  # seven exchanges at once
    assert permutation_test(pair, mean, PAIR, seed=3, draws=2000) == once


def test_many_systems_at_once_give_the_p_values_of_each_pair() -> None:
    rows = np.random.default_rng(8).random((4, 60, 2)) + 0.1
    pairs = list(itertools.combinations(range(4), 2))
    together = permutation_test(rows, ratio_and_log, pairs, draws=500, seed=1)
    for index, (a, b) in enumerate(pairs):
        alone = permutation_test(rows[[a, b]], ratio_and_log, PAIR, draws=500, seed=1)[0]
        np.testing.assert_array_equal(together[index], alone)


def test_an_output_without_a_value_has_no_p() -> None:
    def half(sums: Floats) -> Floats:
        return np.stack([sums[..., 0], np.full(sums.shape[:-1], np.nan)], axis=-1)

    p = permutation_test(np.random.default_rng(9).random((2, 30, 2)), half, PAIR, draws=200)[0]
    assert p[0] > 0
    assert math.isnan(p[1])


def null_p_values(trials: int, draws: int, size: int = 60) -> Floats:
    """p-values of two systems that answer alike: same quality of an example, noise of their own."""
    generator = np.random.default_rng(10)
    found = np.empty(trials)
    for trial in range(trials):
        difficulty = generator.gamma(2.0, size=size)
        noise = generator.gamma(1.0, size=(2, size))
        rows = np.stack([np.stack([difficulty * each, 1 + difficulty], axis=-1) for each in noise])
        found[trial] = permutation_test(rows, ratio_and_log, PAIR, draws=draws, seed=trial)[0, 0]
    return found


def test_false_alarms_stay_at_five_percent() -> None:
    p = null_p_values(500, 499)
    low, high = stats.binom.interval(0.999, 500, 0.05)
    assert low <= (p <= 0.05).sum() <= high
    assert stats.kstest(p, "uniform").pvalue > 0.001


@pytest.mark.heavy
def test_p_is_uniform_under_the_null() -> None:
    p = null_p_values(4000, 999, 100)
    assert stats.kstest(p, "uniform").pvalue > 0.001
    for level in (0.01, 0.05, 0.1, 0.5):
        low, high = stats.binom.interval(0.999, len(p), level)
        assert low <= (p <= level).sum() <= high


def test_several_draws_an_example_are_one_cluster() -> None:
    """Ten draws of the same noise an example must not look like ten times the evidence."""
    generator = np.random.default_rng(11)
    ids = [f"e{index}" for index in range(40) for _ in range(10)]
    alarms = 0
    for trial in range(200):
        effect = np.repeat(generator.normal(size=(2, 40)), 10, axis=1)  # the example decides, draws repeat it
        clusters = [Clusters.of(ids, as_rows(each)) for each in effect]
        aligned = align(clusters)
        assert aligned.n == 40
        alarms += permutation_test(aligned.rows, mean, PAIR, draws=399, seed=trial)[0, 0] <= 0.05
    assert alarms <= stats.binom.ppf(0.999, 200, 0.05)


def test_alignment_pairs_by_id_and_counts_what_is_left_out() -> None:
    first = Clusters.of(["b", "a", "c"], as_rows(np.array([2.0, 1.0, 3.0])))
    second = Clusters.of(["a", "c", "b"], as_rows(np.array([10.0, math.nan, 20.0])))
    aligned = align([first, second])
    assert aligned.ids == ("a", "b")
    assert aligned.left_out == 1
    np.testing.assert_array_equal(aligned.rows[:, :, 0], [[1, 2], [10, 20]])


def test_a_sampling_system_against_one_that_does_not_sample() -> None:
    ids = ["a", "b"]
    greedy = Clusters.of(ids, as_rows(np.array([1.0, 3.0])))
    sampled = Clusters.of(["a", "b", "a", "b", "a"], as_rows(np.array([2.0, 4.0, 4.0, 4.0, math.nan])))
    aligned = align([greedy, sampled])
    np.testing.assert_array_equal(aligned.rows, [[[1, 1], [3, 1]], [[3, 1], [4, 1]]])
    assert mean(aligned.rows.sum(axis=1)).ravel().tolist() == [2.0, 3.5]


def test_sums_stay_sums_where_the_draws_are_balanced() -> None:
    ids = ["a", "a", "b", "b"]
    rows = np.random.default_rng(12).random((2, 4, 3))
    aligned = align([Clusters.of(ids, each) for each in rows])
    np.testing.assert_allclose(aligned.rows.sum(axis=1), rows.sum(axis=1), rtol=1e-15)


def test_sums_stay_sums_where_both_systems_have_the_same_draws_of_each_example() -> None:
    """Two images for one title and one for another: the values compared are those that stand in the table."""
    rows = np.random.default_rng(19).random((2, 3, 2))
    aligned = align([Clusters.of(["a", "a", "b"], each) for each in rows])
    np.testing.assert_allclose(aligned.rows.sum(axis=1), rows.sum(axis=1), rtol=1e-15)


def test_rows_that_belong_to_other_samples_are_refused() -> None:
    with pytest.raises(MetricError, match="2 example ids came with rows of shape"):
        Clusters.of(["a", "b"], np.ones((3, 2)))


def test_the_standard_error_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(13).normal(size=(2, 50))
    rows, finalise = differences(np.stack([as_rows(each) for each in values]), mean)
    assert finalise(rows.sum(0))[0] == pytest.approx(values[1].mean() - values[0].mean())
    assert standard_error(rows, finalise)[0] == pytest.approx(stats.sem(values[1] - values[0]))


def test_the_detectable_effect_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(14)
    size, spread = 100, 1.0
    effect = float(detectable_effect(np.asarray(spread * math.sqrt(2 / size))))
    found = 0
    for trial in range(400):
        first, second = generator.normal(0, spread, size), generator.normal(effect, spread, size)
        pair = np.stack([as_rows(first), as_rows(second)])
        found += permutation_test(pair, mean, PAIR, draws=499, seed=trial)[0, 0] <= 0.05
    assert 0.73 <= found / 400 <= 0.87


def test_corrections_agree_with_tables_and_scipy() -> None:
    # Holm by hand: 4 x 0.01, 3 x 0.013, 2 x 0.014, 1 x 0.19, made monotone.
    table = np.array([0.01, 0.19, 0.014, 0.013])
    np.testing.assert_allclose(correct(table, "holm"), [0.04, 0.19, 0.04, 0.04], atol=1e-15)
    # Benjamini and Hochberg 1995, section 3.2: of these fifteen exactly four are rejected at 0.05, by Bonferroni three.
    published = np.array([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
                          0.6528, 0.7590, 1.0])  # fmt: skip
    assert (correct(published, "benjamini-hochberg") <= 0.05).sum() == 4
    assert (correct(published, "holm") <= 0.05).sum() == 3
    shuffled = np.random.default_rng(15).permutation(published)
    np.testing.assert_array_equal(correct(shuffled, "benjamini-hochberg"), stats.false_discovery_control(shuffled))


def test_corrections_leave_out_what_was_not_tested() -> None:
    p = np.array([0.02, math.nan, 0.5])
    np.testing.assert_allclose(correct(p, "holm"), [0.04, math.nan, 0.5])
    np.testing.assert_array_equal(correct(p, "none"), p)
    assert np.isnan(correct(np.array([math.nan]), "benjamini-hochberg")).all()
    with pytest.raises(SuiteError, match="there is no correction 'bonferoni'"):
        correct(p, "bonferoni")  # type: ignore[arg-type]


def test_letters_are_shared_exactly_by_those_that_cannot_be_told_apart() -> None:
    generator = np.random.default_rng(16)
    for count in range(1, 9):
        for _ in range(30):
            different = np.triu(generator.random((count, count)) < 0.4, 1)
            different |= different.T
            letters = letter_display(different)
            for a, b in itertools.combinations(range(count), 2):
                assert bool(set(letters[a]) & set(letters[b])) != different[a, b]
            assert "a" in letters[0]


def test_groups_of_a_column() -> None:
    generator = np.random.default_rng(17)
    ids = [f"e{index}" for index in range(150)]
    base = generator.normal(size=150)
    levels = {"weak": 0.0, "best": 1.0, "nearly": 0.98, "silent": math.nan}
    systems = {name: Clusters.of(ids, as_rows(base + level + 0.3 * generator.normal(size=150))) for name, level in levels.items()}
    [letters] = significance_groups(systems, mean, [True], draws=999)
    assert letters == {"weak": "b", "best": "a", "nearly": "a", "silent": ""}
    [letters] = significance_groups(systems, mean, [False], draws=999)
    assert letters == {"weak": "a", "best": "b", "nearly": "b", "silent": ""}
    assert significance_groups(systems, mean, [None], draws=99) == [dict.fromkeys(systems, "")]
    assert significance_groups({"alone": systems["weak"]}, mean, [True]) == [{"alone": ""}]


def test_ten_thousand_permutations_are_a_few_matrix_products() -> None:
    """The finaliser sees hundreds of exchanges at once, and so 10,000 of 5,000 examples take a fraction of a second."""
    calls: list[int] = []

    def counted(sums: Floats) -> Floats:
        calls.append(sums.size)
        return mean_of_ten(sums)

    pair = np.random.default_rng(18).random((2, 5000, 10)) + 0.1
    p = permutation_test(pair, counted, PAIR)
    assert (p > 0.0001).all()
    assert sum(calls) == 10 * (2 + 2 * 10_000)
    assert len(calls) < 30


def mean_of_ten(sums: Floats) -> Floats:
    return sums[..., :9] / sums[..., 9:]
