"""Metrics against scikit-learn and mir_eval: on ties, rare labels, absent classes and bootstrap replicates."""

import inspect

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resampling import drawn
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, r2_score, roc_auc_score

from probes.intervals import leave_out
from tasks import DatasetError
from tasks.metrics import (
    METRICS,
    accuracy,
    average_precision,
    average_precision_clipwise,
    key_weighted,
    key_weighted_mirex,
    macro,
    macro_f1,
    r2,
    roc_auc,
    roc_auc_clipwise,
)
from tasks.metrics.key import KEYS, key_weights

PAIRS = [(roc_auc, roc_auc_score), (average_precision, average_precision_score)]
CLIP_WISE = [(roc_auc_clipwise, roc_auc_score), (average_precision_clipwise, average_precision_score)]


def problem(seed, n, labels, decimals):
    rng = np.random.default_rng(seed)
    y = rng.random((n, labels)) < rng.uniform(0.1, 0.6, labels)
    y[0], y[1] = True, False
    return y, np.round(rng.normal(size=(n, labels)) + y, decimals).astype(np.float32)


def classes(seed, n, outputs):
    rng = np.random.default_rng(seed)
    return rng.integers(0, outputs, (n, 1)), rng.dirichlet(np.ones(outputs), n).astype(np.float32)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), decimals=st.sampled_from([0, 1, 6]))
def test_tag_wise_agrees_with_scikit_learn(ours, theirs, seed, n, decimals):
    y, scores = problem(seed, n, 4, decimals)
    np.testing.assert_allclose(ours(y, scores), [theirs(y[:, i], scores[:, i]) for i in range(4)], atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), CLIP_WISE)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 30), decimals=st.sampled_from([0, 1, 6]))
def test_clip_wise_is_the_mean_over_clips_with_some_and_not_all_tags(ours, theirs, seed, n, decimals):
    y, scores = problem(seed, n, 6, decimals)
    y[2], y[2, 3] = False, True
    rows = [i for i in range(n) if 0 < y[i].sum() < 6]
    expected = np.mean([theirs(y[i], scores[i]) for i in rows])
    np.testing.assert_allclose(ours(y, scores), [expected], atol=1e-12)
    assert np.flatnonzero(ours.clips(y)).tolist() == rows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), outputs=st.integers(2, 7))
def test_classification_agrees_with_scikit_learn(seed, n, outputs):
    y, probabilities = classes(seed, n, outputs)
    guess = probabilities.argmax(axis=1)
    assert accuracy(y, probabilities)[0] == pytest.approx(accuracy_score(y[:, 0], guess), abs=1e-12)
    by_class = macro_f1(y, probabilities)
    assert macro(by_class) == pytest.approx(f1_score(y[:, 0], guess, average="macro", zero_division=0.0), abs=1e-12)
    theirs = f1_score(y[:, 0], guess, average=None, labels=range(outputs), zero_division=np.nan)
    np.testing.assert_allclose(by_class, theirs, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), shift=st.sampled_from([0.0, 5.0, 1e4]))
def test_r2_agrees_with_scikit_learn(seed, n, shift):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 2)) + shift
    estimates = (y + rng.normal(size=(n, 2))).astype(np.float32)
    np.testing.assert_allclose(r2(y, estimates), r2_score(y, estimates, multioutput="raw_values"), rtol=1e-9)
    assert macro(r2(y, estimates)) == pytest.approx(r2_score(y, estimates), rel=1e-9)


def test_r2_does_not_depend_on_scale_and_origin():
    rng = np.random.default_rng(3)
    y, estimates = rng.uniform(1, 9, (40, 2)), rng.uniform(1, 9, (40, 2))
    mean, deviation = y[:20].mean(axis=0), y[:20].std(axis=0)
    np.testing.assert_allclose(r2((y - mean) / deviation, (estimates - mean) / deviation), r2(y, estimates), rtol=1e-12)


def test_r2_of_a_target_that_does_not_vary_is_undefined():
    y = np.array([[5.1, 1.0], [5.1, 2.0], [5.1, 3.0]])
    assert np.isnan(r2(y, y + 1)).tolist() == [True, False]
    assert r2(1e-9 * y, 1e-9 * y)[1] == 1.0
    assert r2(1e7 + y, 1e7 + y)[1] == 1.0
    counts = np.array([[1, 3], [1, 0], [1, 0]], dtype=np.float32)
    assert np.isnan(r2(y, y + 1, counts)[:, 1]).tolist() == [False, True]


def mir_eval_score(true, estimated, descending_fifths):
    options = inspect.signature(mir_eval.key.weighted_score).parameters
    if "allow_descending_fifths" in options:
        return mir_eval.key.weighted_score(true, estimated, allow_descending_fifths=descending_fifths)
    if descending_fifths and mir_eval.key.weighted_score(estimated, true) == 0.5:
        return 0.5  # a fifth below is where the true key is a fifth above
    return mir_eval.key.weighted_score(true, estimated)


@pytest.mark.parametrize(("metric", "descending"), [(key_weighted, False), (key_weighted_mirex, True)])
def test_every_pair_of_keys_scores_as_in_mir_eval(metric, descending):
    expected = np.array([[mir_eval_score(true, guess, descending) for guess in KEYS] for true in KEYS])
    np.testing.assert_array_equal(key_weights(descending), expected)
    true, guess = (index.ravel() for index in np.meshgrid(range(24), range(24), indexing="ij"))
    assert metric(true[:, None], np.eye(24)[guess])[0] == pytest.approx(expected.mean(), abs=1e-12)
    one = metric(true[:1, None] + 7, np.eye(24)[guess[:1]])
    assert one[0] == (0.5 if descending else 0.0)  # G major, answered with C major


def test_uniform_guesses_of_keys_score_as_known():
    assert key_weights(False).mean() == pytest.approx(2 / 24)
    assert key_weights(True).mean() == pytest.approx(2.5 / 24)


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("seed", [1, 2])
def test_counts_stand_for_repeated_clips(name, seed):
    """On every replicate, each metric gives what it gives for the clips written out as often as they were drawn."""
    metric = METRICS[name]
    rng = np.random.default_rng(seed)
    if metric.kind == "multilabel":
        y, predictions = problem(seed, 60, 5, 1)
    elif metric.kind == "multiclass":
        y, predictions = classes(seed, 60, 24)
    else:
        y = rng.normal(4, 2, (60, 2))
        predictions = y + rng.normal(size=y.shape)
    counts = drawn(np.arange(60) // 2, 25, seed)
    found = metric(y, predictions, counts)
    assert found.shape == (25, len(metric(y, predictions)))
    for replicate in range(25):
        rows = np.repeat(np.arange(60), counts[:, replicate].astype(int))
        np.testing.assert_allclose(found[replicate], metric(y[rows], predictions[rows]), atol=1e-10)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_replicates_agree_with_scikit_learn(ours, theirs):
    y, scores = problem(1, 80, 3, 1)
    counts = drawn(np.arange(80), 20, 0)
    found = ours(y, scores, counts)
    for replicate in range(20):
        rows = np.repeat(np.arange(80), counts[:, replicate].astype(int))
        expected = [theirs(y[rows, i], scores[rows, i]) for i in range(3)]
        np.testing.assert_allclose(found[replicate], expected, atol=1e-12)


@pytest.mark.parametrize("metric", [roc_auc, average_precision, roc_auc_clipwise, average_precision_clipwise])
def test_standard_errors_of_mtt_size(metric):
    y, scores = problem(0, 5_329, 50, 6)
    parts = leave_out(np.arange(5_329))
    values = np.concatenate([macro(metric(y, scores, counts)) for counts in parts.kept()])
    assert len(values) == 250
    error = np.sqrt((parts.deviations(values, float(macro(metric(y, scores)))) ** 2).sum())
    assert 0.0003 < error < 0.003


def test_labels_without_both_kinds_of_clips_are_undefined():
    y = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.1, 0.9], [0.5, 0.3, 0.1]])
    assert np.isnan(roc_auc(y, scores)).tolist() == [True, True, False]
    assert np.isnan(average_precision(y, scores)).tolist() == [True, True, False]
    assert roc_auc(y, scores)[2] == average_precision(y, scores)[2] == 0.5
    assert macro(np.array([np.nan, 0.25, 0.75])) == 0.5
    assert np.isnan(macro(np.array([[np.nan, np.nan], [1.0, 1.0]]))).tolist() == [True, False]


def test_a_class_that_is_neither_there_nor_predicted_is_undefined_and_a_predicted_one_scores_0():
    y = np.array([[0], [0], [1]])
    probabilities = np.eye(4)[[0, 2, 1]]
    np.testing.assert_allclose(macro_f1(y, probabilities), [2 / 3, 1.0, 0.0, np.nan])
    assert macro(macro_f1(y, probabilities)) == pytest.approx(f1_score(y[:, 0], [0, 2, 1], average="macro"))


def test_the_best_constant_is_the_best():
    rng = np.random.default_rng(5)
    y = rng.choice(24, (300, 1), p=rng.dirichlet(np.ones(24)))
    for metric in (accuracy, macro_f1, key_weighted, key_weighted_mirex):
        scores = [macro(metric(y, np.broadcast_to(row, (300, 24)))) for row in np.eye(24)]
        assert metric.constant(y, 24).tolist() == np.eye(24)[int(np.argmax(scores))].tolist()
    targets = rng.normal(3, 1, (50, 2))
    np.testing.assert_allclose(r2.constant(targets, 2), targets.mean(axis=0))
    assert macro(r2(targets, np.broadcast_to(r2.constant(targets, 2), (50, 2)))) == pytest.approx(0, abs=1e-12)


def test_no_constant_order_of_tags_ranks_better_within_clips():
    """Against all orders of five tags; for average precision the constant is near the best, not always it."""
    from itertools import permutations

    for seed in range(5):
        y, _ = problem(seed, 40, 5, 1)
        orders = [np.broadcast_to(np.array(order, dtype=float), y.shape) for order in permutations(range(5))]
        for metric, slack in ((roc_auc_clipwise, 1e-12), (average_precision_clipwise, 0.01)):
            best = max(metric(y, order)[0] for order in orders)
            found = metric(y, np.broadcast_to(metric.constant(y, 5), y.shape))[0]
            assert best - slack <= found <= best + 1e-12


def test_constants_rank_no_clip_above_another():
    y, _ = problem(0, 200, 4, 1)
    constant = np.broadcast_to(roc_auc.constant(y, 4), y.shape)
    assert roc_auc(y, constant).tolist() == [0.5] * 4
    np.testing.assert_allclose(average_precision(y, constant), y.mean(axis=0))


def test_every_metric_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title
        assert metric.source
        assert metric.highest == 1.0
        assert metric.parts(("a", "b")) == (("a", "b") if metric.by_label else (name,))


@pytest.mark.parametrize(
    ("metric", "kind", "labels", "message"),
    [
        ("accuracy", "multilabel", ("a",), "metric 'accuracy' is for multiclass tasks, and this task is multilabel"),
        ("roc_auc", "regression", ("a",), "metric 'roc_auc' is for multilabel tasks, and this task is regression"),
        ("r2", "multiclass", ("a",), "metric 'r2' is for regression tasks"),
        ("key_weighted", "multiclass", ("rock", "pop"), "needs the labels 'C major' to 'B minor'"),
        ("key_weighted", "multiclass", tuple(reversed(KEYS)), "needs the labels 'C major' to 'B minor'"),
    ],
)
def test_a_metric_refuses_other_kinds_of_tasks(metric, kind, labels, message):
    with pytest.raises(DatasetError, match=message) as raised:
        METRICS[metric].check(kind, labels)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_shapes_must_agree(name):
    with pytest.raises(ValueError, match=rf"{name}: labels \(3, 2\) and predictions \(3, 3\)"):
        METRICS[name](np.zeros((3, 2)), np.zeros((3, 3)))
