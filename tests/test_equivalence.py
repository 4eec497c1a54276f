"""Two one-sided tests against a margin, beside statsmodels, and the three answers."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from analysis import fit_model, standardise
from analysis.commands import analyze
from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions
from analysis.statistics.contrasts import pairwise_contrasts
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
    told = [
        (0.01, 0.05, 30, 0.8, True),
        (0.5, 0.1, 30, 0.001, True),
        (0.1, 0.1, 30, 0.3, True),
        (0.5, 0.1, 30, 0.001, False),
    ]
    keys = ("estimate", "se", "df", "p_holm", "covers_training")
    contrasts = [dict(zip(keys, values, strict=True)) for values in told]
    draws = np.random.default_rng(0).normal(
        [one["estimate"] for one in contrasts], [one["se"] for one in contrasts], (999, 4)
    )
    add_equivalence(contrasts, 0.2, draws)
    assert [one["equivalence"]["answer"] for one in contrasts] == ["equivalent", "better", "cannot tell", "cannot tell"]
    # Holm's: the smallest of four p values counts four times.
    first = contrasts[0]["equivalence"]
    assert first["p_holm"] == pytest.approx(4 * first["p"])
    assert first["bootstrap_p"] == pytest.approx(first["p"], abs=0.002)
    add_equivalence(contrasts, 0.2)
    assert contrasts[0]["equivalence"]["bootstrap_p"] is None


def two_apart(difference, rng):
    """Four encoders on seven tasks, of which the first two are so far apart; in the metric's unit."""
    truth = [0.5, 0.5 + difference, 0.4, 0.7]
    rows = [
        (f"e{e}", f"t{d}", s, truth[e] + 0.1 * d + deviation + 0.02 * rng.standard_normal())
        for e in range(4)
        for d in range(7)
        for deviation in [0.02 * rng.standard_normal()]
        for s in range(2)
    ]
    return pd.DataFrame(rows, columns=["encoder", "task", "repeat", "score"])


def test_a_model_calls_levels_equivalent_as_it_promises():
    """Levels a margin apart in at most 5 % of studies, equal levels in most."""
    rng = np.random.default_rng(0)
    shares = []
    for difference in (0.06, 0.0):
        found = []
        for _ in range(120):
            scores = standardise(two_apart(difference, rng), "score", "task", natural=True)
            contrasts = pairwise_contrasts(fit_model(scores, "factor", factor="encoder"), margin=0.06)
            (own,) = (one for one in contrasts if {one["a"], one["b"]} == {"e0", "e1"})
            found.append(own["equivalence"]["p"] < 0.05)
        shares.append(np.mean(found))
    assert shares[0] <= 0.1
    assert shares[1] >= 0.7


def test_an_analysis_gives_three_answers():
    table = two_apart(0.0, np.random.default_rng(1))
    options = {"natural": True, "bootstrap": 200}
    found = analyze(table, AnalysisOptions(margin=0.06, **options))
    answers = {(one["a"], one["b"]): one["equivalence"]["answer"] for one in found["contrasts"]}
    assert answers.pop(("e1", "e0")) == "equivalent"
    assert set(answers.values()) == {"better"}
    text = "\n".join(one["text"] for one in found["summary"])
    assert re.search(r"e[01] is equivalent to e[01] \(p [=<] [\d.]+\) within 0\.06\.", text)
    assert all(one["equivalence"]["margin"] == 0.06 for one in found["contrasts"])
    # As far apart as the default, no two equals can be shown to be nearer: nothing is said that is not known.
    found = analyze(table, AnalysisOptions(**options))
    (own,) = (one for one in found["contrasts"] if (one["a"], one["b"]) == ("e1", "e0"))
    scales = found["standardisation"].values()
    assert own["equivalence"]["margin"] == pytest.approx(0.2 * np.mean([scale["sd"] for scale in scales]))
    assert own["equivalence"]["p"] == pytest.approx(own["equivalence"]["bootstrap_p"], abs=0.1)
    with pytest.raises(AnalysisError, match="margin of equivalence is 0;"):
        analyze(table, AnalysisOptions(margin=0.0))
