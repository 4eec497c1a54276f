"""Intervals by leaving out: against formulas and other libraries, at the ends of a range, and with groups and users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from benchmark.scores.scoring import score
from probes.intervals import MOST, bounded_interval, leave_out, open_interval
from tasks.base import Task
from tasks.targets import Classes, Tags, Values


def accuracy(right, groups=None):
    """Score of clips that are right or wrong."""
    n = len(right)
    labels = np.concatenate([[0, 1], np.zeros(n, int)])[:, None]
    groups = np.arange(n) if groups is None else groups
    task = Task(
        tuple(map(str, range(n + 2))),
        np.array(["train"] * 2 + ["test"] * n),
        Classes(("a", "b"), labels),
        np.array(["x", "y", *map(str, groups)]),
    )
    return score(task, np.eye(2, dtype=np.float32)[1 - right.astype(int)], ["accuracy"])[0]["accuracy"]


@given(hits=st.integers(0, 200), n=st.integers(1, 200))
@settings(max_examples=60)
def test_of_single_clips_it_is_wilsons_with_a_quantile_of_t(hits, n):
    found = accuracy(np.arange(n) < min(hits, n))
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert found.lower < found.upper
    if n == 1:
        assert (found.lower, found.upper) == (0, 1)
        return
    # Nearly: the variance is that of a sample, with n - 1, and t is wider than the normal distribution.
    lower, upper = proportion_confint(min(hits, n), n, method="wilson")
    assert found.lower <= lower + 1e-9 and upper - 1e-9 <= found.upper
    if n >= 60:
        assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=0.005)


def test_all_right_has_a_width():
    found = accuracy(np.ones(60, bool))
    assert found.lower == pytest.approx(proportion_confint(60, 60, method="beta")[0], abs=0.003)
    assert (found.upper, found.standard_error, found.units, found.rough) == (1.0, 0.0, 60, "")
    # Sixty clips of six artists say what six clips say.
    grouped = accuracy(np.ones(60, bool), np.arange(60) // 10)
    assert grouped.lower == pytest.approx(accuracy(np.ones(6, bool)).lower)
    assert grouped.rough == "6 groups, where 12 are needed"
    assert accuracy(np.ones(59, bool)).rough == "59 clips, where 60 are needed"
    one = accuracy(np.ones(5, bool), np.zeros(5, int))
    assert (one.lower, one.upper, one.standard_error) == (0, 1, None)


def test_a_perfect_ranking_is_as_sure_as_its_rarer_clips_are_many():
    widths = []
    for positives in (4, 100):
        labels = (np.arange(300) < positives).astype(np.int8)[:, None]
        task = Task(
            tuple(map(str, range(302))),
            np.array(["train"] * 2 + ["test"] * 300),
            Tags(("tag",), np.vstack([[[0], [1]], labels])),
            np.arange(302).astype(str),
        )
        found = score(task, labels.astype(np.float32), ["roc_auc"])[0]["roc_auc"]
        assert found.upper == 1.0
        widths.append(found.upper - found.lower)
    assert widths[0] > 0.4
    assert widths[1] < 0.06


def test_a_single_group_of_values_is_drawn_by_clips():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(130, 1))
    task = Task(
        tuple(map(str, range(130))),
        np.array(["train"] * 2 + ["test"] * 128),
        Values(("a",), labels),
        np.array(["x", "y"] + ["z"] * 128),
    )
    found = score(task, (labels[2:] + rng.normal(size=(128, 1))).astype(np.float32), ["r2"])[0]["r2"]
    assert found.lower < found.value < found.upper < 1
    assert found.units == 128
    assert found.rough == ""


@given(seed=st.integers(0, 1000), count=st.integers(3, 1200))
@settings(max_examples=30)
def test_of_a_mean_it_is_the_standard_error(seed, count):
    """Exactly where each unit is left out alone; on average where many are left out together."""
    values = np.random.default_rng(seed).normal(size=count)
    parts = leave_out(np.arange(count))
    kept = np.concatenate(list(parts.kept()), axis=1)
    assert (kept == 0).sum(axis=1).tolist() == [1] * count
    assert parts.units == count
    replicates = values @ kept / kept.sum(axis=0)
    error = np.sqrt((parts.deviations(replicates, values.mean()) ** 2).sum())
    exact = values.std(ddof=1) / np.sqrt(count)
    assert error == pytest.approx(exact, rel=1e-4 if count < 2 * MOST else 0.3)
    assert parts.bias(replicates[:, None], values.mean(keepdims=True)) == pytest.approx(0, abs=1e-6 + exact / 50)


def test_bias_of_a_variance_is_taken_off():
    """The variance with divisor n is too low by its (n - 1)th part."""
    values = np.random.default_rng(0).normal(size=40)
    parts = leave_out(np.arange(40))
    (kept,) = parts.kept()
    replicates = np.array([values[own > 0].var() for own in kept.T])[:, None]
    corrected = values.var() - parts.bias(replicates, np.array([values.var()]))
    assert corrected == pytest.approx(values.var(ddof=1))


def test_parts_of_a_run_are_those_of_every_run():
    first, again = (leave_out(np.arange(3_000)) for _ in range(2))
    assert (first.part == again.part).all()
    assert first.sizes.tolist() == [12] * MOST
    groups = leave_out(np.array(["a", "a", "b", "b", "b", "c"]))
    assert groups.part.tolist() == [0, 0, 1, 1, 1, 2]
    assert (groups.units, groups.freedom) == (3, 2)


def test_intervals_keep_to_the_range():
    wide = bounded_interval(0.9, 0.5, 3, 0.0, 1.0, 4, 4)
    assert 0 <= wide.lower < wide.upper <= 1
    turned = bounded_interval(-0.8, 0.04, 30, -1.0, 1.0, 31, 31)
    assert -1 < turned.lower < -0.8 < turned.upper < 1
    below = open_interval(0.9, 0.05**2, 1000, 1.0)
    assert below.lower < 0.9 < below.upper < 1
    above = open_interval(0.1, 0.05**2, 1000, 0.0)
    assert (above.lower, above.upper) == pytest.approx((1 - below.upper, 1 - below.lower))
