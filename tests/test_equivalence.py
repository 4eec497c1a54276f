"""Two one-sided tests against a margin, beside statsmodels, and the three answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from analysis.errors import AnalysisError
from analysis.statistics.equivalence import (
    add_equivalence,
    answer,
    equivalence,
    equivalence_of_alike,
    equivalence_of_draws,
)


@given(seed=st.integers(0, 1000), n=st.integers(3, 60), shift=st.floats(-1, 1), margin=st.floats(0.05, 2))
def test_it_is_the_paired_test_of_statsmodels(seed, n, shift, margin):
    first, second = np.random.default_rng(seed).normal(size=(2, n))
    first += shift
    own = first - second
    found = equivalence(own.mean(), own.std(ddof=1) / np.sqrt(n), n - 1, margin)
    p, *_ = ttost_paired(first, second, -margin, margin)
    assert found.p == pytest.approx(p, abs=1e-12)
    assert (found.p < 0.05) == (-margin < found.lower and found.upper < margin)


def test_bootstrap_values_agree_with_the_normal_distribution():
    draws = np.random.default_rng(0).normal(0.05, 0.1, 20_000)
    exact = equivalence(0.05, 0.1, np.inf, 0.2)
    found = equivalence_of_draws(draws, 0.2)
    assert found.p == pytest.approx(exact.p, abs=0.005)
    assert (found.lower, found.upper) == pytest.approx((exact.lower, exact.upper), abs=0.005)


def test_units_that_are_alike_show_as_much_as_they_are_many():
    """None of 149 clips differs: at 5 % the share that does is below 0.02, of 148 it is not shown."""
    assert equivalence_of_alike(0.0, 149, 1.0, 0.02).p < 0.05 < equivalence_of_alike(0.0, 148, 1.0, 0.02).p
    assert equivalence_of_alike(0.5, 1000, 1.0, 0.02).p == 1.0
    found = equivalence_of_alike(0.0, 149, 1.0, 0.02)
    assert found.upper < 0.02


def test_what_is_not_known_shows_nothing():
    assert equivalence(0.0, float("nan"), 5, 0.2).p == 1.0
    with pytest.raises(AnalysisError, match="margin of equivalence is -1"):
        equivalence(0.0, 1.0, 5, -1)
    with pytest.raises(ValueError, match="equivalence_of_alike"):
        equivalence(0.0, 0.0, 5, 0.2)


def test_equal_means_are_called_equivalent_as_often_as_planned_and_means_a_margin_apart_rarely():
    rng = np.random.default_rng(1)
    for truth, least, most in ((0.3, 0.03, 0.07), (0.0, 0.8, 1.0)):
        values = rng.normal(truth, 1, (600, 120))
        errors = values.std(axis=1, ddof=1) / np.sqrt(120)
        share = np.mean(
            [equivalence(m, e, 119, 0.3).p < 0.05 for m, e in zip(values.mean(axis=1), errors, strict=True)]
        )
        assert least <= share <= most


def test_three_answers():
    assert [answer(*p) for p in ((0.01, 0.5), (0.01, 0.01), (0.2, 0.01), (0.2, 0.2))] == [
        "better",
        "better",
        "equivalent",
        "cannot tell",
    ]
    contrasts = [
        {"estimate": 0.01, "se": 9.0, "df": 1, "p_holm": 0.9, "careful": {"se": 0.05, "df": 30, "p_holm": 0.8}},
        {"estimate": 0.5, "se": 0.1, "df": 30, "p_holm": 0.001},
        {"estimate": 0.1, "se": 0.1, "df": 30, "p_holm": 0.3},
    ]
    add_equivalence(contrasts, 0.2)
    assert [one["equivalence"]["answer"] for one in contrasts] == ["equivalent", "better", "cannot tell"]
    # Holm's: the smallest of three p values counts three times.
    first = contrasts[0]["equivalence"]
    assert first["p_holm"] == pytest.approx(3 * first["p"])
