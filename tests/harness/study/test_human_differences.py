"""Sign test, signed ranks and permutations held to scipy, statsmodels and brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.descriptivestats import sign_test as oracle_sign

from harness.study.analysis.human_tests import permutation_p, sign_test, tidy, wilcoxon


def differences(rng: np.random.Generator, n: int, k: int = 5) -> np.ndarray:
    """Differences of means of k ratings: many ties and zeros."""
    return np.round(rng.normal(0.2, 1.0, n) * k) / k


@pytest.mark.parametrize("n", [1, 2, 7, 40, 500])
def test_sign_test_equals_statsmodels(n: int) -> None:
    apart = differences(np.random.default_rng(n), n)
    found = sign_test(apart)
    assert (found.better, found.ties, found.worse) == ((apart > 0).sum(), (apart == 0).sum(), (apart < 0).sum())
    if found.better + found.worse:
        assert found.p == pytest.approx(oracle_sign(apart)[1], abs=1e-12)


def test_nothing_but_ties_is_no_evidence() -> None:
    assert sign_test(np.zeros(5)).p == 1.0
    assert wilcoxon(np.zeros(5)).p == 1.0


@pytest.mark.parametrize("n", [61, 200, 1200])
def test_wilcoxon_equals_scipy_with_ties_and_zeros(n: int) -> None:
    apart = differences(np.random.default_rng(n), n)
    oracle = stats.wilcoxon(apart, zero_method="pratt", correction=False, method="asymptotic")
    found = wilcoxon(apart)
    assert not found.exact
    assert found.statistic == oracle.statistic
    assert found.p == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [3, 10, 50])
def test_exact_wilcoxon_equals_scipy_without_ties(n: int) -> None:
    apart = np.random.default_rng(n).normal(0.3, 1, n)
    oracle = stats.wilcoxon(apart, method="exact")
    assert wilcoxon(apart).exact
    assert wilcoxon(apart).p == pytest.approx(oracle.pvalue, abs=1e-12)


def test_exact_wilcoxon_with_ties_and_zeros_is_all_the_signs() -> None:
    apart = np.array([0.0, 0.0, 0.4, 0.4, -0.2, 0.8, 1.0, -0.4, 0.2, 0.6])
    ranks = stats.rankdata(np.abs(apart))[apart != 0]
    sums = [(np.array(signs) * ranks).sum() for signs in product((0, 1), repeat=len(ranks))]
    found = wilcoxon(apart)
    tail = np.mean(np.array(sums) <= found.statistic)
    assert found.p == pytest.approx(min(1.0, 2 * tail), abs=1e-12)


def test_rounding_errors_do_not_break_ties() -> None:
    """Means of thirds differ in the last digit where they are equal on paper."""
    one, other = np.array([(1 + 2 + 5) / 3, 0.1 + 0.2, 1 / 3]), np.array([8 / 3, 0.3, 1 - 2 / 3])
    assert (tidy(one - other) == 0).all()
    assert sign_test(one - other).ties == 3
    apart = np.array([0.1 + 0.2, 0.3, -0.3, 0.6, 0.9, 1.2])
    exact = np.array([3, 3, -3, 6, 9, 12]) / 10
    assert wilcoxon(apart) == wilcoxon(exact)


def test_permutation_equals_all_exchanges() -> None:
    rng = np.random.default_rng(3)
    means = np.round(rng.normal(3, 1, (2, 9)) * 5) / 5
    apart = means[1] - means[0]
    sums = np.array([abs((np.array(signs) * apart).mean()) for signs in product((1, -1), repeat=9)])
    exact = np.mean(sums >= abs(apart.mean()) - 1e-12)
    assert permutation_p(means, [(0, 1)]).tolist() == pytest.approx([exact], abs=1e-12)
    oracle = stats.permutation_test((apart,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert exact == pytest.approx(oracle.pvalue, abs=1e-12)
