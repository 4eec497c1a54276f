"""Metrics of distributions, of plays by users and of events, against independent implementations."""

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import rel_entr
from sklearn.metrics import log_loss, ndcg_score

from benchmark.scores.scoring import score
from tasks.base import Task
from tasks.metrics import (
    METRICS,
    beat_f1,
    boundary_f1,
    cross_entropy,
    intersection,
    interval_f1,
    kl_divergence,
    ndcg,
    ndcg_500,
    onset_f1,
    recall,
    recall_100,
)
from tasks.targets import Distributions, Events, Interactions

SEEDS = st.integers(0, 10_000)


def shares(rng, n, classes, sure=False):
    """Distributions, some of them with classes that are impossible."""
    found = rng.dirichlet(np.full(classes, 0.7), n)
    if sure:
        found[: n // 2] = np.eye(classes)[rng.integers(0, classes, n // 2)]
    return found


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 40), classes=st.integers(2, 6))
def test_divergence_and_cross_entropy_agree_with_scipy_and_scikit_learn(seed, n, classes):
    rng = np.random.default_rng(seed)
    true, guess = shares(rng, n, classes, sure=True), shares(rng, n, classes) + 1e-3
    guess /= guess.sum(axis=1, keepdims=True)
    assert kl_divergence(true, guess)[0] == pytest.approx(rel_entr(true, guess).sum(axis=1).mean(), abs=1e-10)
    assert kl_divergence(true, true)[0] == pytest.approx(0, abs=1e-6)
    assert kl_divergence(true, guess)[0] >= 0
    # Of classes that are sure, the cross entropy is the logistic loss.
    sure = np.eye(classes)[np.arange(max(n, classes)) % classes]
    guess = np.resize(guess, sure.shape)
    expected = log_loss(sure.argmax(axis=1), guess / guess.sum(axis=1, keepdims=True), labels=range(classes))
    assert cross_entropy(sure, guess / guess.sum(axis=1, keepdims=True))[0] == pytest.approx(expected, abs=1e-10)
    overlap = 1 - np.abs(true - true[::-1]).sum(axis=1).mean() / 2
    assert intersection(true, true[::-1])[0] == pytest.approx(overlap, abs=1e-12)


def test_what_is_held_impossible_costs_what_the_resolution_of_numbers_says():
    true, guess = np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]], dtype=np.float32)
    eps = np.finfo(np.float32).eps
    assert cross_entropy(true, guess)[0] == pytest.approx(-0.5 * np.log(eps))
    assert kl_divergence(true, guess)[0] == pytest.approx(np.log(0.5) - 0.5 * np.log(eps))
    assert kl_divergence(np.array([[1.0, 0.0]]), guess)[0] == 0
    assert cross_entropy(np.eye(3), np.eye(3)[::-1].astype(np.float32))[0] == pytest.approx(
        log_loss([0, 1, 2], np.eye(3)[::-1].astype(np.float32)), rel=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 12), classes=st.integers(2, 4))
@pytest.mark.parametrize("metric", [kl_divergence, cross_entropy, intersection])
def test_no_constant_distribution_is_better_than_the_floor(metric, seed, n, classes):
    rng = np.random.default_rng(seed)
    train = shares(rng, n, classes, sure=True)
    constant = metric.constant(train, classes)
    assert constant.sum() == pytest.approx(1)
    best = metric.floor(train, train, classes)[0]
    sign = -1 if metric.lower_is_better else 1
    for other in rng.dirichlet(np.full(classes, 0.5), 60):
        assert sign * metric(train, np.broadcast_to(other, train.shape))[0] <= sign * best + 1e-6


def plays(rng, clips, users, share=0.2):
    return csr_array((rng.random((clips, users)) < share) * rng.integers(1, 9, (clips, users)).astype(float))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, clips=st.integers(2, 40), k=st.integers(1, 12), decimals=st.sampled_from([0, 1, 6]))
def test_ndcg_agrees_with_scikit_learn(seed, clips, k, decimals):
    rng = np.random.default_rng(seed)
    played, scores = plays(rng, clips, 6), rng.normal(size=(clips, 6)).round(decimals)
    relevant = played.toarray() > 0
    heard = relevant.any(axis=0)
    if not heard.any():
        assert np.isnan(ndcg(k)(played, scores)[0])
        return
    expected = ndcg_score(relevant.T[heard].astype(float), scores.T[heard], k=k)
    assert ndcg(k)(played, scores)[0] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, clips=st.integers(1, 25), k=st.integers(1, 30))
def test_recall_is_the_share_of_a_users_clips_among_the_best(seed, clips, k):
    rng = np.random.default_rng(seed)
    played, scores = plays(rng, clips, 5, 0.4), rng.permutation(clips * 5).reshape(clips, 5).astype(float)
    values = []
    for user in range(5):
        own = set(np.flatnonzero(played.toarray()[:, user]))
        best = sorted(range(clips), key=lambda clip, user=user: -scores[clip, user])[:k]
        if own:
            values.append(len(own & set(best)) / len(own))
    found = recall(k)(played, scores)[0]
    assert np.isnan(found) if not values else found == pytest.approx(np.mean(values))


def test_a_constant_ranks_as_chance_does():
    """Whatever the order of the table: k of n clips are found of each user."""
    rng = np.random.default_rng(0)
    played = plays(rng, 50, 20)
    assert recall(10).floor(played, played, 20)[0] == pytest.approx(10 / 50)
    order = rng.permutation(50)
    floors = [ndcg(10).floor(played, one, 20)[0] for one in (played, played[order])]
    assert floors[0] == pytest.approx(floors[1], abs=1e-12)
    orders = [ndcg(10)(played, rng.permutation(50)[:, None] + np.zeros((50, 20)))[0] for _ in range(300)]
    assert floors[0] == pytest.approx(np.mean(orders), abs=4 * np.std(orders) / np.sqrt(300))


#: Scores of a user, what they played, and by hand: the first 2 ranks count 1 and 1 / log2(3).
BY_HAND = [
    ([0.9, 0.5, 0.1, 0.0], [0, 1], 1.0, 1.0),
    ([0.9, 0.5, 0.1, 0.0], [1], 1 / np.log2(3), 1.0),
    ([0.9, 0.5, 0.1, 0.0], [0, 2, 3], 1 / (1 + 1 / np.log2(3)), 1 / 3),
    ([0.9, 0.5, 0.1, 0.0], [3], 0.0, 0.0),
    ([0.5, 0.5, 0.1, 0.0], [0], (1 + 1 / np.log2(3)) / 2, 1.0),
]


@pytest.mark.parametrize(("scores", "own", "discounted", "found"), BY_HAND)
def test_rankings_by_hand(scores, own, discounted, found):
    played = csr_array(np.isin(np.arange(4), own)[:, None].astype(float))
    column = np.array(scores)[:, None]
    assert ndcg(2)(played, column)[0] == pytest.approx(discounted, abs=1e-12)
    assert recall(2)(played, column)[0] == pytest.approx(found, abs=1e-12)


def events(rng, clips, points=True, sorts=2, latest=9):
    """Events that do not begin together, so that none of them lies at a tolerance by chance."""
    sizes = rng.integers(0, latest, clips)
    starts = np.concatenate([np.sort(rng.uniform(0.0, 3.0, size)) for size in sizes]) if sizes.sum() else np.zeros(0)
    ends = starts if points else starts + rng.uniform(0.02, 0.8, len(starts))
    return Events("abcdef"[:sorts], np.append(0, np.cumsum(sizes)), starts, ends, rng.integers(0, sorts, len(starts)))


def moved(rng, of, by):
    """The same events, a little off, some of another sort."""
    starts = np.maximum(of.starts + rng.normal(scale=by, size=len(of.starts)), 0)
    ends = np.maximum(of.ends + rng.normal(scale=by, size=len(starts)), starts + 0.01)
    ends = np.where(of.starts == of.ends, starts, ends)
    return Events(of.names, of.first, starts, ends, np.where(rng.random(len(starts)) < 0.1, 0, of.sorts))


def by_sort(labels, estimates, measure):
    """Mean over the clips that have, or are said to have, events of a sort; of each sort."""
    found = []
    for sort in range(len(labels.names)):
        values = []
        for clip in range(len(labels)):
            own, guess = (part(one, clip, sort) for one in (labels, estimates))
            if len(own) or len(guess):
                values.append(measure(own, guess) if len(own) and len(guess) else 0.0)
        found.append(np.mean(values) if values else np.nan)
    return found


def part(of, clip, sort=None):
    rows = np.arange(of.first[clip], of.first[clip + 1])
    rows = rows if sort is None else rows[of.sorts[rows] == sort]
    rows = rows[np.argsort(of.starts[rows])]
    return np.stack([of.starts[rows], of.ends[rows]], axis=1)


def points_by_mir_eval(window, f_measure):
    return lambda own, guess: f_measure(np.sort(own[:, 0]), np.sort(guess[:, 0]), window)


def notes_by_mir_eval(own, guess):
    pitches = [np.full(len(one), 440.0) for one in (own, guess)]
    return mir_eval.transcription.precision_recall_f1_overlap(own, pitches[0], guess, pitches[1])[2]


MIR_EVAL = [
    (onset_f1, points_by_mir_eval(0.05, lambda *one: mir_eval.onset.f_measure(*one)[0]), True),
    (beat_f1, points_by_mir_eval(0.07, mir_eval.beat.f_measure), True),
    (interval_f1, notes_by_mir_eval, False),
]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, by=st.sampled_from([0.02, 0.06, 0.2]))
@pytest.mark.parametrize(("metric", "measure", "points"), MIR_EVAL)
def test_f_measures_agree_with_mir_eval(metric, measure, points, seed, by):
    rng = np.random.default_rng(seed)
    labels = events(rng, 6, points)
    for estimates in (moved(rng, labels, by), events(rng, 6, points), labels):
        np.testing.assert_allclose(metric(labels, estimates), by_sort(labels, estimates, measure), atol=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_boundaries_agree_with_mir_eval(seed):
    rng = np.random.default_rng(seed)
    labels = events(rng, 5, points=False)
    estimates = moved(rng, labels, 0.4)
    values = [
        mir_eval.segment.detection(part(labels, clip), part(estimates, clip), window=0.5)[2]
        if len(part(labels, clip))
        else np.nan
        for clip in range(5)
    ]
    if np.isnan(values).all():
        return
    assert boundary_f1(labels, estimates)[0] == pytest.approx(np.nanmean(values), abs=1e-12)


def test_nothing_where_nothing_is_has_no_score():
    rng = np.random.default_rng(2)
    none = events(rng, 4).take(np.array([], dtype=int))
    nothing = Events("ab", np.zeros(5), np.zeros(0), np.zeros(0), np.zeros(0))
    something = Events("ab", [0, 1, 1, 1, 1], [1.0], [1.0], [0])
    assert len(none) == 0
    assert np.isnan(onset_f1(nothing, nothing)).all()
    np.testing.assert_array_equal(onset_f1(something, nothing), [0.0, np.nan])
    np.testing.assert_array_equal(onset_f1(nothing, something), [0.0, np.nan])
    with pytest.raises(ValueError, match="onset_f1: labels and predictions must be events of the same sorts and clips"):
        onset_f1(nothing, none)


def test_the_floor_of_events_is_what_one_clip_says_of_all():
    beats = np.arange(0.5, 10, 0.5)
    starts = np.concatenate([beats, beats + 0.01, beats + 0.2])
    train = Events("x", [0, *(len(beats) * np.arange(1, 4))], starts, starts, np.zeros(len(starts), dtype=int))
    assert beat_f1.floor(train, train, 1)[0] == pytest.approx(2 / 3)
    assert beat_f1.constant(train, 1).starts.tolist() == beats.tolist()


@pytest.mark.parametrize("metric", [onset_f1, boundary_f1, interval_f1])
def test_counts_stand_for_repeated_clips_of_events(metric):
    rng = np.random.default_rng(4)
    labels = events(rng, 12, points=False)
    estimates = moved(rng, labels, 0.05)
    counts = rng.integers(0, 3, (12, 7)).astype(np.float32)
    found = metric(labels, estimates, counts)
    for replicate in range(7):
        rows = np.repeat(np.arange(12), counts[:, replicate].astype(int))
        np.testing.assert_allclose(found[replicate], metric(labels[rows], estimates[rows]), atol=1e-12)


@pytest.mark.parametrize("metric", [ndcg_500, recall_100])
def test_counts_stand_for_repeated_users(metric):
    rng = np.random.default_rng(5)
    played, scores = plays(rng, 300, 20), rng.normal(size=(300, 20))
    counts = rng.integers(0, 3, (20, 6)).astype(np.float32)
    found = metric(played, scores, counts)
    for replicate in range(6):
        users = np.repeat(np.arange(20), counts[:, replicate].astype(int))
        np.testing.assert_allclose(found[replicate], metric(played[:, users], scores[:, users]), atol=1e-12)


def task_of(targets):
    n = len(targets)
    ids = np.array([f"{clip:03}" for clip in range(n)])
    splits = np.where(np.arange(n) < n // 2, "train", "test")
    return Task(tuple(ids), splits, targets, ids), splits == "test"


def test_every_new_kind_is_scored_with_its_interval_and_floor():
    rng = np.random.default_rng(6)
    votes, is_test = task_of(Distributions("abc", rng.dirichlet(np.ones(3), 120)))
    guess = (0.5 * votes.labels[is_test] + 0.5 / 3).astype(np.float32)
    found, unscored = score(votes, guess, ["kl_divergence", "cross_entropy", "intersection"])
    assert unscored == []
    lost = rel_entr(votes.labels[is_test], guess.astype(float)).sum(axis=1)
    divergence = found["kl_divergence"]
    assert divergence.value == pytest.approx(lost.mean(), abs=1e-6)
    assert (divergence.upper - divergence.lower) / 3.92 == pytest.approx(lost.std() / np.sqrt(60), rel=0.15)
    assert divergence.value < divergence.floor
    assert found["intersection"].value > found["intersection"].floor
    assert [one.lower_is_better for one in found.values()] == [True, True, False]

    played, is_test = task_of(Interactions(map(str, range(40)), plays(rng, 120, 40)))
    scores = (played.labels[is_test].toarray() + 3 * rng.normal(size=(60, 40))).astype(np.float32)
    found, _ = score(played, scores, ["ndcg_500"])
    alone = [ndcg_500(played.labels[is_test][:, [user]], scores[:, [user]])[0] for user in range(40)]
    assert found["ndcg_500"].value == pytest.approx(np.nanmean(alone))
    width = found["ndcg_500"].upper - found["ndcg_500"].lower
    assert width / 3.92 == pytest.approx(np.nanstd(alone) / np.sqrt(40), rel=0.15)

    beats, is_test = task_of(events(rng, 40, latest=20))
    estimates = moved(rng, beats.targets.take(is_test), 0.04)
    found, _ = score(beats, estimates, ["beat_f1", "beat_f1.b"])
    assert found["beat_f1.b"].value == pytest.approx(beat_f1(beats.targets.take(is_test), estimates)[1])
    assert found["beat_f1"].lower < found["beat_f1"].value < found["beat_f1"].upper
    assert found["beat_f1"].floor < found["beat_f1"].lower


def test_every_kind_of_labels_has_a_metric():
    assert {metric.kind for metric in METRICS.values()} == {
        *("multilabel", "multiclass", "regression", "distribution", "interactions", "events"),
    }
