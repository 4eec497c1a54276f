"""Metrics and intervals against scikit-learn, on ties, rare labels and bootstrap replicates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from probes.bootstrap import percentile_interval, replicate_counts
from tasks.metrics import average_precision, macro, roc_auc, scorable

PAIRS = [(roc_auc, roc_auc_score), (average_precision, average_precision_score)]


def problem(seed, n, labels, decimals):
    rng = np.random.default_rng(seed)
    y = rng.random((n, labels)) < rng.uniform(0.1, 0.6, labels)
    y[0], y[1] = True, False
    return y, np.round(rng.normal(size=(n, labels)) + y, decimals).astype(np.float32)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), decimals=st.sampled_from([0, 1, 6]))
def test_agrees_with_scikit_learn(ours, theirs, seed, n, decimals):
    y, scores = problem(seed, n, 4, decimals)
    np.testing.assert_allclose(ours(y, scores), [theirs(y[:, i], scores[:, i]) for i in range(4)], atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("decimals", [0, 6])
def test_counts_stand_for_repeated_clips(ours, theirs, decimals):
    y, scores = problem(1, 80, 3, decimals)
    counts = next(replicate_counts(np.arange(80), 20, 0))
    found = ours(y, scores, counts)
    assert found.shape == (20, 3)
    for replicate in range(20):
        rows = np.repeat(np.arange(80), counts[:, replicate].astype(int))
        expected = [theirs(y[rows, i], scores[rows, i]) for i in range(3)]
        np.testing.assert_allclose(found[replicate], expected, atol=1e-12)


def test_mtt_sized_bootstrap_takes_seconds():
    import time

    y, scores = problem(0, 5_329, 50, 6)
    began = time.perf_counter()
    values = np.concatenate([macro(roc_auc(y, scores, c)) for c in replicate_counts(np.arange(5_329), 1000, 0)])
    assert time.perf_counter() - began < 20
    assert len(values) == 1000
    assert values.std() == pytest.approx(0.001, abs=0.0006)


def test_labels_without_both_kinds_of_clips_are_named_not_averaged_in():
    y = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.1, 0.9], [0.5, 0.3, 0.1]])
    assert scorable(y).tolist() == [False, False, True]
    found = roc_auc(y, scores)
    assert np.isnan(found[:2]).all()
    assert found[2] == 0.5
    assert np.isnan(average_precision(y, scores)[1])
    assert macro(np.array([np.nan, 0.25, 0.75])) == 0.5
    assert np.isnan(macro(np.array([[np.nan, np.nan], [1.0, 1.0]]))).tolist() == [True, False]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        roc_auc(np.zeros((3, 2)), np.zeros((3, 3)))


def test_groups_are_drawn_together():
    groups = np.array(["a", "a", "b", "b", "b", "c"])
    counts = np.concatenate(list(replicate_counts(groups, 500, 3)), axis=1)
    assert (counts[0] == counts[1]).all()
    assert (counts[2] == counts[4]).all()
    assert (counts[[0, 2, 5]].sum(axis=0) == 3).all()
    assert counts[5].mean() == pytest.approx(1.0, abs=0.1)


def test_replicates_are_the_same_for_every_encoder():
    first = np.concatenate(list(replicate_counts(np.arange(3_000), 1_000, 5)), axis=1)
    again = np.concatenate(list(replicate_counts(np.arange(3_000), 1_000, 5)), axis=1)
    assert first.shape == (3_000, 1_000)
    assert (first == again).all()


def test_percentile_interval():
    interval = percentile_interval(np.arange(1001) / 1000)
    assert (interval.lower, interval.upper) == pytest.approx((0.025, 0.975))


def test_interval_covers_the_truth():
    """Of 300 simulated test sets, about 95 % of intervals hold the known area under the curve."""
    rng = np.random.default_rng(0)
    truth = 0.76025  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    covered = 0
    for trial in range(300):
        y = rng.random((300, 1)) < 0.3
        scores = rng.normal(size=(300, 1)) + y
        values = np.concatenate([roc_auc(y, scores, c)[:, 0] for c in replicate_counts(np.arange(300), 400, trial)])
        interval = percentile_interval(values)
        covered += interval.lower <= truth <= interval.upper
    assert 0.915 <= covered / 300 <= 0.98
