"""From windows to examples and back, and metrics of many probes at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from probes.validation import stacked_metric
from probes.windows import Windows, clip_means, make_examples, per_window, take_clips
from tasks.metrics import METRICS, macro


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), data=st.data())
def test_windows_find_their_clips(sizes, data):
    first = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.arange(first[-1] * 2, dtype=np.float32).reshape(-1, 2)
    chosen = np.array(data.draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1)))
    taken, starts = take_clips(rows, first, chosen)
    means = clip_means(taken, starts)
    for k, clip in enumerate(chosen):
        own = rows[first[clip] : first[clip + 1]]
        assert np.array_equal(taken[starts[k] : starts[k + 1]], own)
        np.testing.assert_allclose(means[k], own.mean(axis=0), rtol=1e-6)
    assert per_window(chosen[:, None], starts)[:, 0].tolist() == [c for c in chosen for _ in range(sizes[c])]


def test_a_clip_without_windows_is_an_error():
    with pytest.raises(ValueError, match="at least one window"):
        clip_means(np.zeros((2, 3), np.float32), np.array([0, 2, 2]))


def windows(sizes, hop, dim=2, seed=0, durations=None):
    first = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.random.default_rng(seed).normal(size=(first[-1], dim)).astype(np.float32)
    seconds = np.concatenate([np.arange(size) * hop for size in sizes])
    return Windows(rows, first, seconds, hop * np.array(sizes) if durations is None else np.array(durations))


def test_examples_by_hand():
    one = windows([3, 2], 2.0)
    rows = one.rows.astype(np.float64)
    features, first = make_examples([one], "clip_mean_std", None, 0)
    assert first.tolist() == [0, 1, 2]
    np.testing.assert_allclose(features[0], np.concatenate([rows[:3].mean(0), rows[:3].std(0)]), rtol=1e-5)
    features, first = make_examples([one], "random_window", None, 4)
    assert first.tolist() == [0, 1, 2]
    assert any(np.array_equal(features[0], row) for row in one.rows[:3])
    assert any(np.array_equal(features[1], row) for row in one.rows[3:])
    drawn = [make_examples([one], "random_window", None, seed)[0].tobytes() for seed in range(20)]
    assert len(set(drawn)) > 1
    assert drawn[4] == features.tobytes()


def test_segments_are_means_and_a_short_tail_is_dropped():
    # Windows every 3 s: 10 to a segment of 30 s; 70 s leave a tail of 4 windows, 20 s a single short segment.
    one = windows([24, 7], 3.0)
    features, first = make_examples([one], "segments", 30.0, 0)
    assert first.tolist() == [0, 2, 3]
    for example, rows in zip(features, (slice(0, 10), slice(10, 20), slice(24, 31)), strict=True):
        np.testing.assert_allclose(example, one.rows[rows].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("duration", "starts"), [(119.9, [0, 30, 60]), (120.0, [0, 30, 60, 90]), (120.03, [0, 30, 60, 90]), (31.0, [0])]
)
def test_segments_of_a_clip_are_as_many_as_its_audio_fills(duration, starts):
    """Windows of 59,049 samples at 22,050 Hz: of 120 s the last segment holds two fewer than the first."""
    hop = 59_049 / 22_050
    one = windows([int(duration / hop)], hop, durations=[duration])
    features, first = make_examples([one], "segments", 30.0, 0)
    assert first.tolist() == [0, len(starts)]
    for example, start in zip(features, starts, strict=True):
        own = (one.seconds >= start) & (one.seconds < start + 30)
        np.testing.assert_allclose(example, one.rows[own].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("sizes", "hop"), [([2, 2], 60.0), ([1], 120.0), ([3], 40.01)])
def test_windows_longer_than_a_segment_are_refused(sizes, hop):
    with pytest.raises(ValueError, match="segments of 30 s, and the encoder takes"):
        make_examples([windows(sizes, hop)], "segments", 30.0, 0)


def test_encoders_stand_side_by_side():
    one, two, other = windows([3, 2], 2.0), windows([3, 2], 2.0, dim=3, seed=1), windows([4, 2], 2.0)
    both = make_examples([one, two], "windows", None, 0)[0]
    assert np.array_equal(both, np.hstack([one.rows, two.rows]))
    assert make_examples([one, other], "clip_mean", None, 0)[0].shape == (2, 4)
    with pytest.raises(ValueError, match="start at the same times"):
        make_examples([one, other], "windows", None, 0)


@given(seed=st.integers(0, 1000), ties=st.booleans())
def test_metrics_of_many_probes_are_scikit_learns(seed, ties):
    rng = np.random.default_rng(seed)
    labels = (rng.random((40, 4)) < 0.3).astype(np.uint8)
    labels[:2] = [[0] * 4, [1] * 4]
    scores = rng.normal(size=(3, 40, 4)).astype(np.float32)
    if ties:
        scores = np.round(scores)
    for name, reference in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        found = stacked_metric(name, None, labels, scores)
        np.testing.assert_allclose(found, [reference(labels, own, average="macro") for own in scores], atol=1e-12)


def test_metrics_of_many_probes_are_the_tasks_own():
    rng = np.random.default_rng(0)
    cases = {
        "roc_auc": ((rng.random((50, 3)) < 0.3).astype(np.uint8), rng.random((2, 50, 3))),
        "accuracy": (rng.integers(0, 3, (50, 1)), rng.random((2, 50, 3))),
        "r2": (rng.normal(size=(50, 2)), rng.normal(size=(2, 50, 2))),
        "macro_f1": (rng.integers(0, 3, (50, 1)), rng.random((2, 50, 3))),
    }
    for name, (labels, predictions) in cases.items():
        predictions = predictions.astype(np.float32)

        def own(truth, guess, name=name):
            return float(macro(METRICS[name](truth, guess)))

        expected = [own(labels, one) for one in predictions]
        np.testing.assert_allclose(stacked_metric(name, own, labels, predictions), expected, rtol=1e-5)


def test_labels_that_validation_cannot_score_are_left_out():
    labels = np.array([[0, 0], [1, 0], [0, 0]], dtype=np.uint8)
    scores = np.array([[[0.1, 0.5], [0.9, 0.4], [0.2, 0.3]]], dtype=np.float32)
    assert stacked_metric("roc_auc", None, labels, scores).tolist() == [1.0]
    with pytest.raises(ValueError, match="not one label"):
        stacked_metric("roc_auc", None, labels[:, 1:], scores[:, :, 1:])


def test_targets_that_do_not_vary_in_validation_are_left_out():
    rng = np.random.default_rng(0)
    # Rounding leaves a little of the variance of the second target.
    truth = np.stack([rng.normal(size=9), np.full(9, 0.1)], axis=1)
    guesses = rng.normal(size=(2, 9, 2)).astype(np.float32)
    expected = [r2_score(truth[:, 0], guess[:, 0]) for guess in guesses]
    np.testing.assert_allclose(stacked_metric("r2", None, truth, guesses), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="not one target has two different values"):
        stacked_metric("r2", None, truth[:, 1:], guesses[:, :, 1:])
    with pytest.raises(ValueError, match="the validation clips cannot score r2.valence"):
        stacked_metric("r2.valence", lambda *_: float("nan"), truth, guesses)


def test_predictions_that_are_no_numbers_have_no_score():
    rng = np.random.default_rng(0)
    labels = (np.arange(40).reshape(10, 4) % 3 == 0).astype(np.uint8)
    predictions = rng.random((2, 10, 4)).astype(np.float32)
    predictions[1, 3, 2] = np.nan
    for name in ("roc_auc", "average_precision", "r2"):
        found = stacked_metric(name, None, labels, predictions)
        assert np.isnan(found).tolist() == [False, True]
